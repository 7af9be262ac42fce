//! A million headers of uploads, names of files, frames and packets, near to what is valid and far from it, as `core/fuzz.rs` has
//! filters and tokens. What is read is what was written, nothing may panic, and nothing may take long.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use super::checksum::Checksum;
use super::files::Metadata;
use super::form::{file_name, file_name_parameter};
use super::tus::{LENGTH, another_version, number, text};
use crate::core::fuzz::run;
use crate::core::random::Random;
use crate::wire::frame::{Request, id_of};

/// What headers and frames are made of.
const PIECES: &[&str] = &[
    "a",
    "filename",
    "model",
    " ",
    ",",
    "=",
    ";",
    "\"",
    "\\",
    "/",
    "d29ybGQ=",
    "Zg",
    "Zg==",
    "%",
    "1.0.0",
    "0",
    "7",
    "18446744073709551616",
    "-1",
    "+1",
    "1e3",
    "sha1",
    "sha256",
    "md5",
    "\t",
    "é",
    "\u{202e}",
    "\u{0}",
    "..",
    "filename*=",
    "UTF-8''",
    "[",
    "]",
    "{",
    "}",
    ":",
    "\"id\":",
    "\"method\":\"call\"",
    "\"jsonrpc\":\"2.0\"",
    "\"params\":{}",
    "2",
    "42",
    "null",
    "[1]",
];

struct Fuzzer(Random);

