//! What a provider may not do, one lie at a time; and what it may.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use modeller::prelude::*;
use modeller::server::OidcProvider;
use modeller_tests::encoding::{base64url, hmac_sha256};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::browser::Browser;
use super::provider::{CLIENT, CLIENT_SECRET, Change, Cheat, Lies, json_body};
use crate::signing::{EDDSA, ES256, OTHER, PS256, RS256, now, set};
use crate::support::{Answer, SECRET, User};

pub(super) fn corp(provider: &Cheat) -> OidcProvider {
    OidcProvider::new("corp", &provider.0.base, CLIENT, CLIENT_SECRET).claim("groups", "roles")
}

pub(super) async fn app(providers: impl IntoIterator<Item = OidcProvider>) -> App {
    let builder = App::new().model::<User>().secret(SECRET).allow_origin("https://app.example.com");
    builder.oidc_providers("/@auth", providers).in_memory().open().await.unwrap()
}

/// A whole login; `Err` is the answer of the step that was refused.
async fn login(provider: &Cheat, said: OidcProvider) -> std::result::Result<Value, Answer> {
    let app = app([said]).await;
    let before = app.seq();
    let mut browser = Browser::new(&app.router());
    let begun = browser.get("/@auth/corp/login").await;
    let ended =
        if begun.status == 303 { browser.get(&provider.consent(begun.header("location"))).await } else { begun };
    let who = browser.who().await;
    if ended.status == 303 {
        assert_eq!(ended.header("location"), "/");
        assert!(browser.cookies.keys().all(|name| !name.starts_with("__Host-login")), "{:?}", browser.cookies);
        assert_eq!(app.seq(), before + 1, "a login was begun");
        return Ok(who);
    }
    assert_eq!((who, app.seq()), (Value::Null, before), "no login was begun");
    Err(ended)
}

fn change(change: impl Fn(&mut Value) + Send + Sync + 'static) -> Option<Change> {
    Some(Box::new(change))
}

fn with(name: &'static str, value: Value) -> Option<Change> {
    change(move |all| all[name] = value.clone())
}

fn without(name: &'static str) -> Option<Change> {
    change(move |all| drop(all.as_object_mut().unwrap().remove(name)))
}

fn answer(answer: impl Fn() -> Response + Send + Sync + 'static) -> Option<Box<dyn Fn() -> Response + Send + Sync>> {
    Some(Box::new(answer))
}

fn huge() -> Response {
    json_body(&json!({"more": "x".repeat(2 << 20)}))
}

fn failure() -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, "it broke").into_response()
}

fn no_json() -> Response {
    ([("content-type", "application/json")], "{").into_response()
}

