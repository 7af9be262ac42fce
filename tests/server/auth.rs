//! Who asks, and what he may.

use std::time::{SystemTime, UNIX_EPOCH};

use modeller_tests::encoding::{base64url, hmac_sha256};
use serde_json::{Value, json};

use crate::support::{CANARY, SECRET, app, ask, ask_with, served, token};

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn sign(secret: &[u8], header: &str, claims: &str) -> String {
    let message = format!("{}.{}", base64url(header.as_bytes()), base64url(claims.as_bytes()));
    let signature = hmac_sha256(secret, message.as_bytes());
    format!("{message}.{}", base64url(&signature))
}

const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn good_claims() -> String {
    json!({"sub": "ada", "exp": now() + 60}).to_string()
}

#[tokio::test]
async fn a_good_token_is_taken_in_every_spelling_that_is_allowed() {
    let router = app().await.router();
    let good = [
        sign(SECRET, HS256, &good_claims()),
        sign(SECRET, r#"{"alg":"HS256"}"#, &good_claims()),
        sign(SECRET, r#"{"alg":"HS256","typ":"at+jwt","kid":"1"}"#, &good_claims()),
        sign(SECRET, HS256, &json!({"sub": "ada", "exp": now() + 60, "nbf": now() - 1, "iat": now()}).to_string()),
    ];
    for token in good {
        for scheme in ["Bearer", "bearer", "BEARER"] {
            let answer = ask_with(
                &router,
                "POST",
                "/users/whoami",
                Value::Null,
                &[("authorization", &format!("{scheme} {token}"))],
            )
            .await;
            assert_eq!((answer.status.as_u16(), answer.json()), (200, json!("ada")), "{token}");
        }
    }
    assert_eq!(ask(&router, "POST", "/users/whoami", Value::Null).await.json(), Value::Null);
}

#[tokio::test]
async fn hostile_tokens_are_refused_with_one_body_also_where_none_is_needed() {
    let app = app().await;
    let router = app.router();
    let claims = good_claims();
    let good = sign(SECRET, HS256, &claims);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let with = |header: Value| sign(SECRET, &header.to_string(), &claims);
    let of = |claims: Value| sign(SECRET, HS256, &claims.to_string());
    let unsigned = |alg: &str| {
        let header = json!({"alg": alg}).to_string();
        format!("{}.{}.", base64url(header.as_bytes()), base64url(claims.as_bytes()))
    };
    let mut hostile: Vec<String> =
        ["none", "None", "NONE", "nOnE", "none ", "", "null"].into_iter().map(unsigned).collect();
    // Algorithms that are not ours, signed as if they were.
    hostile.extend(
        ["HS384", "HS512", "RS256", "ES256", "EdDSA", "hs256", "HS256 "]
            .into_iter()
            .map(|alg| with(json!({"alg": alg}))),
    );
    hostile.extend([
        with(json!({})),
        with(json!({"alg": null})),
        with(json!({"alg": ["HS256"]})),
        with(json!({"alg": "HS256", "crit": ["exp"]})),
        with(json!({"alg": "HS256", "crit": [], "exp": 1})),
        with(json!({"alg": "HS256", "b64": false, "crit": ["b64"]})),
        with(json!({"alg": "HS256", "b64": false})),
        with(json!({"alg": "HS256", "jku": "http://127.0.0.1:9/jwks"})),
        with(json!({"alg": "HS256", "x5u": "http://127.0.0.1:9/cert"})),
        with(json!({"alg": "HS256", "x5c": ["AAAA"]})),
        with(json!({"alg": "HS256", "jwk": {"kty": "oct", "k": "AAAA"}})),
        with(json!({"alg": "HS256", "zip": "DEF"})),
        with(json!({"alg": "HS256", "kid": 7})),
        sign(b"another secret that has 32 bytes!", HS256, &claims),
        sign(b"", r#"{"alg":"HS256","kid":"../../../dev/null"}"#, &claims),
        of(json!({"sub": "ada"})),
        of(json!({"sub": "ada", "exp": null})),
        of(json!({"sub": "ada", "exp": now() - 10})),
        of(json!({"sub": "ada", "exp": (now() + 60).to_string()})),
        of(json!({"sub": "ada", "exp": -1})),
        of(json!({"sub": "ada", "exp": [now() + 60]})),
        of(json!({"sub": "ada", "exp": now() + 60, "nbf": now() + 30})),
        of(json!({"sub": "ada", "exp": now() + 60, "nbf": "soon"})),
        of(json!({"sub": "ada", "exp": now() + 60, "aud": "another service"})),
        of(json!("ada")),
        of(json!([1])),
        sign(SECRET, HS256, "{"),
        sign(SECRET, HS256, ""),
        sign(SECRET, "{", &claims),
        sign(SECRET, HS256, &format!(r#"{{"exp":1,"exp":{}}}"#, now() + 60)),
        format!("{good}="),
        format!("{good}.{good}"),
        format!(".{good}"),
        message.to_owned(),
        format!("{message}."),
        format!("{message}.{}", &signature[..signature.len() - 2]),
        format!(
            "{}.{signature}",
            sign(SECRET, HS256, &json!({"sub": "root", "exp": now() + 60}).to_string()).rsplit_once('.').unwrap().0
        ),
        "a.b.c".into(),
        "..".into(),
        "x".into(),
        of(json!({"sub": "a".repeat(9000), "exp": now() + 60})),
    ]);
    assert!(hostile.len() > 50);
    let mut headers: Vec<String> = hostile.iter().map(|token| format!("Bearer {token}")).collect();
    headers.extend(["Bearer", "Bearer ", "", "Basic YTpi", "Token x", good.as_str()].map(str::to_owned));
    let expected = ask(&router, "POST", "/notes", json!({"text": "x"})).await;
    expected.assert_problem(401, "UNAUTHENTICATED");
    for header in &headers {
        for (method, path) in [("POST", "/notes"), ("GET", "/users"), ("POST", "/users/ping"), ("GET", "/@metadata")] {
            let body = if method == "POST" { json!({"text": "x"}) } else { Value::Null };
            let answer = ask_with(&router, method, path, body, &[("authorization", header)]).await;
            assert_eq!((answer.status.as_u16(), &answer.bytes), (401, &expected.bytes), "{header}");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
    let twice = [("authorization", good_header(&good)), ("authorization", good_header(&good))];
    let twice: Vec<(&str, &str)> = twice.iter().map(|(name, value)| (*name, value.as_str())).collect();
    ask_with(&router, "GET", "/users", Value::Null, &twice).await.assert_problem(401, "UNAUTHENTICATED");
}

fn good_header(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test]
async fn a_token_counts_in_its_header_alone() {
    let app = app().await;
    let router = app.router();
    let token = token(&app, "ada");
    ask(&router, "GET", &format!("/notes?access_token={token}"), Value::Null)
        .await
        .assert_problem(401, "UNAUTHENTICATED");
    ask_with(&router, "GET", "/notes", Value::Null, &[("cookie", &format!("token={token}; session={token}"))])
        .await
        .assert_problem(401, "UNAUTHENTICATED");
    let answer = ask_with(&router, "GET", "/notes", Value::Null, &[("authorization", &good_header(&token))]).await;
    assert_eq!(answer.status, 200);
}

/// Every route of every model, asked by anyone and by somebody.
#[tokio::test]
async fn what_is_not_for_the_caller_is_refused_or_not_there() {
    let app = app().await;
    let router = app.router();
    let bearer = good_header(&token(&app, "ada"));
    let routes = |model: &str| {
        [
            ("POST", format!("/{model}"), json!({"text": "x"})),
            ("GET", format!("/{model}"), Value::Null),
            ("POST", format!("/{model}/@query"), json!({})),
            ("GET", format!("/{model}/x"), Value::Null),
            ("PATCH", format!("/{model}/x"), json!({"text": "y"})),
            ("PUT", format!("/{model}/x"), json!({"text": "y"})),
            ("DELETE", format!("/{model}/x"), Value::Null),
        ]
    };
    for (method, path, body) in routes("notes") {
        let anyone = ask(&router, method, &path, body.clone()).await;
        anyone.assert_problem(401, "UNAUTHENTICATED");
        let known = ask_with(&router, method, &path, body, &[("authorization", &bearer)]).await;
        assert_ne!(known.status, 401, "{method} {path}");
    }
    // An internal model is answered as one that does not exist, to everybody and also when the body is wrong.
    for (method, path, body) in
        routes("ledger").into_iter().chain([("POST", "/ledger/anything".to_owned(), Value::Null)])
    {
        for headers in [&[][..], &[("authorization", bearer.as_str())]] {
            let hidden = ask_with(&router, method, &path, body.clone(), headers).await;
            let unknown = ask_with(&router, method, &path.replace("ledger", "nowhere"), body.clone(), headers).await;
            hidden.assert_problem(404, "MODEL_NOT_FOUND");
            let text = String::from_utf8(hidden.bytes).unwrap().replace("ledger", "nowhere");
            assert_eq!(text.as_bytes(), unknown.bytes, "{method} {path}");
        }
    }
    assert_eq!(ask(&router, "POST", "/notes/motd", Value::Null).await.json(), "welcome");
    ask(&router, "POST", "/users/sweep", Value::Null).await.assert_problem(404, "METHOD_NOT_FOUND");
    ask(&router, "POST", "/users/shout", json!({"text": "x"})).await.assert_problem(404, "METHOD_NOT_FOUND");
    ask(&router, "POST", "/users/secret_report", Value::Null).await.assert_problem(401, "UNAUTHENTICATED");
    let report = ask_with(&router, "POST", "/users/secret_report", Value::Null, &[("authorization", &bearer)]).await;
    assert_eq!(report.json(), "report");
}

/// A right guess and a wrong one are answered alike, and as a field that does not exist.
#[tokio::test]
async fn private_fields_are_no_oracle() {
    let router = app().await.router();
    crate::support::insert_user(&router, "ada@example.com").await;
    let shapes: [fn(&str, &str) -> Value; 5] = [
        |name, guess| json!({name: guess}),
        |name, guess| json!({name: {"$gt": guess}}),
        |name, guess| json!({"$or": [{name: {"$in": [guess]}}, {"email": "ada@example.com"}]}),
        |name, guess| json!({"$nor": [{name: {"$ne": guess}}]}),
        |name, guess| json!({format!("{name}.0"): {"$not": {"$eq": guess}}}),
    ];
    for shape in shapes {
        let mut answers = Vec::new();
        for (name, guess) in [("password", CANARY), ("password", "wrong"), ("passwort", "wrong")] {
            let answer = ask(&router, "POST", "/users/@query", json!({"filter": shape(name, guess)})).await;
            answer.assert_problem(400, "INVALID_QUERY");
            answers.push(String::from_utf8(answer.bytes).unwrap().replace(name, "…"));
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    }
    ask(&router, "POST", "/users/@query", json!({"sort": {"password": 1}})).await.assert_problem(400, "INVALID_QUERY");
    let served = served().await;
    let mut socket = served.socket(None).await;
    for filter in [json!({"password": CANARY}), json!({"$and": [{"password": {"$exists": true}}]})] {
        let answer = socket.ask("subscribe", json!({"model": "users", "filter": filter})).await;
        assert_eq!(answer["error"]["data"]["code"], "INVALID_QUERY", "{answer}");
    }
}
