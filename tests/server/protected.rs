//! What is protected is there for verified callers only: anyone else is answered, byte for byte, as if it did not exist. That
//! holds for models with a Rust type and for those given as JSON.

use modeller::prelude::*;
use serde_json::{Value, json};

use crate::support::{Answer, SECRET, ask_with, token};

/// In every protected field; no answer to anyone may hold it.
const HIDDEN: &str = "hidden-canary-7f";

#[value]
pub struct Badge {
    pub colour: String,
    #[field(default)]
    pub code: Protected<Option<String>>,
}

/// Only a protected field is of this type.
#[value]
pub struct Clearance {
    pub level: String,
}

#[model(id = "staff", public, client_ids)]
pub struct Staff {
    pub name: String,
    #[field(unique, default)]
    pub salary: Protected<Option<String>>,
    #[field(default)]
    pub clearance: Protected<Vec<Clearance>>,
    #[field(default)]
    pub badge: Option<Badge>,
    #[field(default)]
    pub badges: Vec<Badge>,
    #[field(default)]
    pub by_door: std::collections::BTreeMap<String, Badge>,
}

/// The same as anyone is to see it.
#[value]
pub struct PlainBadge {
    pub colour: String,
}

#[model(id = "plain", public, client_ids)]
pub struct Plain {
    pub name: String,
    #[field(default)]
    pub badge: Option<PlainBadge>,
    #[field(default)]
    pub badges: Vec<PlainBadge>,
    #[field(default)]
    pub by_door: std::collections::BTreeMap<String, PlainBadge>,
}

#[model(id = "vaults", public)]
pub struct Vault {
    pub name: String,
    #[field(min_length = 4)]
    pub key: Protected<String>,
}

#[model(id = "codes", public)]
pub struct Code {
    pub name: String,
    #[field(unique, default = "same")]
    pub code: Protected<String>,
}

#[value]
pub struct Pay {
    pub currency: String,
    #[field(default)]
    pub amount: Protected<Option<String>>,
}

/// With messages of the author's own, and members beside those of the model.
#[model(id = "payrolls", public, error_message(additional_properties = "unknown, beside ${/pin} and ${/amount}"))]
pub struct Payroll {
    #[field(min_length = 2, error_message(min_length = "too short beside ${/pin}"))]
    pub name: String,
    #[field(error_message(required = "say the pin"))]
    pub pin: Protected<String>,
    #[serde(flatten)]
    pub pay: Pay,
}

/// Stores what does not fit, beside something that is protected.
#[method(Payroll)]
async fn misname(payrolls: Model<Payroll>) -> Result<()> {
    let pay = Pay { currency: "EUR".into(), amount: Some(HIDDEN.to_owned()).into() };
    payrolls.insert(Payroll { name: "x".into(), pin: HIDDEN.into(), pay }).await.map(drop)
}

/// Stores nothing that is required.
#[method(Payroll)]
async fn unpin(payrolls: Model<Payroll>) -> Result<()> {
    let pay = Pay { currency: "EUR".into(), amount: None.into() };
    payrolls.insert(Payroll { name: "xx".into(), pin: Protected::withheld(), pay }).await.map(drop)
}

/// Answers what it is given, and whom it finds.
#[method(Staff)]
async fn echo(args: Badge) -> Result<Badge> {
    Ok(args)
}

#[method(Staff)]
async fn everybody(staff: Model<Staff>) -> Result<Vec<Doc<Staff>>> {
    staff.find(Filter::all()).await
}

#[method(Staff)]
async fn tell(staff: Model<Staff>) -> Result<()> {
    let first = staff.get(Filter::all()).await?;
    staff.subscription(Filter::all()).publish(&first).await
}

/// Stores what does not fit.
#[method(Vault)]
async fn spoil(vaults: Model<Vault>) -> Result<()> {
    vaults.insert(Vault { name: "v".into(), key: "no".into() }).await.map(drop)
}

struct Asked {
    app: App,
    router: axum::Router,
    bearer: String,
}

async fn asked() -> Asked {
    let app = App::new().model::<Staff>().model::<Plain>().model::<Vault>().model::<Code>().model::<Payroll>();
    let app = app.secret(SECRET).in_memory().open().await.unwrap();
    let bearer = format!("Bearer {}", token(&app, "ada"));
    Asked { router: app.router(), bearer, app }
}

