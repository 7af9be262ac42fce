//! Tokens that others sign, by the keys that they publish.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use modeller::prelude::*;
use modeller::server::KeySet;
use modeller_tests::encoding::{base64url, hmac_sha256};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::access::{Member, Message, Person};
use crate::signing::{EDDSA, ES256, OTHER, PS256, RS256, message, now, set};
use crate::support::{SECRET, User, ask_with, serve, token};

const ISSUER: &str = "https://login.example.com";

async fn app(keys: KeySet) -> App {
    App::new().model::<User>().secret(SECRET).jwks(ISSUER, "api", keys).in_memory().open().await.unwrap()
}

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": "api", "sub": "ada", "exp": now() + 60, "iat": now()})
}

fn with(change: &Value) -> Value {
    let mut all = claims();
    for (name, value) in change.as_object().unwrap() {
        match value {
            Value::Null => drop(all.as_object_mut().unwrap().remove(name)),
            value => all[name] = value.clone(),
        }
    }
    all
}

/// Whom the token speaks for; `Err` is the problem body.
async fn who(router: &Router, token: &str) -> std::result::Result<Value, Value> {
    let bearer = format!("Bearer {token}");
    let answer = ask_with(router, "POST", "/users/whoami", Value::Null, &[("authorization", &bearer)]).await;
    if answer.status == 200 { Ok(answer.json()) } else { Err(answer.assert_problem(401, "UNAUTHENTICATED")) }
}

/// A server on this machine that answers what it is told to, and counts.
struct Source {
    url: String,
    asked: Arc<AtomicUsize>,
    answer: Arc<Mutex<Box<dyn Fn() -> Response + Send>>>,
}

