//! The canonical text of a filter: the key of a room, and under which equal live queries share.
//!
//! `$eq` is made implicit, nested `$and` flattened, `$and` with one member unwrapped, keys of objects are sorted by code
//! point, the members of `$and` `$or` `$nor` and the lists of `$in` `$nin` `$all` `$type` are sorted by their own canonical
//! bytes and without doubles, numbers are in their shortest form; then compact JSON. The same holds inside `$not` and
//! `$elemMatch`. It never says that filters are equal which are not.

use serde_json::{Map, Value};

use super::filter::RawFilter;
use super::parse::is_of_values;
use crate::core::value::Num;

/// The canonical text.
pub(crate) fn canonical(filter: &RawFilter) -> String {
    filter_form(&filter.to_json()).to_string()
}

/// The operand of an operator object that holds `$eq` alone, where the operand cannot be mistaken for operators.
pub(crate) fn implicit_eq(operators: &Value) -> Option<Value> {
    let object = operators.as_object()?;
    let operand = object.get("$eq").filter(|_| object.len() == 1)?;
    let mistaken = operand.as_object().is_some_and(|inner| inner.keys().any(|name| name.starts_with('$')));
    (!mistaken).then(|| operand.clone())
}

fn is_operators(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.keys().next().is_some_and(|name| name.starts_with('$')))
}

fn filter_form(filter: &Value) -> Value {
    let Some(object) = filter.as_object() else { return literal(filter) };
    let mut form = Map::new();
    for (name, value) in object {
        let value = match (name.as_str(), value) {
            ("$and" | "$or" | "$nor", Value::Array(members)) => {
                let mut flat = Vec::new();
                for member in members.iter().map(filter_form) {
                    match member {
                        Value::Object(mut inner)
                            if name == "$and" && inner.len() == 1 && inner.contains_key("$and") =>
                        {
                            flat.extend(
                                inner.remove("$and").and_then(|list| list.as_array().cloned()).unwrap_or_default(),
                            );
                        }
                        member => flat.push(member),
                    }
                }
                Value::Array(sorted(flat))
            }
            (_, value) if is_operators(value) => operators_form(value),
            (_, value) => literal(value),
        };
        form.insert(name.clone(), value);
    }
    // An `$and` with one member is that member, beside what else the object says, unless both name the same thing.
    if let Some([Value::Object(only)]) = form.get("$and").and_then(Value::as_array).map(Vec::as_slice)
        && only.keys().all(|name| name == "$and" || !form.contains_key(name))
    {
        let only = only.clone();
        form.remove("$and");
        form.extend(only);
    }
    sorted_keys(form)
}

fn operators_form(operators: &Value) -> Value {
    let Some(object) = operators.as_object() else { return literal(operators) };
    let form: Map<String, Value> = object
        .iter()
        .map(|(name, value)| {
            let value = match (name.as_str(), value) {
                ("$in" | "$nin" | "$type", Value::Array(values)) => {
                    Value::Array(sorted(values.iter().map(literal).collect()))
                }
                ("$all", Value::Array(values)) => Value::Array(sorted(values.iter().map(all_member).collect())),
                ("$not", value) => explicit_form(value),
                ("$elemMatch", value) => element_form(value),
                (_, value) => literal(value),
            };
            (name.clone(), value)
        })
        .collect();
    let form = sorted_keys(form);
    implicit_eq(&form).unwrap_or(form)
}

/// Operators where a bare operand would not do: in `$not` and `$elemMatch`.
fn explicit_form(operators: &Value) -> Value {
    match operators_form(operators) {
        form if is_operators(&form) => form,
        operand => Value::Object(Map::from_iter([("$eq".to_owned(), operand)])),
    }
}

/// The operand of `$elemMatch`: operators for the element, or a filter for an object.
fn element_form(operand: &Value) -> Value {
    if operand.as_object().is_some_and(is_of_values) { explicit_form(operand) } else { filter_form(operand) }
}

/// A member of `$all`: a value, or an `$elemMatch`, as which no value is printed there.
fn all_member(member: &Value) -> Value {
    if is_operators(member) { operators_form(member) } else { literal(member) }
}

/// A value to compare with: keys sorted, numbers in their shortest form.
fn literal(value: &Value) -> Value {
    match value {
        Value::Array(values) => values.iter().map(literal).collect(),
        Value::Object(object) => {
            sorted_keys(object.iter().map(|(name, value)| (name.clone(), literal(value))).collect())
        }
        Value::Number(number) if number.is_f64() => match number.as_f64().map(Num::of_float) {
            Some(Num::Int(whole)) => match (i64::try_from(whole), u64::try_from(whole)) {
                (Ok(whole), _) => whole.into(),
                (_, Ok(whole)) => whole.into(),
                _ => value.clone(),
            },
            _ => value.clone(),
        },
        value => value.clone(),
    }
}

