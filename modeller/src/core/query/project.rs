//! Projections: which parts of a document are answered (MongoDB manual, "Project Fields to Return from Query").
//!
//! A projection either names what is there, or what is not; `_id` and `_rev` are there unless they are excluded, and may be said
//! beside both. A dotted path goes through arrays of objects, also through arrays in arrays; a number in it is a name and never
//! a position. What is on the way of an inclusion and is no object is left out; an exclusion leaves it as it is.
//!
//! Of an array `$slice` shows a part and `$elemMatch` the first element that matches, or else not the field at all (manual,
//! "$slice (projection)", "$elemMatch (projection)"). They may stand beside both. Alone a `$slice` excludes nothing, and an
//! `$elemMatch` is an inclusion.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Map, Value};

use super::filter::{ElemMatch, Path};
use super::operator::Slice;
use super::parse::{Parser as TestParser, Schema, joined, parse_path};
use crate::core::document::{AnyDoc, DocView};
use crate::core::field::Field;
use crate::core::private::{Audience, Level, is_written, written_for};
use crate::core::value::{ArrayRef, ObjectRef, ValueRef};
use crate::error::{Error, Result};

/// How many paths one projection may have.
const MAX_PATHS: usize = 1_000;

/// A projection of documents of whatever model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RawProjection {
    mode: Mode,
    id: bool,
    rev: bool,
    root: Node,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Include,
    Exclude,
}

/// What is said of a value.
#[derive(Clone, Debug, PartialEq)]
enum Node {
    /// Of what is below these names.
    Below(Vec<(Box<str>, Node)>),
    /// Of all of it: it is included, or excluded.
    Whole,
    /// If it is an array, these elements are shown.
    Slice(Slice),
    /// It is shown if it is an array, with the first element that passes this alone.
    First(First),
}

/// The operands may be private values.
#[derive(Clone, PartialEq)]
struct First(ElemMatch);

impl std::fmt::Debug for First {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("$elemMatch")
    }
}

impl Node {
    const NOTHING: &'static Self = &Self::Below(Vec::new());

    fn below(&self, name: &str) -> Option<&Self> {
        let Self::Below(names) = self else { return None };
        names.iter().find(|(known, _)| **known == *name).map(|(_, node)| node)
    }

    /// Says this of a path. False when something is said of it, of a part of it, or of a longer one.
    fn add(&mut self, names: &[Box<str>], said: Self) -> bool {
        let (Self::Below(known), Some((name, rest))) = (self, names.split_first()) else { return false };
        match known.iter_mut().find(|(known, _)| known == name) {
            Some((_, node)) => node.add(rest, said),
            None => {
                let mut below = Self::NOTHING.clone();
                let node = if below.add(rest, said.clone()) { below } else { said };
                known.push((name.clone(), node));
                true
            }
        }
    }

    fn to_json(&self, mode: Mode) -> Value {
        let one = |name: &str, value| Value::Object(Map::from_iter([(name.to_owned(), value)]));
        match self {
            Self::Below(names) => {
                let mut names: Vec<_> = names.iter().collect();
                names.sort_unstable_by_key(|(name, _)| name);
                Value::Object(names.into_iter().map(|(name, node)| (name.to_string(), node.to_json(mode))).collect())
            }
            Self::Whole => Value::Bool(mode == Mode::Include),
            Self::Slice(slice) => one("$slice", slice.to_json()),
            Self::First(First(test)) => one("$elemMatch", test.to_json()),
        }
    }

    /// Which elements of an array it shows; `None` when the array is not shown.
    fn elements(&self, array: &dyn ArrayRef) -> Option<Range<usize>> {
        match self {
            Self::Slice(slice) => Some(slice.of(array.len())),
            Self::First(First(test)) => {
                let mut at = 0;
                let is_there = array.any(&mut |element| {
                    let holds = test.holds(element);
                    at += usize::from(!holds);
                    holds
                });
                is_there.then_some(at..at + 1)
            }
            Self::Below(_) | Self::Whole => Some(0..array.len()),
        }
    }
}

