//! Logins by OpenID Connect: the authorization code flow (OpenID Connect Core §3.1) with PKCE (RFC 7636), by the advice of
//! RFC 9700.
//!
//! What a login needs until its browser comes back travels with the browser, in a cookie that nobody else can read or make, so
//! that logins that are begun and left cost nothing here, and one that another browser began does not count. What the provider
//! says is proved before it is believed: by its keys, and against what was asked for.

mod attempt;
mod flow;
mod id_token;
mod provider;

use std::sync::Arc;

use axum::routing::{get, post};
use serde_json::{Value, json};

use self::attempt::Attempts;
pub use self::provider::OidcProvider;
use self::provider::Provider;
use super::jwks::Issuer;
use super::upstream::{Address, Upstream};
use crate::app::AppBuilder;
use crate::error::{Error, Result};
use crate::model::route::RouteRuntime;
use crate::model::runtime::Runtime;
use crate::server::router::Table;

/// What the program says of others who know its users.
#[derive(Clone, Default)]
pub(in crate::server) struct Said {
    pub(super) issuers: Vec<Arc<Issuer>>,
    /// Where the routes of the logins are, and by whom they are.
    logins: Option<(String, Vec<OidcProvider>)>,
    public_url: Option<String>,
    /// Certificates in PEM.
    roots: Vec<Vec<u8>>,
}

/// The same, proved.
#[derive(Default)]
pub(in crate::server) struct Outside {
    pub(super) issuers: Vec<Arc<Issuer>>,
    pub(super) upstream: Option<Arc<Upstream>>,
    providers: Option<Providers>,
}

/// Those whom users sign in with.
struct Providers {
    upstream: Arc<Upstream>,
    all: Vec<Provider>,
    path: String,
    public_url: Option<String>,
    attempts: Attempts,
}

impl Said {
    /// What can be told only when the routes are known.
    pub(in crate::server) fn check(&self, runtime: &Runtime) -> Result<()> {
        let Some((path, _)) = &self.logins else { return Ok(()) };
        let is_within = |route: &&RouteRuntime| route.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        match runtime.routes().iter().find(is_within) {
            Some(route) => Err(mistake(format!(
                "the route `{} {}` ({}) lies within those of the logins, `{path}`; give it a path of its own",
                route.method, route.path, route.site
            ))),
            None => Ok(()),
        }
    }
}

impl Outside {
    pub(in crate::server) fn new(said: Said, secret: &[u8]) -> Result<Self> {
        let Said { issuers, logins, public_url, roots } = said;
        let upstream = Arc::new(Upstream::new(&roots)?);
        let providers = logins.filter(|(_, said)| !said.is_empty()).map(|(path, said)| {
            let (all, attempts) = (said.into_iter().map(Provider::new).collect(), Attempts::new(secret)?);
            Ok::<_, Error>(Providers { upstream: upstream.clone(), all, path, public_url, attempts })
        });
        Ok(Self { issuers, providers: providers.transpose()?, upstream: Some(upstream) })
    }

    /// Nobody.
    pub(in crate::server) fn none() -> Self {
        Self::default()
    }

    /// With the routes of the logins, where there are providers.
    pub(in crate::server) fn mount(&self, table: Table) -> Table {
        let Some(providers) = &self.providers else { return table };
        table
            .route(&providers.route("login"), get(flow::login))
            .route(&providers.route("callback"), get(flow::callback))
            .route(&providers.route("logout"), post(flow::logout))
    }

    /// Adds them to a description in OpenAPI.
    pub(in crate::server) fn describe(&self, described: &mut Value) {
        let Some(providers) = &self.providers else { return };
        let ids: Vec<&str> = providers.all.iter().map(|provider| provider.said.id.as_str()).collect();
        let provider = json!({"name": "provider", "in": "path", "required": true, "schema": {"enum": ids}});
        let of_query =
            |name: &str| json!({"name": name, "in": "query", "required": false, "schema": {"type": "string"}});
        let problem = json!({"description": "A problem (RFC 9457).", "content": {"application/problem+json": {}}});
        for (what, method, names, summary) in [
            ("login", "get", &["return"][..], "Sends a browser to a provider, to sign its user in."),
            ("callback", "get", &["code", "state", "iss", "error"], "Where the provider sends the browser back to."),
            ("logout", "post", &["return"], "Ends the login here, and sends the browser on to end it at the provider."),
        ] {
            let parameters: Vec<Value> =
                std::iter::once(provider.clone()).chain(names.iter().map(|name| of_query(name))).collect();
            let location = json!({"Location": {"schema": {"type": "string"}}});
            let sent = json!({"description": "The browser is sent on.", "headers": location});
            described["paths"][providers.route(what)][method] = json!({
                "operationId": format!("Server.provider.{what}"),
                "summary": summary,
                "parameters": parameters,
                "responses": {"303": sent, "default": problem},
            });
        }
    }
}

