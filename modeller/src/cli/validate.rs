//! `modeller validate`: which lines fit a schema, and what is wrong with the others.

use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::json;

use super::lines::Lines;
use super::{Outcome, USAGE, print, schema, unless_closed, wrong};
use crate::core::schema::registered::Schemas;
use crate::core::validate::Validator;
use crate::error::Result;

pub(super) fn run(mut args: impl Iterator<Item = OsString>) -> Result<Outcome> {
    let (Some(path), None) = (args.next(), args.next()) else {
        return Err(wrong("`modeller validate` takes a schema file; the documents come on standard input"));
    };
    if path == "--help" || path == "-h" {
        return print(USAGE);
    }
    let schema = Schemas::default().contained(schema(Path::new(&path))?).map_err(wrong)?;
    let validator = Validator::new(&schema).map_err(wrong)?;
    let mut lines = Lines::of(io::stdin().lock());
    let mut out = BufWriter::new(io::stdout().lock());
    let mut all_fit = true;
    while let Some(line) = lines.next()? {
        let told = match line.json {
            Err(cause) => json!({"line": line.number, "malformed": cause}),
            Ok(json) => match validator.check(&json) {
                Ok(()) => continue,
                Err(error) => json!({"line": line.number, "errors": error.violations()}),
            },
        };
        all_fit = false;
        if !unless_closed(writeln!(out, "{told}"))? {
            return Ok(Outcome::Wrong);
        }
    }
    unless_closed(out.flush())?;
    Ok(if all_fit { Outcome::Done } else { Outcome::Wrong })
}