impl RawProjection {
    fn new(mode: Mode) -> Self {
        Self { mode, id: true, rev: true, root: Node::NOTHING.clone() }
    }

    /// Reads an object of paths with 1 or 0.
    pub(crate) fn parse(json: &Value, schema: &Schema<'_>) -> Result<Self> {
        let Value::Object(object) = json else { return Err(Error::query("fields", "a projection is an object")) };
        let mut parser = Parser {
            schema,
            tests: TestParser::of(schema),
            mode: None,
            alone: None,
            paths: 0,
            projection: Self::new(Mode::Exclude),
            own: [None, None],
        };
        parser.members(object, "")?;
        let Parser { mode, alone, mut projection, own, .. } = parser;
        let [id, rev] = own;
        // Where only these two are named, one that is asked for is what is asked for.
        let asked = alone.unwrap_or(if own.contains(&Some(true)) { Mode::Include } else { Mode::Exclude });
        projection.mode = mode.unwrap_or(asked);
        projection.id = id.unwrap_or(true);
        projection.rev = rev.unwrap_or(true);
        Ok(projection)
    }

    /// Appends what this audience sees of a document, as JSON text.
    pub(crate) fn write_for(&self, audience: Audience, doc: &dyn AnyDoc, out: &mut Vec<u8>) -> Result<()> {
        let view = Shown { value: ValueRef::Object(&DocView(doc)), below: Some(self), node: &self.root };
        written_for(audience, || serde_json::to_writer(out, &view)).map_err(Error::internal)
    }

    /// The one form of all projections that show the same.
    pub(crate) fn to_json(&self) -> Value {
        let mut json = self.root.to_json(self.mode);
        json["_id"] = self.id.into();
        json["_rev"] = self.rev.into();
        json
    }

    /// Whether `_id` is shown, and whether `_rev` is.
    #[cfg(feature = "cli")]
    pub(crate) fn shows_own(&self) -> (bool, bool) {
        (self.id, self.rev)
    }

    /// The members of a stored value that are asked for, private ones too.
    pub(crate) fn members(&self, value: &mut Map<String, Value>) {
        self.prune(&self.root, value);
    }

    fn prune(&self, node: &Node, object: &mut Map<String, Value>) {
        object.retain(|name, value| match (node.below(name), self.mode) {
            (None, mode) => mode == Mode::Exclude,
            (Some(Node::Whole), mode) => mode == Mode::Include,
            (Some(node @ Node::Below(_)), _) => self.prune_value(node, value),
            (Some(node), _) => {
                let Value::Array(array) = value else { return matches!(node, Node::Slice(_)) };
                let Some(elements) = node.elements(array) else { return false };
                array.truncate(elements.end);
                array.drain(..elements.start);
                true
            }
        });
    }

    /// Whether something of the value stays.
    fn prune_value(&self, node: &Node, value: &mut Value) -> bool {
        match value {
            Value::Object(object) => self.prune(node, object),
            Value::Array(array) => array.retain_mut(|element| self.prune_value(node, element)),
            _ => return self.mode == Mode::Exclude,
        }
        true
    }
}

struct Parser<'a> {
    schema: &'a Schema<'a>,
    /// Of all tests on elements, which are bounded together.
    tests: TestParser<'a>,
    mode: Option<Mode>,
    /// What it is where operators alone are given.
    alone: Option<Mode>,
    paths: usize,
    projection: RawProjection,
    /// What is said of `_id` and of `_rev`.
    own: [Option<bool>; 2],
}

