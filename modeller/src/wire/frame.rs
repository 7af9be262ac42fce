//! The frames of a session: JSON-RPC 2.0 (<https://www.jsonrpc.org/specification>), one message in each.
//!
//! Answers have `seq` beside `result`: the durable head that they saw. Batches are refused; a client that has several requests
//! sends several frames.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{Error, ErrorCode};

/// Codes of the specification, and the one for errors of an application.
pub(crate) mod code {
    /// The frame is no JSON.
    pub(crate) const PARSE: i32 = -32700;
    /// It is JSON, but no request.
    pub(crate) const REQUEST: i32 = -32600;
    /// There is no such method.
    pub(crate) const METHOD: i32 = -32601;
    /// The parameters are not those of the method.
    pub(crate) const PARAMS: i32 = -32602;
    /// Anything that has a code of its own, which is in `data`.
    pub(crate) const APPLICATION: i32 = -32000;
}

/// A request of a client. Without an id it is a notification, which is never answered.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) id: Option<Value>,
    pub(crate) method: String,
    pub(crate) params: Map<String, Value>,
}

/// Why a frame is no request, and what it called itself.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) id: Value,
    pub(crate) code: i32,
    pub(crate) error: Error,
}

impl Request {
    /// Reads a frame.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let refuse = |id: Value, code: i32, why: String| Refusal {
            id,
            code,
            error: Error::new(ErrorCode::InvalidRequest).message(why),
        };
        let mut object = match serde_json::from_str(text) {
            Ok(Value::Object(object)) => object,
            Ok(Value::Array(_)) => {
                return Err(refuse(
                    Value::Null,
                    code::REQUEST,
                    "batches are not taken; send one request in each frame".into(),
                ));
            }
            Ok(_) => return Err(refuse(Value::Null, code::REQUEST, "a request is an object".into())),
            Err(cause) => return Err(refuse(Value::Null, code::PARSE, format!("malformed JSON: {cause}"))),
        };
        let id = object.remove("id");
        if id.as_ref().is_some_and(|id| !(id.is_string() || id.is_number() || id.is_null())) {
            return Err(refuse(Value::Null, code::REQUEST, "`id` is a string or a number".into()));
        }
        let shown = || id.clone().unwrap_or_default();
        if object.remove("jsonrpc").is_none_or(|version| version != "2.0") {
            return Err(refuse(shown(), code::REQUEST, "`jsonrpc` is \"2.0\"".into()));
        }
        let Some(Value::String(method)) = object.remove("method") else {
            return Err(refuse(shown(), code::REQUEST, "`method` is a string".into()));
        };
        let params = match object.remove("params") {
            None => Map::new(),
            Some(Value::Object(params)) => params,
            Some(_) => return Err(refuse(shown(), code::PARAMS, "`params` is an object".into())),
        };
        if let Some(name) = object.keys().next() {
            return Err(refuse(shown(), code::REQUEST, format!("unknown member `{name}`")));
        }
        Ok(Self { id, method, params })
    }
}

/// What a request that is not read calls itself, so that its answer finds whoever waits for it: null where it does not say.
pub(crate) fn id_of(text: &str) -> Value {
    #[derive(Deserialize)]
    struct Called {
        id: Value,
    }
    // What else there is is passed over, however deep it is nested.
    let called = serde_json::from_str::<Called>(text).map(|called| called.id).unwrap_or_default();
    if called.is_string() || called.is_number() { called } else { Value::Null }
}

/// An answer that went well; `write` appends the result.
pub(crate) fn answer<E>(id: &Value, seq: u64, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<Vec<u8>, E> {
    let mut out = Vec::with_capacity(128);
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    write_value(&mut out, id);
    out.extend_from_slice(b",\"result\":");
    write(&mut out)?;
    out.extend_from_slice(format!(",\"seq\":{seq}}}").as_bytes());
    Ok(out)
}

/// An answer that went wrong; `problem` is the body of RFC 9457 with the error's code.
pub(crate) fn refusal(id: &Value, seq: u64, code: i32, message: &str, problem: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    write_value(&mut out, id);
    out.extend_from_slice(format!(",\"error\":{{\"code\":{code},\"message\":").as_bytes());
    write_value(&mut out, &Value::from(message));
    out.extend_from_slice(b",\"data\":");
    write_value(&mut out, problem);
    out.extend_from_slice(format!("}},\"seq\":{seq}}}").as_bytes());
    out
}

/// The notification that carries a payload, which is JSON text. It says how many payloads of its commit there are in the room
/// with this one, when more of them follow.
pub(crate) fn publish(subscription: &str, seq: u64, received: Option<u32>, payload: &str) -> String {
    let received = received.map(|received| format!(",\"received\":{received}")).unwrap_or_default();
    // The name of a subscription is ours, and needs no escapes.
    format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"publish\",\"params\":{{\"subscription\":\"{subscription}\",\"seq\":{seq}{received},\"payload\":{payload}}}}}"
    )
}

