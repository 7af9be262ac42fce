//! A million inputs: filters, sorts, projections, updates, documents, patterns, schemas, tokens and raw text, near to what is valid and far from
//! it. Nothing may panic, and nothing may take long.
//!
//! `MODELLER_FUZZ` is the number of inputs, `MODELLER_SEED` the seed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::document::{AnyValue, DocView, DynDoc};
use super::id::RawId;
use super::json::Document;
use super::private::Audience;
use super::query::canonical::canonical;
use super::query::parse::OPERATORS;
use super::query::parse::{Schema, parse_filter, parse_sort};
use super::query::project::RawProjection;
use super::query::update::RawUpdate;
use super::random::Random;
use super::schema::parse_json;
use super::token::{Checks, Keyring, SecretKey, Unverified};
use super::validate::Validator;
use super::value::{AsValue, ValueRef};

/// What one input may take, without optimization and beside other work.
const MOST: Duration = Duration::from_secs(20);

const NAMES: &[&str] = &[
    "a",
    "b",
    "0",
    "1",
    "a.b",
    "a.0",
    "b.0.a",
    "$a",
    "",
    "a..b",
    "_id",
    "_rev",
    "é",
    "\u{0}",
    "__proto__",
    "$where",
    "$expr",
];
const UPDATES: &[&str] = &[
    "$set",
    "$unset",
    "$inc",
    "$mul",
    "$min",
    "$max",
    "$push",
    "$bit",
    "$pull",
    "$pullAll",
    "$addToSet",
    "$pop",
    "$rename",
    "$currentDate",
    "$setOnInsert",
];
const MODIFIERS: &[&str] = &["$each", "$position", "$slice", "$sort"];
const KEYWORDS: &[&str] = &[
    "type",
    "enum",
    "const",
    "minimum",
    "maximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "items",
    "prefixItems",
    "contains",
    "minContains",
    "maxContains",
    "uniqueItems",
    "minItems",
    "properties",
    "required",
    "additionalProperties",
    "patternProperties",
    "propertyNames",
    "dependentRequired",
    "dependentSchemas",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "$ref",
    "$defs",
    "$id",
    "$anchor",
    "$dynamicRef",
    "$dynamicAnchor",
    "$schema",
    "unevaluatedItems",
    "unevaluatedProperties",
    "default",
    "unique",
    "private",
    "index",
];
const PIECES: &[&str] = &[
    "a",
    "b",
    ".",
    "*",
    "+",
    "?",
    "(",
    ")",
    "[",
    "]",
    "{2,3}",
    "{1000}",
    "|",
    "^",
    "$",
    r"\d",
    r"\w",
    r"\b",
    r"\p{L}",
    "(?i)",
    "(?=",
    "(?<n>",
    r"\1",
    "-",
    "&&",
    "[^",
    "[:alpha:]",
    "😀",
    r"\",
    "{,",
    "(a*)*",
    "(a|aa)+",
];

struct Fuzzer(Random);

impl Fuzzer {
    /// A token, as somebody may make one who knows the secret, or who only changes one.
    fn token(&mut self) -> String {
        const NOW: u64 = 1_700_000_000_000;
        const MEMBERS: &[&str] = &["sub", "exp", "nbf", "iat", "iss", "aud", "sid"];
        let ring = |issuer: Option<&str>| {
            let checks = Checks { issuer: issuer.map(str::to_owned), audience: None, leeway: Duration::from_secs(5) };
            Keyring::new(&[7; 32], &[vec![8; 32]], checks).unwrap()
        };
        let mut claims = self.tree(MEMBERS, 2);
        if self.0.one_in(2) {
            claims["sub"] = self.text().into();
            claims["exp"] = json!(NOW / 1_000 + 60);
        }
        let key = SecretKey::of(&[if self.0.one_in(3) { 8 } else { 7 }; 32]).unwrap();
        let Ok(made) = key.sign(claims.as_object().unwrap()) else { return "a token that is too long".into() };
        let text = match self.0.below(3) {
            0 => made.clone(),
            1 => String::from_utf8_lossy(&self.broken(&made)).into_owned(),
            _ => {
                let header = self.tree(&["alg", "kid", "typ", "crit", "jwk"], 2).to_string();
                let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
                format!(
                    "{}.{}.{}",
                    part(&self.broken(&header)),
                    part(&self.broken(&claims.to_string())),
                    part(&[0; 32])
                )
            }
        };
        for ring in [ring(None), ring(Some("string"))] {
            let until = Unverified::read(&text).and_then(|token| ring.verify(&token, NOW));
            assert!(until.is_none_or(|until| until > NOW && text == made), "{text} is taken");
        }
        format!("token {text}")
    }