impl Parser<'_> {
    fn members(&mut self, object: &Map<String, Value>, above: &str) -> Result<()> {
        for (name, value) in object {
            let at = joined("fields", &joined(above, name));
            if name == "$" || name.ends_with(".$") {
                let text =
                    "there is no positional `$` here: a filter does not keep which element matched; use `$elemMatch`";
                return Err(Error::query(&at, text));
            }
            let path = parse_path(&joined(above, name), &at)?;
            match value {
                Value::Bool(wanted) => self.flag(&path, *wanted, &at)?,
                Value::Number(number) => self.flag(&path, number.as_f64() != Some(0.0), &at)?,
                Value::Object(inner) => match inner.iter().find(|(name, _)| name.starts_with('$')) {
                    Some((operator, _)) if inner.len() > 1 => {
                        return Err(Error::query(&joined(&at, operator), "stands alone"));
                    }
                    Some((operator, operand)) => self.operator(&path, operator, operand, &at)?,
                    None if inner.is_empty() => return Err(Error::query(&at, "needs at least one field")),
                    None => self.members(inner, &joined(above, name))?,
                },
                _ => return Err(Error::query(&at, "is 1 or true to include, 0 or false to exclude")),
            }
        }
        Ok(())
    }

    fn count(&mut self, at: &str) -> Result<()> {
        self.paths += 1;
        if self.paths > MAX_PATHS {
            return Err(Error::query(at, format!("a projection has at most {MAX_PATHS} paths")));
        }
        Ok(())
    }

    fn flag(&mut self, path: &Path, wanted: bool, at: &str) -> Result<()> {
        self.count(at)?;
        if let Some(own) = self.own(path) {
            if path.single().is_none() || own.replace(wanted).is_some() {
                return Err(Error::query(at, "is one value, said once"));
            }
            return Ok(());
        }
        let path = self.known(path, at)?;
        let mode = if wanted { Mode::Include } else { Mode::Exclude };
        if *self.mode.get_or_insert(mode) != mode {
            return Err(Error::query(at, "includes and excludes are mixed, which only `_id` and `_rev` may be"));
        }
        self.add(&path, Node::Whole, at)
    }

    fn operator(&mut self, path: &Path, operator: &str, operand: &Value, at: &str) -> Result<()> {
        self.count(at)?;
        let here = joined(at, operator);
        if self.own(path).is_some() {
            return Err(Error::query(&here, "is for arrays"));
        }
        let path = self.known(path, at)?;
        let said = match operator {
            "$slice" => {
                self.alone.get_or_insert(Mode::Exclude);
                Node::Slice(Slice::parse(operand, &here)?)
            }
            "$elemMatch" if path.single().is_none() => {
                return Err(Error::query(&here, "is for fields of the document, not for paths"));
            }
            "$elemMatch" => {
                self.alone = Some(Mode::Include);
                Node::First(First(self.tests.elem_match(operand, &here, 0)?))
            }
            _ => {
                let text = format!("there is no `{operator}` here; there are `$slice` and `$elemMatch`");
                return Err(Error::query(&here, text));
            }
        };
        self.add(&path, said, at)
    }

    /// What is said of `_id` or `_rev`, if the path is about them.
    fn own(&mut self, path: &Path) -> Option<&mut Option<bool>> {
        let [id, rev] = &mut self.own;
        match path.head() {
            "_id" => Some(id),
            "_rev" => Some(rev),
            _ => None,
        }
    }

    /// The path, as it may be followed.
    fn known(&self, path: &Path, at: &str) -> Result<Path> {
        self.schema.check(path.clone()).map_err(|error| match error.get("reason").and_then(Value::as_str) {
            Some(reason) => Error::query(at, reason),
            None => error,
        })
    }

    fn add(&mut self, path: &Path, said: Node, at: &str) -> Result<()> {
        if !self.projection.root.add(path.names(), said) {
            return Err(Error::query(at, "another path of the projection leads to it, or through it"));
        }
        Ok(())
    }
}

/// A value as it is shown: what is not private of it, and of that what the projection lets through.
struct Shown<'a> {
    value: ValueRef<'a>,
    /// The projection, while what is said of the value is not yet all of it.
    below: Option<&'a RawProjection>,
    node: &'a Node,
}

