//! What comes of a step, in one form for all carriers.

use std::collections::HashMap;

use serde_json::{Map, Number, Value, json};

/// What comes of a step by one carrier.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It went well, and this is what is answered.
    Fine(Value),
    /// It went wrong: the problem body (RFC 9457).
    Refused(Value),
    /// The carrier has no way to ask for it.
    Cannot,
}

impl Outcome {
    /// Of something in Rust.
    pub(crate) fn of(outcome: modeller::Result<Value>) -> Self {
        match outcome {
            Ok(value) => Self::Fine(value),
            Err(error) => Self::Refused(error.to_json()),
        }
    }

    /// Of an answer of JSON-RPC, or of an acknowledgement of Socket.IO, which has the problem in its place.
    pub(crate) fn of_answer(mut answer: Value) -> Self {
        if let Some(result) = answer.get_mut("result") {
            return Self::Fine(result.take());
        }
        let problem = answer.pointer_mut("/error/data").map(Value::take);
        Self::Refused(problem.unwrap_or(answer))
    }

    /// The same with another value when it went well.
    pub(crate) fn map(self, change: impl FnOnce(Value) -> Value) -> Self {
        match self {
            Self::Fine(value) => Self::Fine(change(value)),
            other => other,
        }
    }
}

/// What the server has named in one run, so that runs can be compared and later steps speak of it: the ids that it has made, as `#1`,
/// `#2` …, and its cursors, as `@1` …, both in the order in which they are first seen; and the newest revision of each document.
#[derive(Debug, Default)]
pub(crate) struct Names {
    ids: Vec<String>,
    cursors: Vec<String>,
    revs: HashMap<String, Value>,
}

impl Names {
    /// The text of an outcome that is compared. What differs by nature is left out here, and nowhere else:
    ///
    /// - ids and cursors of the server's choice are random, and become the names of their order;
    /// - the id of an internal error, under which its cause is in the log, is random, and there is none in process;
    /// - a conflict that a condition of HTTP asked for has the status 412 there (RFC 9110 §13.1.1), and is 409 as everywhere;
    /// - a number is what ECMAScript makes of it (RFC 8785 §3.2.2.3): `2.0` is `2`, which is all that JavaScript knows.
    ///
    /// The members of objects are in the order of their names, as those of JSON have none.
    pub(crate) fn text(&mut self, outcome: &Outcome) -> String {
        let told = match outcome {
            Outcome::Fine(value) => json!({"fine": self.named(value.clone())}),
            Outcome::Refused(problem) => {
                let mut problem = problem.clone();
                if let Some(members) = problem.as_object_mut().filter(|members| members["code"] == "INTERNAL") {
                    members.remove("id");
                }
                if problem["code"] == "CONFLICT" && problem["status"] == 412 {
                    problem["status"] = 409.into();
                }
                json!({"refused": self.named(problem)})
            }
            Outcome::Cannot => return String::new(),
        };
        told.to_string()
    }

    fn named(&mut self, value: Value) -> Value {
        match value {
            Value::String(text) if is_uuid(&text) => format!("#{}", place(&mut self.ids, text) + 1).into(),
            Value::String(text) => Value::String(text),
            Value::Number(number) => Value::Number(as_in_javascript(number)),
            Value::Array(list) => list.into_iter().map(|inner| self.named(inner)).collect(),
            Value::Object(object) => {
                if let (Some(Value::String(id)), Some(rev)) = (object.get("_id"), object.get("_rev")) {
                    self.revs.insert(id.clone(), rev.clone());
                }
                let mut sorted: Vec<(String, Value)> = object.into_iter().collect();
                sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
                let member = |(name, inner): (String, Value)| match inner {
                    Value::String(cursor) if name == "nextCursor" => {
                        (name, format!("@{}", place(&mut self.cursors, cursor) + 1).into())
                    }
                    inner => {
                        let inner = self.named(inner);
                        (name, inner)
                    }
                };
                Value::Object(sorted.into_iter().map(member).collect::<Map<_, _>>())
            }
            other => other,
        }
    }

