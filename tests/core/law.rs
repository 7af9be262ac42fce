//! The law of filters: whatever a field is made of, a filter by its constant, the same filter as JSON, a scan and an index find
//! the same documents as a filter over plain JSON does.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use modeller::__private::serde_json::{self, Value, json};
use modeller::prelude::*;
use proptest::prelude::*;

#[value]
#[derive(PartialEq)]
pub struct Point {
    pub x: i8,
    pub label: Option<String>,
}

#[value]
#[derive(Copy, PartialEq)]
pub enum Plain {
    First,
    #[serde(rename = "2nd")]
    Second,
}

#[value(rename_all = "SCREAMING-KEBAB-CASE")]
#[derive(PartialEq)]
#[serde(rename_all_fields = "camelCase")]
pub enum External {
    Nothing,
    OneNumber(i8),
    APoint(Point),
    Pair(i8, String),
    NamedParts {
        first_part: i8,
        #[serde(rename = "II")]
        second: Option<String>,
    },
}

#[value]
#[derive(PartialEq)]
#[serde(tag = "kind", rename_all_fields = "camelCase")]
pub enum Internal {
    Nothing,
    APoint(Point),
    #[serde(rename = "named", rename_all = "UPPERCASE")]
    NamedParts {
        first_part: i8,
    },
    Others {
        second_part: Vec<i8>,
        #[serde(rename = "kind_of")]
        kind_of: Plain,
    },
}

#[value]
#[derive(PartialEq)]
#[serde(tag = "t", content = "c")]
pub enum Adjacent {
    Nothing,
    OneNumber(i8),
    APoint(Point),
    Pair(i8, i8),
    NamedParts { first_part: i8 },
}

#[value]
#[derive(PartialEq)]
#[serde(untagged)]
pub enum Untagged {
    Number(i8),
    APoint(Point),
    NamedParts { first_part: i8, r#type: bool },
    Pair(String, i8),
    Text(String),
}

#[value]
#[derive(PartialEq)]
pub struct Wrapped(pub String);

#[model(id = "kinds", public)]
#[derive(PartialEq)]
pub struct Kinds {
    #[field(index)]
    pub number: i8,
    #[field(index)]
    pub float: f64,
    #[field(index)]
    pub single: f32,
    pub singles: Vec<f32>,
    pub maybe_single: Option<f32>,
    #[field(index)]
    pub text: String,
    #[field(index)]
    pub maybe: Option<i8>,
    #[field(index)]
    pub plain: Plain,
    #[field(index)]
    pub list: Vec<i8>,
    pub texts: BTreeSet<String>,
    pub pair: (i8, String),
    pub map: BTreeMap<String, i8>,
    pub points: HashMap<String, Point>,
    pub point: Point,
    pub boxed: Box<Point>,
    pub maybe_point: Option<Point>,
    pub path: Vec<Point>,
    pub wrapped: Wrapped,
    pub external: External,
    pub internal: Internal,
    pub adjacent: Adjacent,
    pub untagged: Untagged,
    pub mixed: Vec<Internal>,
    #[field(rename = "other-name")]
    pub renamed: Option<Untagged>,
}

fn text() -> impl Strategy<Value = String> {
    "[ab]{0,2}"
}

fn small() -> impl Strategy<Value = i8> {
    0_i8..3
}

fn point() -> impl Strategy<Value = Point> {
    (small(), prop::option::of(text())).prop_map(|(x, label)| Point { x, label })
}

/// Also those that are read wrongly by who is in a hurry.
fn float() -> impl Strategy<Value = f64> {
    prop::sample::select(vec![
        0.0,
        0.5,
        0.1,
        0.1 + 0.2,
        f64::from(0.1_f32),
        5e-324,
        f64::MAX,
        9_007_199_254_740_993.0,
        1.7e-3,
    ])
}

/// What is no `f64` of the same decimal, and what is.
fn single() -> impl Strategy<Value = f32> {
    prop::sample::select(vec![0.0, 0.5, 0.1, 0.3, 16_777_216.0, 123_456_790.0, 1e-45, f32::MAX, -0.7])
}

fn plain() -> impl Strategy<Value = Plain> {
    prop_oneof![Just(Plain::First), Just(Plain::Second)]
}

fn external() -> impl Strategy<Value = External> {
    prop_oneof![
        Just(External::Nothing),
        small().prop_map(External::OneNumber),
        point().prop_map(External::APoint),
        (small(), text()).prop_map(|(a, b)| External::Pair(a, b)),
        (small(), prop::option::of(text()))
            .prop_map(|(first_part, second)| External::NamedParts { first_part, second }),
    ]
}

fn internal() -> impl Strategy<Value = Internal> {
    prop_oneof![
        Just(Internal::Nothing),
        point().prop_map(Internal::APoint),
        small().prop_map(|first_part| Internal::NamedParts { first_part }),
        (prop::collection::vec(small(), 0..3), plain())
            .prop_map(|(second_part, kind_of)| Internal::Others { second_part, kind_of }),
    ]
}

fn adjacent() -> impl Strategy<Value = Adjacent> {
    prop_oneof![
        Just(Adjacent::Nothing),
        small().prop_map(Adjacent::OneNumber),
        point().prop_map(Adjacent::APoint),
        (small(), small()).prop_map(|(a, b)| Adjacent::Pair(a, b)),
        small().prop_map(|first_part| Adjacent::NamedParts { first_part }),
    ]
}

fn untagged() -> impl Strategy<Value = Untagged> {
    prop_oneof![
        small().prop_map(Untagged::Number),
        point().prop_map(Untagged::APoint),
        (small(), any::<bool>()).prop_map(|(first_part, r#type)| Untagged::NamedParts { first_part, r#type }),
        (text(), small()).prop_map(|(a, b)| Untagged::Pair(a, b)),
        text().prop_map(Untagged::Text),
    ]
}

fn kinds() -> impl Strategy<Value = Kinds> {
    let scalars = (small(), small(), text(), prop::option::of(small()), plain());
    let many = (
        prop::collection::vec(small(), 0..3),
        prop::collection::btree_set(text(), 0..3),
        (small(), text()),
        prop::collection::btree_map(text().prop_filter("a name", |name| !name.is_empty()), small(), 0..3),
        prop::collection::hash_map("[ab]", point(), 0..3),
    );
    let nested = (point(), point(), prop::option::of(point()), prop::collection::vec(point(), 0..3), text());
    let chosen = (
        external(),
        internal(),
        adjacent(),
        untagged(),
        prop::collection::vec(internal(), 0..3),
        prop::option::of(untagged()),
    );
    let floats = (float(), single(), prop::collection::vec(single(), 0..3), prop::option::of(single()));
    (scalars, floats, many, nested, chosen).prop_map(|(scalars, floats, many, nested, chosen)| Kinds {
        number: scalars.0,
        float: floats.0,
        single: floats.1,
        singles: floats.2,
        maybe_single: floats.3,
        text: scalars.2,
        maybe: scalars.3,
        plain: scalars.4,
        list: many.0,
        texts: many.1,
        pair: many.2,
        map: many.3,
        points: many.4,
        point: nested.0,
        boxed: Box::new(nested.1),
        maybe_point: nested.2,
        path: nested.3,
        wrapped: Wrapped(nested.4),
        external: chosen.0,
        internal: chosen.1,
        adjacent: chosen.2,
        untagged: chosen.3,
        mixed: chosen.4,
        renamed: chosen.5,
    })
}

/// Every path in a value with what is there, arrays entered by position and through their elements.
fn places(path: &str, value: &Value, found: &mut Vec<(String, Value)>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    if !path.is_empty() {
        found.push((path.to_owned(), value.clone()));
    }
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| places(&below(name), value, found)),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                places(&below(&at.to_string()), item, found);
                if item.is_object() {
                    places(path, item, found);
                }
            }
        }
        _ => {}
    }
}