impl<'a> Shown<'a> {
    fn whole(value: ValueRef<'a>) -> Shown<'a> {
        Shown { value, below: None, node: Node::NOTHING }
    }

    /// The member of a value as this shows it, if it does.
    fn member<'m>(&self, name: &str, value: ValueRef<'m>) -> Option<Shown<'m>>
    where
        'a: 'm,
    {
        let Some(projection) = self.below else { return Some(Shown::whole(value)) };
        if self.is_document() && matches!(name, "_id" | "_rev") {
            let wanted = if name == "_id" { projection.id } else { projection.rev };
            return wanted.then(|| Shown::whole(value));
        }
        match (self.node.below(name), projection.mode) {
            (None, Mode::Exclude) => Some(Shown::whole(value)),
            (None, Mode::Include) => None,
            (Some(Node::Whole), mode) => (mode == Mode::Include).then(|| Shown::whole(value)),
            (Some(node @ Node::Below(_)), _) => Shown { value, below: Some(projection), node }.if_any(),
            // Of an array some elements, each of them whole.
            (Some(node), _) => {
                let is_shown = value.resolved(|value| match value {
                    ValueRef::Array(array) => node.elements(array).is_some(),
                    _ => matches!(node, Node::Slice(_)),
                });
                is_shown.then_some(Shown { value, below: None, node })
            }
        }
    }

    /// Itself, unless it is on the way of an inclusion and holds nothing.
    fn if_any(self) -> Option<Self> {
        let Some(RawProjection { mode: Mode::Include, .. }) = self.below else { return Some(self) };
        let holds = self.value.resolved(|value| matches!(value, ValueRef::Object(_) | ValueRef::Array(_)));
        holds.then_some(self)
    }

    fn is_document(&self) -> bool {
        self.below.is_some_and(|projection| std::ptr::eq(&raw const projection.root, self.node))
    }

    fn object<S: Serializer>(&self, object: &dyn ObjectRef, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in (0..object.slots()).filter_map(|slot| object.entry(slot)) {
            let value = match value {
                ValueRef::Private(_) => continue,
                ValueRef::Protected(inner) if is_written(Level::Protected) => inner.as_value(),
                ValueRef::Protected(_) => continue,
                value => value,
            };
            if let Some(shown) = self.member(name, value) {
                map.serialize_entry(name, &shown)?;
            }
        }
        map.end()
    }

    fn array<S: Serializer>(&self, array: &dyn ArrayRef, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for at in self.node.elements(array).unwrap_or_default() {
            let element = match self.node {
                Node::Below(_) => Shown { value: array.at(at), below: self.below, node: self.node },
                _ => Shown::whole(array.at(at)),
            };
            if let Some(element) = element.if_any() {
                list.serialize_element(&element)?;
            }
        }
        list.end()
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            ValueRef::Null | ValueRef::Private(_) | ValueRef::Protected(_) => serializer.serialize_unit(),
            ValueRef::Bool(value) => serializer.serialize_bool(value),
            ValueRef::Int(value) => serializer.serialize_i64(value),
            ValueRef::UInt(value) => serializer.serialize_u64(value),
            ValueRef::Float(value) => serializer.serialize_f64(value),
            ValueRef::Str(text) => serializer.serialize_str(text),
            ValueRef::Id(id) => id.serialize(serializer),
            ValueRef::Array(array) => self.array(array, serializer),
            ValueRef::Object(object) => self.object(object, serializer),
            ValueRef::Serialized(_) | ValueRef::Part { .. } => self.value.resolved(|value| match value {
                ValueRef::Array(array) => self.array(array, serializer),
                ValueRef::Object(object) => self.object(object, serializer),
                value => Shown::whole(value).serialize(serializer),
            }),
        }
    }
}