impl Providers {
    /// The route of one of the three, as it is mounted and described.
    fn route(&self, what: &str) -> String {
        format!("{}/{{provider}}/{what}", self.path)
    }
}

fn mistake(what: String) -> Error {
    Error::new("INVALID_OIDC_PROVIDER").status(500).message(what)
}

impl AppBuilder {
    /// With logins by these providers, below this path, `/@auth` by habit: `GET {path}/{id}/login?return=/somewhere` sends a
    /// browser to the provider, who sends it back to `{path}/{id}/callback`, which is the address to register there. Then a login
    /// is begun, of which the browser has the session cookie, and it goes on to where it wanted to return: a path of this server, or
    /// an address of an origin that [`AppBuilder::allow_origin`] names. `POST {path}/{id}/logout?return=/somewhere` ends the login
    /// here and at the provider, where that has an end for it (OpenID Connect RP-Initiated Logout); the ID token that shows the provider
    /// which login is meant is kept with the login until then, and is seen by nobody else.
    ///
    /// The session of a browser has no refresh token to be stolen. It is a login as any other: it ends after
    /// [`AppBuilder::login_lifetime`], after [`AppBuilder::login_idle`] without use, or when it is revoked. Each login makes a new
    /// cookie; while it lasts the cookie stays the same, since a browser sends several requests at once, of which all but one would come
    /// with the one of before.
    ///
    /// The subject of the login is `{id}|{sub}`, e.g. `google|1103…`, so that two providers who call different people the same do
    /// no harm. Its claim `provider` is an object with this `id`, and the `iss` and `sub` of the provider; the others are those of
    /// [`OidcProvider::claim`].
    ///
    /// Whatever does not hold, on the way or in what the provider says, is answered with one `UNAUTHENTICATED`; what it was is in the
    /// log.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// use modeller::server::OidcProvider;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// let google = OidcProvider::new("google", "https://accounts.google.com", "my-client", "its secret");
    /// let app = App::new()
    ///     .public_url("https://app.example.com")
    ///     .oidc_providers("/@auth", [google.scopes(["email"])])
    ///     .in_memory()
    ///     .open()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Opening the application refuses an issuer whose URL is not `https`, or `http` on the machine itself, and two providers of one
    /// id.
    pub fn oidc_providers(
        mut self,
        path: impl Into<String>,
        providers: impl IntoIterator<Item = OidcProvider>,
    ) -> Self {
        let (path, providers) = (path.into(), providers.into_iter().collect::<Vec<_>>());
        let path = path.trim_end_matches('/').to_owned();
        let is_sign = |sign: u8| sign.is_ascii_alphanumeric() || b"@-._~".contains(&sign);
        let is_segment = |segment: &str| !segment.is_empty() && segment.bytes().all(is_sign);
        let is_path = path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_segment));
        if !is_path {
            self.mistakes.push(mistake(format!("`{path}` is no path for logins; `/@auth` is one")));
        }
        for (at, provider) in providers.iter().enumerate() {
            if let Err(fault) = provider.check() {
                self.mistakes.push(mistake(format!("the provider `{}` does not do: {fault}", provider.id)));
            }
            if providers.iter().take(at).any(|other| other.id == provider.id) {
                self.mistakes.push(mistake(format!("there are two providers of the id `{}`", provider.id)));
            }
        }
        self.set(|settings| settings.outside.logins = Some((path, providers)))
    }

    /// With this as the URL under which browsers reach the application, e.g. `https://app.example.com`, or
    /// `https://example.com/app` when it is mounted below a path. Unless given, it is made from the `Host` of a request: with
    /// `http` on the machine itself, and with `https` everywhere else.
    pub fn public_url(mut self, url: impl Into<String>) -> Self {
        let url = url.into().trim_end_matches('/').to_owned();
        match Address::parse(&url) {
            Ok(address) if !address.has_query() => self.set(|settings| settings.outside.public_url = Some(url)),
            Ok(_) => {
                self.mistakes.push(mistake(format!("the public URL `{url}` has a query")));
                self
            }
            Err(fault) => {
                self.mistakes.push(mistake(format!("the public URL does not do: {fault}")));
                self
            }
        }
    }

    /// With these certificates, in PEM, trusted beside those of browsers in what the application asks for by `https`, key sets
    /// and providers of logins.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # async fn run() -> Result<()> {
    /// let app = App::new().root_certificates(std::fs::read("company-ca.pem")?).open().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Opening the application refuses what is no certificate.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        let pem = pem.into();
        if let Err(error) = Upstream::new(std::slice::from_ref(&pem)) {
            let mistake = Error::new("INVALID_CERTIFICATE").status(500).message("the certificates cannot be read");
            self.mistakes.push(mistake.caused_by(error));
        }
        self.set(|settings| settings.outside.roots.push(pem))
    }
}
