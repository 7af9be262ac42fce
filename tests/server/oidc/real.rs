//! A provider that others wrote, and that is certified to be one: `oidc-provider` of npm, asked over the network, as the
//! application is.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use modeller::prelude::*;
use modeller::server::OidcProvider;
use modeller_tests::node::Node;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::browser::query;
use crate::support::{SECRET, Served, User, serve};

/// Where browsers believe the application to be.
const PUBLIC: &str = "http://localhost:3999";

/// A browser that goes to wherever it is sent, and fills in forms.
#[derive(Clone, Default)]
struct Agent {
    /// Where the application really is.
    app: Option<SocketAddr>,
    cookies: HashMap<String, BTreeMap<String, String>>,
}

struct Page {
    status: u16,
    location: Option<String>,
    body: String,
}

impl Agent {
    fn of(served: &Served) -> Self {
        Self { app: Some(served.addr), ..Self::default() }
    }

    async fn go(&mut self, method: &str, url: &str, form: &str) -> Page {
        let (authority, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let addr = if url.starts_with(PUBLIC) { self.app.unwrap() } else { authority.parse().unwrap() };
        let cookies = self.cookies.entry(authority.to_owned()).or_default();
        let cookie = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = format!(
            "{method} /{path} HTTP/1.1\r\nhost: {authority}\r\norigin: http://{authority}\r\ncookie: {cookie}\r\n\
             connection: close\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
            form.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut page = Page { status: head[9..12].parse().unwrap(), location: None, body: body.to_owned() };
        for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
            match name.to_ascii_lowercase().as_str() {
                "location" => {
                    let place =
                        if value.starts_with('/') { format!("http://{authority}{value}") } else { value.to_owned() };
                    page.location = Some(place);
                }
                "set-cookie" => {
                    let (name, value) = value.split(';').next().unwrap().split_once('=').unwrap();
                    match value {
                        "" => drop(cookies.remove(name)),
                        value => drop(cookies.insert(name.to_owned(), value.to_owned())),
                    }
                }
                _ => {}
            }
        }
        page
    }

    /// Signs in at the provider, consents, and is sent back to the application, to the address that is answered.
    async fn consent(&mut self, url: &str, name: &str) -> String {
        let mut url = url.to_owned();
        for _ in 0..20 {
            if url.starts_with(PUBLIC) {
                return url;
            }
            let mut page = self.go("GET", &url, "").await;
            if page.status == 200 {
                let form = match page.body.contains("value=\"login\"") {
                    true => format!("prompt=login&login={name}&password=x"),
                    false => "prompt=consent".to_owned(),
                };
                page = self.go("POST", &url, &form).await;
            }
            url = page.location.unwrap_or_else(|| panic!("{} {}", page.status, page.body));
        }
        panic!("it goes round and round: {url}")
    }

    /// Goes to the application: the address at the provider that it is sent to.
    async fn begin(&mut self, provider: &str) -> String {
        let page = self.go("GET", &format!("{PUBLIC}/@auth/{provider}/login?return=%2Fhome"), "").await;
        page.location.unwrap_or_else(|| panic!("{} {}", page.status, page.body))
    }

    async fn who(&mut self) -> Value {
        let page = self.go("POST", &format!("{PUBLIC}/users/whoami"), "").await;
        serde_json::from_str(&page.body).unwrap_or_else(|_| panic!("{} {}", page.status, page.body))
    }

    /// Comes back, and is refused.
    async fn refused(&self, back: &str) {
        let mut this = self.clone();
        let page = this.go("GET", back, "").await;
        assert_eq!(page.status, 401, "{back}: {}", page.body);
        assert!(page.body.contains("\"code\":\"UNAUTHENTICATED\"") && page.location.is_none(), "{}", page.body);
        assert_eq!(this.who().await, Value::Null);
    }
}

fn is_there() -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/npm");
    let packages = std::env::var_os("MODELLER_NPM").map_or(root, PathBuf::from);
    packages.join("node_modules/oidc-provider").exists()
}

