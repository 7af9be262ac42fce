//! Integers that fit their schema and not their type: a schema says `integer` and names the type as a format, which is not asserted.

use serde_json::{Value, json};

use super::walk::escaped;
use crate::error::Violation;

/// How many places of a schema are looked at for one value.
const PLACES: usize = 10_000;
/// How deep: JSON from outside is nested 127 deep, and each level may be behind a reference.
const DEPTH: usize = 300;

/// Bounds of the integers that a format names.
pub(crate) fn of_format(format: &str) -> Option<(Value, Value)> {
    Some(match format {
        "int8" => (i8::MIN.into(), i8::MAX.into()),
        "int16" => (i16::MIN.into(), i16::MAX.into()),
        "int32" => (i32::MIN.into(), i32::MAX.into()),
        "int64" | "int" => (i64::MIN.into(), i64::MAX.into()),
        "uint8" => (0.into(), u8::MAX.into()),
        "uint16" => (0.into(), u16::MAX.into()),
        "uint32" => (0.into(), u32::MAX.into()),
        "uint64" | "uint" => (0.into(), u64::MAX.into()),
        _ => return None,
    })
}

/// The numbers of a value that are beyond what the formats of its schema have, as if that had said `minimum` and `maximum`. It is
/// for a value that fits the schema otherwise.
pub(crate) fn beyond(schema: &Value, value: &Value) -> Vec<Violation> {
    // Of small ones the schema itself knows the bounds.
    if !is_large(value) {
        return Vec::new();
    }
    let mut walk = Walk { root: schema, left: PLACES, depth: 0, found: Vec::new() };
    walk.visit(schema, "#", value, "");
    walk.found
}

fn is_large(value: &Value) -> bool {
    match value {
        Value::Number(_) => whole(value).is_some_and(|number| i32::try_from(number).is_err()),
        Value::Array(list) => list.iter().any(is_large),
        Value::Object(members) => members.values().any(is_large),
        _ => false,
    }
}

/// A number without a fraction, exact.
fn whole(value: &Value) -> Option<i128> {
    let of_float = || value.as_f64().filter(|float| float.fract() == 0.0).map(|float| float as i128);
    value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from)).or_else(of_float)
}

fn below(path: &str, name: &str) -> String {
    format!("{path}/{}", escaped(name))
}

struct Walk<'s> {
    root: &'s Value,
    left: usize,
    depth: usize,
    found: Vec<Violation>,
}

impl<'s> Walk<'s> {
    fn visit(&mut self, schema: &'s Value, place: &str, value: &Value, path: &str) {
        let (Some(left), true) = (self.left.checked_sub(1), self.depth < DEPTH) else { return };
        self.left = left;
        self.depth += 1;
        self.parts(schema, place, value, path);
        self.depth -= 1;
    }

    fn parts(&mut self, schema: &'s Value, place: &str, value: &Value, path: &str) {
        if let Some((target, place)) = self.referred(schema) {
            self.visit(target, place, value, path);
        }
        for (at, part) in list(schema, "allOf").iter().enumerate() {
            self.visit(part, &format!("{place}/allOf/{at}"), value, path);
        }
        for name in ["anyOf", "oneOf"] {
            self.one_of(list(schema, name), &format!("{place}/{name}"), value, path);
        }
        match value {
            Value::Number(_) => self.number(schema, place, value, path),
            Value::Array(items) => {
                let first = list(schema, "prefixItems");
                for (at, item) in items.iter().enumerate() {
                    let path = format!("{path}/{at}");
                    match (first.get(at), schema.get("items")) {
                        (Some(part), _) => self.visit(part, &format!("{place}/prefixItems/{at}"), item, &path),
                        (None, Some(part)) => self.visit(part, &format!("{place}/items"), item, &path),
                        (None, None) => {}
                    }
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    let property = schema.get("properties").and_then(|properties| properties.get(name));
                    match (property, schema.get("additionalProperties")) {
                        (Some(part), _) => {
                            self.visit(part, &below(&format!("{place}/properties"), name), member, &below(path, name));
                        }
                        (None, Some(part)) => {
                            self.visit(part, &format!("{place}/additionalProperties"), member, &below(path, name));
                        }
                        (None, None) => {}
                    }
                }
            }
            _ => {}
        }
    }

    /// What a reference within the schema leads to.
    fn referred(&self, schema: &'s Value) -> Option<(&'s Value, &'s str)> {
        let place = schema.get("$ref")?.as_str()?;
        self.root.pointer(place.strip_prefix('#')?).map(|target| (target, place))
    }