fn sorted_keys(object: Map<String, Value>) -> Value {
    let mut members: Vec<_> = object.into_iter().collect();
    members.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Value::Object(members.into_iter().collect())
}

fn sorted(values: Vec<Value>) -> Vec<Value> {
    let mut texts: Vec<(String, Value)> = values.into_iter().map(|value| (value.to_string(), value)).collect();
    texts.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    texts.dedup_by(|a, b| a.0 == b.0);
    texts.into_iter().map(|(_, value)| value).collect()
}

#[cfg(test)]
mod tests {
    use super::super::parse::{Schema, parse_filter};
    use super::*;
    use serde_json::json;

    #[test]
    fn equal_filters_have_one_text() {
        let cases = [
            (json!({"b": 1, "a": {"$eq": 2.0}}), r#"{"a":2,"b":1}"#),
            (json!({"$and": [{"$and": [{"b": 1}, {"a": 1}]}, {"b": 1}]}), r#"{"$and":[{"a":1},{"b":1}]}"#),
            (json!({"$and": [{"a": 1}]}), r#"{"a":1}"#),
            (json!({"c": 1, "$and": [{"a": 1}]}), r#"{"a":1,"c":1}"#),
            (json!({"a": 1, "$and": [{"a": 2}]}), r#"{"$and":[{"a":2}],"a":1}"#),
            (json!({"a": {"$in": [3, 1, 2, 1.0]}}), r#"{"a":{"$in":[1,2,3]}}"#),
            (json!({"a": {"$eq": {"$x": 1}}}), r#"{"a":{"$eq":{"$x":1}}}"#),
            (json!({"$or": [{"b": 1}, {"a": {"z": 1, "y": 2}}]}), r#"{"$or":[{"a":{"y":2,"z":1}},{"b":1}]}"#),
            (json!({"a": {"$type": [16, "string", "string"]}}), r#"{"a":{"$type":["int","string"]}}"#),
            (json!({"a": {"$type": [2]}}), r#"{"a":{"$type":"string"}}"#),
            (json!({"a": {"$type": ["long", "int", 1]}}), r#"{"a":{"$type":"number"}}"#),
            (json!({"a": {"$regex": "x", "$options": "smi"}}), r#"{"a":{"$options":"ims","$regex":"x"}}"#),
            (json!({"a": {"$regex": "x", "$options": ""}}), r#"{"a":{"$regex":"x"}}"#),
            (json!({"a": {"$mod": [4.9, 0.0]}}), r#"{"a":{"$mod":[4,0]}}"#),
            (json!({"a": {"$size": 2.0}}), r#"{"a":{"$size":2}}"#),
            (json!({"a": {"$all": [3, 1.0, {"c": 1, "b": 2}, 1]}}), r#"{"a":{"$all":[1,3,{"b":2,"c":1}]}}"#),
            (
                json!({"a": {"$all": [{"$elemMatch": {"c": 1, "b": {"$eq": 2.0}}}, {"$elemMatch": {"b": 2, "c": 1}}]}}),
                r#"{"a":{"$all":[{"$elemMatch":{"b":2,"c":1}}]}}"#,
            ),
            (
                json!({"a": {"$elemMatch": {"$lt": 3, "$in": [2, 1.0, 1]}}}),
                r#"{"a":{"$elemMatch":{"$in":[1,2],"$lt":3}}}"#,
            ),
            (json!({"a": {"$elemMatch": {"$eq": 1}}}), r#"{"a":{"$elemMatch":{"$eq":1}}}"#),
            (
                json!({"a": {"$elemMatch": {"$and": [{"c": 1}, {"$and": [{"b": {"$eq": 2}}, {"c": 1}]}]}}}),
                r#"{"a":{"$elemMatch":{"$and":[{"b":2},{"c":1}]}}}"#,
            ),
            (json!({"a": {"$elemMatch": {"$and": [{"b": 1}]}}}), r#"{"a":{"$elemMatch":{"b":1}}}"#),
            (
                json!({"a": {"$not": {"$elemMatch": {"c": 1, "b": 1.0}}}}),
                r#"{"a":{"$not":{"$elemMatch":{"b":1,"c":1}}}}"#,
            ),
            (json!({"a": {"$bitsAllSet": [5, 1, 1]}}), r#"{"a":{"$bitsAllSet":34}}"#),
            (json!({"a": {"$bitsAllSet": [70, 1]}}), r#"{"a":{"$bitsAllSet":[1,70]}}"#),
            (json!({}), "{}"),
        ];
        for (filter, text) in cases {
            assert_eq!(canonical(&parse_filter(&filter, &Schema::Any).unwrap()), text, "{filter}");
            let again = serde_json::from_str(text).unwrap();
            assert_eq!(canonical(&parse_filter(&again, &Schema::Any).unwrap()), text, "{filter}");
        }
    }
}