/// Which parts of documents of the model `T` are answered: either those that are named, or all but those.
///
/// ```
/// # use modeller::prelude::*;
/// # use modeller::__private::serde_json::{self, json};
/// # #[model(id = "users")]
/// # pub struct User { pub name: String, pub age: u8, pub bio: String }
/// let named = Projection::include(User::NAME).and(User::AGE);
/// assert_eq!(named, Projection::parse(&json!({"name": 1, "age": 1}))?);
/// let short = Projection::exclude(User::BIO);
/// assert_eq!(short, Projection::parse(&json!({"bio": 0}))?);
/// # Ok::<(), modeller::Error>(())
/// ```
pub struct Projection<T: ?Sized>(Arc<RawProjection>, PhantomData<fn(&T)>);

impl<T: ?Sized> Projection<T> {
    /// Of the fields this one, with `_id` and `_rev`.
    #[must_use]
    pub fn include<F: ?Sized, K>(field: Field<T, F, K>) -> Self {
        Self::of(Mode::Include, &field.path())
    }

    /// All but this field.
    #[must_use]
    pub fn exclude<F: ?Sized, K>(field: Field<T, F, K>) -> Self {
        Self::of(Mode::Exclude, &field.path())
    }

    /// The same of one more field. The same one twice is once.
    #[must_use]
    pub fn and<F: ?Sized, K>(self, field: Field<T, F, K>) -> Self {
        self.named(&field.path())
    }

    /// Reads a projection of the MongoDB manual: an object of paths with 1 or `true`, or with 0 or `false`, or with
    /// `$slice` or `$elemMatch`. The names of fields are not checked here.
    ///
    /// # Errors
    /// `INVALID_QUERY` with the path and the reason.
    pub fn parse(json: &Value) -> Result<Self> {
        Ok(Self(Arc::new(RawProjection::parse(json, &Schema::Any)?), PhantomData))
    }

    fn of(mode: Mode, name: &str) -> Self {
        Self(Arc::new(RawProjection::new(mode)), PhantomData).named(name)
    }

    fn named(self, name: &str) -> Self {
        let mut raw = Arc::unwrap_or_clone(self.0);
        raw.root.add(Path::new(name).names(), Node::Whole);
        Self(Arc::new(raw), PhantomData)
    }

    pub(crate) fn raw(&self) -> &RawProjection {
        &self.0
    }
}

impl<T: ?Sized> Clone for Projection<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}

impl<T: ?Sized> PartialEq for Projection<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T: ?Sized> std::fmt::Debug for Projection<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Projection").field(&self.0.root).finish()
    }
}

/// A struct that is a part of the model `T`: what `#[value(of = T)]` makes of it. Each of its fields is the field of `T` of the
/// same name, with the same type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a part of `{T}`",
    label = "not a part of `{T}`",
    note = "annotate it with `#[value(of = {T})]`"
)]
pub trait PartOf<T>: Sized {
    /// The part of a value.
    #[doc(hidden)]
    fn part_of(value: &T) -> Self;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::document::{AnyValue, DynDoc};
    use crate::core::id::RawId;
    use crate::core::json::Document;
    use serde_json::json;

    fn doc(json: &Value) -> DynDoc {
        let document = Document::try_from(json.clone()).unwrap();
        (Box::new(document) as Box<dyn AnyValue>).into_doc(RawId::parse("d").unwrap(), 7)
    }

    /// What is shown outside, and it is what the program gets.
    fn shown(fields: &Value, document: &Value) -> Value {
        let projection = RawProjection::parse(fields, &Schema::Any).unwrap();
        let mut text = Vec::new();
        projection.write_for(Audience::Anyone, doc(document).as_ref(), &mut text).unwrap();
        let shown: Value = serde_json::from_slice(&text).unwrap();
        let mut members = document.as_object().unwrap().clone();
        projection.members(&mut members);
        let mut without = shown.as_object().unwrap().clone();
        without.retain(|name, _| name != "_id" && name != "_rev");
        assert_eq!(members, without, "{fields} of {document}");
        shown
    }

