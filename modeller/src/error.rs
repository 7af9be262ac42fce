//! The one error type, and its wire form.
//!
//! Everything that can fail answers an [`Error`]: a stable code that programs branch on, a message for people, and details
//! that depend on the code. Over HTTP it is an RFC 9457 problem body, over the socket the `data` of a JSON-RPC error.
//! What caused an internal error never crosses the wire; it is logged under an id, and the client is shown that id.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a fallible operation of this crate answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident => $text:literal, $status:literal;)*) => {
        /// The stable name of an error, as it crosses the wire.
        ///
        /// ```
        /// use modeller::ErrorCode;
        /// assert_eq!(ErrorCode::UniqueViolation.as_str(), "UNIQUE_VIOLATION");
        /// assert_eq!(ErrorCode::from("QUOTA_EXCEEDED"), ErrorCode::Custom("QUOTA_EXCEEDED".into()));
        /// ```
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)*
            /// A code of the application's own, e.g. `QUOTA_EXCEEDED`.
            Custom(Cow<'static, str>),
        }

        impl ErrorCode {
            /// The spelling on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Custom(code) => code,
                }
            }

            /// The HTTP status that goes with the code (RFC 9110 §15); 400 for a code of the application's own.
            #[must_use]
            pub fn status(&self) -> u16 {
                match self {
                    $(Self::$variant => $status,)*
                    Self::Custom(_) => 400,
                }
            }
        }

        impl From<Cow<'static, str>> for ErrorCode {
            fn from(code: Cow<'static, str>) -> Self {
                match code.as_ref() {
                    $($text => Self::$variant,)*
                    _ => Self::Custom(code),
                }
            }
        }
    };
}

codes! {
    /// A document or an argument does not fit its schema; the violations are in `errors`.
    ValidationError => "VALIDATION_ERROR", 422;
    /// Another document holds the value of a unique field, whose name is in `field`, or values that are unique together, in
    /// `fields`.
    UniqueViolation => "UNIQUE_VIOLATION", 409;
    /// A reference that leads to no document, or the end of a document that others refer to; the field that refers is in
    /// `field`, the model at the other end in `model`.
    ReferenceViolation => "REFERENCE_VIOLATION", 409;
    /// No method of that id; it is in `id`.
    MethodNotFound => "METHOD_NOT_FOUND", 404;
    /// No event of that id; it is in `id`.
    EventNotFound => "EVENT_NOT_FOUND", 404;
    /// No upload of that id; it is in `id`.
    UploadNotFound => "UPLOAD_NOT_FOUND", 404;
    /// No stream of that id; it is in `id`.
    StreamNotFound => "STREAM_NOT_FOUND", 404;
    /// No model of that id, or none that the caller may know of; it is in `id`.
    ModelNotFound => "MODEL_NOT_FOUND", 404;
    /// No document of that id, no route of that path, or none that the caller may know of.
    NotFound => "NOT_FOUND", 404;
    /// A filter, a sort or an update that cannot be read; `path` says where and `reason` why.
    InvalidQuery => "INVALID_QUERY", 400;
    /// A request that cannot be read at all: malformed JSON, a header that means nothing.
    InvalidRequest => "INVALID_REQUEST", 400;
    /// The document's `_rev` was not the expected one, or a transaction's turn ran out of time.
    Conflict => "CONFLICT", 409;
    /// A key under which a call is made once was used for another one.
    IdempotencyMismatch => "IDEMPOTENCY_MISMATCH", 422;
    /// A handle of the application was used inside one of its own transactions.
    NestedTransaction => "NESTED_TRANSACTION", 500;
    /// A handle was used after the end of the transaction that it belongs to.
    TransactionClosed => "TRANSACTION_CLOSED", 500;
    /// A transaction changed more than its limits allow.
    TransactionTooLarge => "TRANSACTION_TOO_LARGE", 413;
    /// Who asks is not known, and has to be.
    Unauthenticated => "UNAUTHENTICATED", 401;
    /// Who asks is known, and may not.
    Forbidden => "FORBIDDEN", 403;
    /// A path that exists, asked with a method that it has not.
    MethodNotAllowed => "METHOD_NOT_ALLOWED", 405;
    /// A body in a format that is not read here.
    UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE", 415;
    /// More bytes, or deeper nesting, than are taken.
    PayloadTooLarge => "PAYLOAD_TOO_LARGE", 413;
    /// More requests than are taken.
    RateLimited => "RATE_LIMITED", 429;
    /// It took too long.
    Timeout => "TIMEOUT", 504;
    /// Not now: the application is starting, stopping or has lost its storage.
    Unavailable => "UNAVAILABLE", 503;
    /// Something that is not the caller's fault.
    Internal => "INTERNAL", 500;
}