    fn number(&mut self) -> Value {
        let numbers = [
            json!(0),
            json!(1),
            json!(-1),
            json!(2),
            json!(1.5),
            json!(i64::MIN),
            json!(i64::MAX),
            json!(u64::MAX),
            json!(1e308),
            json!(-1e308),
            json!(5e-324),
            json!(9_007_199_254_740_993_u64),
            json!(1e19),
            json!(-0.0),
            json!(128),
            json!(1e39),
        ];
        self.0.pick(&numbers).clone()
    }

    fn text(&mut self) -> String {
        match self.0.below(4) {
            0 => (*self.0.pick(NAMES)).to_owned(),
            1 => (0..self.0.below(8)).map(|_| *self.0.pick(PIECES)).collect(),
            2 => (*self.0.pick(&["string", "number", "object", "2024-01-01", "#", "#/$defs/a", "im", "x", "date"]))
                .to_owned(),
            _ => (0..self.0.below(6)).filter_map(|_| char::from_u32(self.0.below(0x11_0000) as u32)).collect(),
        }
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.0.below(if depth == 0 { 5 } else { 9 }) {
            0 => Value::Null,
            1 => json!(self.0.one_in(2)),
            2 | 3 => self.number(),
            4 => self.text().into(),
            5 | 6 => (0..self.0.below(5)).map(|_| self.value(depth - 1)).collect(),
            _ => (0..self.0.below(5)).map(|_| (self.name(&[]), self.value(depth - 1))).collect::<Map<_, _>>().into(),
        }
    }

    fn name(&mut self, operators: &[&str]) -> String {
        if !operators.is_empty() && self.0.one_in(2) {
            return (*self.0.pick(operators)).to_owned();
        }
        if self.0.one_in(12) { self.text() } else { (*self.0.pick(&NAMES[..7])).to_owned() }
    }

    /// An object of names and operators, which operands follow that mostly suit them.
    fn tree(&mut self, operators: &[&str], depth: usize) -> Value {
        let mut object = Map::new();
        for _ in 0..self.0.below(4) {
            let name = self.name(operators);
            let value = match name.as_str() {
                _ if depth == 0 || self.0.one_in(6) => self.value(1),
                "$and" | "$or" | "$nor" | "allOf" | "anyOf" | "oneOf" | "prefixItems" => {
                    (0..1 + self.0.below(3)).map(|_| self.tree(operators, depth - 1)).collect()
                }
                "$in" | "$nin" | "$all" | "enum" | "$each" | "required" => {
                    (0..self.0.below(4)).map(|_| self.value(1)).collect()
                }
                "$eq" | "$ne" | "$gt" | "$gte" | "$lt" | "$lte" | "const" => self.value(2),
                "$exists" | "uniqueItems" => json!(self.0.one_in(2)),
                "$mod" => json!([self.number(), self.number()]),
                "$size" | "$position" | "$slice" | "minLength" | "maxLength" | "minItems" | "multipleOf" | "$inc" => {
                    self.number()
                }
                "$type" | "$options" | "$regex" | "pattern" | "format" | "$ref" | "$id" | "$anchor" | "type" => {
                    self.text().into()
                }
                _ => self.tree(operators, depth - 1),
            };
            object.insert(name, value);
        }
        object.into()
    }

    fn update(&mut self) -> Value {
        let mut update = Map::new();
        for _ in 0..1 + self.0.below(2) {
            let fields = (0..self.0.below(3))
                .map(|_| {
                    let operand = match self.0.below(4) {
                        0 => self.tree(MODIFIERS, 2),
                        1 => self.tree(OPERATORS, 2),
                        2 => self.number(),
                        _ => self.value(2),
                    };
                    (self.name(&[]), operand)
                })
                .collect::<Map<_, _>>();
            update.insert((*self.0.pick(UPDATES)).to_owned(), fields.into());
        }
        if self.0.one_in(8) { self.value(3) } else { update.into() }
    }

