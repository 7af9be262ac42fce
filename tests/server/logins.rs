//! Logins: tokens that name them, refresh tokens, session cookies, and what ends them.

use std::time::Duration;

use modeller::prelude::*;
use modeller::test::TestApp;
use modeller::{Logins, Tokens};
use serde_json::{Map, Value, json};
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;

use crate::support::{Answer, CANARY, SECRET, Served, Socket, ask, ask_with, insert_user, serve};

const COOKIE: &str = "__Host-modeller";

#[model(id = "people", public)]
pub struct Person {
    #[field(unique)]
    pub name: String,
    pub password: Private<String>,
}

#[value]
pub struct SignIn {
    pub name: String,
    pub password: Private<String>,
    #[field(default)]
    pub fails: bool,
}

#[method(Person)]
async fn sign_in(args: SignIn, people: System<Model<Person>>, logins: Logins) -> Result<Tokens> {
    logins.attempt(&args.name)?;
    let tokens = match people.get(Person::NAME.eq(args.name.clone())).await? {
        Some(person) if person.password == args.password => {
            logins.begin(args.name).claim("role", "admin").user_agent("a test").await?
        }
        _ => return Err(Error::new(ErrorCode::Unauthenticated).message("the name or the password is wrong")),
    };
    if args.fails { Err(Error::new("CHANGED_MY_MIND")) } else { Ok(tokens) }
}

#[method(Person, transaction = none)]
async fn sign_in_slowly(args: String, logins: Logins) -> Result<Tokens> {
    tokio::task::yield_now().await;
    logins.begin(args).await
}

#[method(Person, protected)]
async fn me(caller: Caller) -> Result<Value> {
    Ok(json!({"sub": caller.subject(), "role": caller.claim("role"), "sid": caller.claim("sid")}))
}

#[method(Person, protected)]
async fn sign_out_everywhere(caller: Caller, logins: Logins) -> Result<usize> {
    logins.revoke_all(caller.subject().unwrap_or_default()).await
}

/// It gives and takes money, so that it must not be sent by a foreign page.
#[method(Person, protected)]
async fn pay(caller: Caller) -> Result<Option<String>> {
    Ok(caller.subject().map(str::to_owned))
}

fn builder() -> modeller::AppBuilder {
    App::new().model::<Person>().model::<crate::support::User>().secret(SECRET).allow_origin("https://app.example.com")
}

async fn app() -> App {
    with_ada(builder().in_memory().open().await.unwrap()).await
}

async fn with_ada(app: App) -> App {
    let ada = Person { name: "ada".into(), password: CANARY.to_owned().into() };
    app.model::<Person>().insert(ada).await.unwrap();
    app
}

async fn signed_in(router: &axum::Router) -> Tokens {
    let answer = ask(router, "POST", "/people/sign_in", json!({"name": "ada", "password": CANARY})).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.bytes));
    serde_json::from_slice(&answer.bytes).unwrap()
}

async fn refresh(router: &axum::Router, token: &str) -> Answer {
    ask(router, "POST", "/@auth/refresh", json!({"refreshToken": token})).await
}

async fn refreshed(router: &axum::Router, token: &str) -> Tokens {
    let answer = refresh(router, token).await;
    assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, "no-store"));
    serde_json::from_slice(&answer.bytes).unwrap()
}

async fn who(router: &axum::Router, token: &str) -> Answer {
    ask_with(router, "POST", "/people/me", Value::Null, &[("authorization", &format!("Bearer {token}"))]).await
}

/// A cookie for a token, and its attributes.
async fn session(router: &axum::Router, headers: &[(&str, &str)], body: Value) -> (String, String) {
    let answer = ask_with(router, "POST", "/@auth/session", body, headers).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.bytes));
    assert_eq!(answer.header("cache-control"), "no-store");
    let (pair, attributes) = answer.header("set-cookie").split_once("; ").unwrap();
    (pair.to_owned(), attributes.to_owned())
}

const SAME: (&str, &str) = ("sec-fetch-site", "same-origin");

async fn whose(router: &axum::Router, headers: &[(&str, &str)]) -> Value {
    let answer = ask_with(router, "POST", "/people/me", Value::Null, headers).await;
    if answer.status == 401 { Value::Null } else { answer.json()["sub"].clone() }
}

