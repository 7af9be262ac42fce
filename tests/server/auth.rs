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

/// What the application calls its key.
fn own_kid(app: &modeller::App) -> String {
    let token = token(app, "ada");
    let header = token.split('.').next().unwrap();
    let header = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, header).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
}

fn good_claims() -> String {
    json!({"sub": "ada", "exp": now() + 60}).to_string()
}

#[tokio::test]
async fn a_good_token_is_taken_in_every_spelling_that_is_allowed() {
    let app = app().await;
    let router = app.router();
    let good = [
        sign(SECRET, HS256, &good_claims()),
        sign(SECRET, r#"{"alg":"HS256"}"#, &good_claims()),
        sign(SECRET, r#"{"typ":"application/AT+jwt","alg":"HS256"}"#, &good_claims()),
        sign(SECRET, &json!({"alg": "HS256", "kid": own_kid(&app)}).to_string(), &good_claims()),
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

/// Tokens that somebody made who has no right to, or no luck: each kind of RFC 8725, as far as a shared secret goes.
fn hostile_tokens(app: &modeller::App) -> Vec<String> {
    let claims = good_claims();
    let good = sign(SECRET, HS256, &claims);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let with = |header: Value| sign(SECRET, &header.to_string(), &claims);
    let of = |claims: Value| sign(SECRET, HS256, &claims.to_string());
    let also = |name: &str, value: Value| {
        let mut claims = json!({"sub": "ada", "exp": now() + 60});
        claims[name] = value;
        of(claims)
    };
    let unsigned = |alg: &str| {
        let header = json!({"alg": alg}).to_string();
        format!("{}.{}.", base64url(header.as_bytes()), base64url(claims.as_bytes()))
    };
    let mut hostile: Vec<String> =
        ["none", "None", "NONE", "nOnE", "none ", "", "null"].into_iter().map(unsigned).collect();
    // Algorithms that are not ours, signed as if they were.
    hostile.extend(
        [
            "HS384",
            "HS512",
            "RS256",
            "PS256",
            "ES256",
            "EdDSA",
            "hs256",
            "HS256 ",
            "HS256\u{0}",
            "dir",
            "RSA-OAEP",
            "none",
        ]
        .into_iter()
        .map(|alg| with(json!({"alg": alg}))),
    );
    // Keys that the token brings, or says where they are.
    hostile.extend([
        with(json!({"alg": "HS256", "jku": "http://127.0.0.1:9/jwks"})),
        with(json!({"alg": "HS256", "x5u": "http://127.0.0.1:9/cert"})),
        with(json!({"alg": "HS256", "x5c": ["AAAA"]})),
        with(json!({"alg": "HS256", "x5t": "AAAA"})),
        with(json!({"alg": "HS256", "x5t#S256": "AAAA"})),
        with(json!({"alg": "HS256", "jwk": {"kty": "oct", "k": base64url(SECRET)}})),
        sign(
            b"0123456789abcdef0123456789abcdef",
            r#"{"alg":"HS256","jwk":{"kty":"oct","k":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}}"#,
            &claims,
        ),
    ]);
    // Names of keys that there are not.
    hostile.extend(
        [
            "",
            "1",
            "../../../../dev/null",
            "/proc/self/environ",
            "' OR '1'='1",
            "x' UNION SELECT 'k'--",
            "http://127.0.0.1:9/",
            "\u{0}",
            "| id",
            &"k".repeat(5_000),
        ]
        .into_iter()
        .map(|kid| with(json!({"alg": "HS256", "kid": kid}))),
    );
    for kid in [json!(7), json!(null), json!({}), json!({"$ne": ""}), json!([own_kid(app)]), json!(true)] {
        hostile.push(with(json!({"alg": "HS256", "kid": kid})));
    }
    hostile.extend([
        sign(b"", r#"{"alg":"HS256","kid":"../../../dev/null"}"#, &claims),
        sign(b"", HS256, &claims),
        sign(b"another secret that has 32 bytes!", HS256, &claims),
        sign(b"another secret that has 32 bytes!", &json!({"alg": "HS256", "kid": own_kid(app)}).to_string(), &claims),
        // Headers that say what is not done here.
        with(json!({})),
        with(json!({"alg": null})),
        with(json!({"alg": ["HS256"]})),
        with(json!({"ALG": "HS256"})),
        with(json!({"alg": "HS256", "crit": ["exp"]})),
        with(json!({"alg": "HS256", "crit": [], "exp": 1})),
        with(json!({"alg": "HS256", "b64": false, "crit": ["b64"]})),
        with(json!({"alg": "HS256", "b64": false})),
        with(json!({"alg": "HS256", "zip": "DEF"})),
        with(json!({"alg": "HS256", "enc": "A256GCM"})),
        with(json!({"alg": "HS256", "cty": "JWT"})),
        with(json!({"alg": "HS256", "typ": "dpop+jwt"})),
        with(json!({"alg": "HS256", "typ": "logout+jwt"})),
        with(json!({"alg": "HS256", "typ": 1})),
        with(json!({"alg": "HS256", "more": 1})),
        with(json!("HS256")),
        sign(SECRET, r#"{"alg":"none","alg":"HS256"}"#, &claims),
        sign(SECRET, r#"{"alg":"HS256","alg":"HS256"}"#, &claims),
        sign(SECRET, "{", &claims),
        sign(SECRET, "", &claims),
        sign(SECRET, &format!("{}1{}", "[".repeat(2_000), "]".repeat(2_000)), &claims),
        // Claims that are not there, or are something else.
        of(json!({})),
        of(json!({"sub": "ada"})),
        of(json!({"exp": now() + 60})),
        also("sub", json!("")),
        also("sub", json!(7)),
        also("sub", json!(null)),
        also("sub", json!({"$ne": null})),
        also("exp", json!(null)),
        also("exp", json!(now() - 10)),
        also("exp", json!((now() + 60).to_string())),
        also("exp", json!(-1)),
        also("exp", json!(now() as f64 + 60.5)),
        also("exp", json!(1e308)),
        also("exp", json!(u64::MAX)),
        also("exp", json!((now() + 60) * 1_000)),
        also("exp", json!("NaN")),
        also("exp", json!("Infinity")),
        also("exp", json!(true)),
        also("exp", json!([now() + 60])),
        also("nbf", json!(now() + 30)),
        also("nbf", json!("soon")),
        also("nbf", json!(null)),
        also("iat", json!(now() + 30)),
        also("iat", json!("now")),
        also("aud", json!("another service")),
        also("aud", json!(["another service"])),
        also("aud", json!([])),
        also("aud", json!(null)),
        also("iss", json!(["us"])),
        also("sid", json!("0190b0a0-7e0c-7000-8000-000000000000")),
        also("sid", json!("")),
        also("sid", json!(7)),
        also("sid", json!(null)),
        of(json!("ada")),
        of(json!([1])),
        of(json!(null)),
        sign(SECRET, HS256, "{"),
        sign(SECRET, HS256, ""),
        sign(SECRET, HS256, &format!(r#"{{"sub":"ada","exp":1,"exp":{}}}"#, now() + 60)),
        sign(SECRET, HS256, &format!(r#"{{"sub":"eve","sub":"ada","exp":{}}}"#, now() + 60)),
        sign(SECRET, HS256, &format!(r#"{{"sub":"ada","exp":{},"x":{{"y":1,"y":2}}}}"#, now() + 60)),
        sign(SECRET, HS256, &format!(r#"{{"sub":"ada","exp":NaN,"iat":{}}}"#, now())),
        sign(SECRET, HS256, &format!(r#"{{"sub":"ada","exp":{}}}{{}}"#, now() + 60)),
        of(json!({"sub": "a".repeat(9_000), "exp": now() + 60})),
        of(json!({"sub": "a".repeat(1 << 15), "exp": now() + 60})),
        // Texts that are no token, or not the one that was signed.
        format!("{good}="),
        format!("{good}."),
        format!("{good}.{good}"),
        format!(".{good}"),
        good.replacen('.', "..", 1),
        good.replacen('.', ". ", 1),
        good.replace('.', ""),
        good.replace('.', "\t."),
        format!("{}+{}", &good[..5], &good[6..]),
        message.to_owned(),
        format!("{message}."),
        format!("{message}.{}", &signature[..signature.len() - 2]),
        format!("{message}.{}", base64url(&[0; 32])),
        format!("{message}.{}", base64url(&[])),
        good.split('.').next().unwrap().to_owned(),
        format!("{}.", good.split('.').next().unwrap()),
        format!("{}..", good.split('.').next().unwrap()),
        // The last digit of 32 bytes in base64 has two bits that count for nothing.
        format!("{}{}", &good[..good.len() - 1], if good.ends_with('A') { 'B' } else { next_digit(&good) }),
        format!("{}.{signature}", of(json!({"sub": "root", "exp": now() + 60})).rsplit_once('.').unwrap().0),
        format!("{}.{}", base64url(br#"{"alg":"none"}"#), message.split_once('.').unwrap().1) + "." + signature,
        "a.b.c".into(),
        "..".into(),
        ".".into(),
        "x".into(),
        "null".into(),
        "{}".into(),
    ]);
    hostile
}

/// The digit after the last one of a text in base64, in the alphabet.
fn next_digit(text: &str) -> char {
    match text.chars().last().unwrap() {
        'Z' => 'a',
        'z' => '0',
        '9' => '-',
        '-' => '_',
        '_' => 'A',
        digit => char::from(digit as u8 + 1),
    }
}

#[tokio::test]
async fn hostile_tokens_are_refused_with_one_body_also_where_none_is_needed() {
    let app = app().await;
    let router = app.router();
    let good = sign(SECRET, HS256, &good_claims());
    let hostile = hostile_tokens(&app);
    assert!(hostile.len() > 110, "{}", hostile.len());
    let mut headers: Vec<String> = hostile.iter().map(|token| format!("Bearer {token}")).collect();
    headers.extend(
        ["Bearer", "Bearer ", "", "Basic YTpi", "Token x", "DPoP x", "Bearer\t", good.as_str()].map(str::to_owned),
    );
    headers.extend([format!("Bearer {}", "a".repeat(1 << 20)), format!("Bearer {}.a.a", "e".repeat(1 << 20))]);
    headers.extend([format!("Bearer={good}"), format!("Bearer {good},Bearer {good}"), format!("Bearer {good} {good}")]);
    let expected = ask(&router, "POST", "/notes", json!({"text": "x"})).await;
    expected.assert_problem(401, "UNAUTHENTICATED");
    for header in &headers {
        // What HTTP takes as no header at all never comes so far.
        if axum::http::HeaderValue::from_str(header).is_err() {
            continue;
        }
        for (method, path) in [("POST", "/notes"), ("GET", "/users"), ("POST", "/users/ping"), ("GET", "/@metadata")] {
            let body = if method == "POST" { json!({"text": "x"}) } else { Value::Null };
            let answer = ask_with(&router, method, path, body, &[("authorization", header)]).await;
            assert_eq!((answer.status.as_u16(), &answer.bytes), (401, &expected.bytes), "{header}");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
    let (twice, basic) = (good_header(&good), "Basic YTpi".to_owned());
    for pair in [[&twice, &twice], [&twice, &basic], [&basic, &twice]] {
        let pair = pair.map(|value| ("authorization", value.as_str()));
        let answer = ask_with(&router, "GET", "/users", Value::Null, &pair).await;
        assert_eq!((answer.status.as_u16(), &answer.bytes), (401, &expected.bytes));
    }
    // The same in the socket, whose answers differ in the number of the request alone.
    let served = crate::support::serve(app).await;
    let mut socket = served.socket(None).await;
    let expected = expected.json();
    for token in hostile.iter().map(String::as_str).chain(["", " ", "\u{e9}", "\u{0}", &"x".repeat(1 << 19)]) {
        let answer = socket.ask("authenticate", json!({"token": token})).await;
        assert_eq!(answer["error"]["data"], expected, "{token}");
    }
    assert_eq!(socket.ask("call", json!({"model": "users", "method": "whoami"})).await["result"], Value::Null);
    assert!(socket.ask("authenticate", json!({"token": good})).await["result"].is_object());
    assert_eq!(socket.ask("call", json!({"model": "users", "method": "whoami"})).await["result"], "ada");
}

fn good_header(token: &str) -> String {
    format!("Bearer {token}")
}

/// A model and a method that are protected, with the secret of the program, with one that is made in the data folder and found there
/// again, and with one that lives as long as the application.
#[tokio::test]
async fn s8_what_is_protected_needs_a_bearer_token() {
    let folder = std::env::temp_dir().join(format!("modeller-s8-{}", uuid::Uuid::new_v4()));
    let builder = || modeller::App::new().model::<crate::support::Note>().model::<crate::support::User>();
    let mut made: Vec<String> = Vec::new();
    for round in 0..4 {
        let builder = match round {
            0 => builder().secret(SECRET).in_memory(),
            1 => builder().in_memory(),
            _ => builder().data(&folder),
        };
        let app = builder.open().await.unwrap();
        let router = app.router();
        let bearer = good_header(&token(&app, "ada"));
        for (method, path) in [("GET", "/notes"), ("POST", "/users/secret_report")] {
            ask(&router, method, path, Value::Null).await.assert_problem(401, "UNAUTHENTICATED");
            let known = ask_with(&router, method, path, Value::Null, &[("authorization", &bearer)]).await;
            assert_eq!(known.status, 200, "{method} {path}");
            // No other application's.
            for other in made.iter().take(2) {
                let answer = ask_with(&router, method, path, Value::Null, &[("authorization", other)]).await;
                assert_eq!(answer.status, 401);
            }
        }
        // What is public needs none.
        assert_eq!(ask(&router, "GET", "/users", Value::Null).await.status, 200);
        if round == 3 {
            let answer = ask_with(&router, "GET", "/notes", Value::Null, &[("authorization", &made[2])]).await;
            assert_eq!(answer.status, 200, "the secret is that of the last start");
        }
        made.push(bearer);
    }
    #[cfg(unix)]
    {
        let mode = std::fs::metadata(folder.join("secret")).unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
    }
    let short = builder().secret("short").in_memory().open().await;
    assert_eq!(short.unwrap_err().code().as_str(), "INVALID_SECRET");
    std::fs::remove_dir_all(folder).unwrap();
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