    /// A text that is JSON no more, most likely.
    fn broken(&mut self, text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..1 + self.0.below(3) {
            let at = self.0.below(bytes.len() + 1);
            match self.0.below(4) {
                0 if at < bytes.len() => drop(bytes.remove(at)),
                1 => bytes.truncate(at),
                2 if at < bytes.len() => bytes[at] = self.0.below(256) as u8,
                _ => bytes.insert(at, *self.0.pick(b"{}[]\",:\\$0e-.\xff\x00 n")),
            }
        }
        bytes
    }
}

fn document(value: Value) -> Option<DynDoc> {
    let document = Document::try_from(value).ok()?;
    Some(Box::new(document).into_doc(RawId::parse("id").ok()?, 1))
}

/// Does with the filter all that is done with one.
fn filter(json: &Value, documents: &[DynDoc]) {
    let Ok(filter) = parse_filter(json, &Schema::Any) else { return };
    for document in documents {
        filter.matches(&DocView(document.as_ref()));
    }
    let written = filter.to_json();
    let text = canonical(&filter);
    // What is written says the same.
    let again = parse_filter(&written, &Schema::Any).unwrap_or_else(|error| panic!("{json} as {written}: {error}"));
    assert_eq!(canonical(&again), text, "{json}");
}

fn sort(json: &Value, documents: &[DynDoc]) {
    let Ok(sort) = parse_sort(json, &Schema::Any) else { return };
    let mut sorted: Vec<_> = documents.iter().filter_map(|document| sort.of(document).ok()).collect();
    sorted.sort_by(|a, b| sort.compare(a, b));
    for pair in sorted.windows(2) {
        let position = sort.position_of(&pair[0]);
        assert_eq!(sort.compare(&pair[1], &pair[0]).is_gt(), sort.is_behind(&pair[1], &position), "{json}");
    }
}

/// What is shown outside, and what the program gets, is the same.
fn projection(json: &Value, documents: &[DynDoc]) {
    let Ok(projection) = RawProjection::parse(json, &Schema::Any) else { return };
    for document in documents {
        let mut text = Vec::new();
        projection.write_for(Audience::Verified, document.as_ref(), &mut text).unwrap();
        let mut shown: Map<String, Value> = serde_json::from_slice(&text).unwrap();
        shown.retain(|name, _| name != "_id" && name != "_rev");
        let Value::Object(mut members) = document.to_stored().unwrap() else { continue };
        members.retain(|name, _| name != "_id" && name != "_rev");
        projection.members(&mut members);
        assert_eq!(shown, members, "{json}");
    }
    assert_eq!(
        RawProjection::parse(&projection.to_json(), &Schema::Any).unwrap().to_json(),
        projection.to_json(),
        "{json}"
    );
}

fn update(json: Value, value: &Value) {
    let Ok(update) = RawUpdate::parse(json, &Schema::Any) else { return };
    let mut next = value.clone();
    if update.apply(&mut next).is_ok() {
        // It can be read back.
        assert!(parse_json(next.to_string().as_bytes()).is_ok(), "{update:?} on {value}");
    }
}

fn check(schema: &Value, values: &[Value]) {
    let Ok(validator) = Validator::new(schema) else { return };
    for value in values {
        let _ = validator.check(value);
    }
}