/// The ID token signed as another algorithm with something that is known to anyone.
fn as_hs256(secret: Vec<u8>) -> Option<Box<dyn Fn(String) -> String + Send + Sync>> {
    Some(Box::new(move |token| {
        let claims = token.split('.').nth(1).unwrap();
        let text = format!("{}.{claims}", base64url(br#"{"alg":"HS256","kid":"a"}"#));
        format!("{text}.{}", base64url(&hmac_sha256(&secret, text.as_bytes())))
    }))
}

fn lies(trap: &'static str) -> Vec<(&'static str, Lies)> {
    let it = Lies::default;
    let discovery = |discovery| Lies { discovery, ..it() };
    let claims = |claims| Lies { claims, ..it() };
    let header = |header| Lies { header, ..it() };
    let keys = |keys| Lies { keys, ..it() };
    let tokens = |tokens| Lies { tokens, ..it() };
    let userinfo = |userinfo| Lies { userinfo, ..it() };
    let back = |from: &'static str, to: &'static str| Lies {
        back: Some(Box::new(move |back| {
            assert!(back.contains(from), "{back}");
            back.replace(from, to)
        })),
        ..it()
    };
    vec![
        // What it says of itself.
        ("another issuer", discovery(with("issuer", json!("https://evil.example.com")))),
        (
            "an issuer that is almost the same",
            discovery(change(|all| all["issuer"] = json!(format!("{}/", all["issuer"].as_str().unwrap())))),
        ),
        ("no issuer", discovery(without("issuer"))),
        ("no token endpoint", discovery(without("token_endpoint"))),
        ("no keys", discovery(without("jwks_uri"))),
        (
            "a token endpoint that anybody listens to",
            discovery(with("token_endpoint", json!("http://evil.example.com/token"))),
        ),
        ("a script for an endpoint", discovery(with("authorization_endpoint", json!("javascript:alert(1)")))),
        ("keys in a file", discovery(with("jwks_uri", json!("file:///etc/passwd")))),
        ("no code flow", discovery(with("response_types_supported", json!(["id_token"])))),
        ("no PKCE but plain", discovery(with("code_challenge_methods_supported", json!(["plain"])))),
        (
            "no way to show a secret",
            discovery(with("token_endpoint_auth_methods_supported", json!(["private_key_jwt"]))),
        ),
        ("discovery-500", Lies { instead_of_discovery: answer(failure), ..it() }),
        ("discovery-huge", Lies { instead_of_discovery: answer(huge), ..it() }),
        ("discovery-not-json", Lies { instead_of_discovery: answer(no_json), ..it() }),
        ("discovery-html", Lies { instead_of_discovery: answer(|| Html("<p>").into_response()), ..it() }),
        (
            "discovery-elsewhere",
            Lies { instead_of_discovery: answer(move || Redirect::temporary(trap).into_response()), ..it() },
        ),
        // The ID token.
        (
            "another key",
            Lies {
                token: Some(Box::new(|token| {
                    let (text, _) = token.rsplit_once('.').unwrap();
                    format!("{text}.{}", base64url(&OTHER.signature(text.as_bytes())))
                })),
                ..it()
            },
        ),
        (
            "another subject than was signed",
            Lies {
                token: Some(Box::new(|token| {
                    let parts: Vec<&str> = token.split('.').collect();
                    let claims =
                        base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, parts[1]).unwrap();
                    let claims = String::from_utf8(claims).unwrap().replace("\"ada\"", "\"eve\"");
                    format!("{}.{}.{}", parts[0], base64url(claims.as_bytes()), parts[2])
                })),
                ..it()
            },
        ),
        (
            "no signature",
            Lies { token: Some(Box::new(|token| format!("{}.", token.rsplit_once('.').unwrap().0))), ..it() },
        ),
        (
            "alg none",
            Lies {
                token: Some(Box::new(|token| {
                    let claims = token.split('.').nth(1).unwrap();
                    format!("{}.{claims}.", base64url(br#"{"alg":"none"}"#))
                })),
                ..it()
            },
        ),
        ("HS256 with the public key", Lies { token: as_hs256(RS256.jwk("a").to_string().into_bytes()), ..it() }),
        ("HS256 with the secret of the client", Lies { token: as_hs256(CLIENT_SECRET.as_bytes().to_vec()), ..it() }),
        ("HS256 with our own secret", Lies { token: as_hs256(SECRET.to_vec()), ..it() }),
        ("an algorithm that is not the key's", header(with("alg", json!("PS256")))),
        ("an unknown kid", header(with("kid", json!("b")))),
        ("a kid that is no text", header(with("kid", json!(["a"])))),
        ("a key in the header", header(with("jwk", OTHER.jwk("a")))),
        ("an address of a key in the header", header(with("jku", json!(trap)))),
        ("an address of a certificate in the header", header(with("x5u", json!(trap)))),
        ("a critical extension", header(with("crit", json!(["exp"])))),
        ("another type", header(with("typ", json!("logout+jwt")))),
        ("the type of an access token", header(with("typ", json!("at+jwt")))),
        ("a token of another issuer", claims(with("iss", json!("https://evil.example.com")))),
        ("a token of no issuer", claims(without("iss"))),
        ("a token for another client", claims(with("aud", json!("them")))),
        ("a token for nobody", claims(without("aud"))),
        ("several audiences without azp", claims(with("aud", json!([CLIENT, "them"])))),
        ("another azp", claims(with("azp", json!("them")))),
        ("an expired token", claims(with("exp", json!(now() - 60)))),
        ("a token without an end", claims(without("exp"))),
        ("a token from tomorrow", claims(with("nbf", json!(now() + 86_400)))),
        ("signed tomorrow", claims(with("iat", json!(now() + 86_400)))),
        ("signed yesterday", claims(with("iat", json!(now() - 86_400)))),
        ("never signed", claims(without("iat"))),
        ("no nonce", claims(without("nonce"))),
        ("another nonce", claims(with("nonce", json!("another")))),
        ("no subject", claims(without("sub"))),
        ("an empty subject", claims(with("sub", json!("")))),
        ("a subject that is a number", claims(with("sub", json!(7)))),
        ("a subject that is too long", claims(with("sub", json!("x".repeat(256))))),
        ("the hash of another access token", claims(with("at_hash", json!("77QmUPtjPfzWtF2AnpK9RQ")))),
        ("the hash of another code", claims(with("c_hash", json!("77QmUPtjPfzWtF2AnpK9RQ")))),
        // What comes with it.
        ("no ID token", tokens(without("id_token"))),
        ("an ID token that is none", tokens(with("id_token", json!("token")))),
        ("an ID token that is an object", tokens(with("id_token", json!({"sub": "ada"})))),
        ("no access token", tokens(without("access_token"))),
        ("no type", tokens(without("token_type"))),
        ("another type of token", tokens(with("token_type", json!("mac")))),
        ("a header in the access token", tokens(with("access_token", json!("a\r\nx: y")))),
        ("token-huge", Lies { instead_of_tokens: answer(huge), ..it() }),
        ("token-not-json", Lies { instead_of_tokens: answer(no_json), ..it() }),
        ("token-html", Lies { instead_of_tokens: answer(|| Html("{}").into_response()), ..it() }),
        ("token-500", Lies { instead_of_tokens: answer(failure), ..it() }),
        (
            "token-elsewhere",
            Lies { instead_of_tokens: answer(move || Redirect::temporary(trap).into_response()), ..it() },
        ),
        (
            "token-endless",
            Lies {
                instead_of_tokens: answer(|| {
                    let drip = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 4096]));
                    ([("content-type", "application/json")], axum::body::Body::from_stream(drip)).into_response()
                }),
                ..it()
            },
        ),
        // The keys.
        (
            "several keys without names",
            Lies { keys: change(|all| *all = set(&[RS256.jwk(""), OTHER.jwk("")])), header: without("kid"), ..it() },
        ),
        ("two keys of one name", keys(change(|all| *all = set(&[RS256.jwk("a"), OTHER.jwk("a")])))),
        ("a key for encryption", keys(change(|all| all["keys"][0]["use"] = json!("enc")))),
        ("a key without its name", keys(change(|all| *all = set(&[RS256.jwk("")])))),
        ("no key at all", keys(with("keys", json!([])))),
        ("keys-huge", Lies { instead_of_keys: answer(huge), ..it() }),
        ("keys-500", Lies { instead_of_keys: answer(failure), ..it() }),
        ("keys-elsewhere", Lies { instead_of_keys: answer(move || Redirect::temporary(trap).into_response()), ..it() }),
        (
            "a secret among the keys",
            Lies {
                keys: change(|all| {
                    *all = set(&[json!({"kty": "oct", "k": base64url(b"known"), "alg": "HS256", "kid": "a"})]);
                }),
                token: as_hs256(b"known".to_vec()),
                ..it()
            },
        ),
        // The user.
        ("another user", userinfo(with("sub", json!("eve")))),
        ("no user", userinfo(without("sub"))),
        ("a user who is too large", userinfo(with("groups", json!(vec!["x".repeat(100); 100])))),
        ("userinfo-500", Lies { instead_of_userinfo: answer(failure), ..it() }),
        ("userinfo-huge", Lies { instead_of_userinfo: answer(huge), ..it() }),
        (
            "userinfo-elsewhere",
            Lies { instead_of_userinfo: answer(move || Redirect::temporary(trap).into_response()), ..it() },
        ),
        (
            "userinfo-jwt",
            Lies {
                instead_of_userinfo: answer(|| {
                    let token = RS256.sign("a", &json!({"sub": "ada"}));
                    ([("content-type", "application/jwt")], token).into_response()
                }),
                ..it()
            },
        ),
        // The way back.
        ("an answer of another provider", back("iss=http%3A", "iss=https%3A")),
        ("an answer that does not say whose it is", back("&iss=", "&was=")),
        ("two issuers", back("&iss=", "&iss=https%3A%2F%2Fevil.example.com&iss=")),
        ("no code", back("code=", "was=")),
        ("a code that was never given", back("code=", "code=x")),
        ("two codes", back("code=", "code=x&code=")),
        ("a broken code", back("code=", "code=%zz")),
    ]
}

