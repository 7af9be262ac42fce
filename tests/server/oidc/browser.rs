//! What a browser does with an answer, as far as a login needs it.

use std::collections::BTreeMap;

use axum::Router;
use serde_json::Value;

use crate::support::{Answer, ask_with};

/// A browser with cookies of one application.
#[derive(Clone)]
pub(super) struct Browser {
    router: Router,
    pub(super) cookies: BTreeMap<String, String>,
}

impl Browser {
    pub(super) fn new(router: &Router) -> Self {
        Self { router: router.clone(), cookies: BTreeMap::new() }
    }

    pub(super) async fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let cookie = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        let mut all = vec![("host", "localhost:3030"), ("user-agent", "a browser")];
        if !cookie.is_empty() {
            all.push(("cookie", &cookie));
        }
        all.extend(headers);
        let answer = ask_with(&self.router, method, path, Value::Null, &all).await;
        for line in answer.headers.get_all("set-cookie") {
            let line = line.to_str().unwrap();
            let (pair, attributes) = line.split_once("; ").unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            assert!(name.starts_with("__Host-"), "{line}");
            for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
                assert!(attributes.split("; ").any(|known| known == attribute), "{line}");
            }
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                assert!(line.len() < 4_096, "browsers take no longer one");
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    pub(super) async fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, &[]).await
    }

    /// Goes to a provider: the address that it is sent to.
    pub(super) async fn login(&mut self, provider: &str) -> String {
        let answer = self.get(&format!("/@auth/{provider}/login?return=%2Fhome%3Fa%3Db")).await;
        assert_eq!(answer.status, 303, "{}", String::from_utf8_lossy(&answer.bytes));
        assert_eq!((answer.header("cache-control"), answer.header("referrer-policy")), ("no-store", "no-referrer"));
        answer.header("location").to_owned()
    }

    /// Who the browser is.
    pub(super) async fn who(&mut self) -> Value {
        let answer = self.ask("POST", "/users/whoami", &[("origin", "http://localhost:3030")]).await;
        assert_eq!(answer.status, 200);
        answer.json()
    }
}

/// The parts of a query string, decoded.
pub(super) fn query(url: &str) -> BTreeMap<String, String> {
    let (_, query) = url.split_once('?').unwrap_or_default();
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(&after[..2]).unwrap(), 16).unwrap());
            rest = &after[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).unwrap()
}