/// One input of each kind in turn; what it was, to be shown.
fn one(seed: u64) -> String {
    let mut fuzzer = Fuzzer(Random::new(seed));
    let value = fuzzer.value(3);
    let documents: Vec<_> = [value.clone(), fuzzer.value(2)].into_iter().filter_map(document).collect();
    match seed % 8 {
        0..=2 => {
            let json = fuzzer.tree(OPERATORS, 3);
            filter(&json, &documents);
            format!("filter {json}")
        }
        3 | 4 => {
            let json = fuzzer.update();
            update(json.clone(), &value);
            format!("update {json} of {value}")
        }
        5 => {
            let keys = (0..fuzzer.0.below(4)).map(|_| {
                let name = fuzzer.name(&[]);
                (name, fuzzer.0.pick(&[json!(1), json!(-1), json!(1.0), json!(2), json!("1")]).clone())
            });
            let json = keys.collect::<Map<_, _>>().into();
            sort(&json, &documents);
            let fields = (0..fuzzer.0.below(4)).map(|_| {
                let shown = match fuzzer.0.below(6) {
                    0 => json!({"$slice": fuzzer.number()}),
                    1 => json!({"$slice": [fuzzer.number(), fuzzer.number()]}),
                    2 => json!({"$elemMatch": fuzzer.tree(OPERATORS, 2)}),
                    3 => json!({"a": 1, "b": {"$slice": -1}}),
                    _ => json!(fuzzer.0.one_in(4)),
                };
                (fuzzer.name(&[]), shown)
            });
            let fields = fields.collect::<Map<_, _>>().into();
            projection(&fields, &documents);
            format!("sort {json}, projection {fields}")
        }
        6 if seed % 16 == 14 => fuzzer.token(),
        6 => {
            let text = fuzzer.tree(OPERATORS, 2).to_string();
            let bytes = fuzzer.broken(&text);
            if let Ok(json) = parse_json(&bytes) {
                filter(&json, &documents);
                update(json, &value);
            }
            format!("text {}", String::from_utf8_lossy(&bytes))
        }
        // A schema costs much more than the others.
        _ if seed % 64 != 7 => {
            let pattern: String = (0..fuzzer.0.below(10)).map(|_| *fuzzer.0.pick(PIECES)).collect();
            let options = fuzzer.0.pick(&["", "i", "m", "s", "ims", "x", "u"]);
            filter(&json!({"a": {"$regex": pattern, "$options": options}}), &documents);
            format!("pattern {pattern:?}")
        }
        _ => {
            let json = fuzzer.tree(KEYWORDS, 3);
            check(&json, &[value.clone(), fuzzer.value(2)]);
            format!("schema {json}")
        }
    }
}

/// Has something done with each of so many inputs, made from a number each; it says what the input was.
pub(crate) fn run(inputs: u64, one: fn(u64) -> String) {
    let first = Random::seed("MODELLER_SEED", 1);
    let threads = 2;
    let worst = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || {
                    let mut worst = (Duration::ZERO, String::new());
                    for seed in (first + thread..first + inputs).step_by(2) {
                        let start = Instant::now();
                        let said = catch_unwind(AssertUnwindSafe(|| one(seed)));
                        let said = said.unwrap_or_else(|_| panic!("a panic at MODELLER_SEED={seed} MODELLER_FUZZ=1"));
                        let took = start.elapsed();
                        assert!(took < MOST, "MODELLER_SEED={seed} takes {took:?}: {said}");
                        if took > worst.0 {
                            worst = (took, format!("seed {seed}: {said}"));
                        }
                    }
                    worst
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
    });
    println!("{inputs} inputs; the worst took {:?}: {:.300}", worst.0, worst.1);
}

#[test]
fn inputs_near_and_far_do_no_harm() {
    run(20_000, one);
}

#[test]
#[ignore = "a million inputs take a minute"]
fn a_million_inputs_do_no_harm() {
    run(Random::seed("MODELLER_FUZZ", 1_000_000), one);
}

/// Runs the function, and says how long it took if that is too long.
fn bounded(what: &str, f: impl FnOnce()) {
    let start = Instant::now();
    f();
    let took = start.elapsed();
    println!("{what}: {took:?}");
    assert!(took < MOST, "{what} takes {took:?}");
}

