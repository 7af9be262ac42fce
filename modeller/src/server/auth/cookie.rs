//! The session cookie of browsers: an opaque id of a login, which no script can read.
//!
//! A browser attaches a cookie to whatever is asked of its origin, also by a page that the user does not know to be there. So it
//! counts only where no foreign page can have sent the request: the page is of an origin that may act for its user, and where the
//! request may change something, or opens a socket, the browser has said so. All else is served as if there were no cookie, and not
//! refused, since the one who asks has not chosen to send it.

use axum::http::{HeaderMap, HeaderValue, Method, header};

use crate::error::{Error, Result};
use crate::model::login::Session;
use crate::server::Configuration;

/// With this prefix a browser takes it from this host alone, over TLS, for all of its paths: no other host of the same domain can put
/// one of its own in its place (draft-ietf-httpbis-rfc6265bis §4.1.3.2).
const NAME: &str = "__Host-modeller";
const SEC_FETCH_SITE: &str = "sec-fetch-site";
const SEC_FETCH_MODE: &str = "sec-fetch-mode";

/// `Set-Cookie` with the session.
///
/// # Errors
/// None that can be met: what it is made of are letters and digits.
pub(in crate::server) fn set(session: &Session) -> Result<HeaderValue> {
    let Session { cookie, lasts } = session;
    HeaderValue::try_from(format!("{NAME}={cookie}; Path=/; Max-Age={lasts}; Secure; HttpOnly; SameSite=Lax"))
        .map_err(Error::internal)
}

/// `Set-Cookie` that takes it away.
pub(super) fn clear() -> HeaderValue {
    HeaderValue::from_static("__Host-modeller=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax")
}

/// The cookie of a request, when there is one and it counts.
pub(super) fn of_request<'a>(
    configuration: &Configuration,
    method: &Method,
    headers: &'a HeaderMap,
) -> Option<&'a str> {
    let cookie = given(headers)?;
    (configuration.trusts_origin(headers) && is_from_here(method, headers)).then_some(cookie)
}

/// The cookie; `None` also where there are two, of which one is not ours.
fn given(headers: &HeaderMap) -> Option<&str> {
    let texts = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut found = texts
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter_map(|(name, value)| (name == NAME).then_some(value));
    let cookie = found.next()?;
    found.next().is_none().then_some(cookie)
}

/// Whether it is known that no foreign page has sent the request. That its `Origin`, if it has one, may act for its user is asked
/// elsewhere.
fn is_from_here(method: &Method, headers: &HeaderMap) -> bool {
    if headers.contains_key(header::ORIGIN) {
        return true;
    }
    // Fetch Metadata (<https://www.w3.org/TR/fetch-metadata/>): set by the browser, and by no script.
    let said = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    let opens = headers.contains_key(header::UPGRADE);
    let changes = !(*method == Method::GET || *method == Method::HEAD || *method == Method::OPTIONS);
    match said(SEC_FETCH_SITE) {
        Some(b"same-origin") => true,
        _ if opens || changes => false,
        // Of browsers that say nothing `SameSite` keeps foreign pages away, and the user's own ones do not matter.
        None | Some(b"none") => true,
        // The user follows a link to here.
        Some(_) => said(SEC_FETCH_MODE) == Some(b"navigate"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn one_cookie_of_its_name() {
        for (pairs, cookie) in [
            (&[][..], None),
            (&[("cookie", "__Host-modeller=a")][..], Some("a")),
            (&[("cookie", "x=1; __Host-modeller=a;y=2")], Some("a")),
            (&[("cookie", "x=1"), ("cookie", "__Host-modeller=a")], Some("a")),
            (&[("cookie", "__Host-modeller=a; __Host-modeller=a")], None),
            (&[("cookie", "__Host-modeller=a"), ("cookie", "__Host-modeller=b")], None),
            (&[("cookie", "__host-modeller=a; modeller=b; __Host-modeller")], None),
            (&[("cookie", "__Host-modeller=")], Some("")),
        ] {
            assert_eq!(given(&headers(pairs)), cookie, "{pairs:?}");
        }
    }

    #[test]
    fn what_a_foreign_page_cannot_have_sent() {
        let site = |site| ("sec-fetch-site", site);
        let (origin, upgrade, navigate) =
            (("origin", "https://a"), ("upgrade", "websocket"), ("sec-fetch-mode", "navigate"));
        for (method, pairs, counts) in [
            (Method::GET, &[][..], true),
            (Method::GET, &[site("none")], true),
            (Method::GET, &[site("same-origin")], true),
            (Method::GET, &[site("same-site")], false),
            (Method::GET, &[site("cross-site")], false),
            (Method::GET, &[site("cross-site"), navigate], true),
            (Method::GET, &[site("cross-site"), origin], true),
            (Method::GET, &[upgrade], false),
            (Method::GET, &[upgrade, site("none")], false),
            (Method::GET, &[upgrade, origin], true),
            (Method::GET, &[upgrade, site("same-origin")], true),
            (Method::POST, &[], false),
            (Method::POST, &[site("none")], false),
            (Method::POST, &[site("cross-site"), navigate], false),
            (Method::POST, &[site("same-origin")], true),
            (Method::POST, &[origin], true),
            (Method::DELETE, &[], false),
            (Method::PATCH, &[site("same-site")], false),
        ] {
            assert_eq!(is_from_here(&method, &headers(pairs)), counts, "{method} {pairs:?}");
        }
    }
}
