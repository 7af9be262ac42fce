//! What a schema can say, beyond types and bounds: messages of its own, hints for clients, defaults.

use modeller::__private::serde_json::{self, Value, json};
use modeller::prelude::*;

/// Who may come.
#[model(id = "guests", public, error_message(additional_properties = "a guest has a name, an address and seats"))]
pub struct Guest {
    /// As it is on the door.
    #[field(min_length = 2, max_length = 40, error_message = "tell us your name", title = "Name", example = "Ada")]
    pub name: String,
    #[field(
        format = "email",
        max_length = 20,
        error_message(
            required = "we need an address",
            type = "an address is a text",
            format = "${/name}, ${/mail} is no address; ${/pin} ${0}"
        )
    )]
    pub mail: String,
    #[field(default = 1, minimum = 1, maximum = 4, hidden, error_message(maximum = "four seats at most"))]
    pub seats: u8,
    #[field(default, error_message = "lunch or dinner")]
    pub meal: Meal,
    #[field(min_length = 4, error_message = "a longer pin")]
    pub pin: Private<String>,
    #[field(default, contains = "vegan", max_items = 2)]
    pub tags: Option<Vec<String>>,
    #[field(default, min_properties = 1, max_properties = 2)]
    pub notes: Option<std::collections::BTreeMap<String, u8>>,
    #[field(default = 1, const = 1)]
    pub version: u8,
}

#[value]
#[derive(Default, PartialEq)]
pub enum Meal {
    #[default]
    Lunch,
    Dinner,
}

async fn guests() -> Model<Guest> {
    App::new().model::<Guest>().in_memory().open().await.unwrap().model::<Guest>()
}

/// The violations of a guest, each as its place, its keyword, what it says, and the keywords that it stands for.
async fn said(guest: Value) -> Vec<(String, String, String, Vec<String>)> {
    let error = guests().await.insert_json(&guest.to_string()).await.unwrap_err();
    assert!(!format!("{error:?} {}", error.to_json()).contains("s3c"), "{error:?}");
    let stands_for = |params: &Value| {
        let errors = params["errors"].as_array().into_iter().flatten();
        errors
            .map(|error| {
                assert_eq!(error["emUsed"], true);
                error["keyword"].as_str().unwrap().to_owned()
            })
            .collect()
    };
    let mut all: Vec<_> = error
        .violations()
        .iter()
        .map(|it| (it.instance_path.clone(), it.keyword.to_string(), it.message.to_string(), stands_for(&it.params)))
        .collect();
    all.sort();
    all
}

fn told(place: &str, message: &str, stands_for: &[&str]) -> (String, String, String, Vec<String>) {
    let stands_for = stands_for.iter().map(ToString::to_string).collect();
    (place.into(), "errorMessage".into(), message.into(), stands_for)
}

#[tokio::test]
async fn c9_error_message_per_field_and_keyword() {
    // One for a whole field, whatever is wrong with it, also what a type of its own reports.
    let whole = said(json!({"name": "", "mail": "a@b.de", "meal": "tea", "pin": "s3c"})).await;
    assert_eq!(
        whole,
        [
            told("/meal", "lunch or dinner", &["enum"]),
            told("/name", "tell us your name", &["minLength"]),
            told("/pin", "a longer pin", &["minLength"]),
        ]
    );
    // One for each keyword; the others keep AJV's words.
    let each = said(json!({"name": "Ada", "mail": "no address, and too long", "seats": 9, "pin": "s3cret"})).await;
    let too_long = ("/mail".into(), "maxLength".into(), "must NOT have more than 20 characters".into(), vec![]);
    let mail = "\"no address, and too long\"";
    let format = format!("\"Ada\", {mail} is no address; <private> {mail}");
    assert_eq!(
        each,
        [told("/mail", &format, &["format"]), too_long, told("/seats", "four seats at most", &["maximum"])]
    );
    let typed = said(json!({"name": "Ada", "mail": 5, "pin": "s3cret"})).await;
    assert_eq!(typed, [told("/mail", "an address is a text", &["type"])]);
    // A missing field is reported by what holds it.
    let missing = said(json!({"name": "Ada", "pin": "s3cret", "extra": 1})).await;
    assert_eq!(
        missing,
        [
            told("", "a guest has a name, an address and seats", &["additionalProperties"]),
            told("", "we need an address", &["required"]),
        ]
    );
    let error = guests().await.insert_json(r#"{"mail":"a@b.de","pin":"s3cret"}"#).await.unwrap_err();
    let violation = &error.violations()[0];
    assert_eq!((violation.keyword.as_ref(), violation.schema_path.as_ref()), ("required", "#/required"));
}

#[tokio::test]
async fn c6_hidden_and_other_hints_are_carried_in_the_schema() {
    let schema = guests().await.schema();
    let property = |name: &str| schema["properties"][name].clone();
    assert_eq!((&property("seats")["hidden"], property("name").get("hidden")), (&json!(true), None));
    assert_eq!(property("name")["title"], "Name");
    assert_eq!(property("name")["description"], "As it is on the door.");
    assert_eq!(property("name")["examples"], json!(["Ada"]));
    assert_eq!(schema["description"], "Who may come.");
}

#[tokio::test]
async fn keywords_of_lists_maps_and_constants_are_asserted() {
    let wrong =
        said(json!({"name": "Ada", "mail": "a@b.de", "pin": "s3cret", "tags": ["a"], "notes": {}, "version": 2})).await;
    let keywords: Vec<(&str, &str)> = wrong.iter().map(|it| (it.0.as_str(), it.1.as_str())).collect();
    assert_eq!(
        keywords,
        [("/notes", "minProperties"), ("/tags", "contains"), ("/tags/0", "const"), ("/version", "const")]
    );
}

#[tokio::test]
async fn c7_defaults_are_filled_in_before_validation() {
    let guest = guests().await.insert_json(r#"{"name":"Ada","mail":"a@b.de","pin":"s3cret"}"#).await.unwrap();
    assert_eq!((guest.seats, guest.version, &guest.meal), (1, 1, &Meal::Lunch));
}

/// Somebody who gets mail.
#[model(id = "receivers")]
pub struct Receiver {
    #[field(schema_ref = "https://example.org/address.json")]
    pub address: Document,
}

#[value]
pub struct Parcel {
    #[field(schema_ref = "https://example.org/address.json#/$defs/zip")]
    pub zip: String,
}

#[method(Receiver)]
async fn send(args: Parcel) -> Result<usize> {
    Ok(args.zip.len())
}

fn addresses() -> Value {
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "https://example.org/address.json",
        "type": "object",
        "properties": {"zip": {"$ref": "#/$defs/zip"}},
        "required": ["zip"],
        "$defs": {"zip": {"type": "string", "pattern": "^[0-9]{5}$"}},
    })
}

