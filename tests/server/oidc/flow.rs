//! The way to a provider and back, and what an attacker may try on it.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use modeller::Limits;
use modeller::prelude::*;
use modeller::server::OidcProvider;
use serde_json::{Value, json};

use super::browser::{Browser, query};
use super::cheating::{app, corp};
use super::provider::{CLIENT, CLIENT_SECRET, Cheat, Lies};
use crate::support::{SECRET, User};

#[tokio::test]
async fn s9_logins_by_providers() {
    let provider = Cheat::new(Lies::default()).await;
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let (verified, issued) = (told.clone(), told.clone());
    let app = App::new()
        .model::<User>()
        .secret(SECRET)
        .oidc_providers("/@auth", [corp(&provider)])
        .on_authenticated(move |login| {
            verified.lock().unwrap().push(format!("{} knows {}", login.provider, login.profile["sub"]));
        })
        .on_provider(move |issued_to| {
            assert!(issued_to.token.is_none() && issued_to.session.is_some());
            issued.lock().unwrap().push(format!("{} let in {:?}", issued_to.provider, issued_to.caller.subject()));
        })
        .in_memory()
        .open()
        .await
        .unwrap();
    let mut browser = Browser::new(&app.router());
    assert_eq!(browser.who().await, Value::Null);
    let location = browser.login("corp").await;
    let asked = query(&location);
    assert_eq!(asked["redirect_uri"], "http://localhost:3030/@auth/corp/callback");
    assert_eq!(asked["scope"], "openid email profile");
    let back = browser.get(&provider.consent(&location)).await;
    assert_eq!((back.status.as_u16(), back.header("location")), (303, "/home?a=b"));
    assert_eq!((back.header("cache-control"), back.header("referrer-policy")), ("no-store", "no-referrer"));
    assert_eq!(browser.cookies.len(), 1, "the session, and nothing of the way to it");
    assert_eq!(browser.who().await, "corp|ada");
    assert_eq!(*told.lock().unwrap(), ["corp knows \"ada\"", "corp let in Some(\"corp|ada\")"]);
    // What is kept: who it is there, and what was asked for; what is signed goes before what is not.
    let logins = app.logins().list("corp|ada").await.unwrap();
    let [login] = &logins[..] else { panic!("{logins:?}") };
    let kept = ["provider", "email", "email_verified", "name", "roles", "secret", "nonce", "aud"]
        .map(|name| login.claim(name));
    let who = json!({"id": "corp", "iss": provider.0.base, "sub": "ada"});
    let (email, name) = (json!("ada@example.com"), json!("Ada"));
    assert_eq!(
        kept,
        [Some(&who), Some(&email), Some(&json!(true)), Some(&name), Some(&json!(["staff"])), None, None, None]
    );
    assert_eq!(login.user_agent(), Some("a browser"));
    // Out again: here at once, and there by the browser.
    let foreign = browser.clone().ask("POST", "/@auth/corp/logout", &[("origin", "https://evil.example.com")]).await;
    foreign.assert_problem(401, "UNAUTHENTICATED");
    let out = browser.ask("POST", "/@auth/corp/logout?return=%2Fbye", &[("origin", "http://localhost:3030")]).await;
    assert_eq!(out.status, 303);
    let (there, asked) = (out.header("location"), query(out.header("location")));
    assert!(there.starts_with(&format!("{}/end?x=y&", provider.0.base)), "{there}");
    assert_eq!((&*asked["client_id"], &*asked["post_logout_redirect_uri"]), (CLIENT, "http://localhost:3030/bye"));
    // With the ID token of this login, which the provider alone is shown.
    let claims = URL_SAFE_NO_PAD.decode(asked["id_token_hint"].split('.').nth(1).unwrap()).unwrap();
    let hint: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!((&hint["sub"], &hint["aud"]), (&json!("ada"), &json!(CLIENT)));
    assert!(browser.cookies.is_empty());
    assert_eq!(browser.who().await, Value::Null);
    assert!(app.logins().list("corp|ada").await.unwrap().is_empty());
}

