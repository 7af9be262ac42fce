//! `modeller client typescript`: the typed client of a running program, from its metadata.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::{Outcome, print, wrong};
use crate::codegen;
use crate::error::Result;
use crate::server::client::Asked;
use crate::wire::metadata::{Metadata, VERSION};

const USAGE: &str = "\
modeller client typescript --url http://HOST:PORT [--out FILE]
    writes the typed client of a running program, or prints it: of what anyone may reach, or with a token in MODELLER_TOKEN its owner
";

/// The largest metadata that is read, in bytes.
const MOST: u64 = 64 << 20;
/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn run(args: impl Iterator<Item = OsString>) -> Result<Outcome> {
    let asked = Asked::read(args, true)?;
    if asked.help {
        return print(USAGE);
    }
    let url = asked.url.as_deref().ok_or_else(|| wrong("where is the program? `--url http://127.0.0.1:3030`"))?;
    let token = std::env::var("MODELLER_TOKEN").ok().filter(|token| !token.is_empty());
    let metadata: Metadata = serde_json::from_slice(&fetch(url, token.as_deref())?)
        .map_err(|cause| wrong(format!("what `{url}` answers is no metadata: {cause}")))?;
    if metadata.version != VERSION {
        let text = format!("`{url}` speaks version {}, and this program {VERSION}", metadata.version);
        return Err(wrong(text));
    }
    asked.write(&codegen::typescript(&metadata))?;
    Ok(Outcome::Done)
}

/// The metadata of the program there, as bytes. By HTTP/1.0 (RFC 1945), in which a body ends with the connection.
fn fetch(url: &str, token: Option<&str>) -> Result<Vec<u8>> {
    let rest = url.strip_prefix("http://").ok_or_else(|| {
        wrong("`--url` begins with `http://`; of a program behind TLS, save what it answers to `/@client.ts`")
    })?;
    let (authority, prefix) = rest.split_once('/').map_or((rest, ""), |(authority, prefix)| (authority, prefix));
    let prefix = prefix.trim_end_matches('/');
    let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
    let is_fine = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if authority.is_empty() || !is_fine(rest) || !token.is_none_or(is_fine) {
        return Err(wrong(format!("`{url}` is no address")));
    }
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let place = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    let cannot = |cause: std::io::Error| wrong(format!("cannot reach `{url}`: {cause}"));
    let mut tried = Err(std::io::Error::other("it has no address"));
    for address in place.to_socket_addrs().map_err(cannot)? {
        tried = TcpStream::connect_timeout(&address, PATIENCE);
        if tried.is_ok() {
            break;
        }
    }
    let mut stream = tried.map_err(cannot)?;
    stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE))).map_err(cannot)?;
    let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!(
        "GET {prefix}/@metadata HTTP/1.0\r\nhost: {authority}\r\n{authorization}accept: application/json\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).map_err(cannot)?;
    let mut answer = Vec::new();
    stream.take(MOST + 1).read_to_end(&mut answer).map_err(cannot)?;
    if answer.len() as u64 > MOST {
        return Err(wrong(format!("`{url}` answers more than {MOST} bytes")));
    }
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let head = end.and_then(|end| answer.get(..end)).map(String::from_utf8_lossy).unwrap_or_default();
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default().split(' ').nth(1).unwrap_or_default().to_owned();
    if status != "200" {
        return Err(wrong(format!("`{url}` answers the status `{status}` to `/@metadata`")));
    }
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, length)| length.trim().parse::<usize>().ok());
    let body = end.map(|end| answer.split_off(end + 4)).unwrap_or_default();
    if length.is_some_and(|length| length != body.len()) {
        return Err(wrong(format!("the answer of `{url}` was cut off")));
    }
    Ok(body)
}
