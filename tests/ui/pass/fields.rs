//! Every key, and types that the macro cannot see through.
#![deny(warnings)]
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};

use modeller::Id;
use modeller::prelude::*;

type Age = u8;
type Names = Vec<String>;

/// A person.
#[model(id = "people", protected, rename_all = "camelCase")]
pub struct Person {
    /// Where mail goes.
    #[field(unique, format = "email", max_length = 254)]
    pub mail_address: String,
    #[field(minimum = 0, exclusive_maximum = 150, default = 18)]
    age: Age,
    #[field(min_items = 1, max_items = 5, unique_items)]
    pub(crate) names: Names,
    #[field(default = "unknown", pattern = "^[a-z]+$", min_length = 2)]
    pub r#type: String,
    #[field(default, min_length = 12)]
    pub password: Private<String>,
    #[field(hidden, default = -1.5, exclusive_minimum = -2, maximum = 1.5, multiple_of = 0.5)]
    pub score: f64,
    #[field(index, rename = "boss", constant = "SUPERIOR")]
    pub superior: Option<Id<Person>>,
    #[serde(rename = "tags", default)]
    pub labels: BTreeSet<String>,
    #[field(default)]
    pub address: Option<Address>,
    #[field(default)]
    pub counts: BTreeMap<String, u64>,
    #[field(unique)]
    pub slug: Slug,
    #[field(index, default = Mood::Happy)]
    pub mood: Mood,
    #[field(default)]
    pub shape: Shape,
    pub foreign: serde_json::Value,
}

/// Where someone lives.
#[value(rename_all = "kebab-case")]
#[derive(PartialEq)]
pub struct Address {
    /// The town.
    #[field(min_length = 1)]
    pub home_town: String,
    #[field(default)]
    pub street: Private<String>,
}

/// A text for addresses.
#[value]
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct Slug(#[field(pattern = "^[a-z-]+$", max_length = 40)] pub String);

/// How someone is.
#[value]
#[derive(Default, PartialEq, Eq, Hash, Copy)]
pub enum Mood {
    /// Well.
    #[default]
    Happy,
    /// Not well.
    VerySad,
    /// Neither.
    #[serde(rename = "so-so")]
    Fair,
}

/// A form.
#[value]
#[derive(Default)]
pub enum Shape {
    /// None.
    #[default]
    Empty,
    /// A round one.
    Circle {
        /// Its radius.
        radius: f64,
    },
    /// A square one.
    Square(f64),
}

/// With a tag.
#[value]
#[serde(tag = "kind")]
pub enum Tagged {
    /// One.
    One,
    /// Two.
    Two {
        /// A number.
        number: u8,
    },
}

/// Nothing in it.
#[value]
pub struct Nothing {}

fn main() {
    assert_eq!(Person::MAIL_ADDRESS.name(), "mailAddress");
    assert_eq!(Person::TYPE.name(), "type");
    assert_eq!(Person::SUPERIOR.name(), "boss");
    assert_eq!(Person::LABELS.name(), "tags");
    assert_eq!(Person::_ID.name(), "_id");
    assert_eq!(Address::HOME_TOWN.name(), "home-town");
    let _ = Person::AGE.gte(18) & Person::MOOD.eq(Mood::VerySad) & Person::NAMES.eq(vec![String::new()]);

    let person: Person = serde_json::from_value(serde_json::json!({
        "mailAddress": "a@b.c", "names": ["a"], "boss": null, "slug": "a-b", "foreign": [1]
    }))
    .unwrap();
    assert_eq!((person.age, person.score, person.r#type.as_str()), (18, -1.5, "unknown"));
    assert_eq!(person.password.get().map(String::as_str), Some(""));
    let json = serde_json::to_value(&person).unwrap();
    assert_eq!(json.get("password"), None);
    assert_eq!(json["mood"], "happy");
    assert_eq!(serde_json::to_value(Mood::VerySad).unwrap(), "verySad");
    assert_eq!(serde_json::to_value(Mood::Fair).unwrap(), "so-so");
    assert!(serde_json::from_value::<Address>(serde_json::json!({"home-town": "x", "more": 1})).is_err());
    assert!(!format!("{person:?}").contains("password: Private(\""));

    let schema = modeller::__private::schemars::schema_for!(Person).to_value();
    let properties = &schema["properties"];
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(properties["mailAddress"]["unique"], true);
    assert_eq!(properties["mailAddress"]["format"], "email");
    assert_eq!(properties["age"]["exclusiveMaximum"], 150);
    assert_eq!(properties["age"]["default"], 18);
    assert_eq!(properties["names"]["uniqueItems"], true);
    assert_eq!(properties["password"]["private"], true);
    assert_eq!(properties["password"].get("default"), None);
    assert_eq!(properties["score"]["exclusiveMinimum"], -2);
    assert_eq!(properties["score"]["multipleOf"], 0.5);
    assert_eq!(properties["mood"]["default"], "happy");
    assert_eq!(schema["$defs"]["Slug"]["maxLength"], 40);
    assert_eq!(schema["$defs"]["Address"]["properties"]["home-town"]["minLength"], 1);
}