#[tokio::test]
async fn each_login_is_its_own() {
    let provider = Cheat::new(Lies::default()).await;
    let app = app([corp(&provider)]).await;
    let mut seen = HashSet::new();
    for _ in 0..50 {
        let mut browser = Browser::new(&app.router());
        let asked = query(&browser.login("corp").await);
        for name in ["state", "nonce", "code_challenge"] {
            // 256 bits, in base64.
            assert_eq!(asked[name].len(), 43, "{name}");
            assert!(seen.insert(asked[name].clone()), "{name} was there before");
        }
        // What is only for the provider to know later is not told, and the browser cannot read it.
        assert!(!asked.contains_key("code_verifier"));
        assert!(browser.cookies.values().all(|value| !value.contains(&asked["state"])));
    }
    // Several in one browser do not take each other's place, and do not become more and more.
    let mut browser = Browser::new(&app.router());
    let first = browser.login("corp").await;
    let second = browser.login("corp").await;
    assert_eq!(browser.get(&provider.consent(&first)).await.status, 303);
    assert_eq!(browser.get(&provider.consent(&second)).await.status, 303);
    for _ in 0..20 {
        browser.login("corp").await;
    }
    assert!(browser.cookies.len() <= 6, "{}", browser.cookies.len());
}

#[tokio::test]
async fn what_an_attacker_tries_is_refused() {
    let careful = Cheat::new(Lies::default()).await;
    // One that does not look at verifiers: the nonce is what is left.
    let careless = Cheat::new(Lies { is_careless: true, ..Lies::default() }).await;
    for provider in [&careful, &careless] {
        let app = app([corp(provider)]).await;
        let router = app.router();
        let (mut ada, mut eve) = (Browser::new(&router), Browser::new(&router));
        let (of_ada, of_eve) = (ada.login("corp").await, eve.login("corp").await);
        let (ada_back, eve_back) = (provider.consent(&of_ada), provider.consent(&of_eve));
        let (ada_code, eve_code) = (query(&ada_back)["code"].clone(), query(&eve_back)["code"].clone());
        let before = app.seq();
        let mut told: Option<Value> = None;
        let mut refuse = async |browser: &Browser, path: &str| {
            let mut browser = browser.clone();
            let body = browser.get(path).await.assert_problem(401, "UNAUTHENTICATED");
            assert_eq!(told.get_or_insert_with(|| body.clone()), &body, "{path}");
            assert_eq!(browser.who().await, Value::Null);
        };
        // A browser that was not sent from here, and one that was sent for something else.
        refuse(&Browser::new(&router), &eve_back).await;
        refuse(&ada, &eve_back).await;
        refuse(&ada, "/@auth/corp/callback").await;
        let state = &query(&ada_back)["state"];
        for wrong in ["", "x", &"A".repeat(43), &state[..42], &format!("{state}A"), &state.to_lowercase()] {
            refuse(&ada, &ada_back.replace(state.as_str(), wrong)).await;
        }
        refuse(&ada, &format!("{ada_back}&state={state}")).await;
        let mut changed = ada.clone();
        for value in changed.cookies.values_mut() {
            let at = value.len() / 2;
            let other = if value.as_bytes()[at] == b'A' { "B" } else { "A" };
            value.replace_range(at..=at, other);
        }
        refuse(&changed, &ada_back).await;
        let mut moved = ada.clone();
        moved
            .cookies
            .extend(eve.cookies.values().map(|value| (ada.cookies.keys().next().unwrap().clone(), value.clone())));
        refuse(&moved, &ada_back).await;
        // The code of somebody else in one's own login.
        refuse(&eve, &eve_back.replace(&eve_code, &ada_code)).await;
        assert_eq!(app.seq(), before);
        // It was used up by that, for everybody.
        refuse(&eve, &eve_back).await;
        refuse(&ada, &ada_back).await;
        let (mut ada, again) = (Browser::new(&router), provider);
        let back = again.consent(&ada.login("corp").await);
        let thief = ada.clone();
        assert_eq!(ada.get(&back).await.status, 303);
        // A second time, also with the cookies of before.
        let exchanged = provider.0.exchanged.load(Ordering::Relaxed);
        refuse(&thief, &back).await;
        assert_eq!(provider.0.exchanged.load(Ordering::Relaxed), exchanged, "nobody was asked");
        assert_eq!(ada.who().await, "corp|ada");
    }
}