#[tokio::test]
async fn a_method_begins_a_login() {
    let app = app().await;
    let router = app.router();
    let tokens = signed_in(&router).await;
    assert_eq!(tokens.expires_in, 600);
    let me = who(&router, &tokens.token).await.json();
    let logins = app.logins().list("ada").await.unwrap();
    assert_eq!(me, json!({"sub": "ada", "role": "admin", "sid": logins[0].id().to_string()}));
    assert_eq!(
        (logins.len(), logins[0].user_agent(), logins[0].claim("role")),
        (1, Some("a test"), Some(&json!("admin")))
    );
    assert!(logins[0].expires() > logins[0].since() + Duration::from_secs(29 * 24 * 3600));
    // A handler that fails has begun none.
    let body = json!({"name": "ada", "password": CANARY, "fails": true});
    ask(&router, "POST", "/people/sign_in", body).await.assert_problem(400, "CHANGED_MY_MIND");
    let wrong = ask(&router, "POST", "/people/sign_in", json!({"name": "ada", "password": "wrong"})).await;
    wrong.assert_problem(401, "UNAUTHENTICATED");
    assert_eq!(app.logins().list("ada").await.unwrap().len(), 1);
    // No transaction is needed.
    let answer = ask(&router, "POST", "/people/sign_in_slowly", json!("bob")).await;
    assert_eq!(who(&router, answer.json()["token"].as_str().unwrap()).await.json()["sub"], "bob");
    // Nothing of the logins can be reached from outside.
    for path in ["/@logins", "/%40logins", "/@logins/x"] {
        ask(&router, "GET", path, Value::Null).await.assert_problem(404, "NOT_FOUND");
    }
    assert!(
        !String::from_utf8(ask(&router, "GET", "/@metadata", Value::Null).await.bytes).unwrap().contains("@logins")
    );
}

#[tokio::test]
async fn what_a_login_may_say() {
    let app = app().await;
    let logins = app.logins();
    for (subject, claims) in [
        ("", json!({})),
        (&*"s".repeat(256), json!({})),
        ("ada", json!({"sid": "x"})),
        ("ada", json!({"exp": 1})),
        ("ada", json!({"big": "x".repeat(5_000)})),
    ] {
        let begun = logins.begin(subject).claims(claims.as_object().cloned().unwrap()).await;
        assert_eq!(begun.unwrap_err().code().as_str(), "INVALID_CLAIMS", "{claims}");
    }
    let (subject, claims) = ("s".repeat(255), json!({"big": "x".repeat(4_000)}));
    let tokens =
        logins.begin(&subject).claims(claims.as_object().cloned().unwrap()).user_agent("ä\n".repeat(400)).await;
    assert_eq!(who(&app.router(), &tokens.unwrap().token).await.json()["sub"], json!(subject));
    assert_eq!(logins.list(&subject).await.unwrap()[0].user_agent(), Some(&*"ä".repeat(256)));
    assert!(!format!("{:?}", logins.begin("ada").await.unwrap()).contains("ey"), "a token is not printed");
}

#[tokio::test]
async fn a_revoked_login_is_refused_at_once() {
    let app = app().await;
    let router = app.router();
    let (one, two) = (signed_in(&router).await, signed_in(&router).await);
    let of_one = who(&router, &one.token).await.json()["sid"].as_str().unwrap().parse().unwrap();
    app.logins().revoke(&of_one).await.unwrap();
    assert_eq!(app.logins().revoke(&of_one).await.unwrap_err().code(), &ErrorCode::NotFound);
    assert!(app.logins().get(&of_one).await.unwrap().is_none());
    who(&router, &one.token).await.assert_problem(401, "UNAUTHENTICATED");
    // Also where none is needed, and for what comes with it.
    let headers = [("authorization", &*format!("Bearer {}", one.token))];
    ask_with(&router, "GET", "/people", Value::Null, &headers).await.assert_problem(401, "UNAUTHENTICATED");
    refresh(&router, &one.refresh_token).await.assert_problem(401, "UNAUTHENTICATED");
    assert_eq!(who(&router, &two.token).await.status, 200);
    let headers = [("authorization", &*format!("Bearer {}", two.token))];
    let out = ask_with(&router, "POST", "/people/sign_out_everywhere", Value::Null, &headers).await;
    assert_eq!(out.json(), 1);
    who(&router, &two.token).await.assert_problem(401, "UNAUTHENTICATED");
    assert_eq!(app.logins().revoke_all("ada").await.unwrap(), 0);
}

