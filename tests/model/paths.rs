//! Fields within fields: a path of constants is the dotted path of the wire.

use modeller::Field;
use modeller::prelude::*;
use serde_json::json;

#[value]
#[derive(PartialEq)]
pub struct Place {
    pub city: String,
    pub zip: Option<String>,
}

#[value]
#[derive(PartialEq)]
pub struct Line {
    pub sku: String,
    pub count: u32,
    pub from: Vec<Place>,
}

#[value]
#[derive(PartialEq)]
pub struct Secret {
    pub pin: u32,
}

#[value]
#[derive(PartialEq)]
pub struct Branch {
    pub name: String,
    pub next: Option<Box<Branch>>,
}

#[model(id = "orders")]
pub struct Order {
    pub place: Place,
    pub second: Option<Place>,
    pub lines: Vec<Line>,
    pub secret: Private<Secret>,
    pub branch: Branch,
}

fn place(city: &str) -> Place {
    Place { city: city.into(), zip: None }
}

fn order(city: &str, counts: &[u32]) -> Order {
    let line = |count: &u32| Line { sku: format!("s{count}"), count: *count, from: vec![place("Rome"), place(city)] };
    let last = Branch { name: city.into(), next: None };
    Order {
        place: place(city),
        second: counts.first().map(|_| place("Bonn")),
        lines: counts.iter().map(line).collect(),
        secret: Secret { pin: u32::try_from(counts.len()).unwrap() }.into(),
        branch: Branch { name: "root".into(), next: Some(Box::new(last)) },
    }
}

#[tokio::test]
async fn paths_lead_through_structs_options_boxes_lists_and_private_values() {
    let app = App::new().model::<Order>().in_memory().open().await.unwrap();
    let orders = app.model::<Order>();
    orders.insert_many(vec![order("Lyon", &[]), order("Oslo", &[1, 5]), order("Kyiv", &[3])]).await.unwrap();
    let next = Order::BRANCH.at(Branch::NEXT).at(Branch::NAME);
    let origin = Order::LINES.at(Line::FROM).at(Place::CITY);
    for (filter, wire, expected) in [
        (Order::PLACE.at(Place::CITY).eq("Oslo"), json!({"place.city": "Oslo"}), vec!["Oslo"]),
        (Order::SECOND.at(Place::CITY).eq("Bonn"), json!({"second.city": "Bonn"}), vec!["Oslo", "Kyiv"]),
        (Order::LINES.at(Line::COUNT).gt(2_u32), json!({"lines.count": {"$gt": 2}}), vec!["Oslo", "Kyiv"]),
        (Order::LINES.at(Line::COUNT).is_in([3_u32]), json!({"lines.count": {"$in": [3]}}), vec!["Kyiv"]),
        (origin.eq("Kyiv"), json!({"lines.from.city": "Kyiv"}), vec!["Kyiv"]),
        (next.eq("Lyon"), json!({"branch.next.name": "Lyon"}), vec!["Lyon"]),
        (Order::SECRET.at(Secret::PIN).eq(2_u32), json!({"secret.pin": 2}), vec!["Oslo"]),
    ] {
        assert_eq!(filter.to_json(), wire);
        let found = orders.find(filter).await.unwrap();
        assert_eq!(found.iter().map(|order| order.place.city.as_str()).collect::<Vec<_>>(), expected, "{wire}");
    }
    let sorted = orders.find(Filter::all()).sort(Order::PLACE.at(Place::CITY).asc()).await.unwrap();
    assert_eq!(sorted.iter().map(|order| order.place.city.as_str()).collect::<Vec<_>>(), ["Kyiv", "Lyon", "Oslo"]);

    let zip = Order::SECOND.at(Place::ZIP);
    let changed = orders
        .update(Order::PLACE.at(Place::CITY).eq("Oslo"), zip.set("0150") & Order::SECRET.at(Secret::PIN).inc(5_u32))
        .await
        .unwrap();
    assert_eq!(changed.second.as_ref().unwrap().zip.as_deref(), Some("0150"));
    assert_eq!(changed.secret.get().unwrap().pin, 7);
    let cleared = orders.update(&changed, zip.unset() & Order::BRANCH.at(Branch::NEXT).set(None)).await.unwrap();
    assert_eq!((cleared.second.as_ref().unwrap().zip.as_ref(), &cleared.branch.next), (None, &None));
    // As in MongoDB: nothing can be put into `null`.
    let error = orders.update(Order::PLACE.at(Place::CITY).eq("Lyon"), zip.set("1")).await.unwrap_err();
    assert_eq!((error.code(), error.get("path")), (&ErrorCode::InvalidQuery, Some(&json!("second.zip"))));
}

