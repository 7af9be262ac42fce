//! `GET /@client.ts`, and `client typescript` on the command line: the typed client of what can be reached.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use axum::body::Bytes;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::call::Context;
use super::{metadata, respond};
use crate::app::AppBuilder;
use crate::codegen;
use crate::error::{Error, Result};
use crate::wire::metadata::Metadata;

/// How many clients are kept: of one application there are few, as many as there are kinds of callers.
const KEPT: usize = 8;

const TYPE: HeaderValue = HeaderValue::from_static("text/typescript; charset=utf-8");
/// It may be kept, and is asked for again.
const KEEP: HeaderValue = HeaderValue::from_static("private, no-cache");

pub(crate) const USAGE: &str = "\
client typescript [--out FILE]
    writes the typed client of the program, or prints it; see also `/@client.ts` of the running program
";

/// Clients that were printed, the last one first.
#[derive(Default)]
pub(super) struct Clients(Mutex<Vec<(String, Bytes)>>);

impl Clients {
    /// The client of what the metadata says, and a hash of that.
    fn of(&self, metadata: &Metadata) -> Result<(String, Bytes)> {
        let hash = format!("{:x}", Sha256::digest(serde_json::to_vec(metadata)?));
        let known = self.0.lock().iter().find(|(known, _)| *known == hash).map(|(_, text)| text.clone());
        if let Some(text) = known {
            return Ok((hash, text));
        }
        let text = Bytes::from(codegen::typescript(metadata));
        let mut clients = self.0.lock();
        clients.truncate(KEPT - 1);
        clients.insert(0, (hash.clone(), text.clone()));
        Ok((hash, text))
    }
}

/// `GET /@client.ts`
pub(super) async fn typescript(context: Context) -> Result<Response> {
    let (hash, text) = context.server.clients.of(&metadata::of(&context).await?)?;
    let mut response = respond::json(StatusCode::OK, text);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, TYPE);
    headers.insert(header::CACHE_CONTROL, KEEP);
    if let Ok(tag) = HeaderValue::try_from(format!("\"{}\"", hash.get(..32).unwrap_or(&hash))) {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}

/// What `client` is asked for on the command line.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Asked {
    pub(crate) out: Option<PathBuf>,
    pub(crate) url: Option<String>,
    pub(crate) help: bool,
}

impl Asked {
    /// Reads what stands behind `client`.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for what is no client.
    pub(crate) fn read(mut args: impl Iterator<Item = OsString>, takes_url: bool) -> Result<Self> {
        let wrong = |what: String| Error::new("INVALID_ARGUMENT").message(what);
        let mut asked = Self::default();
        match args.next().and_then(|language| language.into_string().ok()).as_deref() {
            Some("typescript") => {}
            Some("--help" | "-h") => asked.help = true,
            _ => return Err(wrong("there is `client typescript`".to_owned())),
        }
        while let Some(arg) = args.next() {
            let arg = arg.into_string().map_err(|_| wrong("an argument is not UTF-8".to_owned()))?;
            let (name, inline) = match arg.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(OsString::from(value))),
                None => (arg, None),
            };
            let mut value =
                || inline.clone().or_else(|| args.next()).ok_or_else(|| wrong(format!("`{name}` needs a value")));
            match name.as_str() {
                "--out" => asked.out = Some(value()?.into()),
                "--url" if takes_url => {
                    let url = value()?.into_string().map_err(|_| wrong("`--url` is not UTF-8".to_owned()))?;
                    asked.url = Some(url);
                }
                "--help" | "-h" => asked.help = true,
                name => return Err(wrong(format!("unknown argument `{name}`; see --help"))),
            }
        }
        Ok(asked)
    }

    /// Writes the client to where it is wanted. A file that has it already is left as it is, so that nothing is built anew for it.
    pub(crate) fn write(&self, client: &str) -> Result<()> {
        let Some(out) = &self.out else {
            // That nobody reads it is no failure.
            let _ = std::io::stdout().write_all(client.as_bytes());
            return Ok(());
        };
        if std::fs::read(out).is_ok_and(|known| known == client.as_bytes()) {
            return Ok(());
        }
        std::fs::write(out, client)
            .map_err(|cause| Error::new("INVALID_ARGUMENT").message(format!("cannot write {}: {cause}", out.display())))
    }
}

impl AppBuilder {
    /// The client of all that can be reached from outside, by somebody who is known or not. Nothing is opened for it.
    pub(crate) async fn write_client(self, args: impl Iterator<Item = OsString>) -> Result<()> {
        let asked = Asked::read(args, false)?;
        if asked.help {
            let _ = std::io::stdout().write_all(USAGE.as_bytes());
            return Ok(());
        }
        let app = self.in_memory().open().await?;
        asked.write(&codegen::typescript(&metadata::whole(&app.runtime)?))
    }
}
