//! A provider of logins that does all that one has to, and lies where it is told to.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use modeller_tests::encoding::base64url;
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

use super::browser::query;
use crate::signing::{RS256, Signer, now, set};

pub(super) type Change = Box<dyn Fn(&mut Value) + Send + Sync>;
type Answer = Box<dyn Fn() -> Response + Send + Sync>;

/// Where it lies.
#[derive(Default)]
pub(super) struct Lies {
    /// What it says of itself.
    pub(super) discovery: Option<Change>,
    /// What else it answers when it is asked for that.
    pub(super) instead_of_discovery: Option<Answer>,
    pub(super) keys: Option<Change>,
    pub(super) instead_of_keys: Option<Answer>,
    /// The header of the ID token.
    pub(super) header: Option<Change>,
    /// The claims of the ID token.
    pub(super) claims: Option<Change>,
    pub(super) signer: Option<&'static Signer>,
    /// The ID token when it is signed.
    pub(super) token: Option<Box<dyn Fn(String) -> String + Send + Sync>>,
    /// What the token endpoint answers.
    pub(super) tokens: Option<Change>,
    pub(super) instead_of_tokens: Option<Answer>,
    pub(super) userinfo: Option<Change>,
    pub(super) instead_of_userinfo: Option<Answer>,
    /// The address that a browser is sent back to.
    pub(super) back: Option<Box<dyn Fn(String) -> String + Send + Sync>>,
    /// Whether the verifier of a code is not looked at.
    pub(super) is_careless: bool,
    /// How the client has to show who it is: `basic` unless said.
    pub(super) method: &'static str,
}

struct Grant {
    redirect: String,
    challenge: String,
    nonce: String,
}

pub(super) struct Inner {
    pub(super) base: String,
    lies: Lies,
    grants: Mutex<HashMap<String, Grant>>,
    next: AtomicUsize,
    /// How often a code was changed into tokens.
    pub(super) exchanged: AtomicUsize,
}

/// The running provider.
#[derive(Clone)]
pub(super) struct Cheat(pub(super) Arc<Inner>);

pub(super) const CLIENT: &str = "us & them";
pub(super) const CLIENT_SECRET: &str = "a:secret/with %&=+ signs";

pub(super) fn json_body(json: &Value) -> Response {
    ([("content-type", "application/json; charset=utf-8")], json.to_string()).into_response()
}

fn told(change: Option<&Change>, mut value: Value) -> Value {
    if let Some(change) = change {
        change(&mut value);
    }
    value
}

impl Cheat {
    pub(super) async fn new(lies: Lies) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let this = Self(Arc::new(Inner {
            base,
            lies,
            grants: Mutex::default(),
            next: AtomicUsize::new(0),
            exchanged: AtomicUsize::new(0),
        }));
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(keys))
            .route("/token", post(token))
            .route("/me", get(userinfo))
            .with_state(this.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        this
    }

    /// What a user does there: consents, and is sent back with a code.
    pub(super) fn consent(&self, location: &str) -> String {
        let asked = query(location);
        assert!(location.starts_with(&format!("{}/authorize?", self.0.base)), "{location}");
        assert_eq!((&*asked["response_type"], &*asked["client_id"]), ("code", CLIENT));
        assert_eq!(asked["code_challenge_method"], "S256");
        assert!(asked["scope"].split(' ').any(|scope| scope == "openid"));
        let code = format!("code-{}", self.0.next.fetch_add(1, Ordering::Relaxed));
        let redirect = asked["redirect_uri"].clone();
        let grant = Grant {
            redirect: redirect.clone(),
            challenge: asked["code_challenge"].clone(),
            nonce: asked["nonce"].clone(),
        };
        self.0.grants.lock().insert(code.clone(), grant);
        let issuer = self.0.base.replace(':', "%3A").replace('/', "%2F");
        let back = format!("{redirect}?code={code}&state={}&iss={issuer}&session_state=x", asked["state"]);
        let back = self.0.lies.back.as_ref().map_or_else(|| back.clone(), |lie| lie(back.clone()));
        back.strip_prefix("http://localhost:3030").unwrap().to_owned()
    }
}