#[test]
fn nasty_sizes_are_refused_or_done_in_time() {
    let numbers = |count: usize| (0..count).map(Value::from).collect::<Value>();
    let nested = |depth: usize, name: &str| (0..depth).fold(json!(1), |inner, _| json!({name: inner}));
    let lists = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
    let wide: Value = (0..20_000).map(|at| (format!("n{at}"), json!(at))).collect::<Map<_, _>>().into();
    let long = Value::from("a".repeat(1_000_000));
    let of = |value: &Value| document(json!({"a": value})).unwrap();

    bounded("objects of many members are compared", || {
        filter(&json!({"a": wide}), &[of(&wide)]);
        filter(&json!({"a": {"$gt": wide}}), &[of(&wide)]);
        assert!(wide.as_value().compare(&wide.as_value()).is_eq());
        assert_eq!(wide.as_value().to_json(), wide);
    });
    bounded("sets are looked through", || {
        let set: std::collections::BTreeSet<u32> = (0..100_000).collect();
        let list: Vec<u32> = set.iter().copied().collect();
        assert!(set.as_value().compare(&list.as_value()).is_eq());
        assert_eq!(ValueRef::Array(&set).to_json().as_array().map(Vec::len), Some(100_000));
    });
    bounded("a long list is asked for a long list", || {
        let odd: Value = (0..10_000).map(|at| json!(at * 2 + 1_000_000)).collect();
        filter(&json!({"a": {"$in": odd}}), &[of(&numbers(100_000))]);
        filter(&json!({"a": {"$nin": odd}}), &[of(&numbers(100_000))]);
    });
    bounded("`$all` of many", || {
        assert!(parse_filter(&json!({"a": {"$all": numbers(2_000)}}), &Schema::Any).is_err());
        filter(&json!({"a": {"$all": numbers(900)}}), &[of(&numbers(10_000))]);
    });
    bounded("many ways through numbers in a path", || {
        let deep = (0..60).fold(json!(1), |inner, _| json!([{"0": inner}]));
        let path = |numbers: usize| format!("a{}", ".0".repeat(numbers));
        assert!(parse_filter(&json!({path(9): 2}), &Schema::Any).is_err());
        filter(&json!({path(8): 2}), &[of(&deep)]);
    });
    bounded("deep filters", || {
        // JSON from outside is never deeper than this.
        for depth in [15, 30, 120] {
            for operator in ["$and", "$or", "$nor"] {
                filter(&(0..depth).fold(json!({"a": 1}), |inner, _| json!({operator: [inner]})), &[]);
            }
            for operator in ["$not", "$elemMatch"] {
                let test = (0..depth).fold(json!({"$gt": 1}), |inner, _| json!({operator: inner}));
                filter(&json!({"a": test}), &[of(&lists(100))]);
            }
            filter(&json!({"a": nested(depth, "b")}), &[of(&nested(100, "b"))]);
        }
    });
    bounded("wide filters", || {
        filter(&json!({"$or": vec![json!({"a": 1}); 5_000]}), &[of(&long)]);
        filter(&json!({"$or": vec![json!({"a": {"$gt": 5}}); 499]}), &[of(&numbers(1_000))]);
    });
    bounded("patterns", || {
        let text = Value::from("a".repeat(2_000));
        for pattern in [
            "(a*)*b",
            "(a|aa)+$",
            "(.*){10}b",
            "((a{50}){50}){50}",
            "a{1000}{1000}",
            r"(\w+\s?)*$",
            "^(([a-z])+.)+[A-Z]([a-z])+$",
        ] {
            filter(&json!({"a": {"$regex": pattern}}), &[of(&text)]);
        }
        filter(&json!({"a": {"$regex": "(".repeat(4_000)}}), &[]);
        filter(&json!({"a": {"$regex": "[".repeat(4_000)}}), &[]);
    });
    bounded("updates of long lists", || {
        let value = json!({"a": numbers(50_000)});
        for json in [
            json!({"$pull": {"a": {"$in": numbers(10_000)}}}),
            json!({"$pull": {"a": {"$gt": 5}}}),
            json!({"$addToSet": {"a": {"$each": numbers(10_000)}}}),
            json!({"$push": {"a": {"$each": numbers(10_000), "$sort": -1, "$slice": -5}}}),
            json!({"$push": {"a": {"$each": numbers(10_000), "$position": 0}}}),
            json!({"$set": {"a.49999": nested(126, "b")}}),
            json!({"$set": {"b": nested(126, "b")}}),
        ] {
            update(json, &value);
        }
        let many = (0..2_000).map(|at| (format!("f{at}"), json!(1))).collect::<Map<_, _>>();
        update(json!({"$set": many}), &value);
        update(json!({"$inc": many}), &value);
    });
    bounded("schemas", || {
        let many = json!({"anyOf": vec![json!({"items": {"type": "string"}}); 50]});
        check(&many, &[numbers(2_000)]);
        check(&json!({"uniqueItems": true}), &[vec![numbers(100); 500].into()]);
        check(&(0..10).fold(json!({"type": "string"}), |inner, _| json!({"anyOf": [inner, inner]})), &[json!(1)]);
    });
}