impl Source {
    async fn new(answer: impl Fn() -> Response + Send + 'static) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let answer: Arc<Mutex<Box<dyn Fn() -> Response + Send>>> = Arc::new(Mutex::new(Box::new(answer)));
        let (count, say) = (asked.clone(), answer.clone());
        let routes = Router::new().fallback(get(move || {
            count.fetch_add(1, Ordering::Relaxed);
            let response = say.lock()();
            async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                response
            }
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { url, asked, answer }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

fn json(value: &Value) -> Response {
    ([("content-type", "application/json")], value.to_string()).into_response()
}

#[tokio::test]
async fn s8_tokens_of_each_algorithm_are_taken_beside_our_own() {
    let keys = [&*RS256, &ES256, &EDDSA].map(|signer| signer.jwk(signer.algorithm));
    let app = app(KeySet::given(set(&[&keys[..], &[PS256.jwk("PS256")]].concat()))).await;
    let router = app.router();
    for signer in [&*RS256, &PS256, &ES256, &EDDSA] {
        let id = signer.algorithm;
        for good in [
            signer.sign(id, &claims()),
            signer.sign(id, &with(&json!({"aud": ["other", "api"], "nbf": now()}))),
            signer.sign_as(&json!({"alg": id}), &claims()),
            signer.sign_as(&json!({"alg": id, "kid": id, "typ": "at+jwt", "x5t": "AAAA", "unknown": 1}), &claims()),
            signer.sign_as(&json!({"alg": id, "kid": id, "typ": "application/at+JWT"}), &claims()),
        ] {
            assert_eq!(who(&router, &good).await, Ok(json!("ada")), "{id} {good}");
        }
    }
    assert_eq!(who(&router, &token(&app, "ben")).await, Ok(json!("ben")), "our own");
    // It makes no login of ours: whom they call Ada is not whom we call so.
    let foreign = format!("Bearer {}", ES256.sign("ES256", &claims()));
    let session = ask_with(&router, "POST", "/@auth/session", Value::Null, &[("authorization", &foreign)]).await;
    session.assert_problem(401, "UNAUTHENTICATED");
    // On a socket as well, and there it ends with the token.
    let served = serve(app).await;
    let mut socket = served.socket(None).await;
    let wrong = socket.ask("authenticate", json!({"token": OTHER.sign("RS256", &claims())})).await;
    assert_eq!(wrong["error"]["data"]["code"], "UNAUTHENTICATED");
    let right = socket.ask("authenticate", json!({"token": ES256.sign("ES256", &claims())})).await;
    assert_eq!(right["result"], json!({}));
    let me = socket.ask("call", json!({"model": "users", "method": "whoami"})).await;
    assert_eq!(me["result"], "ada");
}

#[tokio::test]
async fn a_key_without_a_name_serves_when_it_is_the_only_one_of_its_kind() {
    let router = app(KeySet::given(set(&[RS256.jwk(""), ES256.jwk("")]))).await.router();
    assert!(who(&router, &RS256.sign_as(&json!({"alg": "RS256"}), &claims())).await.is_ok());
    assert!(who(&router, &ES256.sign_as(&json!({"alg": "ES256"}), &claims())).await.is_ok());
    let ambiguous = app(KeySet::given(set(&[RS256.jwk(""), OTHER.jwk("")]))).await.router();
    assert!(who(&ambiguous, &RS256.sign_as(&json!({"alg": "RS256"}), &claims())).await.is_err());
    let twice = app(KeySet::given(set(&[RS256.jwk("a"), OTHER.jwk("a")]))).await.router();
    assert!(who(&twice, &RS256.sign("a", &claims())).await.is_err());
    let named = app(KeySet::given(set(&[RS256.jwk("a"), OTHER.jwk("b")]))).await.router();
    assert!(who(&named, &OTHER.sign("b", &claims())).await.is_ok());
    assert!(who(&named, &OTHER.sign("a", &claims())).await.is_err());
    assert!(who(&named, &OTHER.sign("c", &claims())).await.is_err());
    assert!(who(&named, &OTHER.sign("", &claims())).await.is_err());
}

#[tokio::test]
async fn hostile_tokens_of_others_are_refused_with_one_body_and_nothing_is_fetched() {
    // Whoever is asked for by an address in a token counts here.
    let source = Source::new(|| json(&set(&[OTHER.jwk("a")]))).await;
    let keys = set(&[RS256.jwk("a"), ES256.jwk("e"), EDDSA.jwk("d")]);
    let router = app(KeySet::given(keys)).await.router();
    let good = RS256.sign("a", &claims());
    assert!(who(&router, &good).await.is_ok());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let header = |more: Value| {
        let mut header = json!({"alg": "RS256", "kid": "a"});
        for (name, value) in more.as_object().unwrap() {
            header[name] = value.clone();
        }
        header
    };
    // The public key as a secret, in each form that a careless library would take.
    let public = RS256.jwk("a");
    let secrets = [
        public.to_string().into_bytes(),
        public["n"].as_str().unwrap().as_bytes().to_vec(),
        keys_der(&public),
        include_bytes!("keys/rsa-1.pem").to_vec(),
        Vec::new(),
    ];
    let mut hostile: Vec<String> = Vec::new();
    for secret in &secrets {
        for alg in ["HS256", "RS256"] {
            let text = message(&json!({"alg": alg, "kid": "a"}), &claims());
            hostile.push(format!("{text}.{}", base64url(&hmac_sha256(secret, text.as_bytes()))));
        }
    }
    // No signature, or that of something else.
    for alg in
        ["none", "None", "NONE", "nOnE", "RS256", "", "rs256", "RS256 ", "RS384", "RS512", "ES384", "ES256K", "HS256"]
    {
        let text = message(&json!({"alg": alg, "kid": "a"}), &claims());
        hostile.push(format!("{text}."));
        hostile.push(format!("{text}.{signature}"));
    }
    let url = &source.url;
    let mine = OTHER.jwk("a");
    hostile.extend([
        // Signed by a key that the token brings along, or the address of one.
        OTHER.sign_as(&header(json!({"jwk": mine})), &claims()),
        OTHER.sign_as(&header(json!({"jku": url})), &claims()),
        OTHER.sign_as(&header(json!({"x5u": url})), &claims()),
        OTHER.sign_as(&header(json!({"x5c": ["AAAA"]})), &claims()),
        OTHER.sign_as(&header(json!({"kid": url})), &claims()),
        OTHER.sign_as(&header(json!({"kid": "../../../../dev/null"})), &claims()),
        OTHER.sign_as(&header(json!({"kid": "a' or '1'='1"})), &claims()),
        OTHER.sign("a", &with(&json!({"iss": url}))),
        OTHER.sign("a", &claims()),
        // Signed well, and asking for more.
        RS256.sign_as(&header(json!({"jwk": mine})), &claims()),
        RS256.sign_as(&header(json!({"jku": url})), &claims()),
        RS256.sign_as(&header(json!({"x5u": url})), &claims()),
        RS256.sign_as(&header(json!({"crit": ["exp"]})), &claims()),
        RS256.sign_as(&header(json!({"crit": []})), &claims()),
        RS256.sign_as(&header(json!({"b64": false})), &claims()),
        RS256.sign_as(&header(json!({"zip": "DEF"})), &claims()),
        RS256.sign_as(&header(json!({"kid": 5})), &claims()),
        RS256.sign_as(&header(json!({"kid": null})), &claims()),
        RS256.sign_as(&header(json!({"alg": ["RS256"]})), &claims()),
        RS256.sign_as(&header(json!({"typ": "logout+jwt"})), &claims()),
        RS256.sign_as(&header(json!({"typ": "dpop+jwt"})), &claims()),
        // Another algorithm than the one of the key.
        RS256.sign_as(&header(json!({"alg": "PS256"})), &claims()),
        PS256.sign("a", &claims()),
        PS256.sign_as(&header(json!({})), &claims()),
        RS256.sign_as(&header(json!({"alg": "ES256", "kid": "e"})), &claims()),
        ES256.sign_as(&header(json!({"kid": "e"})), &claims()),
        ES256.sign_as(&json!({"alg": "EdDSA", "kid": "d"}), &claims()),
        EDDSA.sign_as(&json!({"alg": "ES256", "kid": "e"}), &claims()),
        // Claims that do not do.
        RS256.sign("a", &with(&json!({"iss": null}))),
        RS256.sign("a", &with(&json!({"iss": "https://login.example.com/"}))),
        RS256.sign("a", &with(&json!({"iss": [ISSUER]}))),
        RS256.sign("a", &with(&json!({"aud": null}))),
        RS256.sign("a", &with(&json!({"aud": "API"}))),
        RS256.sign("a", &with(&json!({"aud": ["other"]}))),
        RS256.sign("a", &with(&json!({"aud": {"api": true}}))),
        RS256.sign("a", &with(&json!({"aud": ["api", 5]}))),
        RS256.sign("a", &with(&json!({"exp": null}))),
        RS256.sign("a", &with(&json!({"exp": now() - 60}))),
        RS256.sign("a", &with(&json!({"exp": (now() + 60).to_string()}))),
        RS256.sign("a", &with(&json!({"exp": 1e300}))),
        RS256.sign("a", &with(&json!({"exp": -1}))),
        RS256.sign("a", &with(&json!({"nbf": now() + 60}))),
        RS256.sign("a", &with(&json!({"nbf": "soon"}))),
        RS256.sign("a", &with(&json!({"cnf": {"jkt": "AAAA"}}))),
        // No token.
        signed.to_owned(),
        format!("{good}."),
        format!("{good}="),
        format!(".{good}"),
        format!("{signed}.{}", base64url(b"signature")),
        format!("{signed}.{signature}AA"),
        good.replacen('.', "..", 1),
        format!("{}.{signature}", message(&header(json!({})), &with(&json!({"sub": "eve"})))),
        format!("{}.{signature}", message(&header(json!({})), &json!([]))),
        format!("{}.{signature}", message(&json!("RS256"), &claims())),
        RS256.sign("a", &with(&json!({"more": "x".repeat(20_000)}))),
        // An ECDSA signature of nothing but zeros (CVE-2022-21449).
        format!("{}.{}", message(&json!({"alg": "ES256", "kid": "e"}), &claims()), base64url(&[0; 64])),
    ]);
    let expected = who(&router, "x").await.unwrap_err();
    for token in &hostile {
        assert_eq!(who(&router, token).await, Err(expected.clone()), "{token}");
    }
    assert_eq!(source.asked(), 0, "an address of a token was asked");
    println!("{} hostile tokens refused", hostile.len());
}

/// The key as `RSAPublicKey` of RFC 8017, as a PEM file would have it.
fn keys_der(jwk: &Value) -> Vec<u8> {
    use base64::Engine;
    let bytes =
        |name: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    [&[0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00][..], &bytes("n"), &[0x02, 0x03], &bytes("e")].concat()
}

#[tokio::test]
async fn keys_that_are_not_for_signatures_are_passed_over() {
    let change = |name: &str, value: Value| {
        let mut jwk = RS256.jwk("a");
        jwk[name] = value;
        jwk
    };
    let short = base64url(&[0xc3; 128]);
    for wrong in [
        change("use", json!("enc")),
        change("key_ops", json!(["sign"])),
        change("key_ops", json!("verify")),
        change("alg", json!("RSA-OAEP")),
        change("alg", json!("HS256")),
        change("alg", json!("ES256")),
        change("alg", json!("none")),
        change("kty", json!("EC")),
        change("kty", json!("oct")),
        change("kid", json!(5)),
        change("n", json!(short)),
        change("n", json!("")),
        change("n", json!("!")),
        change("e", json!("AQ")),
        change("e", json!("Ag")),
        change("d", json!("AAAA")),
        json!({"kty": "oct", "k": base64url(&[1; 32]), "alg": "HS256", "kid": "a"}),
        json!({"kty": "EC", "crv": "P-384", "x": base64url(&[1; 48]), "y": base64url(&[1; 48])}),
        json!({"kty": "EC", "crv": "P-256", "x": base64url(&[1; 31]), "y": base64url(&[1; 33])}),
        json!({"kty": "OKP", "crv": "X25519", "x": base64url(&[1; 32])}),
        json!("RSA"),
    ] {
        let keys = KeySet::given(set(std::slice::from_ref(&wrong)));
        let opened = App::new().model::<User>().jwks(ISSUER, "api", keys).in_memory().open().await;
        assert_eq!(opened.unwrap_err().code().as_str(), "INVALID_KEY_SET", "{wrong}");
        // Beside one that does it does no harm.
        let router = app(KeySet::given(set(&[wrong.clone(), EDDSA.jwk("d")]))).await.router();
        assert!(who(&router, &RS256.sign("a", &claims())).await.is_err(), "{wrong}");
        assert!(who(&router, &EDDSA.sign("d", &claims())).await.is_ok(), "{wrong}");
    }
    for (issuer, audience, keys) in [
        ("", "api", KeySet::given(set(&[RS256.jwk("a")]))),
        (ISSUER, "", KeySet::given(set(&[RS256.jwk("a")]))),
        (ISSUER, "api", KeySet::given(json!({}))),
        (ISSUER, "api", KeySet::given(set(&vec![RS256.jwk("a"); 101]))),
        (ISSUER, "api", KeySet::at("http://login.example.com/jwks")),
        (ISSUER, "api", KeySet::at("https://user:password@login.example.com/jwks")),
        (ISSUER, "api", KeySet::at("file:///etc/passwd")),
        (ISSUER, "api", KeySet::at("jwks")),
    ] {
        let opened = App::new().model::<User>().jwks(issuer, audience, keys).in_memory().open().await;
        assert_eq!(opened.unwrap_err().code().as_str(), "INVALID_KEY_SET");
    }
}

#[tokio::test]
async fn keys_of_an_address_are_fetched_once_for_all_and_again_not_too_often() {
    let source = Source::new(|| json(&set(&[RS256.jwk("a")]))).await;
    let router = app(KeySet::at(&source.url)).await.router();
    assert_eq!(source.asked(), 0, "nothing needs them yet");
    let good = RS256.sign("a", &claims());
    let all = (0..50).map(|_| {
        let (router, good) = (router.clone(), good.clone());
        tokio::spawn(async move { who(&router, &good).await })
    });
    for one in all.collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap(), Ok(json!("ada")));
    }
    assert_eq!(source.asked(), 1, "all at once");
    // Names that nobody has do not make the server ask again and again.
    let unknown = (0..200).map(|number| {
        let (router, token) = (router.clone(), OTHER.sign(&format!("key {number}"), &claims()));
        tokio::spawn(async move { who(&router, &token).await })
    });
    for one in unknown.collect::<Vec<_>>() {
        assert!(one.await.unwrap().is_err());
    }
    assert_eq!(source.asked(), 1, "not so soon");
    // Nor do those that are of no issuer that is known.
    for issuer in ["https://evil.example.com", &source.url] {
        assert!(who(&router, &RS256.sign("b", &with(&json!({"iss": issuer})))).await.is_err());
    }
    assert_eq!(source.asked(), 1);
}

#[tokio::test]
#[ignore = "takes as long as the pause between two fetches"]
async fn a_key_that_was_added_is_found_after_a_while() {
    let source = Source::new(|| json(&set(&[RS256.jwk("a")]))).await;
    let router = app(KeySet::at(&source.url)).await.router();
    assert!(who(&router, &RS256.sign("a", &claims())).await.is_ok());
    *source.answer.lock() = Box::new(|| json(&set(&[OTHER.jwk("b")])));
    assert!(who(&router, &OTHER.sign("b", &claims())).await.is_err(), "too soon");
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!(who(&router, &OTHER.sign("b", &claims())).await.is_ok());
    assert!(who(&router, &RS256.sign("a", &claims())).await.is_err(), "it was taken away");
    assert_eq!(source.asked(), 2);
    // When it fails, what is known serves.
    *source.answer.lock() = Box::new(|| axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response());
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!(who(&router, &OTHER.sign("c", &claims())).await.is_err());
    assert_eq!(source.asked(), 3);
    assert!(who(&router, &OTHER.sign("b", &claims())).await.is_ok());
}

#[tokio::test]
async fn what_an_address_answers_is_bounded() {
    let good = set(&[RS256.jwk("a")]);
    let text = good.to_string();
    let elsewhere = Source::new(|| json(&set(&[RS256.jwk("a")]))).await;
    let to = elsewhere.url.clone();
    let huge = set(&[RS256.jwk("a"), json!({"more": "x".repeat(2 << 20)})]);
    let answers: Vec<Box<dyn Fn() -> Response + Send>> = vec![
        Box::new(move || Redirect::temporary(&to).into_response()),
        Box::new(move || ([("content-type", "text/html")], text.clone()).into_response()),
        Box::new(move || json(&huge)),
        Box::new(|| json(&json!({"keys": 5}))),
        Box::new(|| json(&json!([]))),
        Box::new(|| ([("content-type", "application/json")], "{\"keys\": [").into_response()),
        Box::new(|| (axum::http::StatusCode::INTERNAL_SERVER_ERROR, json(&set(&[RS256.jwk("a")]))).into_response()),
        Box::new(|| (axum::http::StatusCode::NOT_FOUND, json(&set(&[RS256.jwk("a")]))).into_response()),
        Box::new(|| axum::http::StatusCode::NO_CONTENT.into_response()),
    ];
    for (number, answer) in answers.into_iter().enumerate() {
        let source = Source::new(answer).await;
        let router = app(KeySet::at(&source.url)).await.router();
        assert!(who(&router, &RS256.sign("a", &claims())).await.is_err(), "{number}");
        assert_eq!(source.asked(), 1, "{number}");
    }
    assert_eq!(elsewhere.asked(), 0, "a redirect was followed");
    // As it is registered for key sets.
    let source =
        Source::new(move || ([("content-type", "application/jwk-set+json")], good.to_string()).into_response()).await;
    assert!(who(&app(KeySet::at(&source.url)).await.router(), &RS256.sign("a", &claims())).await.is_ok());
}

/// The keys over TLS: by a certificate that the program trusts, and by no other one.
#[tokio::test]
async fn certificates_are_checked() {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let certificate = CertificateDer::from_pem_slice(include_bytes!("keys/localhost.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("keys/localhost.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            let body = set(&[RS256.jwk("a")]).to_string();
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    let open = |host: &str, roots: &'static [u8]| {
        let app = App::new().model::<User>().secret(SECRET).in_memory();
        let app = app.jwks(ISSUER, "api", KeySet::at(format!("https://{host}:{port}/jwks")));
        if roots.is_empty() { app.open() } else { app.root_certificates(roots).open() }
    };
    let good = RS256.sign("a", &claims());
    let ours = include_bytes!("keys/ca.pem");
    assert_eq!(who(&open("localhost", ours).await.unwrap().router(), &good).await, Ok(json!("ada")));
    assert_eq!(who(&open("127.0.0.1", ours).await.unwrap().router(), &good).await, Ok(json!("ada")));
    for (host, roots) in [("localhost", &b""[..]), ("127.0.0.2", ours)] {
        assert!(who(&open(host, roots).await.unwrap().router(), &good).await.is_err(), "{host}");
    }
    let opened = App::new()
        .root_certificates("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .in_memory()
        .open();
    assert!(opened.await.is_err());
}

/// Who is known by the subject of a token is known to the application alone: that of another issuer names nobody here.
#[tokio::test]
async fn subjects_of_others_are_no_ids_of_ours() {
    let keys = KeySet::given(set(&[RS256.jwk("a")]));
    let app =
        App::new().model::<Person>().model::<Member>().model::<Message>().secret(SECRET).jwks(ISSUER, "api", keys);
    let app = app.in_memory().open().await.unwrap();
    let ada = Person { name: "Ada".into(), banned: false };
    app.model::<Person>().insert_with_id("ada".parse().unwrap(), ada).await.unwrap();
    let router = app.router();
    for (token, status) in [(token(&app, "ada"), 200), (RS256.sign("a", &claims()), 401)] {
        let bearer = format!("Bearer {token}");
        let headers = &[("authorization", bearer.as_str())];
        let answer = ask_with(&router, "POST", "/messages/join_and_read", Value::Null, headers).await;
        assert_eq!(answer.status, status, "{}", answer.json());
        // Verified they are both.
        assert_eq!(ask_with(&router, "POST", "/messages/texts", Value::Null, headers).await.status, 200);
    }
}