impl From<&'static str> for ErrorCode {
    fn from(code: &'static str) -> Self {
        Cow::Borrowed(code).into()
    }
}

impl From<String> for ErrorCode {
    fn from(code: String) -> Self {
        Cow::<'static, str>::Owned(code).into()
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One way in which a value does not fit its schema, in the shape of an AJV error object
/// (<https://ajv.js.org/api.html#error-objects>).
///
/// It never carries the offending value, which may be private.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// JSON Pointer (RFC 6901) to the place in the value; empty for the value itself.
    pub instance_path: String,
    /// The schema keyword that is violated.
    pub keyword: Cow<'static, str>,
    /// A sentence for people, e.g. `must NOT have fewer than 12 characters`.
    pub message: Cow<'static, str>,
    /// What the sentence was made of, e.g. `{"limit": 12}`.
    pub params: Value,
    /// URI fragment that leads to the keyword in the schema, e.g. `#/properties/password/minLength`.
    pub schema_path: Cow<'static, str>,
}

/// An error: a code, a sentence, details.
///
/// ```
/// use modeller::{Error, ErrorCode};
/// let error = Error::new("QUOTA_EXCEEDED").message("only 3 projects are free").detail("limit", 3);
/// assert_eq!(error.code(), &ErrorCode::Custom("QUOTA_EXCEEDED".into()));
/// assert_eq!(error.to_json()["limit"], 3);
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    code: ErrorCode,
    message: Cow<'static, str>,
    status: Option<u16>,
    violations: Violations,
    details: Map<String, Value>,
    /// What anyone may know of it, when that is not all: no violation, and it is answered as what only verified callers may do.
    known: Option<Vec<Violation>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of this code. Its message is the code until [`Error::message`] gives a better one.
    #[must_use]
    pub fn new(code: impl Into<ErrorCode>) -> Self {
        Self(Box::new(Inner {
            code: code.into(),
            message: Cow::Borrowed(""),
            status: None,
            violations: Violations::default(),
            details: Map::new(),
            known: None,
            source: None,
        }))
    }