#[tokio::test]
async fn two_providers_are_not_mixed_up() {
    let (good, evil) = (Cheat::new(Lies::default()).await, Cheat::new(Lies::default()).await);
    let other = OidcProvider::new("evil", &evil.0.base, CLIENT, CLIENT_SECRET);
    let app = app([corp(&good), other]).await;
    let router = app.router();
    // Who begins with one comes back from that one.
    let mut browser = Browser::new(&router);
    let back = good.consent(&browser.login("corp").await);
    let before = app.seq();
    browser.get(&back.replace("/corp/", "/evil/")).await.assert_problem(401, "UNAUTHENTICATED");
    let mut both = Browser::new(&router);
    let (of_good, of_evil) = (good.consent(&both.login("corp").await), evil.consent(&both.login("evil").await));
    for (path, other) in [(&of_good, &of_evil), (&of_evil, &of_good)] {
        let (asked, issuer) = (query(path), &query(other)["iss"]);
        let (path, _) = path.split_once('?').unwrap();
        let issuer = issuer.replace(':', "%3A").replace('/', "%2F");
        let mixed = format!("{path}?code={}&state={}&iss={issuer}", asked["code"], asked["state"]);
        both.clone().get(&mixed).await.assert_problem(401, "UNAUTHENTICATED");
    }
    for provider in [&good, &evil] {
        assert_eq!(provider.0.exchanged.load(Ordering::Relaxed), 0, "a code went to the wrong one");
    }
    assert_eq!(app.seq(), before);
    // The same name at both is not the same user.
    let (mut here, mut there) = (Browser::new(&router), Browser::new(&router));
    let (to_good, to_evil) = (here.login("corp").await, there.login("evil").await);
    assert_eq!(here.get(&good.consent(&to_good)).await.status, 303);
    assert_eq!(there.get(&evil.consent(&to_evil)).await.status, 303);
    assert_eq!((here.who().await, there.who().await), (json!("corp|ada"), json!("evil|ada")));
    assert_eq!(app.logins().list("corp|ada").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_browser_is_sent_nowhere_else() {
    let provider = Cheat::new(Lies::default()).await;
    let app = app([corp(&provider)]).await;
    let mut browser = Browser::new(&app.router());
    for (given, back) in [
        ("", "/"),
        ("?return=%2F", "/"),
        ("?return=/a/b%3Fc=d%26e%23f", "/a/b?c=d&e#f"),
        ("?return=/a%2520b", "/a%20b"),
        ("?return=https://app.example.com", "https://app.example.com"),
        ("?return=https://app.example.com/x?y", "https://app.example.com/x?y"),
        ("?other=//evil.example.com", "/"),
    ] {
        let begun = browser.get(&format!("/@auth/corp/login{given}")).await;
        assert_eq!(begun.status, 303, "{given}");
        let back_here = provider.consent(begun.header("location"));
        assert_eq!(browser.get(&back_here).await.header("location"), back, "{given}");
    }
    for evil in [
        "https://evil.example.com",
        "//evil.example.com",
        "/%5Cevil.example.com",
        "%5C%5Cevil.example.com",
        "/%09/evil.example.com",
        "%0A//evil.example.com",
        "/x%0D%0ASet-Cookie:%20a=b",
        "/%C3%A4",
        "%20/x",
        "x",
        "",
        "javascript:alert(1)",
        "http:evil.example.com",
        "https://app.example.com.evil.example.com",
        "https://app.example.com@evil.example.com",
        "https://app.example.com:444",
        "http://app.example.com",
        "HTTPS://APP.EXAMPLE.COM",
        "/a&return=/b",
        "%zz",
        &format!("/{}", "x".repeat(1_024)),
    ] {
        let path = format!("/@auth/corp/login?return={evil}");
        browser.get(&path).await.assert_problem(400, "INVALID_REQUEST");
    }
    for path in ["/@auth/nobody/login", "/@auth/nobody/callback?code=x&state=y", "/@auth/CORP/login"] {
        browser.get(path).await.assert_problem(404, "NOT_FOUND");
    }
    browser.ask("POST", "/@auth/corp/login", &[]).await.assert_problem(405, "METHOD_NOT_ALLOWED");
    // A host that is none does not become an address that the provider is told.
    for host in ["a b", "evil.example.com/x", "a@b", ""] {
        let request = axum::http::Request::builder().uri("/@auth/corp/login").header("host", host);
        let answer = crate::support::send(&app.router(), request.body(axum::body::Body::empty()).unwrap()).await;
        answer.assert_problem(400, "INVALID_REQUEST");
    }
}

#[tokio::test]
async fn what_the_program_says_of_providers_is_proved() {
    let provider = |id: &str, issuer: &str| OidcProvider::new(id, issuer, "us", "a secret");
    let good = || provider("corp", "https://login.example.com");
    for (path, providers) in [
        ("", vec![good()]),
        ("auth", vec![good()]),
        ("/a//b", vec![good()]),
        ("/{model}", vec![good()]),
        ("/@auth", vec![good(), good()]),
        ("/@auth", vec![provider("Corp", "https://login.example.com")]),
        ("/@auth", vec![provider("a/b", "https://login.example.com")]),
        ("/@auth", vec![provider("corp", "http://login.example.com")]),
        ("/@auth", vec![provider("corp", "https://login.example.com?a=b")]),
        ("/@auth", vec![provider("corp", "https://login.example.com#a")]),
        ("/@auth", vec![provider("corp", "login.example.com")]),
        ("/@auth", vec![OidcProvider::new("corp", "https://login.example.com", "us", "")]),
        ("/@auth", vec![OidcProvider::public("corp", "https://login.example.com", "")]),
        ("/@auth", vec![good().scopes(["two words"])]),
        ("/@auth", vec![good().claim("groups", "sub")]),
        ("/@auth", vec![good().claim("groups", "provider")]),
    ] {
        let opened = App::new().oidc_providers(path, providers).in_memory().open().await;
        assert_eq!(opened.unwrap_err().code().as_str(), "INVALID_OIDC_PROVIDER", "{path}");
    }
    for url in
        ["app.example.com", "http://app.example.com", "https://app.example.com/?a=b", "https://a@app.example.com"]
    {
        assert!(App::new().public_url(url).in_memory().open().await.is_err(), "{url}");
    }
    // Where the program has a route of its own, which is told before the first connection.
    let app = App::new().oidc_providers("/in", [good()]).route(HttpMethod::Get, "/in/{x}/login", |_| async { Ok(()) });
    let app = app.in_memory().open().await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = app.serve_on(listener, std::future::pending()).await.unwrap_err();
    assert!(refused.to_string().contains("`GET /in/{x}/login`"), "{refused}");
    // Another path, and another address.
    let provider = Cheat::new(Lies::default()).await;
    let builder = App::new().model::<User>().public_url("https://example.com/app/");
    let app = builder.oidc_providers("/sign-in/", [corp(&provider)]).in_memory().open().await.unwrap();
    let mut browser = Browser::new(&app.router());
    let begun = browser.get("/sign-in/corp/login").await;
    assert_eq!(query(begun.header("location"))["redirect_uri"], "https://example.com/app/sign-in/corp/callback");
    browser.get("/@auth/corp/login").await.assert_problem(404, "NOT_FOUND");
}

/// How much memory the process has, in bytes.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

#[tokio::test]
#[ignore = "measures the memory of the process, which other tests use as well"]
async fn logins_that_are_left_cost_nothing() {
    let provider = Cheat::new(Lies::default()).await;
    // More than are taken of one address unless it is said.
    let builder = App::new().model::<User>().secret(SECRET).limits(Limits::new().sign_ins_per_minute(1 << 20));
    let app = builder.oidc_providers("/@auth", [corp(&provider)]).in_memory().open().await.unwrap();
    let router = app.router();
    Browser::new(&router).login("corp").await;
    let (seq, before) = (app.seq(), memory());
    for _ in 0..2_000 {
        Browser::new(&router).login("corp").await;
    }
    let grown = memory().saturating_sub(before);
    println!("2000 logins that were left: {} KiB", grown >> 10);
    assert!(grown < 64 << 20, "{grown}");
    assert_eq!(app.seq(), seq);
}