#[tokio::test]
async fn a_revoked_login_ends_its_sockets() {
    let served = serve(app().await).await;
    let router = served.app.router();
    let tokens = signed_in(&router).await;
    let mut by_header = served.socket(Some(&tokens.token)).await;
    let mut by_frame = served.socket(None).await;
    assert!(by_frame.ask("authenticate", json!({"token": tokens.token})).await["result"].is_object());
    let mut listening = served.socket(Some(&tokens.token)).await;
    listening.ask("subscribe", json!({"model": "users", "filter": {"role": "admin"}})).await;
    for socket in [&mut by_header, &mut by_frame] {
        assert_eq!(socket.ask("call", json!({"model": "people", "method": "me"})).await["result"]["sub"], "ada");
    }
    assert_eq!(served.app.logins().revoke_all("ada").await.unwrap(), 1);
    for socket in [&mut by_header, &mut by_frame] {
        socket.request("call", json!({"model": "people", "method": "me"})).await;
        assert_eq!(socket.frame().await, Err(1008));
    }
    // Nor is it told anything more.
    ask(&router, "POST", "/users/announce", json!({"text": "secret"})).await;
    assert_eq!(listening.frame().await, Err(1008));
    let mut late = served.socket(None).await;
    let refused = late.ask("authenticate", json!({"token": tokens.token})).await;
    assert_eq!(refused["error"]["data"]["code"], "UNAUTHENTICATED");
}

#[tokio::test]
async fn a_refresh_token_is_good_once() {
    let app = app().await;
    let router = app.router();
    let first = signed_in(&router).await;
    let other = signed_in(&router).await;
    let mut all = vec![first.clone()];
    for _ in 0..20 {
        let next = refreshed(&router, &all.last().unwrap().refresh_token).await;
        assert_eq!(who(&router, &next.token).await.json()["role"], "admin");
        all.push(next);
    }
    // The oldest one, long after.
    let answer = refresh(&router, &first.refresh_token).await;
    answer.assert_problem(401, "UNAUTHENTICATED");
    // By that the whole login has ended, with its tokens and the current refresh token.
    for tokens in &all {
        who(&router, &tokens.token).await.assert_problem(401, "UNAUTHENTICATED");
        refresh(&router, &tokens.refresh_token).await.assert_problem(401, "UNAUTHENTICATED");
    }
    // What is no refresh token, of this login or any, does nothing.
    let sid = who(&router, &other.token).await.json()["sid"].clone();
    let mut made_up = other.refresh_token.clone();
    made_up.replace_range(25..40, "AAAAAAAAAAAAAAA");
    for wrong in ["", "x", made_up.as_str(), &other.token, sid.as_str().unwrap(), &"A".repeat(86), &"A".repeat(100_000)]
    {
        let answer = refresh(&router, wrong).await;
        answer.assert_problem(401, "UNAUTHENTICATED");
    }
    for body in [json!({}), json!({"refreshToken": 7}), json!("x"), json!({"refreshToken": "x", "more": 1}), json!([])]
    {
        ask(&router, "POST", "/@auth/refresh", body).await.assert_problem(400, "INVALID_REQUEST");
    }
    assert_eq!(refreshed(&router, &other.refresh_token).await.expires_in, 600);
}