/// The notification of what a commit changed in the lists of live queries: for each the name, and the changes as JSON text.
pub(crate) fn commit<'a>(seq: u64, lists: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = format!("{{\"jsonrpc\":\"2.0\",\"method\":\"commit\",\"params\":{{\"seq\":{seq},\"subscriptions\":[");
    for (number, (subscription, changes)) in lists.enumerate() {
        if number > 0 {
            out.push(',');
        }
        out.push_str("{\"subscription\":\"");
        out.push_str(subscription);
        out.push_str("\",\"changes\":");
        out.push_str(changes);
        out.push('}');
    }
    out.push_str("]}}");
    out
}

/// The notification that a list is this one, whatever it was before. `items` is JSON text.
pub(crate) fn reset(subscription: &str, seq: u64, items: &str) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"reset\",\"params\":{{\"subscription\":\"{subscription}\",\"seq\":{seq},\"items\":{items}}}}}"
    )
}

/// The notification that a subscription has ended because of who the client is now.
pub(crate) fn unsubscribed(subscription: &str, code: &str) -> String {
    let code = Value::from(code);
    format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"unsubscribed\",\"params\":{{\"subscription\":\"{subscription}\",\"code\":{code}}}}}"
    )
}

fn write_value(out: &mut Vec<u8>, value: &Value) {
    // A JSON value written to memory cannot fail.
    let _ = serde_json::to_writer(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_request_is_refused_with_its_code() {
        let cases = [
            ("", code::PARSE),
            ("{", code::PARSE),
            ("[]", code::REQUEST),
            (r#"[{"jsonrpc":"2.0","id":1,"method":"call"}]"#, code::REQUEST),
            ("1", code::REQUEST),
            ("{}", code::REQUEST),
            (r#"{"jsonrpc":"1.0","id":1,"method":"x"}"#, code::REQUEST),
            (r#"{"jsonrpc":"2.0","id":{},"method":"x"}"#, code::REQUEST),
            (r#"{"jsonrpc":"2.0","id":1,"method":2}"#, code::REQUEST),
            (r#"{"jsonrpc":"2.0","id":1,"method":"x","params":[1]}"#, code::PARAMS),
            (r#"{"jsonrpc":"2.0","id":1,"method":"x","extra":1}"#, code::REQUEST),
        ];
        for (text, expected) in cases {
            assert_eq!(Request::parse(text).unwrap_err().code, expected, "{text}");
        }
        assert_eq!(Request::parse(&"[".repeat(100_000)).unwrap_err().code, code::PARSE);
    }

    #[test]
    fn what_is_not_read_is_known_by_its_id() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(id_of(&format!(r#"{{"params":{deep},"id":"7:s"}}"#)), "7:s");
        assert_eq!(id_of(&format!(r#"{{"id":7,"params":{deep}}}"#)), 7);
        for unknown in ["", "[]", r#"{"id":{"a":1}}"#, r#"{"params":{"id":1}}"#, r#"{"id":1,"id":2}"#, r#"{"id":1"#] {
            assert_eq!(id_of(unknown), Value::Null, "{unknown}");
        }
        assert_eq!(id_of(&format!(r#"{{"id":{deep}}}"#)), Value::Null);
    }

    #[test]
    fn frames_are_json() {
        let fine = answer::<()>(&Value::from("a\"b"), 7, |out| {
            out.extend_from_slice(b"[1]");
            Ok(())
        })
        .unwrap();
        let fine: Value = serde_json::from_slice(&fine).unwrap();
        assert_eq!((&fine["id"], &fine["result"][0], &fine["seq"]), (&"a\"b".into(), &1.into(), &7.into()));
        let wrong: Value =
            serde_json::from_slice(&refusal(&Value::Null, 7, -32000, "no\n", &serde_json::json!({"code": "X"})))
                .unwrap();
        assert_eq!(wrong["error"]["data"]["code"], "X");
        let push = |received| serde_json::from_str::<Value>(&publish("s1", 9, received, "{\"a\":1}")).unwrap();
        let last = push(None);
        assert_eq!((&last["params"]["payload"]["a"], last.get("id")), (&1.into(), None));
        assert_eq!(last["params"].get("received"), None);
        let first = push(Some(1));
        assert_eq!((&first["params"]["received"], &first["params"]["seq"]), (&1.into(), &9.into()));
    }
}
