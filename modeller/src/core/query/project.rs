//! Projections: which parts of a document are answered (MongoDB manual, "Project Fields to Return from Query").
//!
//! A projection either names what is there, or what is not; `_id` and `_rev` are there unless they are excluded, and may be said
//! beside both. A dotted path goes through arrays of objects, also through arrays in arrays; a number in it is a name and never
//! a position. What is on the way of an inclusion and is no object is left out; an exclusion leaves it as it is.

use std::marker::PhantomData;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Map, Value};

use super::filter::Path;
use super::parse::{Schema, joined, parse_path};
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

/// Names, and what is said of what is below them; nothing more where the path ends.
#[derive(Clone, Debug, Default, PartialEq)]
struct Node(Vec<(Box<str>, Node)>);

impl Node {
    fn below(&self, name: &str) -> Option<&Self> {
        self.0.iter().find(|(known, _)| **known == *name).map(|(_, node)| node)
    }

    fn is_end(&self) -> bool {
        self.0.is_empty()
    }

    fn to_json(&self, mode: Mode) -> Map<String, Value> {
        let mut members: Vec<_> = self.0.iter().collect();
        members.sort_unstable_by_key(|(name, _)| name);
        let shown = |node: &Self| match node.is_end() {
            true => Value::Bool(mode == Mode::Include),
            false => Value::Object(node.to_json(mode)),
        };
        members.into_iter().map(|(name, node)| (name.to_string(), shown(node))).collect()
    }

    /// Adds a path. False when it, a part of it, or a longer one is there.
    fn add(&mut self, names: &[Box<str>]) -> bool {
        let Some((name, rest)) = names.split_first() else { return false };
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, node)) => !node.is_end() && node.add(rest),
            None => {
                let mut node = Self::default();
                if !rest.is_empty() {
                    node.add(rest);
                }
                self.0.push((name.clone(), node));
                true
            }
        }
    }
}

impl RawProjection {
    fn new(mode: Mode) -> Self {
        Self { mode, id: true, rev: true, root: Node::default() }
    }

    /// Reads an object of paths with 1 or 0.
    pub(crate) fn parse(json: &Value, schema: &Schema<'_>) -> Result<Self> {
        let Value::Object(object) = json else { return Err(Error::query("fields", "a projection is an object")) };
        let mut parser =
            Parser { schema, mode: None, paths: 0, projection: Self::new(Mode::Exclude), own: [None, None] };
        parser.members(object, "")?;
        let Parser { mode, mut projection, own, .. } = parser;
        let [id, rev] = own;
        // Where only these two are named, one that is asked for is what is asked for.
        let asked = if own.contains(&Some(true)) { Mode::Include } else { Mode::Exclude };
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
        json.insert("_id".to_owned(), self.id.into());
        json.insert("_rev".to_owned(), self.rev.into());
        Value::Object(json)
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
            (Some(node), mode) if node.is_end() => mode == Mode::Include,
            (Some(node), _) => self.prune_value(node, value),
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
    mode: Option<Mode>,
    paths: usize,
    projection: RawProjection,
    /// What is said of `_id` and of `_rev`.
    own: [Option<bool>; 2],
}

impl Parser<'_> {
    fn members(&mut self, object: &Map<String, Value>, above: &str) -> Result<()> {
        for (name, value) in object {
            let at = joined("fields", &joined(above, name));
            let path = parse_path(&joined(above, name), &at)?;
            match value {
                Value::Bool(wanted) => self.path(&path, *wanted, &at)?,
                Value::Number(number) => self.path(&path, number.as_f64() != Some(0.0), &at)?,
                Value::Object(inner) => match inner.keys().find(|name| name.starts_with('$')) {
                    Some(operator) => {
                        let text = format!("there is no `{operator}` here; a projection includes or excludes fields");
                        return Err(Error::query(&joined(&at, operator), text));
                    }
                    None if inner.is_empty() => return Err(Error::query(&at, "needs at least one field")),
                    None => self.members(inner, &joined(above, name))?,
                },
                _ => return Err(Error::query(&at, "is 1 or true to include, 0 or false to exclude")),
            }
        }
        Ok(())
    }

    fn path(&mut self, path: &Path, wanted: bool, at: &str) -> Result<()> {
        self.paths += 1;
        if self.paths > MAX_PATHS {
            return Err(Error::query(at, format!("a projection has at most {MAX_PATHS} paths")));
        }
        let [id, rev] = &mut self.own;
        let own = match path.head() {
            "_id" => Some(id),
            "_rev" => Some(rev),
            _ => None,
        };
        if let Some(own) = own {
            if path.single().is_none() || own.replace(wanted).is_some() {
                return Err(Error::query(at, "is one value, said once"));
            }
            return Ok(());
        }
        let path =
            self.schema.check(path.clone()).map_err(|error| match error.get("reason").and_then(Value::as_str) {
                Some(reason) => Error::query(at, reason),
                None => error,
            })?;
        let mode = if wanted { Mode::Include } else { Mode::Exclude };
        if *self.mode.get_or_insert(mode) != mode {
            return Err(Error::query(at, "includes and excludes are mixed, which only `_id` and `_rev` may be"));
        }
        if !self.projection.root.add(path.names()) {
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
        const NOTHING: &Node = &Node(Vec::new());
        Shown { value, below: None, node: NOTHING }
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
            (Some(node), mode) if node.is_end() => (mode == Mode::Include).then(|| Shown::whole(value)),
            (Some(node), _) => Shown { value, below: Some(projection), node }.if_any(),
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
        for at in 0..array.len() {
            let element = Shown { value: array.at(at), below: self.below, node: self.node };
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

    /// Reads a projection of the MongoDB manual: an object of paths with 1 or `true`, or with 0 or `false`. The names of fields
    /// are not checked here.
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
        raw.root.add(Path::new(name).names());
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
            (json!({"a.$": 1}), "fields.a.$"),
            (json!({"_id.x": 1}), "fields._id.x"),
            (json!({"a": {"$slice": 1}}), "fields.a.$slice"),
            (json!({"a": {"$elemMatch": {"b": 1}}}), "fields.a.$elemMatch"),
            (json!({"a": {"b": {"$meta": 1}}}), "fields.a.b.$meta"),
        ] {
            let error = RawProjection::parse(&fields, &Schema::Any).unwrap_err();
            assert_eq!((error.code().as_str(), error.get("path")), ("INVALID_QUERY", Some(&json!(place))), "{fields}");
        }
        assert!(RawProjection::parse(&deep, &Schema::Any).is_err());
        assert!(RawProjection::parse(&Value::Object(wide), &Schema::Any).is_err());
    }
}