/// Of two that come at the same time one is a second use.
#[tokio::test(flavor = "multi_thread")]
async fn a_race_for_a_refresh_token_ends_the_login() {
    let app = app().await;
    let router = app.router();
    let tokens = signed_in(&router).await;
    let racing: Vec<_> = (0..8)
        .map(|_| {
            let (router, token) = (router.clone(), tokens.refresh_token.clone());
            tokio::spawn(async move { refresh(&router, &token).await.status.as_u16() })
        })
        .collect();
    let mut won = 0;
    for racer in racing {
        match racer.await.unwrap() {
            200 => won += 1,
            status => assert_eq!(status, 401),
        }
    }
    assert!(won <= 1, "{won} were exchanged");
    assert!(app.logins().list("ada").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_restart_keeps_logins() {
    let folder = std::env::temp_dir().join(format!("modeller-logins-{}", uuid::Uuid::new_v4()));
    let open = || App::new().model::<Person>().data(&folder).open();
    let app = with_ada(open().await.unwrap()).await;
    let tokens = signed_in(&app.router()).await;
    let gone = signed_in(&app.router()).await;
    let bearer = format!("Bearer {}", tokens.token);
    let (cookie, _) = session(&app.router(), &[("authorization", &bearer)], Value::Null).await;
    refreshed(&app.router(), &gone.refresh_token).await;
    drop(app);
    let app = open().await.unwrap();
    let router = app.router();
    assert_eq!(who(&router, &tokens.token).await.json()["role"], "admin");
    assert_eq!(whose(&router, &[("cookie", &cookie), SAME]).await, "ada");
    let next = refreshed(&router, &tokens.refresh_token).await;
    assert_eq!(who(&router, &next.token).await.status, 200);
    // Also what was used before.
    refresh(&router, &gone.refresh_token).await.assert_problem(401, "UNAUTHENTICATED");
    assert_eq!(app.logins().list("ada").await.unwrap().len(), 1);
    // Nothing that lets somebody in is stored.
    let stored: Vec<u8> =
        std::fs::read_dir(&folder).unwrap().flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    let secrets = [
        &tokens.refresh_token[50..],
        &next.refresh_token[50..],
        &cookie[40..],
        tokens.token.rsplit('.').next().unwrap(),
    ];
    for secret in secrets {
        assert!(!stored.windows(secret.len()).any(|part| part == secret.as_bytes()));
    }
    drop((app, router));
    std::fs::remove_dir_all(folder).unwrap();
}

/// What is used goes on, up to its end; what is not ends before.
#[tokio::test]
async fn logins_that_are_not_used_end() {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let test = TestApp::open(move || builder().login_idle(hours(8)).login_lifetime(hours(24))).await.unwrap();
    let app = with_ada((*test).clone()).await;
    let router = app.router();
    let [used, left, renewed] = [signed_in(&router).await, signed_in(&router).await, signed_in(&router).await];
    let (cookie, attributes) =
        session(&router, &[("authorization", &format!("Bearer {}", used.token))], Value::Null).await;
    assert!(attributes.contains("Max-Age=86400;"), "{attributes}");
    let by_cookie = [("cookie", cookie.as_str()), SAME];
    let mut refresh_token = renewed.refresh_token;
    for _ in 0..3 {
        test.advance(hours(6));
        assert_eq!(whose(&router, &by_cookie).await, "ada");
        // It is noted that it is used, which nobody waits for.
        for _ in 0..1000 {
            if app.logins().list("ada").await.unwrap().iter().any(|login| login.used() == test.now()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        refresh_token = refreshed(&router, &refresh_token).await.refresh_token;
    }
    refresh(&router, &left.refresh_token).await.assert_problem(401, "UNAUTHENTICATED");
    assert_eq!(app.logins().list("ada").await.unwrap().len(), 2);
    // However much they are used.
    test.advance(hours(6) + Duration::from_secs(1));
    assert_eq!(whose(&router, &by_cookie).await, Value::Null);
    refresh(&router, &refresh_token).await.assert_problem(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn logins_end_and_are_cleared() {
    let test = TestApp::open(|| builder().login_lifetime(Duration::from_secs(24 * 3600))).await.unwrap();
    let app = with_ada((*test).clone()).await;
    let router = app.router();
    let tokens = signed_in(&router).await;
    let bearer = format!("Bearer {}", tokens.token);
    let (cookie, attributes) = session(&router, &[("authorization", &bearer)], Value::Null).await;
    assert_eq!(attributes, "Path=/; Max-Age=86400; Secure; HttpOnly; SameSite=Lax");
    let by_cookie = [("cookie", cookie.as_str()), SAME];
    // The token ends first, whatever the login does.
    test.advance(Duration::from_secs(606));
    who(&router, &tokens.token).await.assert_problem(401, "UNAUTHENTICATED");
    let tokens = refreshed(&router, &tokens.refresh_token).await;
    assert_eq!(who(&router, &tokens.token).await.status, 200);
    // It is noted that it is used, to the hour.
    test.advance(Duration::from_secs(2 * 3600));
    assert_eq!(whose(&router, &by_cookie).await, "ada");
    let used = async || app.logins().list("ada").await.unwrap()[0].used();
    for _ in 0..100 {
        if used().await == test.now() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(used().await, test.now());
    test.advance(Duration::from_secs(22 * 3600 - 700));
    let last = refreshed(&router, &tokens.refresh_token).await;
    assert!(last.expires_in <= 700, "a token is good for no longer than its login: {}", last.expires_in);
    test.advance(Duration::from_secs(800));
    assert_eq!(whose(&router, &by_cookie).await, Value::Null);
    who(&router, &last.token).await.assert_problem(401, "UNAUTHENTICATED");
    refresh(&router, &last.refresh_token).await.assert_problem(401, "UNAUTHENTICATED");
    assert!(app.logins().list("ada").await.unwrap().is_empty());
    // And after a while it is gone.
    let stored = app.model_by_id("@logins").unwrap();
    for _ in 0..200 {
        if stored.count(Filter::all()).await.unwrap() == 0 {
            break;
        }
        test.advance(Duration::from_secs(3600));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(stored.count(Filter::all()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_subject_has_a_hundred_logins() {
    let app = app().await;
    let logins = app.logins();
    let mut begun = Vec::new();
    for _ in 0..103 {
        begun.push(logins.begin("ada").await.unwrap());
    }
    logins.begin("bob").await.unwrap();
    assert_eq!((logins.list("ada").await.unwrap().len(), logins.list("bob").await.unwrap().len()), (100, 1));
    let router = app.router();
    for (at, tokens) in begun.iter().enumerate() {
        assert_eq!(who(&router, &tokens.token).await.status == 200, at >= 3, "{at}");
    }
}

#[tokio::test]
async fn a_secret_is_changed_without_signing_everybody_out() {
    const NEXT: &[u8] = b"another secret that has 32 bytes!!";
    let memory = modeller::storage::Memory::new();
    let open = |builder: modeller::AppBuilder| builder.model::<Person>().storage(memory.clone()).open();
    let old = with_ada(open(App::new().secret(SECRET)).await.unwrap()).await;
    let tokens = signed_in(&old.router()).await;
    let plain = old.sign_token(Map::from_iter([("sub".to_owned(), "bob".into())]), Duration::from_secs(60)).unwrap();
    drop(old);
    let both = open(App::new().secret(NEXT).previous_secret(SECRET)).await.unwrap();
    for token in [&tokens.token, &plain] {
        assert_eq!(who(&both.router(), token).await.status, 200);
    }
    let renewed = refreshed(&both.router(), &tokens.refresh_token).await;
    drop(both);
    let new = open(App::new().secret(NEXT)).await.unwrap();
    for (token, status) in [(&tokens.token, 401), (&plain, 401), (&renewed.token, 200)] {
        assert_eq!(who(&new.router(), token).await.status, status);
    }
    let short = App::new().previous_secret("short").in_memory().open().await;
    assert_eq!(short.unwrap_err().code().as_str(), "INVALID_SECRET");
}

#[tokio::test]
async fn issuer_and_audience_are_asked_of_tokens() {
    let named = || builder().token_issuer("https://shop").token_audience("shop").token_leeway(Duration::ZERO);
    let app = with_ada(named().in_memory().open().await.unwrap()).await;
    let other = builder().token_issuer("https://shop").token_audience("stock").in_memory().open().await.unwrap();
    let anybody = builder().in_memory().open().await.unwrap();
    let tokens = signed_in(&app.router()).await;
    assert_eq!(who(&app.router(), &tokens.token).await.status, 200);
    let claims = || Map::from_iter([("sub".to_owned(), Value::from("ada"))]);
    let own = app.sign_token(claims(), Duration::from_secs(60)).unwrap();
    let of_other = other.sign_token(claims(), Duration::from_secs(60)).unwrap();
    let of_anybody = anybody.sign_token(claims(), Duration::from_secs(60)).unwrap();
    for (app, token, status) in [
        (&app, &own, 200),
        (&app, &of_other, 401),
        (&app, &of_anybody, 401),
        (&other, &own, 401),
        (&anybody, &own, 401),
        (&anybody, &of_anybody, 200),
    ] {
        assert_eq!(who(&app.router(), token).await.status, status, "{token}");
    }
    assert_eq!(app.sign_token(Map::new(), Duration::ZERO).unwrap_err().code().as_str(), "INVALID_CLAIMS");
}

#[tokio::test]
async fn a_session_cookie_counts_where_no_foreign_page_can_have_sent_it() {
    let app = app().await;
    let router = app.router();
    let tokens = signed_in(&router).await;
    let bearer = format!("Bearer {}", tokens.token);
    let (cookie, attributes) = session(&router, &[("authorization", &bearer)], Value::Null).await;
    assert!(cookie.starts_with("__Host-modeller=") && cookie.len() > 50, "{cookie}");
    let lasts = attributes.strip_prefix("Path=/; Max-Age=").unwrap().strip_suffix("; Secure; HttpOnly; SameSite=Lax");
    // What is left of 30 days.
    assert!((2_591_900..=2_592_000).contains(&lasts.unwrap().parse::<u32>().unwrap()), "{attributes}");
    let site = |site| ("sec-fetch-site", site);
    let here = ("origin", "http://api.example.com");
    let host = ("host", "api.example.com");
    let allowed = ("origin", "https://app.example.com");
    let cookie = ("cookie", cookie.as_str());
    for (headers, name) in [
        (&[cookie, SAME][..], json!("ada")),
        (&[cookie, host, here], json!("ada")),
        (&[cookie, host, here, SAME], json!("ada")),
        (&[cookie, allowed], json!("ada")),
        (&[cookie, allowed, site("cross-site")], json!("ada")),
        // A form of a foreign page, with and without what browsers say of it.
        (&[cookie], Value::Null),
        (&[cookie, ("origin", "null")], Value::Null),
        (&[cookie, host, ("origin", "https://evil.example.com")], Value::Null),
        (&[cookie, host, ("origin", "https://evil.example.com"), SAME], Value::Null),
        (&[cookie, host, ("origin", "http://api.example.com.evil.com")], Value::Null),
        (&[cookie, host, here, ("origin", "https://evil.example.com")], Value::Null),
        (&[cookie, site("cross-site")], Value::Null),
        (&[cookie, site("same-site")], Value::Null),
        (&[cookie, site("none")], Value::Null),
        (&[cookie, site("cross-site"), ("sec-fetch-mode", "navigate")], Value::Null),
        (&[cookie, ("content-type", "text/plain")], Value::Null),
        (&[cookie, ("content-type", "application/x-www-form-urlencoded")], Value::Null),
        // Two of them, one of which somebody else has set.
        (&[cookie, cookie, SAME], Value::Null),
    ] {
        assert_eq!(whose(&router, headers).await, name, "{headers:?}");
        let paid = ask_with(&router, "POST", "/people/pay", Value::Null, headers).await;
        assert_eq!(paid.status == 200, name != Value::Null, "{headers:?}");
    }
    // What only reads needs less.
    for (headers, known) in [
        (&[cookie][..], true),
        (&[cookie, allowed], true),
        (&[cookie, site("cross-site")], false),
        (&[cookie, ("origin", "https://evil.example.com")], false),
        (&[], false),
    ] {
        let answer = ask_with(&router, "GET", "/people", Value::Null, headers).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("cache-control") == "private, no-store"),
            (200, known),
            "{headers:?}"
        );
    }
    // A token counts before a cookie, and a bad one is not made good by it.
    let bob = app.sign_token(Map::from_iter([("sub".to_owned(), "bob".into())]), Duration::from_secs(60)).unwrap();
    assert_eq!(whose(&router, &[cookie, SAME, ("authorization", &format!("Bearer {bob}"))]).await, "bob");
    assert_eq!(whose(&router, &[cookie, SAME, ("authorization", "Bearer x")]).await, Value::Null);
    // What is no cookie of ours is nobody's, and nothing is refused for it.
    let value = cookie.1.split_once('=').unwrap().1;
    let swapped = format!("{COOKIE}={}{}", &value[..22], "A".repeat(42));
    for wrong in ["x", "", &tokens.token, &tokens.refresh_token, &"A".repeat(64), &"A".repeat(8_000), &swapped[16..]] {
        let wrong = format!("{COOKIE}={wrong}");
        assert_eq!(whose(&router, &[("cookie", &wrong), SAME]).await, Value::Null, "{wrong}");
        assert_eq!(ask_with(&router, "GET", "/people", Value::Null, &[("cookie", &wrong)]).await.status, 200);
    }
    // The cookie is no token.
    assert_eq!(whose(&router, &[("authorization", &format!("Bearer {value}"))]).await, Value::Null);
}

#[tokio::test]
async fn how_a_session_is_begun() {
    let app = app().await;
    let router = app.router();
    let tokens = signed_in(&router).await;
    let bearer = format!("Bearer {}", tokens.token);
    let (first, _) = session(&router, &[("authorization", &bearer)], Value::Null).await;
    let (second, _) = session(&router, &[("authorization", &bearer)], Value::Null).await;
    // Each time it is a new one, in the place of the last.
    assert_ne!(first, second);
    assert_eq!(whose(&router, &[("cookie", &first), SAME]).await, Value::Null);
    assert_eq!(whose(&router, &[("cookie", &second), SAME]).await, "ada");
    // A refresh token is used up by it.
    let (third, _) = session(&router, &[SAME], json!({"refreshToken": tokens.refresh_token})).await;
    assert_eq!(whose(&router, &[("cookie", &third), SAME]).await, "ada");
    assert_eq!(app.logins().list("ada").await.unwrap().len(), 1);
    refresh(&router, &tokens.refresh_token).await.assert_problem(401, "UNAUTHENTICATED");
    assert_eq!(whose(&router, &[("cookie", &third), SAME]).await, Value::Null);
    // A token that is of no login gives a session for as long as it lasts itself.
    let claims = Map::from_iter([("sub".to_owned(), Value::from("bob")), ("role".to_owned(), "cook".into())]);
    let plain = format!("Bearer {}", app.sign_token(claims, Duration::from_secs(100)).unwrap());
    let agent = ("user-agent", "Mozilla/5.0");
    let (of_bob, attributes) = session(&router, &[("authorization", &plain), agent], Value::Null).await;
    assert!(attributes.contains("Max-Age=104;") || attributes.contains("Max-Age=105;"), "{attributes}");
    let me = ask_with(&router, "POST", "/people/me", Value::Null, &[("cookie", &of_bob), SAME]).await.json();
    assert_eq!((&me["sub"], &me["role"]), (&json!("bob"), &json!("cook")));
    assert_eq!(app.logins().list("bob").await.unwrap()[0].user_agent(), Some("Mozilla/5.0"));
    // Not of nothing, not of another cookie, and not from a foreign page.
    let refused = |headers: Vec<(&'static str, String)>, body: Value| {
        let router = router.clone();
        async move {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = ask_with(&router, "POST", "/@auth/session", body, &headers).await;
            assert_eq!(answer.header("set-cookie"), "");
            answer.status.as_u16()
        }
    };
    assert_eq!(refused(vec![], Value::Null).await, 401);
    assert_eq!(refused(vec![("cookie", of_bob), (SAME.0, SAME.1.into())], Value::Null).await, 401);
    assert_eq!(
        refused(vec![("authorization", plain), ("origin", "https://evil.example.com".into())], Value::Null).await,
        403
    );
    let tokens = signed_in(&router).await;
    let body = json!({"refreshToken": tokens.refresh_token});
    // A form that signs the user in as somebody else.
    assert_eq!(refused(vec![("content-type", "text/plain".into())], body.clone()).await, 415);
    assert_eq!(refused(vec![("origin", "https://evil.example.com".into())], body.clone()).await, 403);
    session(&router, &[("origin", "https://app.example.com")], body).await;
}

#[tokio::test]
async fn logging_out() {
    let app = app().await;
    let router = app.router();
    let out = |headers: Vec<(&'static str, String)>, body: Value| {
        let router = router.clone();
        async move {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = ask_with(&router, "POST", "/@auth/logout", body, &headers).await;
            (answer.status.as_u16(), answer.header("set-cookie").to_owned())
        }
    };
    let same = || (SAME.0, SAME.1.to_owned());
    let cleared = "__Host-modeller=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax".to_owned();
    // By a token.
    let tokens = signed_in(&router).await;
    let bearer = format!("Bearer {}", tokens.token);
    assert_eq!(out(vec![("authorization", bearer.clone())], Value::Null).await, (204, String::new()));
    who(&router, &tokens.token).await.assert_problem(401, "UNAUTHENTICATED");
    assert_eq!(out(vec![("authorization", bearer)], Value::Null).await.0, 401);
    // By a refresh token, of whatever age.
    let tokens = signed_in(&router).await;
    let next = refreshed(&router, &tokens.refresh_token).await;
    assert_eq!(out(vec![], json!({"refreshToken": tokens.refresh_token})).await.0, 204);
    who(&router, &next.token).await.assert_problem(401, "UNAUTHENTICATED");
    assert_eq!(out(vec![], json!({"refreshToken": "x"})).await.0, 204);
    // By a cookie, and not by a foreign page.
    let tokens = signed_in(&router).await;
    let bearer = format!("Bearer {}", tokens.token);
    let (cookie, _) = session(&router, &[("authorization", &bearer)], Value::Null).await;
    for foreign in [vec![], vec![("origin", "https://evil.example.com".to_owned())]] {
        let headers = [foreign, vec![("cookie", cookie.clone())]].concat();
        assert_eq!(out(headers, Value::Null).await, (401, String::new()));
    }
    assert_eq!(whose(&router, &[("cookie", &cookie), SAME]).await, "ada");
    assert_eq!(out(vec![("cookie", cookie.clone()), same()], Value::Null).await, (204, cleared.clone()));
    assert_eq!(whose(&router, &[("cookie", &cookie), SAME]).await, Value::Null);
    who(&router, &tokens.token).await.assert_problem(401, "UNAUTHENTICATED");
    // One that ended before is taken away as well.
    assert_eq!(out(vec![("cookie", cookie), same()], Value::Null).await, (204, cleared.clone()));
    // Both at once, of two logins.
    let (one, two) = (signed_in(&router).await, signed_in(&router).await);
    let (cookie, _) = session(&router, &[("authorization", &format!("Bearer {}", one.token))], Value::Null).await;
    let headers = vec![("authorization", format!("Bearer {}", two.token)), ("cookie", cookie), same()];
    assert_eq!(out(headers, Value::Null).await, (204, cleared));
    assert!(app.logins().list("ada").await.unwrap().is_empty());
    for (method, path) in [("GET", "/@auth/logout"), ("GET", "/@auth/refresh"), ("GET", "/@auth/session")] {
        ask(&router, method, path, Value::Null).await.assert_problem(405, "METHOD_NOT_ALLOWED");
    }
}

async fn socket_with(served: &Served, headers: &[(&str, &str)]) -> Socket {
    let mut request = ClientRequestBuilder::new(format!("ws://{}/@socket", served.addr).parse().unwrap());
    for (name, value) in headers {
        request = request.with_header(*name, *value);
    }
    Socket::open_by(served.addr, request).await
}

#[tokio::test]
async fn a_cookie_counts_in_the_handshake_of_a_socket() {
    let served = serve(app().await).await;
    let router = served.app.router();
    let tokens = signed_in(&router).await;
    let bearer = format!("Bearer {}", tokens.token);
    let (cookie, _) = session(&router, &[("authorization", &bearer)], Value::Null).await;
    let own = format!("http://{}", served.addr);
    let cookie = ("cookie", cookie.as_str());
    for (headers, name) in [
        (vec![cookie, ("origin", &own)], json!("ada")),
        (vec![cookie, ("origin", "https://app.example.com")], json!("ada")),
        (vec![cookie, SAME], json!("ada")),
        // A page of somebody else gets what anyone gets.
        (vec![cookie], Value::Null),
        (vec![cookie, ("origin", "https://evil.example.com")], Value::Null),
        (vec![cookie, ("origin", "null")], Value::Null),
    ] {
        let mut socket = socket_with(&served, &headers).await;
        let answer = socket.ask("call", json!({"model": "users", "method": "whoami"})).await;
        assert_eq!(answer["result"], name, "{headers:?}");
    }
    let mut socket = socket_with(&served, &[cookie, SAME]).await;
    assert_eq!(socket.ask("call", json!({"model": "users", "method": "whoami"})).await["result"], "ada");
    served.app.logins().revoke_all("ada").await.unwrap();
    socket.request("call", json!({"model": "users", "method": "whoami"})).await;
    assert_eq!(socket.frame().await, Err(1008));
}

/// A call that is made once keeps its answer, and tokens are not kept.
#[tokio::test]
async fn tokens_are_in_no_record_of_a_call() {
    let app = app().await;
    let router = app.router();
    let body = json!({"name": "ada", "password": CANARY});
    let key = [("idempotency-key", "0190b0a0-7e0c-7000-8000-000000000000")];
    let (one, two) = (
        ask_with(&router, "POST", "/people/sign_in", body.clone(), &key).await.json(),
        ask_with(&router, "POST", "/people/sign_in", body, &key).await.json(),
    );
    assert_ne!(one, two);
    assert_eq!(app.model_by_id("@calls").unwrap().count(Filter::all()).await.unwrap(), 0);
    insert_user(&router, "ada@example.com").await;
}

#[tokio::test]
async fn wrong_passwords_are_counted() {
    let app = app().await;
    let router = app.router();
    let wrong = json!({"name": "ada", "password": "wrong"});
    let mut statuses = Vec::new();
    for _ in 0..1_000 {
        statuses.push(ask(&router, "POST", "/people/sign_in", wrong.clone()).await.status.as_u16());
    }
    let tried = statuses.iter().filter(|status| **status == 401).count();
    assert!((10..=12).contains(&tried), "{tried} passwords were tried");
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 1_000 - tried);
    // Not the right one either, or it would be known to be right.
    let answer = ask(&router, "POST", "/people/sign_in", json!({"name": "ada", "password": CANARY})).await;
    answer.assert_problem(429, "RATE_LIMITED");
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=90).contains(&wait), "{wait}");
    // Nobody else has to wait.
    let other = ask(&router, "POST", "/people/sign_in", json!({"name": "bob", "password": "wrong"})).await;
    other.assert_problem(401, "UNAUTHENTICATED");
}