    /// An error that is not the caller's fault. The cause is logged and kept from the client.
    ///
    /// ```
    /// # use modeller::{Error, ErrorCode};
    /// let error = "x".parse::<u8>().map_err(Error::internal).unwrap_err();
    /// assert_eq!(error.code(), &ErrorCode::Internal);
    /// assert!(!error.to_json().to_string().contains("invalid digit"));
    /// ```
    #[must_use]
    pub fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let mut error = Self::new(ErrorCode::Internal).message("internal error");
        error.0.source = Some(cause.into());
        error
    }

    /// A value that does not fit its schema, with all that is wrong with it.
    #[must_use]
    pub fn validation(violations: Vec<Violation>) -> Self {
        let mut error = Self::new(ErrorCode::ValidationError).message("the value does not fit its schema");
        error.0.violations = violations.into();
        error
    }

    /// The same with the violations as a JSON array, as a checker has written them.
    pub(crate) fn violated(written: String) -> Self {
        let mut error = Self::validation(Vec::new());
        error.0.violations = Violations { written: Some(written), listed: OnceLock::new() };
        error
    }

    /// The same error with one more violation.
    #[must_use]
    pub(crate) fn and_violation(mut self, violation: Violation) -> Self {
        if let Some(known) = &mut self.0.known {
            known.push(violation.clone());
        }
        self.0.violations.change(|violations| violations.push(violation));
        self
    }

    /// The same error as one about an element of a list: its place is in front of the paths of the violations, and beside
    /// everything else as `index`.
    #[must_use]
    pub(crate) fn of_element(mut self, index: usize) -> Self {
        let placed = |violation: &mut Violation| violation.instance_path.insert_str(0, &format!("/{index}"));
        self.0.known.iter_mut().flatten().for_each(placed);
        self.0.violations.change(|violations| violations.iter_mut().for_each(placed));
        self.detail("index", index)
    }

    /// A value of a unique field that another document holds.
    #[must_use]
    pub fn unique(field: &str) -> Self {
        Self::new(ErrorCode::UniqueViolation)
            .message(format!("another document has this value of `{field}`"))
            .detail("field", field)
    }

    /// Values of several fields that another document holds together.
    #[must_use]
    pub(crate) fn unique_together(fields: &[String]) -> Self {
        let names: Vec<String> = fields.iter().map(|field| format!("`{field}`")).collect();
        Self::new(ErrorCode::UniqueViolation)
            .message(format!("another document has these values of {}", names.join(" and ")))
            .detail("fields", fields)
    }

    /// A field that refers to a document of this model which is not there.
    #[must_use]
    pub fn no_reference(field: &str, model: &str) -> Self {
        Self::new(ErrorCode::ReferenceViolation)
            .message(format!("`{field}` refers to a document of `{model}` that does not exist"))
            .detail("field", field)
            .detail("model", model)
    }

    /// A document that others refer to, by this field of this model.
    #[must_use]
    pub fn referenced(model: &str, field: &str) -> Self {
        Self::new(ErrorCode::ReferenceViolation)
            .message(format!("documents of `{model}` refer to this one by `{field}`"))
            .detail("field", field)
            .detail("model", model)
    }

    /// The same for somebody who must not know which model it is.
    #[must_use]
    pub(crate) fn referenced_by_another() -> Self {
        Self::new(ErrorCode::ReferenceViolation).message("other documents refer to this one")
    }

    /// The same error as one of which anyone may know these violations only. Without any it speaks of nothing but what is
    /// protected, and anyone learns of it that a token is needed.
    #[must_use]
    pub(crate) fn known_to_anyone(mut self, violations: Vec<Violation>) -> Self {
        let all = self.violations();
        if all.is_empty() || violations != all {
            self.0.known = Some(violations);
        }
        self
    }

    /// The one refusal for want of a verified token, and for all that is wrong with one: what exactly would help only those who try.
    pub(crate) fn unauthenticated() -> Self {
        Self::new(ErrorCode::Unauthenticated).message("a verified token is needed")
    }

    /// The error as anyone may know it; `None` when that is all of it.
    #[cfg_attr(not(feature = "server"), expect(dead_code, reason = "only the server answers callers"))]
    pub(crate) fn for_anyone(&self) -> Option<Self> {
        let known = self.0.known.as_ref()?;
        if known.is_empty() {
            return Some(Self::unauthenticated());
        }
        let mut error = Self::validation(known.clone());
        error.0.details.clone_from(&self.0.details);
        Some(error)
    }

    /// Something that is not there.
    #[must_use]
    pub fn not_found(code: ErrorCode, id: &str) -> Self {
        let shown = clip(id);
        Self::new(code).message(format!("there is no `{shown}`")).detail("id", shown)
    }

    /// A query that cannot be read: where, and why.
    #[must_use]
    pub fn query(path: &str, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        let message = if path.is_empty() { reason.clone() } else { format!("at `{}`: {reason}", clip(path)) };
        Self::new(ErrorCode::InvalidQuery).message(message).detail("path", clip(path)).detail("reason", reason)
    }

    /// A revision that is not the expected one.
    #[must_use]
    pub fn conflict(expected: u64, actual: u64) -> Self {
        Self::new(ErrorCode::Conflict)
            .message(format!("the document is at revision {actual}, not {expected}"))
            .detail("expected", expected)
            .detail("actual", actual)
    }

    /// The same error with this sentence.
    #[must_use]
    pub fn message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.0.message = message.into();
        self
    }

    /// The same error with one more detail, a member of the problem body.
    #[must_use]
    pub fn detail(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.details.insert(name.into(), value.into());
        self
    }

    /// The same error with another HTTP status; what is not between 400 and 599 is left as it was.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        if (400..600).contains(&status) {
            self.0.status = Some(status);
        }
        self
    }

    /// The same error with its cause, which is logged and kept from the client.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(cause.into());
        self
    }

    /// The code that programs branch on.
    #[must_use]
    pub fn code(&self) -> &ErrorCode {
        &self.0.code
    }

    /// The sentence for people.
    #[must_use]
    pub fn text(&self) -> &str {
        if self.0.message.is_empty() { self.0.code.as_str() } else { &self.0.message }
    }

    /// All that does not fit, for a `VALIDATION_ERROR`; else empty.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        self.0.violations.list()
    }

    /// All that does not fit as a JSON array of AJV's error objects. Most errors have been written as this, and are made into
    /// [`Error::violations`] only when somebody asks for those.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[model(id = "users")]
    /// # pub struct User { #[field(min_length = 1)] pub name: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// # let app = App::new().model::<User>().in_memory().open().await?;
    /// let error = app.model::<User>().insert_json(r#"{"name":""}"#).await.unwrap_err();
    /// assert_eq!(
    ///     error.violations_json(),
    ///     r##"[{"instancePath":"/name","keyword":"minLength","message":"must NOT have fewer than 1 characters","params":{"limit":1},"schemaPath":"#/properties/name/minLength"}]"##
    /// );
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn violations_json(&self) -> Cow<'_, str> {
        match &self.0.violations.written {
            Some(written) => written.as_str().into(),
            None => serde_json::to_string(self.violations()).unwrap_or_default().into(),
        }
    }

    /// A detail by its name, e.g. `field` of a `UNIQUE_VIOLATION`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.details.get(name)
    }

    /// The HTTP status of the error.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        self.0.status.unwrap_or_else(|| self.0.code.status())
    }

    /// The error for a log: its code and its sentence, and of violations the keywords with the fields that they are about. There
    /// is no value in it, which a message of one's own for a violation may have.
    pub(crate) fn for_log(&self) -> String {
        /// How many violations are named.
        const MOST: usize = 8;
        let mut told = self.0.code.to_string();
        for part in [": ", &self.0.message].iter().filter(|_| !self.0.message.is_empty()) {
            told.push_str(part);
        }
        for (at, violation) in self.violations().iter().take(MOST).enumerate() {
            // What is further down may be a key of a map, which is as much a value as what it leads to.
            let field = violation.instance_path.split('/').nth(1).unwrap_or_default();
            told.push_str(&format!("{} /{field} {}", if at == 0 { ":" } else { "," }, violation.keyword));
        }
        told
    }

    /// The same with what caused it, for where nobody else is told.
    pub(crate) fn for_log_with_causes(&self) -> String {
        /// How far down causes are told.
        const DEEPEST: usize = 8;
        let mut told = self.for_log();
        let mut cause = StdError::source(self);
        for _ in 0..DEEPEST {
            let Some(known) = cause else { break };
            told.push_str(": ");
            if let Some(error) = known.downcast_ref::<Self>() {
                told.push_str(&error.for_log());
            } else if let Some(error) = known.downcast_ref::<serde_json::Error>() {
                // Its own text repeats what could not be read.
                told.push_str(&format!("JSON that does not fit, at line {} column {}", error.line(), error.column()));
            } else {
                told.push_str(&known.to_string());
            }
            cause = known.source();
        }
        told
    }

    /// [`Error::to_json`] as text.
    pub(crate) fn to_json_text(&self) -> Vec<u8> {
        const ERRORS: &str = "errors";
        let Some(written) = &self.0.violations.written else {
            return serde_json::to_vec(&self.to_json()).unwrap_or_default();
        };
        // The violations take no way through values; their member is put in behind the code.
        let mut body = self.head();
        let mut out = serde_json::to_vec(&body).unwrap_or_default();
        out.pop();
        for part in [",\"", ERRORS, "\":", written] {
            out.extend_from_slice(part.as_bytes());
        }
        body.insert(ERRORS.into(), Value::Null);
        for (name, value) in self.0.details.iter().filter(|(name, _)| !body.contains_key(*name)) {
            let member = format!(",{}:{value}", Value::from(name.as_str()));
            out.extend_from_slice(member.as_bytes());
        }
        out.push(b'}');
        out
    }

    /// The error that a problem body was made of: the other way of [`Error::to_json`]. What no problem body is becomes an
    /// `INTERNAL` error.
    ///
    /// ```
    /// use modeller::{Error, ErrorCode};
    /// let error = Error::new("QUOTA_EXCEEDED").message("only 3 projects are free").detail("limit", 3).status(402);
    /// let read = Error::from_json(error.to_json());
    /// assert_eq!((read.code(), read.http_status(), read.get("limit")), (error.code(), 402, error.get("limit")));
    /// assert_eq!(read.to_json(), error.to_json());
    /// ```
    #[must_use]
    pub fn from_json(problem: Value) -> Self {
        let Value::Object(mut members) = problem else { return Self::internal("an answer that is no problem body") };
        let Some(Value::String(code)) = members.remove("code") else {
            return Self::internal("a problem body without a code");
        };
        let mut error = Self::new(code);
        if let Some(Value::String(text)) = members.remove("detail") {
            error.0.message = text.into();
        }
        let status = members.remove("status").and_then(|status| u16::try_from(status.as_u64()?).ok());
        if let Some(status) = status.filter(|status| *status != error.0.code.status()) {
            error = error.status(status);
        }
        if error.0.code == ErrorCode::ValidationError {
            let violations = members.remove("errors").map(serde_json::from_value).transpose();
            error.0.violations = violations.ok().flatten().unwrap_or_else(Vec::new).into();
        }
        members.retain(|name, _| !matches!(name.as_str(), "type" | "title"));
        error.0.details = members;
        error
    }

    /// What every problem body begins with.
    fn head(&self) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("type".into(), "about:blank".into());
        body.insert("title".into(), self.0.code.as_str().into());
        body.insert("status".into(), self.http_status().into());
        body.insert("detail".into(), self.text().into());
        body.insert("code".into(), self.0.code.as_str().into());
        body
    }

    /// The problem body of RFC 9457: `type`, `title`, `status`, `detail`, `code`, and the details at the top level.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut body = self.head();
        if self.0.code == ErrorCode::ValidationError {
            body.insert("errors".into(), serde_json::to_value(self.violations()).unwrap_or_default());
        }
        for (name, value) in &self.0.details {
            // A detail does not take the place of a member that clients rely on.
            body.entry(name.as_str()).or_insert_with(|| value.clone());
        }
        Value::Object(body)
    }
}

