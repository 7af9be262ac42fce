//! Typed clients in other languages, printed from the metadata alone.
//!
//! A client is one file: flat types, in which nothing is inferred over the server's code, and a small runtime that is the same in every
//! client. What a caller may not reach is not in his metadata, and so not in his client.

mod model;
mod names;
mod paths;
mod schema;

use serde_json::Value;

use self::model::Printer;
use crate::wire::metadata::Metadata;

/// What every client has beside its types. It lies there as TypeScript, so that it can be checked and read as such.
const RUNTIME: &str = include_str!("runtime.ts");

/// The TypeScript client of what the metadata describes: one file, which needs no package.
///
/// It passes `tsc --strict` with `exactOptionalPropertyTypes` and `noUncheckedIndexedAccess`, and runs in browsers and in Node (from 22
/// on; from 18 on with the package `ws`).
///
/// ```
/// # use modeller::wire::metadata::Metadata;
/// # use modeller::__private::serde_json::{self, json};
/// let metadata: Metadata = serde_json::from_value(json!({
///     "version": 1, "modeller": "0.1.0", "models": [{
///         "id": "users", "access": "public", "fields": [], "operations": [], "events": [],
///         "schema": {"title": "User", "type": "object", "properties": {"email": {"type": "string"}}, "required": ["email"]},
///     }],
/// }))?;
/// let client = modeller::codegen::typescript(&metadata);
/// assert!(client.contains("export interface User extends Key {\n  readonly email: string;\n}"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[must_use]
pub fn typescript(metadata: &Metadata) -> String {
    Printer::print(metadata, RUNTIME)
}

/// A JSON value as a type that has it alone.
fn literal(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("readonly [{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members =
                members.iter().map(|(name, value)| format!("readonly {}: {}", names::key(name), literal(value)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join("; "))
        }
        plain => plain.to_string(),
    }
}

#[cfg(test)]
mod tests;
