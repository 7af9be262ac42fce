//! Cities: found by country.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Store;
use crate::journal::Entry;
use crate::problem::{Checks, Problem, json_bytes};

/// A stored city.
#[derive(Serialize, Deserialize)]
pub(crate) struct City {
    _id: Uuid,
    _rev: u64,
    name: String,
    country: String,
    lat: f64,
    lng: f64,
    admin1: Option<String>,
    admin2: Option<String>,
}

/// A city as it arrives.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewCity {
    name: String,
    country: String,
    lat: f64,
    lng: f64,
    admin1: Option<String>,
    admin2: Option<String>,
}

/// All cities, with their index.
#[derive(Default)]
pub(crate) struct Cities(RwLock<Tables>);

#[derive(Default)]
struct Tables {
    by_id: HashMap<Uuid, Arc<City>>,
    by_country: HashMap<String, Vec<Arc<City>>>,
}

impl Cities {
    /// Puts a city back that was stored before.
    pub(crate) fn restore(&self, city: Arc<City>) {
        self.0.write().put(city);
    }
}

impl Tables {
    fn put(&mut self, city: Arc<City>) {
        match self.by_country.get_mut(&city.country) {
            Some(cities) => cities.push(city.clone()),
            None => {
                self.by_country.insert(city.country.clone(), vec![city.clone()]);
            }
        }
        self.by_id.insert(city._id, city);
    }
}

/// `POST /cities`
pub(crate) async fn insert(State(store): State<Arc<Store>>, body: Bytes) -> Result<Response, Problem> {
    let NewCity { name, country, lat, lng, admin1, admin2 } = read(&body)?;
    let city = Arc::new(City { _id: Uuid::now_v7(), _rev: 1, name, country, lat, lng, admin1, admin2 });
    let durable = {
        let mut tables = store.cities.0.write();
        tables.put(city.clone());
        store.journal.as_ref().map(|journal| journal.append(Entry::City(city.clone())))
    };
    if let Some(durable) = durable {
        durable.await.map_err(|_| Problem::Unreadable("the journal is gone".into()))?;
    }
    Ok(json_bytes(StatusCode::CREATED, &*city))
}

fn read(body: &[u8]) -> Result<NewCity, Problem> {
    let error = match serde_json::from_slice::<NewCity>(body) {
        Ok(city) if fits(&city) => return Ok(city),
        Ok(_) => serde::de::Error::custom("a rule is violated"),
        Err(error) => error,
    };
    let value: Value = serde_json::from_slice(body).map_err(|error| Problem::Unreadable(error.to_string()))?;
    let required = &["name", "country", "lat", "lng"];
    let mut checks = Checks::new(&value, &["name", "country", "lat", "lng", "admin1", "admin2"], required)?;
    checks.text("name", 1, 200);
    if checks.text("country", 0, usize::MAX).is_some_and(|text| !is_country(text)) {
        let pattern = "^[A-Z]{2}$";
        checks.fail("country", "pattern", format!("must match pattern \"{pattern}\""), json!({"pattern": pattern}));
    }
    checks.number("lat", -90, 90, false);
    checks.number("lng", -180, 180, false);
    for field in ["admin1", "admin2"] {
        if checks.get(field).is_some_and(|value| !value.is_null()) {
            checks.text(field, 1, 80);
        }
    }
    Err(checks.finish(&error))
}

fn fits(city: &NewCity) -> bool {
    let code = |code: &Option<String>| code.as_ref().is_none_or(|code| within(code, 80));
    within(&city.name, 200)
        && is_country(&city.country)
        && city.lat.abs() <= 90.0
        && city.lng.abs() <= 180.0
        && code(&city.admin1)
        && code(&city.admin2)
}

/// From 1 to so many characters. Bytes are at least as many, and cheaper to count.
fn within(text: &str, most: usize) -> bool {
    !text.is_empty() && (text.len() <= most || text.chars().count() <= most)
}

fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}