/// Violations: in a list, or as the JSON array that the list is read from when somebody wants it.
#[derive(Default)]
struct Violations {
    written: Option<String>,
    listed: OnceLock<Vec<Violation>>,
}

impl Violations {
    fn list(&self) -> &[Violation] {
        self.listed.get_or_init(|| match &self.written {
            Some(written) => serde_json::from_str(written).unwrap_or_default(),
            None => Vec::new(),
        })
    }

    fn change(&mut self, change: impl FnOnce(&mut Vec<Violation>)) {
        self.list();
        self.written = None;
        if let Some(listed) = self.listed.get_mut() {
            change(listed);
        }
    }

    fn is_empty(&self) -> bool {
        self.written.is_none() && self.list().is_empty()
    }
}

impl From<Vec<Violation>> for Violations {
    fn from(list: Vec<Violation>) -> Self {
        Self { written: None, listed: list.into() }
    }
}

/// At most 128 characters of what came from outside: enough to recognize it, not enough to fill a log.
fn clip(text: &str) -> String {
    match text.char_indices().nth(128) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.code)?;
        if !self.0.message.is_empty() {
            write!(f, ": {}", self.0.message)?;
        }
        for (at, violation) in self.violations().iter().enumerate() {
            let place = if violation.instance_path.is_empty() { "/" } else { &violation.instance_path };
            write!(f, "{} {place} {}", if at == 0 { ":" } else { ";" }, violation.message)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Error");
        out.field("code", &self.0.code.as_str()).field("message", &self.text());
        if !self.0.violations.is_empty() {
            out.field("violations", &self.violations());
        }
        if !self.0.details.is_empty() {
            out.field("details", &self.0.details);
        }
        if let Some(source) = &self.0.source {
            out.field("source", source);
        }
        out.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// Errors that a handler meets by using the standard library become `INTERNAL`, so that `?` works on them.
macro_rules! internal {
    ($($from:ty),* $(,)?) => {$(
        impl From<$from> for Error {
            fn from(cause: $from) -> Self {
                Self::internal(cause)
            }
        }
    )*};
}

internal!(
    std::io::Error,
    fmt::Error,
    std::num::ParseIntError,
    std::num::ParseFloatError,
    std::str::Utf8Error,
    std::string::FromUtf8Error,
    std::time::SystemTimeError,
    serde_json::Error,
    tokio::task::JoinError,
    tokio::time::error::Elapsed,
    Box<dyn StdError + Send + Sync>,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_cannot_take_the_place_of_the_code() {
        let body = Error::new("X").detail("code", "Y").detail("status", 200).to_json();
        assert_eq!((&body["code"], &body["status"]), (&"X".into(), &400.into()));
    }

    #[test]
    fn written_violations_are_the_listed_ones() {
        let listed = Error::validation(vec![Violation {
            instance_path: "/a\"b".into(),
            keyword: "minLength".into(),
            message: "must NOT have fewer than 1 characters".into(),
            params: serde_json::json!({"limit": 1}),
            schema_path: "#/properties/a%22b/minLength".into(),
        }]);
        let written = Error::violated(listed.violations_json().into_owned());
        assert_eq!(written.violations_json(), listed.violations_json());
        let changes: [fn(Error) -> Error; 3] =
            [|error| error, |error| error.detail("x", 1).detail("errors", 2), |error| error.of_element(3)];
        for change in changes {
            let (listed, written) = (
                change(Error::validation(listed.violations().to_vec())),
                change(Error::violated(written.violations_json().into_owned())),
            );
            assert_eq!(written.to_json_text(), listed.to_json_text());
            assert_eq!(serde_json::from_slice::<Value>(&written.to_json_text()).unwrap(), listed.to_json());
            assert_eq!(written.violations(), listed.violations());
            assert_eq!(format!("{written} {written:?}"), format!("{listed} {listed:?}"));
        }
    }

    #[test]
    fn a_log_is_told_of_no_value() {
        let violation = Violation {
            instance_path: "/mail/secret~1key".into(),
            keyword: "format".into(),
            message: "secret is no address".into(),
            params: serde_json::json!({"secret": "secret"}),
            schema_path: "#/properties/mail/format".into(),
        };
        let error = Error::validation(vec![violation]).detail("secret", "secret");
        assert_eq!(error.for_log(), "VALIDATION_ERROR: the value does not fit its schema: /mail format");
        let unread = serde_json::from_str::<u8>("\"secret\"").unwrap_err();
        let error = Error::internal(error.caused_by(unread));
        let cause = "VALIDATION_ERROR: the value does not fit its schema: /mail format: JSON that does not fit, at line 1 column 8";
        assert_eq!(error.for_log_with_causes(), format!("INTERNAL: internal error: {cause}"));
        assert_eq!(error.for_log(), "INTERNAL: internal error");
        assert_eq!(Error::new("QUOTA_EXCEEDED").for_log_with_causes(), "QUOTA_EXCEEDED");
    }

    #[test]
    fn codes_survive_their_text() {
        assert_eq!(ErrorCode::from("NOT_FOUND"), ErrorCode::NotFound);
        assert_eq!(ErrorCode::from("NOT_FOUND".to_owned()).status(), 404);
    }

    #[test]
    fn long_input_is_clipped() {
        let error = Error::not_found(ErrorCode::NotFound, &"é".repeat(1000));
        assert!(error.text().chars().count() < 200);
    }
}
