//! Packets of Socket.IO, protocol 5 (<https://github.com/socketio/socket.io-protocol>), as text.
//!
//! `<type>[<namespace>,][<id>][<JSON>]`. Packets with binary attachments are not taken: JSON is all that a session speaks.

use serde_json::{Map, Value};

/// What a client sends.
#[derive(Debug, PartialEq)]
pub(crate) enum Packet<'a> {
    /// It wants to use a namespace, and may say who it is.
    Connect { namespace: &'a str, auth: Map<String, Value> },
    /// It leaves a namespace.
    Disconnect { namespace: &'a str },
    /// An event with its arguments; with an id it is to be acknowledged.
    Event { namespace: &'a str, id: Option<u64>, name: String, arguments: Vec<Value> },
    /// The acknowledgement of an event, which is never asked for.
    Ack,
}

/// It is no packet.
#[derive(Debug, PartialEq)]
pub(crate) struct Malformed;

impl<'a> Packet<'a> {
    /// Reads a packet.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Malformed> {
        let kind = text.chars().next().ok_or(Malformed)?;
        let rest = text.get(kind.len_utf8()..).ok_or(Malformed)?;
        let (namespace, rest) = match rest.starts_with('/') {
            true => rest.split_once(',').unwrap_or((rest, "")),
            false => ("/", rest),
        };
        let digits = rest.len() - rest.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
        let (id, json) = rest.split_at(digits);
        let id: Option<u64> = match id {
            "" => None,
            id => Some(id.parse().map_err(|_| Malformed)?),
        };
        match (kind, id) {
            ('0', None) => Ok(Self::Connect {
                namespace,
                auth: if json.is_empty() { Map::new() } else { serde_json::from_str(json).map_err(|_| Malformed)? },
            }),
            ('1', None) if json.is_empty() => Ok(Self::Disconnect { namespace }),
            ('2', id) => {
                let mut arguments: Vec<Value> = serde_json::from_str(json).map_err(|_| Malformed)?;
                if arguments.is_empty() {
                    return Err(Malformed);
                }
                let Value::String(name) = arguments.remove(0) else { return Err(Malformed) };
                Ok(Self::Event { namespace, id, name, arguments })
            }
            ('3', Some(_)) => serde_json::from_str::<Vec<Value>>(json).map(|_| Self::Ack).map_err(|_| Malformed),
            _ => Err(Malformed),
        }
    }
}

/// The client is connected to the namespace `/`.
pub(crate) fn connected(sid: &str) -> String {
    format!("0{}", serde_json::json!({"sid": sid}))
}

/// It is not connected to a namespace. `data` is a problem (RFC 9457), where there is one.
pub(crate) fn not_connected(namespace: &str, message: &str, data: Option<&Value>) -> String {
    let mut reason = Map::from_iter([("message".to_owned(), Value::from(message))]);
    if let Some(data) = data {
        reason.insert("data".into(), data.clone());
    }
    let reason = Value::Object(reason);
    if namespace == "/" { format!("4{reason}") } else { format!("4{namespace},{reason}") }
}

/// The client has to leave the namespace `/`, and not to come back by itself.
pub(crate) const DISCONNECT: &str = "1";

/// The acknowledgement of an event by one argument, which is JSON text.
pub(crate) fn ack(id: u64, argument: &str) -> String {
    format!("3{id}[{argument}]")
}

/// An event with one argument, which is JSON text. The name is ours, and needs no escapes.
pub(crate) fn event(name: &str, argument: &str) -> String {
    format!("2[\"{name}\",{argument}]")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn packets_are_read() {
        let connect = |namespace, auth: Value| {
            let Value::Object(auth) = auth else { unreachable!() };
            Ok(Packet::Connect { namespace, auth })
        };
        let event = |namespace, id, name: &str, arguments: &[Value]| {
            Ok(Packet::Event { namespace, id, name: name.to_owned(), arguments: arguments.to_vec() })
        };
        for (text, expected) in [
            ("0", connect("/", json!({}))),
            (r#"0{"token":"x"}"#, connect("/", json!({"token": "x"}))),
            ("0/admin", connect("/admin", json!({}))),
            (r#"0/admin,{"token":"x"}"#, connect("/admin", json!({"token": "x"}))),
            ("1", Ok(Packet::Disconnect { namespace: "/" })),
            ("1/admin,", Ok(Packet::Disconnect { namespace: "/admin" })),
            (r#"2["call",{"a":1}]"#, event("/", None, "call", &[json!({"a": 1})])),
            (r#"212["call"]"#, event("/", Some(12), "call", &[])),
            (r#"2/admin,3["x",1,2]"#, event("/admin", Some(3), "x", &[json!(1), json!(2)])),
            ("31[]", Ok(Packet::Ack)),
        ] {
            assert_eq!(Packet::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        let deep = format!("2{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for text in [
            "",
            "x",
            "é",
            "5",
            "9[]",
            "2",
            "2[]",
            "2{}",
            "2[1]",
            "2[\"a\"",
            "299999999999999999999[\"a\"]",
            "0[]",
            "0x",
            "01{}",
            "1x",
            "11",
            "3[]",
            "31{}",
            // An error of a connection is the server's, and binary attachments are not taken.
            "4{}",
            "51-[\"a\",{\"_placeholder\":true,\"num\":0}]",
            "61-1[{\"_placeholder\":true,\"num\":0}]",
            "-1",
            "2/",
            "2/,",
            deep.as_str(),
        ] {
            assert_eq!(Packet::parse(text), Err(Malformed), "{}", &text[..text.len().min(60)]);
        }
    }

    #[test]
    fn packets_are_written() {
        assert_eq!(connected("a"), r#"0{"sid":"a"}"#);
        assert_eq!(not_connected("/", "no", None), r#"4{"message":"no"}"#);
        let problem = json!({"code": "X"});
        let refusal = not_connected("/a", "no", Some(&problem));
        let reason: Value = serde_json::from_str(refusal.strip_prefix("4/a,").unwrap()).unwrap();
        assert_eq!(reason, json!({"message": "no", "data": problem}));
        assert_eq!(ack(7, r#"{"result":1}"#), r#"37[{"result":1}]"#);
        assert_eq!(event("publish", "{}"), r#"2["publish",{}]"#);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 20_000, ..ProptestConfig::default() })]

        #[test]
        fn no_text_panics(text in r#"([0-6])?(/[a-z]{0,3},?)?[0-9]{0,22}(\[.{0,8}\]|\{.{0,8}\}|"?.{0,8}"?)?"#, any in ".{0,12}") {
            let _ = Packet::parse(&text);
            let _ = Packet::parse(&any);
        }

        #[test]
        fn an_event_is_read_as_it_was_written(name in ".{0,10}", id in any::<Option<u64>>(), text in ".{0,20}") {
            let id_text = id.map(|id| id.to_string()).unwrap_or_default();
            let packet = format!("2{id_text}{}", json!([name, {"text": text}]));
            let expected = Packet::Event { namespace: "/", id, name, arguments: vec![json!({"text": text})] };
            prop_assert_eq!(Packet::parse(&packet), Ok(expected));
        }
    }
}
