//! Carriers: what moves the frames of a session.

pub(super) mod line;
#[cfg(feature = "socketio")]
pub(super) mod socketio;
pub(super) mod sse;
pub(super) mod websocket;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::session::Session;

/// The notification that a subscription has ended.
const UNSUBSCRIBED: &str = "unsubscribed";

/// Asks a session something before anything else is asked of it, so that the first frame is the answer: the result with its
/// `seq`, or the problem.
async fn ask(session: &Arc<Session>, method: &str, params: Value) -> Result<(Value, u64), Value> {
    let request = json!({"jsonrpc": "2.0", "id": 0, "method": method, "params": params});
    session.take(&request.to_string(), None).await;
    let answer = loop {
        match session.fetch() {
            Some(frame) => break frame,
            None => session.filled().await,
        }
    };
    let mut answer: Map<String, Value> = serde_json::from_str(&answer).unwrap_or_default();
    match answer.remove("result") {
        Some(result) => Ok((result, answer.get("seq").and_then(Value::as_u64).unwrap_or_default())),
        None => {
            Err(answer.get_mut("error").and_then(|error| error.get_mut("data")).map(Value::take).unwrap_or_default())
        }
    }
}

/// A notification of a session, taken apart without being read: a payload can be large, and is the same for all.
#[derive(Debug, PartialEq)]
struct Push<'a> {
    /// The method, which other carriers call an event.
    event: &'a str,
    /// JSON text.
    params: &'a str,
    /// The subscription, where it stands first in `params`, and what stands behind it.
    subscription: Option<(&'a str, &'a str)>,
    seq: Option<u64>,
    /// How many payloads of that commit there are with this one, where more follow.
    received: Option<u64>,
}

impl<'a> Push<'a> {
    /// `None` for what is no notification.
    fn read(frame: &'a str) -> Option<Self> {
        let (event, rest) = frame.strip_prefix(r#"{"jsonrpc":"2.0","method":""#)?.split_once(r#"","params":"#)?;
        let params = rest.strip_suffix('}')?;
        // The name of a subscription is ours, and has no escapes.
        let subscription = params.strip_prefix(r#"{"subscription":""#).and_then(|params| params.split_once('"'));
        let number = |behind: &'a str, name: &str| {
            let behind = behind.strip_prefix(name)?;
            let end = behind.find(|other: char| !other.is_ascii_digit())?;
            Some((behind.get(..end)?.parse::<u64>().ok()?, behind.get(end..)?))
        };
        let counted = subscription.and_then(|(_, behind)| number(behind, r#","seq":"#));
        let of_commit = params.strip_prefix('{').and_then(|params| number(params, r#""seq":"#));
        let received = counted.and_then(|(_, behind)| number(behind, r#","received":"#)).map(|(received, _)| received);
        Some(Self { event, params, subscription, seq: counted.or(of_commit).map(|(seq, _)| seq), received })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame;

    #[test]
    fn a_notification_is_taken_apart_as_it_is_put_together() {
        let frame = frame::publish("s12", 345, None, r#"{"a":"\"}"}"#);
        let push = Push::read(&frame).unwrap();
        assert_eq!((push.event, push.seq), ("publish", Some(345)));
        let (name, behind) = push.subscription.unwrap();
        assert_eq!((name, behind), ("s12", r#","seq":345,"payload":{"a":"\"}"}}"#));
        let params: Value = serde_json::from_str(push.params).unwrap();
        assert_eq!(params, json!({"subscription": "s12", "seq": 345, "payload": {"a": "\"}"}}));
        assert_eq!(push.received, None);
        let followed = frame::publish("s12", 345, Some(2), "1");
        let followed = Push::read(&followed).unwrap();
        assert_eq!((followed.seq, followed.received), (Some(345), Some(2)));
        let frame = frame::commit(7, [("l1", "[]"), ("l2", "[]")].into_iter());
        let commit = Push::read(&frame).unwrap();
        assert_eq!((commit.event, commit.subscription, commit.seq), ("commit", None, Some(7)));
        assert_eq!(serde_json::from_str::<Value>(commit.params).unwrap()["subscriptions"][1]["subscription"], "l2");
        let frame = frame::reset("l1", 8, "[1]");
        let reset = Push::read(&frame).unwrap();
        assert_eq!((reset.event, reset.subscription.unwrap().0, reset.seq), ("reset", "l1", Some(8)));
        let ended = frame::unsubscribed("s1", "FORBIDDEN");
        let ended = Push::read(&ended).unwrap();
        assert_eq!((ended.event, ended.subscription.unwrap().0, ended.seq), (UNSUBSCRIBED, "s1", None));
        let other = Push::read(r#"{"jsonrpc":"2.0","method":"other","params":{}}"#).unwrap();
        assert_eq!((other.event, other.params, other.subscription, other.seq), ("other", "{}", None, None));
        for none in [r#"{"jsonrpc":"2.0","id":1,"result":{},"seq":1}"#, "", "{}"] {
            assert_eq!(Push::read(none), None);
        }
    }
}