    /// MongoDB manual, "Project Fields to Return from Query", with `_rev` beside `_id`.
    #[test]
    fn the_examples_of_the_manual() {
        let inventory = json!({
            "item": "journal", "status": "A", "size": {"h": 14, "w": 21, "uom": "cm"},
            "instock": [{"warehouse": "A", "qty": 5}, {"warehouse": "B", "qty": 7}],
        });
        let cases = [
            // "Return All Fields in Matching Documents"
            (
                json!({}),
                json!({"_id": "d", "_rev": 7, "item": "journal", "status": "A", "size": {"h": 14, "w": 21, "uom": "cm"},
                               "instock": [{"warehouse": "A", "qty": 5}, {"warehouse": "B", "qty": 7}]}),
            ),
            // "Return the Specified Fields and the _id Field Only"
            (json!({"item": 1, "status": 1}), json!({"_id": "d", "_rev": 7, "item": "journal", "status": "A"})),
            // "Suppress _id Field"
            (json!({"item": 1, "status": 1, "_id": 0}), json!({"_rev": 7, "item": "journal", "status": "A"})),
            (json!({"item": 1, "_id": 0, "_rev": false}), json!({"item": "journal"})),
            // "Return All But the Excluded Fields"
            (
                json!({"status": 0, "instock": 0}),
                json!({"_id": "d", "_rev": 7, "item": "journal", "size": {"h": 14, "w": 21, "uom": "cm"}}),
            ),
            // "Return Specific Fields in Embedded Documents", dotted and nested
            (
                json!({"item": 1, "size.uom": 1}),
                json!({"_id": "d", "_rev": 7, "item": "journal", "size": {"uom": "cm"}}),
            ),
            (
                json!({"item": 1, "size": {"uom": 1}}),
                json!({"_id": "d", "_rev": 7, "item": "journal", "size": {"uom": "cm"}}),
            ),
            // "Suppress Specific Fields in Embedded Documents"
            (
                json!({"size.uom": 0, "instock": 0}),
                json!({"_id": "d", "_rev": 7, "item": "journal", "status": "A", "size": {"h": 14, "w": 21}}),
            ),
            // "Projection on Embedded Documents in an Array"
            (
                json!({"item": true, "instock.qty": true}),
                json!({"_id": "d", "_rev": 7, "item": "journal", "instock": [{"qty": 5}, {"qty": 7}]}),
            ),
            (
                json!({"instock": {"qty": 0}, "size": 0}),
                json!({"_id": "d", "_rev": 7, "item": "journal", "status": "A",
                                                             "instock": [{"warehouse": "A"}, {"warehouse": "B"}]}),
            ),
            // Of these two alone
            (json!({"_id": 1}), json!({"_id": "d", "_rev": 7})),
            (json!({"_rev": 1, "_id": 0}), json!({"_rev": 7})),
            (
                json!({"_id": 0}),
                json!({"_rev": 7, "item": "journal", "status": "A", "size": {"h": 14, "w": 21, "uom": "cm"},
                                       "instock": [{"warehouse": "A", "qty": 5}, {"warehouse": "B", "qty": 7}]}),
            ),
            (json!({"item": 0, "instock": 0, "size": 0, "_id": 1}), json!({"_id": "d", "_rev": 7, "status": "A"})),
        ];
        for (fields, expected) in cases {
            assert_eq!(shown(&fields, &inventory), expected, "{fields}");
        }
    }