#[tokio::test]
async fn c1_references_lead_to_registered_schemas() {
    let given = json!({"$id": "https://example.org/people/person.json",
        "properties": {"home": {"$ref": "../address.json"}, "note": {"$ref": "/note.json"}}});
    let note = json!({"$id": "https://example.org/note.json", "type": "string", "private": true});
    let app = App::new()
        .schema(addresses())
        .schema(note.clone())
        .model::<Receiver>()
        .schema_model(SchemaModel::new("people", given).public())
        .in_memory()
        .open()
        .await
        .unwrap();
    let places = |error: Error| -> Vec<(String, String)> {
        error.violations().iter().map(|it| (it.instance_path.clone(), it.keyword.to_string())).collect()
    };
    let pattern = |place: &str| vec![(place.to_owned(), "pattern".to_owned())];

    // Of a model with a type, of the arguments of a method, and of a model given as JSON.
    let receivers = app.model::<Receiver>();
    let receiver = |zip: &str| Receiver { address: json!({"zip": zip}).try_into().unwrap() };
    receivers.insert(receiver("12345")).await.unwrap();
    assert_eq!(places(receivers.insert(receiver("1234")).await.unwrap_err()), pattern("/address/zip"));
    assert_eq!(receivers.call("send", json!({"zip": "12345"})).await.unwrap(), 5);
    assert_eq!(places(receivers.call("send", json!({"zip": "1234"})).await.unwrap_err()), pattern("/zip"));
    let people = app.model_by_id("people").unwrap();
    let person = |zip: &str| json!({"home": {"zip": zip}, "note": "tr0ub4dor"}).try_into().unwrap();
    assert_eq!(places(people.insert(person("1234")).await.unwrap_err()), pattern("/home/zip"));
    // What the schema that is referred to says is private is private.
    let stored = people.insert(person("12345")).await.unwrap();
    assert!(!serde_json::to_string(&stored).unwrap().contains("tr0ub4dor"));
    // What is shown is complete.
    assert_eq!(people.schema()["properties"]["home"]["$ref"], "#/$defs/address.json");
    assert_eq!(people.schema()["$defs"]["address.json"]["required"], json!(["zip"]));
}

#[tokio::test]
async fn c1_a_reference_that_leads_nowhere_stops_the_start() {
    let model =
        |reference: &str| SchemaModel::new("things", json!({"properties": {"a": {"items": {"$ref": reference}}}}));
    for (reference, place) in [
        ("https://example.org/other.json", "#/properties/a/items"),
        ("https://example.org/address.json#/$defs/town", "#/properties/a/items/$ref"),
        ("#/$defs/none", "#/properties/a/items"),
    ] {
        let app = App::new().schema(addresses()).schema_model(model(reference)).in_memory().open().await;
        let error = app.err().unwrap();
        assert_eq!(error.code().as_str(), "INVALID_DECLARATION");
        assert!(error.text().contains(reference) && error.text().contains(place), "{}", error.text());
    }
    // Of the values of a type, the type alone can say what is private.
    let mut private = addresses();
    private["$defs"]["zip"]["private"] = true.into();
    let withheld = App::new().schema(private).model::<Receiver>().in_memory().open().await;
    assert!(withheld.err().unwrap().text().contains("`address.json` has something private in it"));
    let unnamed = App::new().schema(json!({"type": "object"})).model::<Guest>().in_memory().open().await;
    assert!(unnamed.err().unwrap().text().contains("no `$id`"));
}