impl Fuzzer {
    fn noise(&mut self, most: usize) -> String {
        (0..self.0.below(most)).map(|_| *self.0.pick(PIECES)).collect()
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.0.below(most)).map(|_| self.0.below(256) as u8).collect()
    }

    /// A text with something changed, most likely.
    fn broken(&mut self, text: &str) -> String {
        let mut letters: Vec<char> = text.chars().collect();
        for _ in 0..self.0.below(3) {
            let at = self.0.below(letters.len() + 1);
            match self.0.below(4) {
                0 if at < letters.len() => drop(letters.remove(at)),
                1 => letters.truncate(at),
                2 if at < letters.len() => letters[at] = char::from(self.0.below(128) as u8),
                _ => letters.splice(at..at, self.0.pick(PIECES).chars()).for_each(drop),
            }
        }
        letters.into_iter().collect()
    }

    /// A header of one value, or of two, which need not be text.
    fn header(&mut self, name: &HeaderName, likely: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for _ in 0..1 + usize::from(self.0.one_in(16)) {
            let value = match self.0.below(4) {
                0 => likely.as_bytes().to_vec(),
                1 => self.broken(likely).into_bytes(),
                2 => self.noise(8).into_bytes(),
                _ => self.bytes(40),
            };
            headers.extend(HeaderValue::from_bytes(&value).ok().map(|value| (name.clone(), value)));
        }
        headers
    }

    fn numbers(&mut self) -> String {
        let likely = (self.0.below(usize::MAX) as u64).to_string();
        let headers = self.header(&LENGTH, &likely);
        if let Ok(Some(read)) = number(&headers, &LENGTH) {
            let given = headers[LENGTH].to_str().unwrap().trim_start_matches('0');
            assert_eq!(given, read.to_string().trim_start_matches('0'), "{headers:?}");
        }
        let version = HeaderName::from_static("tus-resumable");
        let headers = self.header(&version, "1.0.0");
        if another_version(&headers).is_none() {
            assert_eq!(headers[&version], "1.0.0");
        }
        format!("number {headers:?}")
    }

    fn metadata(&mut self) -> String {
        let names = ["filename", "model", "args", "a", "b", "", "é", "x y", "c,d"];
        let members: Map<String, Value> = (0..self.0.below(5))
            .map(|_| {
                let name = (*self.0.pick(&names)).to_owned();
                (name, if self.0.one_in(6) { json!({"a": self.noise(4)}) } else { self.noise(6).into() })
            })
            .collect();
        if let Ok(read) = Metadata::of_json(members.clone()) {
            let given = members.iter().map(|(name, value)| match value {
                Value::String(text) if name != "args" => (name.clone(), text.clone()),
                other => (name.clone(), other.to_string()),
            });
            assert_eq!(read.members, given.collect(), "{members:?}");
        }
        let pairs = members.iter().map(|(name, value)| format!("{name} {}", BASE64_STANDARD.encode(value.to_string())));
        let likely = pairs.collect::<Vec<_>>().join(",");
        let headers = self.header(&HeaderName::from_static("upload-metadata"), &likely);
        let Ok(Some(header)) = text(&headers, &HeaderName::from_static("upload-metadata")) else { return likely };
        if let Ok(read) = Metadata::parse(header) {
            // Written again, it is read as the same.
            let again = read.members.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
            let pairs: Vec<_> = again
                .map(|(name, value)| format!("{name} {}", BASE64_STANDARD.encode(value.as_str().unwrap())))
                .collect();
            assert_eq!(Metadata::parse(&pairs.join(",")).unwrap().members, read.members, "{header}");
        }
        format!("metadata {header}")
    }

    fn checksum(&mut self) -> String {
        let (algorithm, length) = *self.0.pick(&[("sha1", 20), ("sha256", 32), ("md5", 16), ("sha1", 32)]);
        let sum: Vec<u8> = (0..length).map(|_| self.0.below(256) as u8).collect();
        let likely = format!("{algorithm} {}", BASE64_STANDARD.encode(&sum));
        let given = self.broken(&likely);
        if let Ok(mut checksum) = Checksum::parse(&given) {
            checksum.update(&sum);
            assert_eq!(checksum.check().unwrap_err().http_status(), 460, "by chance");
        }
        format!("checksum {given}")
    }

    fn disposition(&mut self) -> String {
        let likely = format!("attachment; filename=\"{}\"; x=y", self.noise(6).replace(['"', '\\'], ""));
        let given = if self.0.one_in(3) { self.noise(12) } else { self.broken(&likely) };
        if let Some(name) = file_name_parameter(&given).and_then(|name| file_name(&name)) {
            let is_seen = !name.contains(['/', '\\', '\u{202e}']) && !name.chars().any(char::is_control);
            assert!(is_seen && !name.is_empty() && name.len() <= 255 && name != "..", "{name:?}");
        }
        format!("disposition {given:?}")
    }

    fn frame(&mut self) -> String {
        let id = self.0.pick(&[json!(1), json!("7:s"), json!(null), json!({}), json!(1.5)]).clone();
        let likely =
            json!({"jsonrpc": "2.0", "id": id, "method": "call", "params": {"model": self.noise(3)}}).to_string();
        let given = if self.0.one_in(3) { self.noise(16) } else { self.broken(&likely) };
        let named = id_of(&given);
        match Request::parse(&given) {
            Ok(request) => assert_eq!(named, request.id.unwrap_or_default(), "{given}"),
            Err(refusal) => assert!(refusal.id.is_null() || refusal.id == named, "{given}"),
        }
        #[cfg(feature = "socketio")]
        {
            use crate::wire::packet::Packet;

            let likely = format!("2{}{}", self.0.below(100), json!(["call", {"a": self.noise(3)}]));
            let given = if self.0.one_in(3) { self.noise(12) } else { self.broken(&likely) };
            if let Ok(Packet::Event { arguments, .. }) = Packet::parse(&given) {
                assert!(arguments.len() < given.len(), "{given}");
            }
        }
        #[cfg(feature = "otel")]
        {
            let parent = HeaderName::from_static("traceparent");
            let mut headers = self.header(&parent, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
            headers.extend(self.header(&HeaderName::from_static("tracestate"), "a=1,b@c=2"));
            if let Some(read) = crate::server::otel::parent(&headers) {
                let given = headers[&parent].to_str().unwrap();
                assert!(
                    read.is_valid() && given.contains(&format!("-{}-{}-", read.trace_id(), read.span_id())),
                    "{given}"
                );
                assert!(read.trace_state().header().len() <= 512);
            }
        }
        format!("frame {given}")
    }
}

/// One input in turn of each kind; what it was, to be shown.
fn one(seed: u64) -> String {
    let mut fuzzer = Fuzzer(Random::new(seed));
    match seed % 5 {
        0 => fuzzer.numbers(),
        1 => fuzzer.metadata(),
        2 => fuzzer.checksum(),
        3 => fuzzer.disposition(),
        _ => fuzzer.frame(),
    }
}

#[test]
fn headers_near_and_far_do_no_harm() {
    run(20_000, one);
}

#[test]
#[ignore = "a million inputs take a while"]
fn a_million_inputs_do_no_harm() {
    run(Random::seed("MODELLER_FUZZ", 1_000_000), one);
}