#[tokio::test]
async fn every_lie_of_a_provider_is_refused_with_one_body() {
    let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: &'static str = Box::leak(format!("http://{}/", trap.local_addr().unwrap()).into_boxed_str());
    let all = lies(address);
    let count = all.len();
    let mut told: Option<Value> = None;
    for (lie, lies) in all {
        let provider = Cheat::new(lies).await;
        let outcome = login(&provider, corp(&provider)).await;
        let Err(answer) = outcome else { panic!("{lie}: {:?}", outcome.ok()) };
        let body = answer.assert_problem(401, "UNAUTHENTICATED");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(told.get_or_insert_with(|| body.clone()), &body, "{lie}");
    }
    // Nobody was asked at an address that came in a token or in a redirect.
    let asked = tokio::time::timeout(Duration::from_millis(100), trap.accept()).await;
    assert!(asked.is_err(), "an address that nobody configured was asked");
    println!("{count} lies refused");
}

#[tokio::test]
async fn what_a_provider_may_do_is_accepted() {
    let it = Lies::default;
    let hash = "at_hash";
    // Of `the access token`, by another program: printf '…' | openssl dgst -sha256 -binary | head -c 16 | basenc --base64url
    let half = "8kJybPby-BwHrrSnx_oS4A";
    let all: Vec<(&str, Lies)> = vec![
        ("nothing else", it()),
        ("ES256", Lies { signer: Some(&ES256), ..it() }),
        ("PS256", Lies { signer: Some(&PS256), ..it() }),
        ("EdDSA", Lies { signer: Some(&EDDSA), ..it() }),
        (
            "the only key has no name",
            Lies { keys: change(|all| *all = set(&[RS256.jwk("")])), header: without("kid"), ..it() },
        ),
        (
            "a key that says no algorithm and no use",
            Lies {
                keys: change(|all| {
                    let key = all["keys"][0].as_object_mut().unwrap();
                    key.remove("alg");
                    key.remove("use");
                }),
                ..it()
            },
        ),
        (
            "other keys beside it",
            Lies {
                keys: change(|all| {
                    *all = set(&[
                        OTHER.jwk("b"),
                        json!({"kty": "RSA", "use": "enc", "kid": "a"}),
                        RS256.jwk("a"),
                        json!({"kty": "new"}),
                    ]);
                }),
                ..it()
            },
        ),
        ("a list of one audience", Lies { claims: with("aud", json!([CLIENT])), ..it() }),
        ("azp", Lies { claims: with("azp", json!(CLIENT)), ..it() }),
        (
            "several audiences with azp",
            Lies {
                claims: change(|all| {
                    all["aud"] = json!(["them", CLIENT]);
                    all["azp"] = json!(CLIENT);
                }),
                ..it()
            },
        ),
        ("a hash of the access token", Lies { claims: with(hash, json!(half)), ..it() }),
        ("a clock that is a little behind", Lies { claims: with("iat", json!(now() - 30)), ..it() }),
        ("a type", Lies { header: with("typ", json!("JWT")), ..it() }),
        (
            "members that nobody knows",
            Lies { header: with("x5t", json!("AAAA")), tokens: with("scope", json!("openid")), ..it() },
        ),
        ("bearer in small letters", Lies { tokens: with("token_type", json!("bearer")), ..it() }),
        ("no user to be asked for", Lies { discovery: without("userinfo_endpoint"), ..it() }),
        ("no end of a session", Lies { discovery: without("end_session_endpoint"), ..it() }),
        ("says nothing of PKCE", Lies { discovery: without("code_challenge_methods_supported"), ..it() }),
        (
            "does not say who it is",
            Lies {
                discovery: without("authorization_response_iss_parameter_supported"),
                back: Some(Box::new(|back| back.replace("&iss=", "&was="))),
                ..it()
            },
        ),
        (
            "the secret in the form",
            Lies {
                discovery: with("token_endpoint_auth_methods_supported", json!(["client_secret_post"])),
                method: "post",
                ..it()
            },
        ),
    ];
    for (what, lies) in all {
        let provider = Cheat::new(lies).await;
        match login(&provider, corp(&provider)).await {
            Ok(who) => assert_eq!(who, json!("corp|ada"), "{what}"),
            Err(answer) => panic!("{what}: {}", String::from_utf8_lossy(&answer.bytes)),
        }
    }
    let provider = Cheat::new(Lies { method: "none", ..it() }).await;
    let said = OidcProvider::public("corp", &provider.0.base, CLIENT);
    assert_eq!(login(&provider, said).await.ok(), Some(json!("corp|ada")), "a client without a secret");
}

#[tokio::test]
async fn a_provider_that_takes_its_time_is_not_waited_for() {
    let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", slow.local_addr().unwrap());
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = slow.accept().await {
            open.push(stream);
        }
    });
    let app = app([OidcProvider::new("corp", base, CLIENT, CLIENT_SECRET)]).await;
    let mut browser = Browser::new(&app.router());
    let since = Instant::now();
    let answer = browser.get("/@auth/corp/login").await;
    answer.assert_problem(401, "UNAUTHENTICATED");
    assert!((9..13).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
    // The next one is told at once.
    let since = Instant::now();
    browser.get("/@auth/corp/login").await.assert_problem(401, "UNAUTHENTICATED");
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
}
