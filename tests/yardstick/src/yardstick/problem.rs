//! Answers that are not 2xx: a problem body (RFC 9457), with the violations as AJV writes them.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

/// Why a request is refused.
pub(crate) enum Problem {
    /// The value does not fit.
    Invalid(Vec<Violation>),
    /// Another document has the value of this field.
    Taken(&'static str),
    /// The request cannot be read.
    Unreadable(String),
    /// There is no such document.
    NotFound,
}

/// One way in which a value does not fit.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Violation {
    pub(crate) instance_path: Cow<'static, str>,
    pub(crate) keyword: &'static str,
    pub(crate) message: Cow<'static, str>,
    pub(crate) params: Value,
    pub(crate) schema_path: Cow<'static, str>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<&'a [Violation]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code, detail, errors, field) = match &self {
            Self::Invalid(errors) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "VALIDATION_ERROR",
                "the value does not fit its schema",
                Some(errors.as_slice()),
                None,
            ),
            Self::Taken(field) => {
                (StatusCode::CONFLICT, "UNIQUE_VIOLATION", "another document has this value", None, Some(*field))
            }
            Self::Unreadable(why) => (StatusCode::BAD_REQUEST, "INVALID_REQUEST", why.as_str(), None, None),
            Self::NotFound => (StatusCode::NOT_FOUND, "NOT_FOUND", "there is no such document", None, None),
        };
        let body = Body { r#type: "about:blank", title: code, status: status.as_u16(), detail, code, errors, field };
        let mut response = json_bytes(status, &body);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

/// An answer with this body.
pub(crate) fn json_bytes(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => {
            (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], bytes).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The walk through a value that did not fit: one check after the other, all of them.
pub(crate) struct Checks<'a> {
    object: &'a serde_json::Map<String, Value>,
    found: Vec<Violation>,
}

impl<'a> Checks<'a> {
    /// Starts with the names.
    pub(crate) fn new(value: &'a Value, names: &[&str], required: &[&str]) -> Result<Self, Problem> {
        let Some(object) = value.as_object() else {
            return Err(Problem::Invalid(vec![violation("", "type", "must be object", json!({"type": "object"}))]));
        };
        let mut checks = Self { object, found: Vec::new() };
        for name in required.iter().filter(|name| !object.contains_key(**name)) {
            let message = format!("must have required property '{name}'");
            checks.found.push(violation("", "required", message, json!({"missingProperty": name})));
        }
        for name in object.keys().filter(|name| !names.contains(&name.as_str())) {
            let message = "must NOT have additional properties";
            checks.found.push(violation("", "additionalProperties", message, json!({"additionalProperty": name})));
        }
        Ok(checks)
    }

    /// The value of a field, if it is there.
    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name)
    }

    /// Notes a violation of a field.
    pub(crate) fn fail(&mut self, field: &'static str, keyword: &'static str, message: String, params: Value) {
        self.found.push(violation(field, keyword, message, params));
    }

    /// Notes a violation of an item of a field.
    pub(crate) fn fail_item(&mut self, field: &'static str, at: usize, expected: &str) {
        self.found.push(Violation {
            instance_path: format!("/{field}/{at}").into(),
            keyword: "type",
            message: format!("must be {expected}").into(),
            params: json!({"type": expected}),
            schema_path: format!("#/properties/{field}/items/type").into(),
        });
    }

    /// A text with a length in characters.
    pub(crate) fn text(&mut self, field: &'static str, least: usize, most: usize) -> Option<&'a str> {
        let value = self.get(field)?;
        let Some(text) = value.as_str() else {
            self.fail(field, "type", "must be string".into(), json!({"type": "string"}));
            return None;
        };
        let length = text.chars().count();
        if length < least {
            let message = format!("must NOT have fewer than {least} characters");
            self.fail(field, "minLength", message, json!({"limit": least}));
        }
        if length > most {
            self.fail(field, "maxLength", format!("must NOT have more than {most} characters"), json!({"limit": most}));
        }
        Some(text)
    }

    /// A number within bounds; a whole one, if so asked.
    pub(crate) fn number(&mut self, field: &'static str, least: i32, most: i32, whole: bool) {
        let Some(value) = self.get(field) else { return };
        let kind = if whole { "integer" } else { "number" };
        let Some(number) = value.as_f64().filter(|number| !whole || number.fract() == 0.0) else {
            self.fail(field, "type", format!("must be {kind}"), json!({"type": kind}));
            return;
        };
        if number < f64::from(least) {
            let params = json!({"comparison": ">=", "limit": least});
            self.fail(field, "minimum", format!("must be >= {least}"), params);
        }
        if number > f64::from(most) {
            let params = json!({"comparison": "<=", "limit": most});
            self.fail(field, "maximum", format!("must be <= {most}"), params);
        }
    }

    /// What was found; when it is nothing, the parser was stricter than the rules, and says why.
    pub(crate) fn finish(self, error: &serde_json::Error) -> Problem {
        if self.found.is_empty() { Problem::Unreadable(error.to_string()) } else { Problem::Invalid(self.found) }
    }
}

fn violation(field: &str, keyword: &'static str, message: impl Into<Cow<'static, str>>, params: Value) -> Violation {
    let (instance_path, schema_path) = match field {
        "" => (Cow::Borrowed(""), format!("#/{keyword}")),
        _ => (format!("/{field}").into(), format!("#/properties/{field}/{keyword}")),
    };
    Violation { instance_path, keyword, message: message.into(), params, schema_path: schema_path.into() }
}