/// The filter of each field for being equal to what it is in this document.
fn by_constants(it: &Kinds) -> Vec<Filter<Kinds>> {
    macro_rules! equal {
        ($($constant:ident $field:ident),* $(,)?) => {
            vec![$(Kinds::$constant.eq(it.$field.clone()), Kinds::$constant.ne(it.$field.clone())),*]
        };
    }
    equal![
        NUMBER number, FLOAT float, SINGLE single, SINGLES singles, MAYBE_SINGLE maybe_single, TEXT text, MAYBE maybe, PLAIN plain, LIST list, TEXTS texts, PAIR pair, MAP map, POINTS points,
        POINT point, BOXED boxed, MAYBE_POINT maybe_point, PATH path, WRAPPED wrapped, EXTERNAL external, INTERNAL internal,
        ADJACENT adjacent, UNTAGGED untagged, MIXED mixed, RENAMED renamed,
    ]
}

/// What a client reads.
fn on_the_wire(it: &Kinds) -> Value {
    serde_json::from_str(&serde_json::to_string(it).unwrap()).unwrap()
}

fn ids<T: modeller::Stored>(docs: &[Doc<T>]) -> Vec<String> {
    let mut ids: Vec<String> = docs.iter().map(|doc| doc.id().to_string()).collect();
    ids.sort();
    ids
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn c12_typed_filter_is_its_json_is_a_scan_is_an_index(all in prop::collection::vec(kinds(), 1..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let app = App::new()
                .model::<Kinds>()
                .schema_model(SchemaModel::new("plain", json!({"type": "object"})))
                .in_memory().open().await.unwrap();
            let (typed, plain) = (app.model::<Kinds>(), app.model_by_id("plain").unwrap());
            for it in &all {
                let doc = typed.insert(it.clone()).await.unwrap();
                let json = on_the_wire(it);
                assert_eq!(serde_json::from_value::<Kinds>(json.clone()).unwrap(), *it);
                plain.insert_with_id(doc.id().to_string().parse().unwrap(), json.try_into().unwrap()).await.unwrap();
            }
            for it in &all {
                let mut filters: Vec<(Filter<Kinds>, Value)> =
                    by_constants(it).into_iter().map(|filter| { let json = filter.to_json(); (filter, json) }).collect();
                let mut found = Vec::new();
                places("", &on_the_wire(it), &mut found);
                for (path, value) in found {
                    for json in [json!({&path: value}), json!({&path: {"$exists": true}}), json!({&path: {"$gt": value}})] {
                        filters.push((Filter::parse(&json).unwrap(), json));
                    }
                }
                for (filter, json) in filters {
                    let typed = ids(&typed.find(filter).await.unwrap());
                    let plain = ids(&plain.find(Filter::parse(&json).unwrap()).await.unwrap());
                    assert_eq!(typed, plain, "{json}");
                }
            }
        });
    }
}

#[tokio::test]
async fn errors_of_a_tagged_enum_name_what_is_wrong() {
    let app = App::new().model::<Kinds>().in_memory().open().await.unwrap();
    let schema = app.model::<Kinds>().schema();
    let alternatives = schema["$defs"]["Internal"]["oneOf"].as_array().unwrap();
    assert_eq!(alternatives.len(), 4);
    assert!(alternatives.iter().all(|it| it["properties"]["kind"]["const"].is_string()), "{schema}");
}