    /// Of several that could be meant, those count that are of its kind, and where it is within one of them, all is well.
    fn one_of(&mut self, parts: &'s [Value], place: &str, value: &Value, path: &str) {
        let before = self.found.len();
        let mut first = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            if !self.is_of_kind(part, value) {
                continue;
            }
            self.visit(part, &format!("{place}/{at}"), value, path);
            let found = self.found.split_off(before);
            if found.is_empty() {
                return;
            }
            if first.is_empty() {
                first = found;
            }
        }
        self.found.extend(first);
    }

    fn is_of_kind(&self, schema: &'s Value, value: &Value) -> bool {
        let schema = self.referred(schema).map_or(schema, |(target, _)| target);
        let kinds = match value {
            Value::Null => &["null"][..],
            Value::Bool(_) => &["boolean"],
            Value::Number(_) => &["integer", "number"],
            Value::String(_) => &["string"],
            Value::Array(_) => &["array"],
            Value::Object(_) => &["object"],
        };
        match schema.get("type") {
            Some(Value::String(kind)) => kinds.contains(&kind.as_str()),
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).any(|kind| kinds.contains(&kind)),
            _ => true,
        }
    }

    fn number(&mut self, schema: &Value, place: &str, value: &Value, path: &str) {
        let bounds = schema.get("format").and_then(Value::as_str).and_then(of_format);
        let (Some((least, most)), Some(number)) = (bounds, whole(value)) else { return };
        let is_beyond =
            |bound: &Value, beyond: fn(&i128, &i128) -> bool| whole(bound).is_some_and(|bound| beyond(&number, &bound));
        let (keyword, sign, limit) = if is_beyond(&most, i128::gt) {
            ("maximum", "<=", most)
        } else if is_beyond(&least, i128::lt) {
            ("minimum", ">=", least)
        } else {
            return;
        };
        self.found.push(Violation {
            instance_path: path.to_owned(),
            keyword: keyword.into(),
            message: format!("must be {sign} {limit}").into(),
            params: json!({"comparison": sign, "limit": limit}),
            schema_path: format!("{place}/{keyword}").into(),
        });
    }
}

fn list<'s>(schema: &'s Value, name: &str) -> &'s [Value] {
    schema.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_beyond_their_type_are_found_where_they_are() {
        let schema = json!({
            "type": "object",
            "properties": {
                "a": {"type": "integer", "format": "int32"},
                "b/c": {"type": "array", "items": {"$ref": "#/$defs/Big"}},
                "d": {"anyOf": [{"$ref": "#/$defs/Big"}, {"type": "null"}]},
                "e": {"oneOf": [{"type": "integer", "format": "int8"}, {"type": "integer", "format": "uint64"}]},
                "f": {"type": "integer"},
                "again": {"$ref": "#"},
            },
            "additionalProperties": {"type": ["integer", "null"], "format": "uint32"},
            "$defs": {"Big": {"type": "integer", "format": "int64"}},
        });
        let found = |value: Value| {
            let all = beyond(&schema, &value);
            all.iter().map(|it| format!("{} {} {}", it.instance_path, it.schema_path, it.message)).collect::<Vec<_>>()
        };
        let large = 9_223_372_036_854_775_808_u64;
        assert_eq!(found(json!({"a": 2_147_483_648_u64})), ["/a #/properties/a/maximum must be <= 2147483647"]);
        assert_eq!(found(json!({"a": -2_147_483_649_i64})), ["/a #/properties/a/minimum must be >= -2147483648"]);
        assert_eq!(
            found(json!({"b/c": [1, large, 1e300]})),
            [
                "/b~1c/1 #/$defs/Big/maximum must be <= 9223372036854775807",
                "/b~1c/2 #/$defs/Big/maximum must be <= 9223372036854775807"
            ]
        );
        assert_eq!(found(json!({"d": large})), ["/d #/$defs/Big/maximum must be <= 9223372036854775807"]);
        assert_eq!(found(json!({"again": {"again": {"x": 4_294_967_296_u64}}})).len(), 1);
        for fine in [
            json!({"a": i32::MAX, "d": null, "x": u32::MAX}),
            json!({"e": u64::MAX, "f": u64::MAX, "d": i64::MAX}),
            json!([large]),
            json!(null),
        ] {
            assert_eq!(found(fine.clone()), [""; 0], "{fine}");
        }
        // A schema that refers to itself ends.
        let endless = json!({"$ref": "#", "allOf": [{"$ref": "#"}]});
        assert_eq!(beyond(&endless, &json!(large)).len(), 0);
    }
}