    /// "Return Specific Fields in Embedded Documents" says that arrays are gone through; of arrays in arrays and of numbers as
    /// names the decisions on record say the same.
    #[test]
    fn on_the_way_through_arrays() {
        let own = json!({"_id": 0, "_rev": 0});
        let with = |fields: Value| {
            let mut all = own.clone();
            all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            all
        };
        let mixed = json!({"a": [{"b": 1, "c": 2}, 5, null, [{"b": 3, "c": 4}, 6], {"c": 7}], "x": {"0": {"b": 1}}});
        for (fields, expected) in [
            (json!({"a.b": 1}), json!({"a": [{"b": 1}, [{"b": 3}], {}]})),
            (json!({"a.b": 0, "x": 0}), json!({"a": [{"c": 2}, 5, null, [{"c": 4}, 6], {"c": 7}]})),
            (json!({"a.0": 1}), json!({"a": [{}, [{}], {}]})),
            (json!({"a.0": 0, "x": 0}), json!({"a": [{"b": 1, "c": 2}, 5, null, [{"b": 3, "c": 4}, 6], {"c": 7}]})),
            (json!({"x.0.b": 1}), json!({"x": {"0": {"b": 1}}})),
            (json!({"x.b": 1}), json!({"x": {}})),
            (json!({"x.0.b.c": 1}), json!({"x": {"0": {}}})),
            (json!({"nope": 1}), json!({})),
            (json!({"nope.b": 0, "a": 0}), json!({"x": {"0": {"b": 1}}})),
        ] {
            assert_eq!(shown(&with(fields.clone()), &mixed), expected, "{fields}");
        }
        // What is on the way and is no object.
        assert_eq!(shown(&with(json!({"a.b": 1})), &json!({"a": 5, "b": 1})), json!({}));
        assert_eq!(shown(&with(json!({"a.b": 0})), &json!({"a": 5, "b": 1})), json!({"a": 5, "b": 1}));
    }

    /// MongoDB manual, "$slice (projection)" and "$elemMatch (projection)".
    #[test]
    fn parts_of_arrays() {
        let posts = json!({
            "title": "Bagels", "comments": [{"text": "0"}, {"text": "1"}, {"text": "2"}, {"text": "3"}], "tags": ["a", "b"],
            "details": {"colors": ["blue", "black", "red"], "sizes": ["l"]},
        });
        let texts = |some: &[&str]| some.iter().map(|text| json!({"text": text})).collect::<Value>();
        let with = |name: &str, value: Value| {
            let mut all = posts.clone();
            all.as_object_mut().unwrap().extend([(name.to_owned(), value)]);
            all
        };
        for (fields, expected) in [
            // "Return an Array with Its First 3 Elements", "… Last 3 …", "… Elements After Skipping …"
            (json!({"comments": {"$slice": 3}}), with("comments", texts(&["0", "1", "2"]))),
            (json!({"comments": {"$slice": -3}}), with("comments", texts(&["1", "2", "3"]))),
            (json!({"comments": {"$slice": [1, 2]}}), with("comments", texts(&["1", "2"]))),
            (json!({"comments": {"$slice": [-3, 2]}}), with("comments", texts(&["1", "2"]))),
            (json!({"comments": {"$slice": 0}}), with("comments", json!([]))),
            // What is no array is shown as it is.
            (json!({"title": {"$slice": 1}, "nope": {"$slice": 1}}), posts.clone()),
            // "Behavior", "$slice of an Array in a Nested Document": alone, of an inclusion, of an exclusion
            (json!({"details.colors": {"$slice": 1}}), with("details", json!({"colors": ["blue"], "sizes": ["l"]}))),
            (
                json!({"title": 1, "details.colors": {"$slice": 1}}),
                json!({"title": "Bagels", "details": {"colors": ["blue"]}}),
            ),
            (
                json!({"comments": 0, "tags": 0, "title": 0, "details": {"colors": {"$slice": -1}}}),
                json!({"details": {"colors": ["red"], "sizes": ["l"]}}),
            ),
            (json!({"comments.text": {"$slice": 1}}), posts.clone()),
            // Operators on elements
            (json!({"comments": {"$elemMatch": {"text": {"$gt": "1"}}}}), json!({"comments": texts(&["2"])})),
            (json!({"tags": {"$elemMatch": {"$ne": "a"}}}), json!({"tags": ["b"]})),
            (json!({"comments": {"$elemMatch": {"text": "9"}}}), json!({})),
            (json!({"title": {"$elemMatch": {"$gt": ""}}, "tags": 1}), json!({"tags": ["a", "b"]})),
            (
                json!({"comments": {"$elemMatch": {"text": "1"}}, "tags": {"$slice": 1}}),
                json!({"comments": texts(&["1"]), "tags": ["a"]}),
            ),
            (
                json!({"comments": {"$elemMatch": {"text": "1"}}, "tags": 0, "details": 0}),
                json!({"title": "Bagels", "comments": texts(&["1"])}),
            ),
        ] {
            let mut own = fields.clone();
            own.as_object_mut().unwrap().extend([("_id".to_owned(), json!(0)), ("_rev".to_owned(), json!(0))]);
            assert_eq!(shown(&own, &posts), expected, "{fields}");
        }
    }