/// What `Staff` and `Plain` are, given as JSON.
fn schema(protected: bool) -> Value {
    let text = json!({"type": ["string", "null"]});
    let mut code = text.clone();
    code["default"] = Value::Null;
    let mut badge = json!({"type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"],
                           "additionalProperties": false});
    let mut whole = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "badge": {"anyOf": [{"$ref": "#/$defs/Badge"}, {"type": "null"}], "default": null},
            "badges": {"type": "array", "items": {"$ref": "#/$defs/Badge"}, "default": []},
            "by_door": {"type": "object", "additionalProperties": {"$ref": "#/$defs/Badge"}, "default": {}},
        },
        "required": ["name"],
        "additionalProperties": false,
    });
    if protected {
        code["protected"] = true.into();
        badge["properties"]["code"] = code.clone();
        code["unique"] = true.into();
        whole["properties"]["salary"] = code;
        whole["properties"]["clearance"] =
            json!({"type": "array", "items": {"$ref": "#/$defs/Clearance"}, "default": [], "protected": true});
        whole["$defs"]["Clearance"] =
            json!({"type": "object", "properties": {"level": {"type": "string"}}, "required": ["level"]});
    }
    whole["$defs"]["Badge"] = badge;
    whole
}

async fn asked_json() -> Asked {
    let given = |id: &str, protected| SchemaModel::new(id, schema(protected)).public().client_ids();
    let app = App::new().schema_model(given("staff", true)).schema_model(given("plain", false));
    let app = app.secret(SECRET).in_memory().open().await.unwrap();
    let bearer = format!("Bearer {}", token(&app, "ada"));
    Asked { router: app.router(), bearer, app }
}

/// The same models, once as Rust types and once as JSON.
async fn both() -> [Asked; 2] {
    [asked().await, asked_json().await]
}

impl Asked {
    async fn verified(&self, method: &str, path: &str, body: Value) -> Answer {
        ask_with(&self.router, method, path, body, &[("authorization", &self.bearer)]).await
    }

    /// Asked by anyone, who is never shown what is protected.
    async fn anyone(&self, method: &str, path: &str, body: Value) -> Answer {
        let answer = ask_with(&self.router, method, path, body, &[]).await;
        let text = String::from_utf8_lossy(&answer.bytes);
        assert!(!text.contains(HIDDEN), "{method} {path}: {text}");
        answer
    }

    /// One with everything protected in it, and the same without in the plain model.
    async fn seeded(&self) {
        let made = self.verified("PUT", "/staff/a", whole("a")).await;
        assert_eq!(made.status, 201, "{}", made.json());
        assert_eq!(self.anyone("PUT", "/plain/a", open("a")).await.status, 201);
    }

    async fn stored(&self) -> Doc<Staff> {
        self.app.model::<Staff>().get(Filter::all()).await.unwrap().unwrap()
    }

    /// The same, whatever the model is made of.
    async fn value(&self) -> Staff {
        let doc = self.app.model_by_id("staff").unwrap().get(Filter::all()).await.unwrap().unwrap();
        serde_json::from_value(doc.value().into_members().into()).unwrap()
    }

    /// The same is asked of the model with protected fields and of the one that never had them, with the same answer.
    async fn alike(&self, method: &str, path: &str, body: Value) -> Answer {
        let of = |model: &str| path.replace("{}", model);
        let answer = self.anyone(method, &of("staff"), body.clone()).await;
        let plain = self.anyone(method, &of("plain"), body.clone()).await;
        let text = |answer: &Answer| {
            let text = String::from_utf8_lossy(&answer.bytes).replace("PlainBadge", "Badge").replace("staff", "plain");
            let mut json: Value = serde_json::from_str(&text).unwrap();
            forget_revisions(&mut json);
            json.to_string()
        };
        assert_eq!((answer.status, text(&answer)), (plain.status, text(&plain)), "{method} {path} {body}");
        answer
    }
}

/// Two documents of two models have not the same revision.
fn forget_revisions(json: &mut Value) {
    match json {
        Value::Object(object) => {
            ["_rev", "seq"].into_iter().for_each(|name| drop(object.remove(name)));
            object.values_mut().for_each(forget_revisions);
        }
        Value::Array(values) => values.iter_mut().for_each(forget_revisions),
        _ => {}
    }
}

fn whole(name: &str) -> Value {
    let badge = json!({"colour": "red", "code": HIDDEN});
    json!({"name": name, "salary": HIDDEN, "clearance": [{"level": HIDDEN}], "badge": badge, "badges": [badge],
           "by_door": {"front": badge}})
}

fn open(name: &str) -> Value {
    let badge = json!({"colour": "red"});
    json!({"name": name, "badge": badge, "badges": [badge], "by_door": {"front": badge}})
}