#[test]
fn a_path_has_a_bound() {
    let deeper = |mut field: Field<Order, Option<Box<Branch>>>, times: usize| {
        for _ in 0..times {
            field = field.at(Branch::NEXT);
        }
        field
    };
    let start = Order::BRANCH.at(Branch::NEXT);
    assert_eq!(deeper(start, 14).path().split('.').count(), 16);
    assert!(std::panic::catch_unwind(|| deeper(start, 15)).is_err());
}

#[value]
#[derive(PartialEq)]
pub struct Audit {
    #[field(default)]
    pub by: Option<String>,
    pub key: Key,
}

#[value]
#[derive(PartialEq)]
pub struct Key {
    pub token: Private<String>,
    #[field(minimum = 1)]
    pub version: u32,
}

#[model(id = "flats", public, client_ids)]
pub struct Flat {
    #[field(unique)]
    pub name: String,
    #[serde(flatten)]
    pub place: Place,
    #[serde(flatten)]
    pub audit: Audit,
}

const CANARY: &str = "never to be seen";

#[tokio::test]
async fn flattened_members_stand_beside_the_others() {
    let app = App::new().model::<Flat>().in_memory().open().await.unwrap();
    let flats = app.model::<Flat>();
    let flat = |name: &str, city: &str, version| Flat {
        name: name.into(),
        place: place(city),
        audit: Audit { by: None, key: Key { token: CANARY.to_owned().into(), version } },
    };
    let made = flats.insert(flat("a", "Lyon", 1)).await.unwrap();
    flats.insert(flat("b", "Oslo", 2)).await.unwrap();
    let mut json = serde_json::to_value(&made).unwrap();
    json.as_object_mut().unwrap().retain(|name, _| !name.starts_with('_'));
    assert_eq!(json, json!({"name": "a", "city": "Lyon", "zip": null, "by": null, "key": {"version": 1}}));

    let version = Flat::AUDIT.at(Audit::KEY.at(Key::VERSION));
    for (filter, wire, expected) in [
        (Flat::PLACE.at(Place::CITY).eq("Lyon"), json!({"city": "Lyon"}), "a"),
        (version.gt(1_u32), json!({"key.version": {"$gt": 1}}), "b"),
    ] {
        assert_eq!(filter.to_json(), wire);
        assert_eq!(flats.find(filter).await.unwrap()[0].name, expected);
    }
    let changed = flats.update(&made, version.inc(4_u32) & Flat::PLACE.at(Place::ZIP).set("69001")).await.unwrap();
    assert_eq!((changed.audit.key.version, changed.place.zip.as_deref()), (5, Some("69001")));
    assert_eq!(changed.audit.key.token.get().map(String::as_str), Some(CANARY), "stored and kept");
    let error = flats.update(&made, version.set(0_u32)).await.unwrap_err();
    assert_eq!(error.violations()[0].instance_path, "/key/version");
    assert!(!format!("{changed:?}").contains(CANARY));
}

#[test]
fn flattened_types_refuse_unknown_members_when_read() {
    let fine = json!({"name": "a", "city": "b", "by": null, "key": {"token": "x", "version": 1}});
    assert!(serde_json::from_value::<Flat>(fine.clone()).is_ok());
    let mut unknown = fine;
    unknown["other"] = json!(1);
    assert!(serde_json::from_value::<Flat>(unknown).unwrap_err().to_string().contains("unknown field `other`"));
}
