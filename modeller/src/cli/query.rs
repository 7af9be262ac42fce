//! `modeller query`: the documents of an input that match, in MongoDB syntax.
//!
//! Without a sort each document is answered before the next one is read, in constant memory; with a sort and a limit no more is
//! kept than can still be answered.

use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::lines::{Line, Lines};
use super::{Outcome, USAGE, print, schema, text, unless_closed, wrong};
use crate::core::document::{AnyDoc, AnyValue, DocView, DynDoc};
use crate::core::id::RawId;
use crate::core::json::Document;
use crate::core::private::Audience;
use crate::core::query::filter::RawFilter;
use crate::core::query::parse::{Schema, parse_filter, parse_sort};
use crate::core::query::project::RawProjection;
use crate::core::query::sort::RawSort;
use crate::core::schema::registered::Schemas;
use crate::core::schema::{ModelSchema, Visibility};
use crate::error::Result;

/// What the arguments say.
#[derive(Default)]
struct Arguments {
    filter: Option<String>,
    sort: Option<String>,
    skip: usize,
    limit: Option<usize>,
    fields: Option<String>,
    schema: Option<Arc<ModelSchema>>,
}

impl Arguments {
    /// `None` when help is asked for.
    fn read(mut args: impl Iterator<Item = OsString>) -> Result<Option<Self>> {
        let mut read = Self::default();
        while let Some(arg) = args.next() {
            let arg = text("an argument", arg)?;
            let mut value = || {
                let value = args.next().ok_or_else(|| wrong(format!("`{arg}` needs a value")))?;
                text(&arg, value)
            };
            let number = |value: String| {
                value.parse::<usize>().map_err(|_| wrong(format!("`{arg}` is a whole number from 0, not `{value}`")))
            };
            match arg.as_str() {
                "--help" | "-h" => return Ok(None),
                "--sort" => read.sort = Some(value()?),
                "--skip" => read.skip = number(value()?)?,
                // As in MongoDB, a limit of 0 is none.
                "--limit" => read.limit = Some(number(value()?)?).filter(|limit| *limit > 0),
                "--fields" => read.fields = Some(value()?),
                "--schema" => {
                    let json = schema(Path::new(&value()?))?;
                    let known = Schemas::default();
                    read.schema =
                        Some(ModelSchema::prove_json("documents", Visibility::Internal, false, None, json, &known)?);
                }
                other if other.starts_with("--") => {
                    return Err(wrong(format!("unknown argument `{other}`; see --help")));
                }
                _ if read.filter.is_some() => return Err(wrong("`modeller query` takes one filter")),
                _ => read.filter = Some(arg),
            }
        }
        Ok(Some(read))
    }
}

/// What is asked for.
struct Asked {
    filter: RawFilter,
    sort: Option<RawSort>,
    skip: usize,
    limit: Option<usize>,
    fields: Option<RawProjection>,
    schema: Option<Arc<ModelSchema>>,
}

impl Asked {
    fn of(arguments: Arguments) -> Result<Self> {
        let json = |name: &str, text: &str| {
            serde_json::from_str::<Value>(text).map_err(|cause| wrong(format!("the {name} is not JSON: {cause}")))
        };
        let Arguments { filter, sort, skip, limit, fields, schema } = arguments;
        let Some(filter) = filter else { return Err(wrong("`modeller query` takes a filter; `{}` is all documents")) };
        let names = schema.as_deref().map_or(Schema::Any, |schema| Schema::Visible(schema, Audience::Verified));
        Ok(Self {
            filter: parse_filter(&json("filter", &filter)?, &names)?,
            sort: sort.map(|sort| parse_sort(&json("sort", &sort)?, &names)).transpose()?,
            fields: fields.map(|fields| RawProjection::parse(&json("projection", &fields)?, &names)).transpose()?,
            skip,
            limit,
            schema,
        })
    }

    /// The document of a line; its number stands for an `_id` that it does not have.
    fn document(&self, number: u64, json: Value) -> Result<DynDoc, String> {
        let Value::Object(mut members) = json else { return Err("the line is no object".into()) };
        let id = match members.remove("_id") {
            None => RawId::parse(&number.to_string()),
            Some(Value::String(text)) => RawId::parse(&text),
            Some(_) => return Err("`_id` is no text".into()),
        };
        let id = id.map_err(|error| format!("`_id`: {error}"))?;
        let rev = match members.remove("_rev") {
            None => 0,
            Some(rev) => rev.as_u64().ok_or("`_rev` is no whole number")?,
        };
        let shape = self.schema.as_ref().and_then(|schema| schema.shape());
        let document: Box<dyn AnyValue> = Box::new(Document::of(members, shape));
        Ok(document.into_doc(id, rev))
    }

    /// The document as it is printed: without what the schema says is private, and `_rev` where it came with one.
    fn print(&self, doc: &dyn AnyDoc, out: &mut impl Write) -> Result<bool> {
        let mut whole = Vec::new();
        doc.write_for(Audience::Verified, &mut whole)?;
        let mut members: Map<String, Value> = serde_json::from_slice(&whole)?;
        let (id, rev) = self.fields.as_ref().map_or((true, true), RawProjection::shows_own);
        let mut shown = Map::new();
        for (name, wanted) in [("_id", id), ("_rev", rev && doc.rev() > 0)] {
            if let (Some(value), true) = (members.shift_remove(name), wanted) {
                shown.insert(name.into(), value);
            }
        }
        if let Some(fields) = &self.fields {
            fields.members(&mut members);
        }
        shown.extend(members);
        unless_closed(writeln!(out, "{}", Value::Object(shown)))
    }
}

#[expect(clippy::print_stderr, reason = "lines that are left out are told beside the answer")]
pub(super) fn run(args: impl Iterator<Item = OsString>) -> Result<Outcome> {
    let Some(arguments) = Arguments::read(args)? else { return print(USAGE) };
    let asked = Asked::of(arguments)?;
    let mut lines = Lines::of(io::stdin().lock());
    let mut out = BufWriter::new(io::stdout().lock());
    let wanted = asked.limit.map(|limit| asked.skip.saturating_add(limit));
    let mut found: Vec<DynDoc> = Vec::new();
    let mut matched = 0_usize;
    let mut outcome = Outcome::Done;
    while let Some(Line { number, json }) = lines.next()? {
        let doc = match json.and_then(|json| asked.document(number, json)) {
            Ok(doc) => doc,
            Err(cause) => {
                eprintln!("line {number}: {cause}");
                outcome = Outcome::Wrong;
                continue;
            }
        };
        if !asked.filter.matches(&DocView(doc.as_ref())) {
            continue;
        }
        let Some(sort) = &asked.sort else {
            matched += 1;
            if matched > asked.skip && !asked.print(doc.as_ref(), &mut out)? {
                return Ok(outcome);
            }
            if wanted == Some(matched) {
                break;
            }
            continue;
        };
        found.push(doc);
        if let Some(wanted) = wanted
            && found.len() >= wanted.saturating_mul(2).saturating_add(64)
        {
            found = sort.sorted(&found)?;
            found.truncate(wanted);
        }
    }
    if let Some(sort) = &asked.sort {
        for doc in sort.sorted(&found)?.iter().skip(asked.skip).take(asked.limit.unwrap_or(usize::MAX)) {
            if !asked.print(doc.as_ref(), &mut out)? {
                return Ok(outcome);
            }
        }
    }
    unless_closed(out.flush())?;
    Ok(outcome)
}