    /// What a step of the script says, with what the server has named it: `{"$revOf": id}` is the revision that was seen last.
    pub(crate) fn resolved(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => {
                let of = |list: &[String], sign: char| {
                    let place: usize = text.strip_prefix(sign)?.parse().ok()?;
                    list.get(place.checked_sub(1)?).cloned()
                };
                of(&self.ids, '#').or_else(|| of(&self.cursors, '@')).unwrap_or_else(|| text.clone()).into()
            }
            Value::Array(list) => list.iter().map(|inner| self.resolved(inner)).collect(),
            Value::Object(object) => match object.get("$revOf") {
                Some(id) => {
                    let id = self.resolved(id);
                    self.revs[id.as_str().unwrap()].clone()
                }
                None => object.iter().map(|(name, inner)| (name.clone(), self.resolved(inner))).collect(),
            },
            other => other.clone(),
        }
    }
}

fn place(list: &mut Vec<String>, text: String) -> usize {
    list.iter().position(|known| *known == text).unwrap_or_else(|| {
        list.push(text);
        list.len() - 1
    })
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::parse_str(text).is_ok()
}

fn as_in_javascript(number: Number) -> Number {
    let float = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0 && float.abs() < 9e15);
    float.map_or(number, |float| Number::from(float as i64))
}

/// A commit of a live query in the one form: what leaves in the order told, then what changed or entered as it is now, by its place.
pub(crate) fn commit(seq: u64, leaves: &[String], touched: &[(&str, String)], items: &[Value]) -> Value {
    let mut changes: Vec<Value> = leaves.iter().map(|id| json!({"op": "leave", "id": id})).collect();
    let mut placed: Vec<(usize, &str)> = Vec::new();
    for (op, id) in touched {
        let at = items.iter().position(|item| item["_id"] == **id).expect("what is touched is in the list");
        placed.push((at, op));
    }
    placed.sort_unstable();
    changes.extend(placed.into_iter().map(|(at, op)| json!({"op": op, "at": at, "doc": items[at]})));
    json!({"seq": seq, "changes": changes})
}

/// A list of a live query that is kept by what is sent of it, as the description of the frames says.
#[derive(Debug)]
pub(crate) struct Replica(pub(crate) Vec<Value>);

impl Replica {
    /// Applies the changes of a frame, and answers them in the one form.
    pub(crate) fn apply(&mut self, seq: u64, changes: &Value) -> Value {
        let (mut leaves, mut touched, mut placed) = (Vec::new(), Vec::new(), Vec::new());
        for change in changes.as_array().expect("changes") {
            match change["op"].as_str().expect("what it is") {
                "leave" => {
                    let id = change["id"].as_str().unwrap();
                    self.take(id);
                    leaves.push(id.to_owned());
                }
                "change" => {
                    let id = change["id"].as_str().unwrap();
                    let held = self.0.iter().position(|item| item["_id"] == id).expect("it is held");
                    let doc = self.0[held].as_object_mut().unwrap();
                    doc.extend(change["set"].as_object().unwrap().clone());
                    for name in change.get("unset").and_then(Value::as_array).into_iter().flatten() {
                        assert!(doc.remove(name.as_str().unwrap()).is_some(), "{change}");
                    }
                    if let Some(at) = change.get("at") {
                        placed.push((at.as_u64().unwrap(), self.take(id)));
                    }
                    touched.push(("change", id.to_owned()));
                }
                "enter" => {
                    placed.push((change["at"].as_u64().unwrap(), change["doc"].clone()));
                    touched.push(("enter", change["doc"]["_id"].as_str().unwrap().to_owned()));
                }
                other => panic!("{other}"),
            }
        }
        assert!(placed.is_sorted_by_key(|(at, _)| *at), "{changes}");
        for (at, doc) in placed {
            self.0.insert(usize::try_from(at).unwrap(), doc);
        }
        commit(seq, &leaves, &touched, &self.0)
    }

    fn take(&mut self, id: &str) -> Value {
        let held = self.0.iter().position(|item| item["_id"] == id).expect("it is held");
        self.0.remove(held)
    }
}