#[tokio::test]
async fn a_certified_provider_signs_users_in_and_out() {
    if !is_there() {
        println!("ignored: there is no oidc-provider in $MODELLER_NPM; `npm install oidc-provider@9`");
        return;
    }
    let mut node = Node::start("provider.mjs");
    let client = |id: &str| {
        let redirect = format!("{PUBLIC}/@auth/{id}/callback");
        json!({"client": "us", "secret": "a secret: with % signs", "redirect": redirect, "after": format!("{PUBLIC}/bye")})
    };
    let answer = node.ask(&json!([client("corp"), client("other")]));
    let issuer = |at: usize| answer["issuers"][at].as_str().unwrap();
    let provider = |id: &str, at: usize| OidcProvider::new(id, issuer(at), "us", "a secret: with % signs");
    let builder = App::new().model::<User>().secret(SECRET).public_url(PUBLIC);
    let builder = builder.oidc_providers("/@auth", [provider("corp", 0), provider("other", 1)]);
    let served = serve(builder.in_memory().open().await.unwrap()).await;
    let logins = served.app.logins();

    // In: what the provider knows of the user comes from its userinfo.
    let mut ada = Agent::of(&served);
    let there = ada.begin("corp").await;
    let back = ada.consent(&there, "ada").await;
    let before = ada.clone();
    let page = ada.go("GET", &back, "").await;
    assert_eq!((page.status, page.location.as_deref()), (303, Some("http://localhost:3999/home")), "{}", page.body);
    assert_eq!(ada.who().await, "corp|ada");
    let known = logins.list("corp|ada").await.unwrap();
    let claims = ["email", "email_verified", "name"].map(|name| known[0].claim(name).cloned().unwrap_or_default());
    assert_eq!(claims, [json!("ada@example.com"), json!(true), json!("ADA")]);
    assert_eq!(known[0].claim("provider"), Some(&json!({"id": "corp", "iss": issuer(0), "sub": "ada"})));

    // The same again, also with the cookies of before.
    before.refused(&back).await;
    ada.clone().go("GET", &back, "").await;
    assert_eq!(logins.list("corp|ada").await.unwrap().len(), 1);

    // Wrong in one thing.
    for name in ["state", "nonce", "code_challenge"] {
        let mut eve = Agent::of(&served);
        let there = eve.begin("corp").await;
        let changed = there.replace(&query(&there)[name], &"A".repeat(43));
        let back = eve.consent(&changed, "eve").await;
        eve.refused(&back).await;
    }

    // A code of another session, and one of another provider.
    let (mut ben, mut eve) = (Agent::of(&served), Agent::of(&served));
    let (of_ben, of_eve) = (ben.begin("corp").await, eve.begin("corp").await);
    let (of_ben, of_eve) = (ben.consent(&of_ben, "ben").await, eve.consent(&of_eve, "eve").await);
    eve.refused(&of_eve.replace(&query(&of_eve)["code"], &query(&of_ben)["code"])).await;
    eve.refused(&of_ben).await;
    let mut mixed = Agent::of(&served);
    let other = mixed.begin("other").await;
    let of_other = mixed.consent(&other, "eve").await;
    mixed.refused(&of_other.replace("/other/", "/corp/")).await;
    mixed.refused(&of_other.replace(&query(&of_other)["code"], &query(&of_ben)["code"])).await;

    // Out: here at once, and there when the user says so.
    let page = ada.go("POST", &format!("{PUBLIC}/@auth/corp/logout?return=%2Fbye"), "").await;
    assert_eq!((page.status, ada.who().await), (303, Value::Null), "{}", page.body);
    assert!(logins.list("corp|ada").await.unwrap().is_empty());
    let there = page.location.unwrap();
    assert_eq!(query(&there)["id_token_hint"].split('.').count(), 3);
    // A token that is not the provider's own it refuses, so that it is looked at.
    let made_up = there.replace(&query(&there)["id_token_hint"], "a.b.c");
    assert_eq!(ada.clone().go("GET", &made_up, "").await.status, 400);
    let page = ada.go("GET", &there, "").await;
    assert_eq!(page.status, 200, "{}", page.body);
    let confirmation = page.body.split("name=\"xsrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let page =
        ada.go("POST", &format!("{}/session/end/confirm", issuer(0)), &format!("xsrf={confirmation}&logout=yes")).await;
    assert_eq!(page.location.as_deref(), Some("http://localhost:3999/bye"), "{} {}", page.status, page.body);
}