#[tokio::test]
async fn c5_reads_show_it_to_verified_callers_only() {
    for asked in both().await {
        asked.seeded().await;
        asked.alike("GET", "/{}/a", Value::Null).await;
        asked.alike("GET", "/{}", Value::Null).await;
        asked.alike("GET", "/{}?count=true", Value::Null).await;
        asked.alike("POST", "/{}/@query", json!({"filter": {"name": "a"}})).await;
        let mut shown = asked.verified("GET", "/staff/a", Value::Null).await.json();
        let listed = asked.verified("GET", "/staff", Value::Null).await.json();
        assert_eq!(listed["items"][0], shown);
        let object = shown.as_object_mut().unwrap();
        object.retain(|name, _| !name.starts_with('_'));
        assert_eq!(shown, whole("a"));
        // A token that is not ours is nobody's.
        let forged =
            ask_with(&asked.router, "GET", "/staff/a", Value::Null, &[("authorization", "Bearer x.y.z")]).await;
        assert_eq!(forged.status, 401);
    }
}

#[tokio::test]
async fn c5_what_anyone_writes_of_it_is_an_unknown_name() {
    for asked in both().await {
        asked.seeded().await;
        for body in [
            whole("b"),
            json!({"name": "b", "salary": "x"}),
            json!({"name": "b", "salary": null}),
            json!({"name": "b", "badge": {"colour": "red", "code": "x"}}),
            json!({"name": "b", "badges": [{"colour": "red", "code": 5}]}),
            json!({"name": "b", "by_door": {"x": {"code": "x"}}}),
            json!({"salary": "x"}),
        ] {
            for (method, path) in [("POST", "/{}"), ("PUT", "/{}/b"), ("PUT", "/{}/a")] {
                let answer = asked.alike(method, path, body.clone()).await;
                answer.assert_problem(422, "VALIDATION_ERROR");
            }
            asked.alike("POST", "/{}", json!([open("c"), body])).await;
        }
        asked.alike("PUT", "/{}/b", open("b")).await;
        assert_eq!(asked.alike("POST", "/{}/", open("c")).await.status, 404);
        let (right, wrong) = (HIDDEN, "0");
        for value in [right, wrong] {
            for update in [
                json!({"salary": value}),
                json!({"salary": null}),
                json!({"badge": {"code": value}}),
                json!({"$set": {"salary": value}}),
                json!({"$set": {"salary.x": value}}),
                json!({"$unset": {"salary": 1}}),
                json!({"$inc": {"salary": 1}}),
                json!({"$max": {"salary": value}}),
                json!({"$rename": {"salary": "name"}}),
                json!({"$rename": {"name": "salary"}}),
                json!({"$set": {"badge.code": value}}),
                json!({"$max": {"badge.code": value}}),
                json!({"$rename": {"badge.code": "name"}}),
                json!({"$rename": {"badge.colour": "badge.code"}}),
                json!({"$set": {"badges.0.code": value}}),
                json!({"$push": {"badges": {"colour": "x", "code": value}}}),
                json!({"$set": {"by_door.front.code": value}}),
                json!({"$set": {"by_door.new.code": value}}),
            ] {
                let answer = asked.alike("PATCH", "/{}/a", update.clone()).await;
                assert!([400, 422, 200].contains(&answer.status.as_u16()), "{update}: {}", answer.json());
                asked.alike("PATCH", "/{}?filter=%7B%22name%22%3A%22a%22%7D", update).await;
            }
            // What looks at whole values sees them without it.
            for update in [
                json!({"$pull": {"badges": {"code": value}}}),
                json!({"$pull": {"badges": {"code": {"$gte": "h"}}}}),
                json!({"$addToSet": {"badges": {"colour": "red"}}}),
                json!({"$max": {"badge": {"colour": "red"}}}),
                json!({"$push": {"badges": {"$each": [], "$sort": {"code": 1}}}}),
            ] {
                asked.alike("PATCH", "/{}/a", update).await;
            }
        }
        let staff = asked.app.model_by_id("staff").unwrap();
        assert_eq!(staff.count(Filter::parse(&json!({"salary": HIDDEN})).unwrap()).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn c5_what_anyone_changes_keeps_it() {
    for asked in both().await {
        asked.seeded().await;
        let kept = |staff: &Staff| {
            let code = |badge: &Badge| badge.code.get().cloned().flatten();
            assert_eq!(staff.salary.get(), Some(&Some(HIDDEN.to_owned())));
            assert_eq!(staff.clearance.get().unwrap()[0].level, HIDDEN);
            assert_eq!(staff.badge.as_ref().and_then(code).as_deref(), Some(HIDDEN));
            assert_eq!(code(&staff.badges[0]).as_deref(), Some(HIDDEN));
            assert_eq!(code(&staff.by_door["front"]).as_deref(), Some(HIDDEN));
        };
        for (method, body) in [
            ("PATCH", json!({"name": "b"})),
            ("PATCH", json!({"$set": {"badge.colour": "blue", "badges.0.colour": "blue"}})),
            ("PATCH", json!({"$push": {"badges": {"colour": "green"}}})),
            (
                "PUT",
                json!({"name": "c", "badge": {"colour": "x"}, "badges": [{"colour": "blue"}, {"colour": "green"}],
                           "by_door": {"front": {"colour": "x"}}}),
            ),
        ] {
            let answer = asked.alike(method, "/{}/a", body.clone()).await;
            assert_eq!(answer.status, 200, "{body}: {}", answer.json());
            kept(&asked.value().await);
        }
        // A verified caller sees it, so that what is not sent is meant to go.
        assert_eq!(asked.verified("PUT", "/staff/a", open("d")).await.status, 200);
        let staff = asked.value().await;
        // As JSON there is no telling `null` from what is withheld.
        assert_eq!((staff.salary.get().cloned().flatten(), staff.clearance.get().map(Vec::len)), (None, Some(0)));
        let deleted = asked.anyone("DELETE", "/staff/a", Value::Null).await;
        assert!(deleted.json().get("salary").is_none());
    }
}

#[tokio::test]
async fn c5_what_is_withheld_in_process_is_kept() {
    let asked = asked().await;
    asked.seeded().await;
    let staff = asked.stored().await;
    let value = Staff { salary: Some("x".to_owned()).into(), ..staff.value() };
    let staff = asked.app.model::<Staff>().replace(&staff, value).await.unwrap();
    let value = Staff { salary: Protected::withheld(), ..staff.value() };
    let staff = asked.app.model::<Staff>().replace(&staff, value).await.unwrap();
    assert_eq!(staff.salary.get(), Some(&Some("x".to_owned())));
}

#[tokio::test]
async fn c5_filters_and_sorts_are_no_oracle() {
    for asked in both().await {
        asked.seeded().await;
        asked.verified("PUT", "/staff/b", json!({"name": "b", "salary": "0", "badge": {"colour": "red"}})).await;
        asked.anyone("PUT", "/plain/b", json!({"name": "b", "badge": {"colour": "red"}})).await;
        for value in [HIDDEN, "0", "zz"] {
            for filter in [
                json!({"salary": value}),
                json!({"salary": {"$gte": value}}),
                json!({"salary": {"$exists": true}}),
                json!({"salary": null}),
                json!({"clearance.level": value}),
                json!({"$or": [{"name": "zz"}, {"salary": {"$in": [value]}}]}),
                json!({"badge.code": value}),
                json!({"badge.code": {"$ne": value}}),
                json!({"badge.code": {"$not": {"$lt": value}}}),
                json!({"badge.code": {"$regex": "^hidden"}}),
                json!({"badges.code": value}),
                json!({"badges.0.code": {"$exists": true}}),
                json!({"badges": {"$elemMatch": {"code": value}}}),
                json!({"badge": {"colour": "red", "code": value}}),
                json!({"badge": {"colour": "red"}}),
                json!({"badge": {"$gt": {"colour": "red", "code": value}}}),
                json!({"badges": [{"colour": "red", "code": value}]}),
                json!({"by_door.front.code": value}),
                json!({"salaryy": value}),
            ] {
                asked.alike("POST", "/{}/@query", json!({"filter": filter})).await;
            }
        }
        for path in ["salary", "badge.code", "badges.code", "badge", "by_door", "clearance"] {
            for direction in [1, -1] {
                asked.alike("POST", "/{}/@query", json!({"sort": {path: direction}})).await;
            }
        }
        for (filter, names) in [
            (json!({"salary": HIDDEN}), vec!["a"]),
            (json!({"salary": {"$gte": "1"}}), vec!["a"]),
            (json!({"salary": {"$ne": HIDDEN}}), vec!["b"]),
            (json!({"badge.code": HIDDEN}), vec!["a"]),
            (json!({"badges": {"$elemMatch": {"code": HIDDEN}}}), vec!["a"]),
            (json!({"clearance.level": HIDDEN}), vec!["a"]),
        ] {
            let query = json!({"filter": filter, "sort": {"salary": -1}});
            let found = asked.verified("POST", "/staff/@query", query).await.json();
            let found: Vec<_> = found["items"].as_array().unwrap().iter().map(|item| item["name"].clone()).collect();
            assert_eq!(found, names, "{filter}");
        }
        let sorted = asked.verified("POST", "/staff/@query", json!({"sort": {"salary": 1}})).await.json();
        assert_eq!(sorted["items"][0]["name"], "b");
    }
}

#[tokio::test]
async fn c5_the_metadata_of_anyone_does_not_know_of_it() {
    let asked = asked().await;
    let metadata = asked.anyone("GET", "/@metadata", Value::Null).await;
    let of = |metadata: &Value, id: &str| {
        metadata["models"].as_array().unwrap().iter().find(|model| model["id"] == id).unwrap().clone()
    };
    let given = asked_json().await;
    let of_given = given.anyone("GET", "/@metadata", Value::Null).await.json();
    assert_eq!(of(&of_given, "staff")["schema"], schema(false));
    assert_eq!(of(&of_given, "staff")["fields"], of(&of_given, "plain")["fields"]);
    let of_given = of(&given.verified("GET", "/@metadata", Value::Null).await.json(), "staff");
    assert_eq!((&of_given["schema"], of_given["fields"].as_array().unwrap().len()), (&schema(true), 6));
    let (staff, plain) = (of(&metadata.json(), "staff"), of(&metadata.json(), "plain"));
    for word in ["salary", "clearance", "Clearance", "\"code\"", "\"protected\":true"] {
        assert!(!staff.to_string().contains(word), "{word}: {staff}");
    }
    let alike = |model: &Value| {
        let text = model["schema"].to_string().replace("PlainBadge", "Badge").replace("Plain", "Staff");
        serde_json::from_str::<Value>(&text.replace(" The same as anyone is to see it.", "")).unwrap()
    };
    assert_eq!(alike(&staff)["properties"], alike(&plain)["properties"]);
    assert_eq!(alike(&staff)["required"], alike(&plain)["required"]);
    let vault = of(&metadata.json(), "vaults");
    assert_eq!((&vault["schema"]["required"], vault["fields"].as_array().unwrap().len()), (&json!(["name"]), 1));
    let verified = of(&asked.verified("GET", "/@metadata", Value::Null).await.json(), "staff");
    let salary = verified["fields"].as_array().unwrap().iter().find(|field| field["name"] == "salary").unwrap();
    assert_eq!((&salary["protected"], &salary["private"]), (&json!(true), &json!(false)));
    assert_eq!(verified["schema"]["properties"]["salary"]["protected"], true);
    assert!(verified["operations"].to_string().contains("\"code\""));
}

#[tokio::test]
async fn c5_arguments_and_answers_of_methods() {
    let asked = asked().await;
    asked.seeded().await;
    let badge = json!({"colour": "red", "code": HIDDEN});
    let refused = asked.anyone("POST", "/staff/echo", badge.clone()).await;
    let unknown = asked.anyone("POST", "/staff/echo", json!({"colour": "red", "kode": 1})).await;
    let text = |answer: &Answer| String::from_utf8_lossy(&answer.bytes).replace("\"kode\"", "\"code\"");
    assert_eq!((refused.status.as_u16(), text(&refused)), (422, text(&unknown)));
    let verified = asked.verified("POST", "/staff/echo", badge.clone()).await;
    assert_eq!((verified.status.as_u16(), verified.json()), (200, badge));
    let all = asked.anyone("POST", "/staff/everybody", Value::Null).await.json();
    assert_eq!((all[0]["name"].as_str(), all[0].get("salary")), (Some("a"), None));
    assert_eq!(asked.verified("POST", "/staff/everybody", Value::Null).await.json()[0]["salary"], HIDDEN);
    // A program that serializes a document itself is no verified caller.
    assert!(!serde_json::to_string(&asked.stored().await).unwrap().contains(HIDDEN));
    let shown = format!("{:?}", asked.stored().await);
    assert!(shown.contains("<protected>") && !shown.contains(HIDDEN), "{shown}");
}

#[tokio::test]
async fn c5_what_is_published_never_holds_it() {
    let asked = asked().await;
    asked.seeded().await;
    let mut heard = asked.app.model::<Staff>().subscription(Filter::all()).listen();
    assert_eq!(asked.verified("POST", "/staff/tell", Value::Null).await.status, 200);
    let Some(Heard::Payload { payload, .. }) = heard.next().await else { panic!("nothing was heard") };
    assert_eq!(payload["name"], "a");
    assert!(!payload.to_string().contains(HIDDEN), "{payload}");
}

#[tokio::test]
async fn c5_errors_of_it_tell_anyone_that_a_token_is_needed() {
    let asked = asked().await;
    // Required, and anyone cannot give it.
    let first = asked.anyone("POST", "/vaults", json!({"name": "v"})).await;
    first.assert_problem(401, "UNAUTHENTICATED");
    assert!(!String::from_utf8_lossy(&first.bytes).contains("key"));
    // What is wrong otherwise comes first.
    let wrong = asked.anyone("POST", "/vaults", json!({})).await.assert_problem(422, "VALIDATION_ERROR");
    assert_eq!(wrong["errors"].as_array().unwrap().len(), 1, "{wrong}");
    let missing = asked.verified("POST", "/vaults", json!({"name": "v"})).await.assert_problem(422, "VALIDATION_ERROR");
    assert_eq!(missing["errors"][0]["params"]["missingProperty"], "key");
    let short = asked.verified("POST", "/vaults", json!({"name": "v", "key": "x"})).await;
    assert_eq!(short.assert_problem(422, "VALIDATION_ERROR")["errors"][0]["instancePath"], "/key");
    // Also when it was the program that gave it.
    asked.anyone("POST", "/vaults/spoil", Value::Null).await.assert_problem(401, "UNAUTHENTICATED");
    asked.verified("POST", "/vaults/spoil", Value::Null).await.assert_problem(422, "VALIDATION_ERROR");
    // A default that is taken.
    assert_eq!(asked.anyone("POST", "/codes", json!({"name": "x"})).await.status, 201);
    let taken = asked.anyone("POST", "/codes", json!({"name": "y"})).await;
    taken.assert_problem(401, "UNAUTHENTICATED");
    assert!(!String::from_utf8_lossy(&taken.bytes).contains("code`"));
    let taken = asked.verified("POST", "/codes", json!({"name": "y"})).await.assert_problem(409, "UNIQUE_VIOLATION");
    assert_eq!(taken["field"], "code");
}

#[tokio::test]
async fn c5_messages_of_the_author_do_not_tell_it() {
    let asked = asked().await;
    let payroll = asked.anyone("GET", "/@metadata", Value::Null).await.json();
    let payroll = payroll["models"].as_array().unwrap().iter().find(|model| model["id"] == "payrolls").unwrap();
    assert!(!payroll.to_string().contains("say the pin"), "{payroll}");
    for body in [json!({"name": "x", "currency": "EUR"}), json!({"name": "xx", "currency": "EUR", "pin": "guess"})] {
        asked.anyone("POST", "/payrolls", body).await.assert_problem(422, "VALIDATION_ERROR");
    }
    let required = asked.verified("POST", "/payrolls", json!({"name": "xx", "currency": "EUR"})).await;
    let required = required.assert_problem(422, "VALIDATION_ERROR");
    assert_eq!(required["errors"][0]["message"], "say the pin", "{required}");
    // What the program does wrong is said without it, also to a verified caller who is not shown it otherwise.
    let wrong = asked.anyone("POST", "/payrolls/misname", Value::Null).await.assert_problem(422, "VALIDATION_ERROR");
    assert_eq!(wrong["errors"][0]["message"], "too short beside <private>", "{wrong}");
    let missing = asked.anyone("POST", "/payrolls/unpin", Value::Null).await;
    missing.assert_problem(401, "UNAUTHENTICATED");
    asked.verified("POST", "/payrolls/unpin", Value::Null).await.assert_problem(422, "VALIDATION_ERROR");
}

#[tokio::test]
async fn c5_members_beside_those_of_the_model_and_parts_of_a_document() {
    let asked = asked().await;
    let pay = json!({"name": "xx", "pin": HIDDEN, "currency": "EUR", "amount": HIDDEN});
    let made = asked.verified("POST", "/payrolls", pay).await;
    assert_eq!((made.status.as_u16(), &made.json()["amount"]), (201, &json!(HIDDEN)), "{}", made.json());
    let path = format!("/payrolls/{}", made.json()["_id"].as_str().unwrap());
    let read = asked.anyone("GET", &path, Value::Null).await.json();
    assert_eq!((&read["currency"], read.get("amount")), (&json!("EUR"), None));
    for name in ["amount", "pin", "other"] {
        for query in [json!({"filter": {name: HIDDEN}}), json!({"sort": {name: 1}}), json!({"fields": {name: 1}})] {
            let told =
                asked.anyone("POST", "/payrolls/@query", query.clone()).await.assert_problem(400, "INVALID_QUERY");
            let unknown = query.to_string().replace(name, "nothing");
            let unknown =
                asked.anyone("POST", "/payrolls/@query", serde_json::from_str(&unknown).unwrap()).await.json();
            assert_eq!(told.to_string().replace(name, "nothing"), unknown.to_string(), "{query}");
        }
        let set = asked.anyone("PATCH", &path, json!({"$set": {name: "x"}})).await;
        set.assert_problem(400, "INVALID_QUERY");
    }
    assert_eq!(asked.anyone("PATCH", &path, json!({"currency": "CHF"})).await.status, 200);
    let stored = asked.app.model::<Payroll>().get(Filter::all()).await.unwrap().unwrap();
    assert_eq!((stored.pay.currency.as_str(), stored.pay.amount.get()), ("CHF", Some(&Some(HIDDEN.to_owned()))));
    let all = asked.anyone("POST", "/payrolls/@query", json!({"fields": {"currency": 0}})).await.json();
    assert!(all["items"][0].get("amount").is_none() && all["items"][0].get("pin").is_none(), "{all}");
    let part = asked.verified("POST", "/payrolls/@query", json!({"fields": {"amount": 1}})).await.json();
    assert_eq!(part["items"][0]["amount"], HIDDEN);
}

/// The models that are given as JSON, and what they are asked by anyone and by a verified caller.
async fn given(schema: Value) -> Asked {
    let app = App::new().schema_model(SchemaModel::new("things", schema).public().client_ids());
    let app = app.secret(SECRET).in_memory().open().await.unwrap();
    let bearer = format!("Bearer {}", token(&app, "ada"));
    Asked { router: app.router(), bearer, app }
}

#[tokio::test]
async fn c5_objects_that_take_any_member_take_no_protected_one_from_anyone() {
    let inner = json!({"properties": {"code": {"protected": true}}});
    let asked =
        given(json!({"properties": {"name": {"type": "string"}, "salary": {"type": "integer", "protected": true},
                             "badge": inner, "badges": {"items": inner}}}))
        .await;
    let badge = json!({"colour": "red", "code": HIDDEN});
    let whole = json!({"name": "a", "salary": 7, "other": 1, "badge": badge, "badges": [badge]});
    let made = asked.verified("PUT", "/things/a", whole.clone()).await;
    assert_eq!((made.status.as_u16(), &made.json()["salary"]), (201, &json!(7)));
    let read = asked.anyone("GET", "/things/a", Value::Null).await.json();
    assert_eq!((&read["other"], read.get("salary"), &read["badges"]), (&json!(1), None, &json!([{"colour": "red"}])));
    for (body, places) in [
        (json!({"name": "b", "salary": 5}), vec![("", "salary")]),
        (json!({"name": "b", "salary": null, "x": 1}), vec![("", "salary")]),
        (json!({"badge": {"code": 1}, "badges": [{}, {"code": 1}]}), vec![("/badge", "code"), ("/badges/1", "code")]),
        (json!({"name": 5, "badge": {"code": 1}}), vec![("/name", ""), ("/badge", "code")]),
    ] {
        for (method, path) in [("POST", "/things"), ("PUT", "/things/b"), ("PUT", "/things/a"), ("PATCH", "/things/a")]
        {
            // In a merge patch `null` takes out what is not there.
            if method == "PATCH" && body["salary"].is_null() && body.get("salary").is_some() {
                continue;
            }
            let problem = asked.anyone(method, path, body.clone()).await.assert_problem(422, "VALIDATION_ERROR");
            let errors = problem["errors"].as_array().unwrap();
            let told: Vec<_> = errors
                .iter()
                .map(|it| {
                    let name = it["params"].get("additionalProperty").and_then(Value::as_str).unwrap_or_default();
                    (it["instancePath"].as_str().unwrap(), name)
                })
                .collect();
            assert_eq!(told, places, "{method} {path} {body}");
        }
    }
    for update in
        [json!({"$set": {"salary": 1}}), json!({"$set": {"badges.0.code": 1}}), json!({"$inc": {"salary": 1}})]
    {
        let refused = asked.anyone("PATCH", "/things/a", update.clone()).await;
        refused.assert_problem(422, "VALIDATION_ERROR");
    }
    // As members that no document has, and that any may have.
    for value in [json!(7), json!(8), json!(null)] {
        for filter in [json!({"salary": value}), json!({"salary": {"$gte": value}}), json!({"badge.code": value})] {
            let unknown = filter.to_string().replace("salary", "celery").replace("code", "cold");
            let answer = asked.anyone("POST", "/things/@query", json!({"filter": filter})).await;
            let unknown: Value = serde_json::from_str(&unknown).unwrap();
            let unknown = asked.anyone("POST", "/things/@query", json!({"filter": unknown})).await;
            assert_eq!((answer.status.as_u16(), answer.json()), (200, unknown.json()), "{filter}");
        }
    }
    for update in [json!({"name": "c"}), json!({"$set": {"badge.colour": "blue"}})] {
        assert_eq!(asked.anyone("PATCH", "/things/a", update).await.status, 200);
    }
    assert_eq!(asked.anyone("PUT", "/things/a", json!({"name": "d", "badge": {}})).await.status, 200);
    let kept = asked.verified("GET", "/things/a", Value::Null).await.json();
    assert_eq!((&kept["salary"], &kept["badge"], kept.get("badges")), (&json!(7), &json!({"code": HIDDEN}), None));
}

#[tokio::test]
async fn c5_protected_members_are_found_wherever_the_schema_names_them() {
    let holder = json!({"type": "object", "properties": {"code": {"type": "string", "protected": true}, "name": {}},
                        "required": ["code"]});
    for schema in [
        json!({"properties": {"a": holder}}),
        json!({"properties": {"a": {"$ref": "#/definitions/h"}}, "definitions": {"h": holder}}),
        json!({"properties": {"a": {"anyOf": [{"type": "null"}, holder]}}}),
        json!({"allOf": [{"properties": {"a": {"required": ["code"]}}}, {"properties": {"a": holder}}]}),
        json!({"properties": {"a": {"properties": {"code": {"minLength": 1}}, "$ref": "#/$defs/h"}}, "$defs": {"h": holder}}),
        json!({"if": {"required": ["b"]}, "then": {"properties": {"a": holder}}}),
        json!({"dependentSchemas": {"b": {"properties": {"a": holder}}}}),
        json!({"additionalProperties": {"anyOf": [holder, {"type": "integer"}]}}),
        json!({"properties": {"a": {"properties": {"name": {}}, "additionalProperties": {"type": "string", "protected": true}}}}),
    ] {
        let asked = given(schema.clone()).await;
        let metadata = asked.anyone("GET", "/@metadata", Value::Null).await.json();
        assert!(
            !metadata.to_string().contains("\"code\"") && !metadata.to_string().contains("protected\":true,\"type")
        );
        let made = asked.verified("PUT", "/things/x", json!({"a": {"code": HIDDEN, "name": "n"}, "b": 1})).await;
        assert_eq!(made.status, 201, "{schema}: {}", made.json());
        assert_eq!(asked.anyone("GET", "/things/x", Value::Null).await.json()["a"], json!({"name": "n"}), "{schema}");
        let taken = asked.anyone("PATCH", "/things/x", json!({"a": {"code": "z"}})).await;
        taken.assert_problem(422, "VALIDATION_ERROR");
        let renamed = asked.anyone("PATCH", "/things/x", json!({"a": {"name": "m"}})).await;
        assert_eq!(renamed.status, 200, "{schema}: {}", renamed.json());
        let shown = asked.verified("GET", "/things/x", Value::Null).await.json();
        assert_eq!(shown["a"], json!({"code": HIDDEN, "name": "m"}), "{schema}");
        // Whoever is not shown it cannot be told what is wrong with it.
        let wrong = asked.anyone("PUT", "/things/y", json!({"a": {"name": "m"}, "b": 1})).await;
        assert!([401, 201].contains(&wrong.status.as_u16()), "{schema}: {}", wrong.json());
    }
}

#[tokio::test]
async fn c5_what_is_taken_of_protected_members_is_not_told() {
    let asked = given(json!({
        "properties": {"name": {"type": "string"}, "code": {"type": "string", "protected": true, "default": "same"},
                       "pin": {"type": "string", "unique": true, "protected": true}},
        "required": ["code"], "additionalProperties": false, "unique": [["name", "code"]],
    }))
    .await;
    assert_eq!(
        asked.verified("PUT", "/things/a", json!({"name": "x", "code": HIDDEN, "pin": HIDDEN})).await.status,
        201
    );
    assert_eq!(asked.verified("PUT", "/things/b", json!({"name": "y", "code": HIDDEN})).await.status, 201);
    // A default is filled in before anybody asks whether it is there.
    assert_eq!(asked.anyone("PUT", "/things/c", json!({"name": "x"})).await.status, 201);
    for (path, body) in [("/things/b", json!({"name": "x"})), ("/things/d", json!({"name": "x"}))] {
        let method = if path.ends_with('b') { "PATCH" } else { "PUT" };
        asked.anyone(method, path, body.clone()).await.assert_problem(401, "UNAUTHENTICATED");
        let told = asked.verified(method, path, body).await.assert_problem(409, "UNIQUE_VIOLATION");
        assert_eq!(told["fields"], json!(["name", "code"]));
    }
    let listed = asked.anyone("POST", "/things", json!([{"name": "w"}, {"name": "x"}])).await;
    listed.assert_problem(401, "UNAUTHENTICATED");
    let many = asked.anyone("PATCH", "/things?filter=%7B%22name%22%3A%22y%22%7D", json!({"name": "x"})).await;
    many.assert_problem(401, "UNAUTHENTICATED");
    let pin = asked.verified("POST", "/things", json!({"name": "z", "pin": HIDDEN})).await;
    assert_eq!(pin.assert_problem(409, "UNIQUE_VIOLATION")["field"], "pin");
}