    #[test]
    fn malformed_projections_are_refused_with_their_place() {
        let deep = (0..40).fold(json!(1), |inner, _| json!({"a": inner}));
        let wide: Map<String, Value> = (0..=MAX_PATHS).map(|at| (format!("f{at}"), json!(1))).collect();
        for (fields, place) in [
            (json!(null), "fields"),
            (json!(["a"]), "fields"),
            (json!({"a": "x"}), "fields.a"),
            (json!({"a": null}), "fields.a"),
            (json!({"a": [1]}), "fields.a"),
            (json!({"a": {}}), "fields.a"),
            (json!({"a": 1, "b": 0}), "fields.b"),
            (json!({"a": 0, "b.c": 1}), "fields.b.c"),
            (json!({"a": 1, "a.b": 1}), "fields.a.b"),
            (json!({"a.b": 1, "a": 1}), "fields.a"),
            (json!({"a": {"b": 1}, "a.b": 1}), "fields.a.b"),
            (json!({"a..b": 1}), "fields.a..b"),
            (json!({"_id.x": 1}), "fields._id.x"),
            (json!({"a.$": 1}), "fields.a.$"),
            (json!({"$": 1}), "fields.$"),
            (json!({"a": {"$": 1}}), "fields.a.$"),
            (json!({"a": {"$slice": "1"}}), "fields.a.$slice"),
            (json!({"a": {"$slice": [1, 0]}}), "fields.a.$slice"),
            (json!({"a": {"$slice": 1, "b": 1}}), "fields.a.$slice"),
            (json!({"a": {"$slice": 1, "$elemMatch": {"b": 1}}}), "fields.a.$slice"),
            (json!({"a": {"$slice": 1}, "a.b": 1}), "fields.a.b"),
            (json!({"a.b": 1, "a": {"$slice": 1}}), "fields.a"),
            (json!({"a": {"$elemMatch": {"b": 1}}, "a.b": 1}), "fields.a.b"),
            (json!({"a": {"$elemMatch": 1}}), "fields.a.$elemMatch"),
            (json!({"a": {"$elemMatch": {"b": {"$foo": 1}}}}), "fields.a.$elemMatch.b.$foo"),
            (json!({"a.b": {"$elemMatch": {"c": 1}}}), "fields.a.b.$elemMatch"),
            (json!({"_id": {"$slice": 1}}), "fields._id.$slice"),
            (json!({"a": {"b": {"$meta": 1}}}), "fields.a.b.$meta"),
        ] {
            let error = RawProjection::parse(&fields, &Schema::Any).unwrap_err();
            assert_eq!((error.code().as_str(), error.get("path")), ("INVALID_QUERY", Some(&json!(place))), "{fields}");
        }
        assert!(RawProjection::parse(&deep, &Schema::Any).is_err());
        let patterns: Map<String, Value> =
            (0..20).map(|at| (format!("f{at}"), json!({"$elemMatch": {"$regex": "a"}}))).collect();
        assert!(RawProjection::parse(&Value::Object(patterns), &Schema::Any).is_err());
        assert!(RawProjection::parse(&Value::Object(wide), &Schema::Any).is_err());
    }
}