async fn discovery(State(Cheat(this)): State<Cheat>) -> Response {
    if let Some(answer) = &this.lies.instead_of_discovery {
        return answer();
    }
    let base = &this.base;
    let all = json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/token"),
        "userinfo_endpoint": format!("{base}/me"),
        "end_session_endpoint": format!("{base}/end?x=y"),
        "jwks_uri": format!("{base}/jwks"),
        "response_types_supported": ["code", "code id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    });
    json_body(&told(this.lies.discovery.as_ref(), all))
}

async fn keys(State(Cheat(this)): State<Cheat>) -> Response {
    match &this.lies.instead_of_keys {
        Some(answer) => answer(),
        None => {
            let key = this.lies.signer.unwrap_or(&RS256).jwk("a");
            json_body(&told(this.lies.keys.as_ref(), set(&[key])))
        }
    }
}

fn refused(why: &str) -> Response {
    (StatusCode::BAD_REQUEST, json_body(&json!({"error": why}))).into_response()
}

async fn token(State(Cheat(this)): State<Cheat>, headers: HeaderMap, body: String) -> Response {
    let form = query(&format!("?{body}"));
    let field = |name: &str| form.get(name).cloned().unwrap_or_default();
    let is_known = match this.lies.method {
        "post" => field("client_id") == CLIENT && field("client_secret") == CLIENT_SECRET,
        "none" => field("client_id") == CLIENT && !form.contains_key("client_secret"),
        _ => {
            // RFC 6749 §2.3.1, written out.
            let pair = "us%20%26%20them:a%3Asecret%2Fwith%20%25%26%3D%2B%20signs";
            headers.get("authorization").is_some_and(|given| *given == format!("Basic {}", STANDARD.encode(pair)))
        }
    };
    if !is_known {
        return refused("invalid_client");
    }
    let grant = this.grants.lock().remove(&field("code"));
    let Some(grant) = grant.filter(|grant| {
        let is_proved = base64url(&Sha256::digest(field("code_verifier"))) == grant.challenge;
        grant.redirect == field("redirect_uri") && (is_proved || this.lies.is_careless)
    }) else {
        return refused("invalid_grant");
    };
    assert_eq!(field("grant_type"), "authorization_code");
    this.exchanged.fetch_add(1, Ordering::Relaxed);
    if let Some(answer) = &this.lies.instead_of_tokens {
        return answer();
    }
    let signer = this.lies.signer.unwrap_or(&RS256);
    let claims = json!({
        "iss": this.base, "aud": CLIENT, "sub": "ada", "iat": now(), "exp": now() + 300, "nonce": grant.nonce,
        "email": "ada@example.com", "email_verified": true, "secret": "not to be kept",
    });
    let header = told(this.lies.header.as_ref(), json!({"alg": signer.algorithm, "kid": "a"}));
    let token = signer.sign_as(&header, &told(this.lies.claims.as_ref(), claims));
    let token = this.lies.token.as_ref().map_or(token.clone(), |lie| lie(token));
    let tokens =
        json!({"access_token": "the access token", "token_type": "Bearer", "expires_in": 300, "id_token": token});
    json_body(&told(this.lies.tokens.as_ref(), tokens))
}

async fn userinfo(State(Cheat(this)): State<Cheat>, headers: HeaderMap) -> Response {
    if headers.get("authorization").is_none_or(|given| given != "Bearer the access token") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    match &this.lies.instead_of_userinfo {
        Some(answer) => answer(),
        None => {
            let user = json!({"sub": "ada", "name": "Ada", "email": "another@example.com", "groups": ["staff"]});
            json_body(&told(this.lies.userinfo.as_ref(), user))
        }
    }
}
