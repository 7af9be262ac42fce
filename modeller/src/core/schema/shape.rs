//! Which parts of a JSON value are private or protected, as the schema of its model says it.
//!
//! A typed value knows by its type what is private; a value that is JSON has to be told. A [`Shape`] is made from a schema once:
//! a *spot* for each set of schemas that may speak of one value, and from spot to spot by the names of members. Where a schema
//! leaves a choice, one private alternative is enough. What holds nothing private has no spot, and is read as plain JSON.

use std::collections::{BTreeSet, HashMap};

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Map, Value};

use super::walk::{self, Role};
use crate::core::private::is_written;
use crate::core::private::{Audience, Level};
use crate::core::value::{ArrayRef, AsValue, ObjectRef, ValueRef};

/// How many spots one schema may have. Sets of alternatives can multiply.
const MAX_SPOTS: usize = 4_096;

/// The private parts of the values of one schema.
pub struct Shape {
    spots: Vec<Spot>,
}

/// Keywords that hold values.
const SAMPLES: [&str; 2] = ["default", "examples"];

/// A schema without what its defaults and examples say of values that this audience does not see. Where it cannot be told which
/// these are, it is without any.
pub(super) fn without_samples(schema: &Value, to: Audience) -> Value {
    let mut shown = schema.clone();
    match Shape::of(schema) {
        Ok(None) => {}
        Ok(Some(shape)) => shape.take_samples(&mut shown, to),
        Err(_) => {
            let mut open = vec![&mut shown];
            while let Some(schema) = open.pop() {
                if let Value::Object(schema) = schema {
                    schema.retain(|keyword, _| !SAMPLES.contains(&keyword.as_str()));
                }
                open.extend(walk::inside_mut(schema).into_iter().map(|(_, inner)| inner));
            }
        }
    }
    shown
}

/// Place of a spot in its shape.
pub(crate) type SpotIndex = u32;

/// The spot of the value as a whole.
pub(crate) const ROOT: SpotIndex = 0;

#[derive(Default)]
struct Spot {
    level: Option<Level>,
    /// Members by name; `None` for those that hold nothing private.
    members: HashMap<Box<str>, Option<SpotIndex>>,
    /// All other members.
    others: Option<SpotIndex>,
    /// The elements of an array.
    elements: Option<SpotIndex>,
    /// The places of the schemas that speak of it.
    places: Vec<String>,
}

/// A member of a value that nobody but verified callers knows of.
pub(super) struct Hidden {
    /// The object that has it, as a JSON pointer.
    pub(super) holder: String,
    pub(super) name: String,
    /// A schema of that object.
    pub(super) place: String,
}

impl Shape {
    /// The shape of a schema; `None` when nothing in it is private or protected.
    ///
    /// # Errors
    /// Where a member is marked in a way that cannot be kept, with its place.
    pub(crate) fn of(root: &Value) -> Result<Option<Self>, String> {
        let mut says = false;
        for (place, schema) in walk::all(root) {
            for keyword in [Level::Private, Level::Protected].map(Level::keyword) {
                match schema.get(keyword) {
                    None | Some(Value::Bool(false)) => {}
                    Some(Value::Bool(true)) => says = true,
                    Some(_) => return Err(format!("`{place}/{keyword}`: is true or false")),
                }
            }
        }
        if !says {
            return Ok(None);
        }
        Builder { root, places: walk::all(root).into_iter().map(|(at, it)| (std::ptr::from_ref(it), at)).collect() }
            .build()
            .map(Some)
    }

    fn spot(&self, at: SpotIndex) -> Option<&Spot> {
        self.spots.get(at as usize)
    }

    /// The spot of a member.
    pub(crate) fn member(&self, at: SpotIndex, name: &str) -> Option<SpotIndex> {
        let spot = self.spot(at)?;
        match spot.members.get(name) {
            Some(member) => *member,
            None => spot.others,
        }
    }

    fn elements(&self, at: SpotIndex) -> Option<SpotIndex> {
        self.spot(at)?.elements
    }

    /// How far what is at the spot is withheld as a whole.
    pub(crate) fn level(&self, at: SpotIndex) -> Option<Level> {
        self.spot(at)?.level
    }

    /// How far the member of that name is withheld in every document.
    pub(super) fn member_level(&self, name: &str) -> Option<Level> {
        self.member(ROOT, name).and_then(|at| self.level(at))
    }

    /// Whether something in it is protected.
    pub(super) fn has_protected(&self) -> bool {
        self.spots.iter().any(|spot| spot.level == Some(Level::Protected))
    }

    /// Whether a JSON pointer into a value leads into something protected.
    pub(super) fn is_protected(&self, pointer: &str) -> bool {
        let mut at = ROOT;
        for name in pointer.split('/').skip(1) {
            let name = name.replace("~1", "/").replace("~0", "~");
            let Some(next) = self.member(at, &name).or_else(|| self.elements(at)) else { return false };
            if self.level(next) == Some(Level::Protected) {
                return true;
            }
            at = next;
        }
        false
    }

    /// Whether the member of that name is protected in the object that a JSON pointer leads to.
    pub(super) fn is_protected_member(&self, holder: &str, name: &str) -> bool {
        self.is_protected(&format!("{holder}/{}", walk::escaped(name)))
    }

    /// The protected members of a value, `most` of them at most.
    pub(super) fn hidden(&self, value: &Value, most: usize) -> Vec<Hidden> {
        let mut found = Vec::new();
        self.hidden_at(ROOT, value, &mut String::new(), most, &mut found);
        found
    }

    fn hidden_at(&self, at: SpotIndex, value: &Value, holder: &mut String, most: usize, found: &mut Vec<Hidden>) {
        let length = holder.len();
        let mut below = |name: &str, spot: SpotIndex, value: &Value, found: &mut Vec<Hidden>| {
            holder.push('/');
            holder.push_str(&walk::escaped(name));
            self.hidden_at(spot, value, holder, most, found);
            holder.truncate(length);
        };
        match value {
            Value::Object(object) => {
                for (name, value) in object {
                    let Some(spot) = self.member(at, name).filter(|_| found.len() < most) else { continue };
                    if self.level(spot).is_none() {
                        below(name, spot, value, found);
                    }
                }
                for name in object.keys() {
                    let level = self.member(at, name).and_then(|spot| self.level(spot));
                    if level == Some(Level::Protected) && found.len() < most {
                        let place = self.spot(at).and_then(|spot| spot.places.first().cloned());
                        found.push(Hidden {
                            holder: holder.clone(),
                            name: name.clone(),
                            place: place.unwrap_or_default(),
                        });
                    }
                }
            }
            Value::Array(array) => {
                let Some(spot) = self.elements(at) else { return };
                for (index, value) in array.iter().enumerate() {
                    if found.len() < most {
                        below(&index.to_string(), spot, value, found);
                    }
                }
            }
            _ => {}
        }
    }

    /// Takes out of a schema what its defaults and examples say of values that this audience does not see.
    pub(super) fn take_samples(&self, schema: &mut Value, to: Audience) {
        for (at, spot) in (0..).zip(&self.spots) {
            for place in &spot.places {
                let schema = schema.pointer_mut(place.strip_prefix('#').unwrap_or(place));
                let Some(Value::Object(schema)) = schema else { continue };
                if spot.level.is_some_and(|level| !to.sees(level)) {
                    schema.retain(|keyword, _| !SAMPLES.contains(&keyword.as_str()));
                    continue;
                }
                if let Some(sample) = schema.get_mut("default") {
                    self.take_withheld(at, sample, to);
                }
                for sample in schema.get_mut("examples").and_then(Value::as_array_mut).into_iter().flatten() {
                    self.take_withheld(at, sample, to);
                }
            }
        }
    }

    /// Takes out of a value what this audience does not see.
    fn take_withheld(&self, at: SpotIndex, value: &mut Value, to: Audience) {
        let withheld = |at| self.level(at).is_some_and(|level| !to.sees(level));
        match value {
            Value::Object(object) => {
                object.retain(|name, _| !self.member(at, name).is_some_and(withheld));
                for (name, value) in object {
                    if let Some(at) = self.member(at, name) {
                        self.take_withheld(at, value, to);
                    }
                }
            }
            Value::Array(array) => {
                if let Some(at) = self.elements(at) {
                    array.iter_mut().for_each(|value| self.take_withheld(at, value, to));
                }
            }
            _ => {}
        }
    }

    /// What is protected: the places of the schemas of an object, with the names of its members, and whether all that are not
    /// named are.
    pub(super) fn protected(&self) -> impl Iterator<Item = (&[String], Vec<&str>, bool)> {
        let is = |at: &SpotIndex| self.level(*at) == Some(Level::Protected);
        self.spots.iter().map(move |spot| {
            let names =
                spot.members.iter().filter(|(_, at)| at.as_ref().is_some_and(is)).map(|(name, _)| name.as_ref());
            (spot.places.as_slice(), names.collect(), spot.others.as_ref().is_some_and(is))
        })
    }

    /// The view of a value at a spot.
    pub(crate) fn view<'a>(&'a self, at: Option<SpotIndex>, value: &'a Value) -> ValueRef<'a> {
        match (at.and_then(|at| self.level(at)), at) {
            (Some(Level::Private), _) => ValueRef::Private(value),
            (Some(Level::Protected), _) => ValueRef::Protected(value),
            (None, Some(spot)) if value.is_object() || value.is_array() => ValueRef::Part { value, shape: self, spot },
            _ => value.as_value(),
        }
    }

    /// Puts the members of these levels that `next` lacks back from `current`. In lists nothing is kept: which element would be
    /// whose is not known.
    pub(super) fn keep(&self, at: SpotIndex, next: &mut Value, current: &Value, kept: &dyn Fn(Level) -> bool) {
        let (Value::Object(next), Value::Object(current)) = (next, current) else { return };
        for (name, old) in current {
            let Some(spot) = self.member(at, name) else { continue };
            match next.get_mut(name) {
                None if self.level(spot).is_some_and(kept) => {
                    next.insert(name.clone(), old.clone());
                }
                Some(next) if self.level(spot).is_none() => self.keep(spot, next, old, kept),
                _ => {}
            }
        }
    }
}

impl std::fmt::Debug for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shape").field("spots", &self.spots.len()).finish()
    }
}

/// Schemas that may speak of one value, by their addresses.
type Set<'a> = BTreeSet<*const Value>;

struct Builder<'a> {
    root: &'a Value,
    places: HashMap<*const Value, String>,
}

impl<'a> Builder<'a> {
    fn place(&self, schema: &Value) -> &str {
        self.places.get(&std::ptr::from_ref(schema)).map_or("#", String::as_str)
    }

    /// The schemas with all others that speak of the same value.
    fn closed(&self, from: Vec<&'a Value>) -> Result<Vec<&'a Value>, String> {
        let mut seen = Set::new();
        let mut all = Vec::new();
        let mut open = from;
        while let Some(schema) = open.pop() {
            if !seen.insert(std::ptr::from_ref(schema)) {
                continue;
            }
            all.push(schema);
            let untold =
                |what: String| format!("`{}`: {what}, so it cannot be told what is private", self.place(schema));
            open.extend(walk::referred(self.root, schema).map_err(|what| untold(format!("the reference {what}")))?);
            if schema.get("$dynamicRef").is_some() {
                return Err(untold("a `$dynamicRef` leads to a place that depends on the way".into()));
            }
            let same = walk::inside(schema).into_iter().filter(|inner| matches!(inner.role, Role::Same | Role::Maybe));
            open.extend(same.map(|inner| inner.schema));
        }
        Ok(all)
    }

    fn build(&self) -> Result<Shape, String> {
        let mut spots: Vec<Spot> = Vec::new();
        let mut known: HashMap<Set<'a>, SpotIndex> = HashMap::new();
        let mut open: Vec<(SpotIndex, Vec<&'a Value>)> = Vec::new();
        let mut spot_of = |from: Vec<&'a Value>,
                           open: &mut Vec<(SpotIndex, Vec<&'a Value>)>,
                           spots: &mut Vec<Spot>|
         -> Result<Option<SpotIndex>, String> {
            if from.is_empty() {
                return Ok(None);
            }
            let all = self.closed(from)?;
            let set: Set<'a> = all.iter().map(|schema| std::ptr::from_ref(*schema)).collect();
            if let Some(at) = known.get(&set) {
                return Ok(Some(*at));
            }
            let at = SpotIndex::try_from(spots.len()).unwrap_or(SpotIndex::MAX);
            if spots.len() >= MAX_SPOTS {
                return Err("the schema has too many alternatives to tell what is private".into());
            }
            known.insert(set, at);
            let level = all.iter().filter_map(|schema| Level::of(schema)).max();
            let private = |schema: &&&'a Value| self.holds(schema, |level| level == Level::Private);
            if let (Some(Level::Protected), Some(schema)) = (level, all.iter().find(private)) {
                return Err(format!(
                    "`{}`: is protected and has private parts; mark them apart, or all of it as private",
                    self.place(schema)
                ));
            }
            let places = all.iter().map(|schema| self.place(schema).to_owned()).collect();
            spots.push(Spot { level, places, ..Spot::default() });
            if level.is_none() {
                open.push((at, all));
            }
            Ok(Some(at))
        };
        spot_of(vec![self.root], &mut open, &mut spots)?;
        if let Some(level) = spots.first().and_then(|spot| spot.level) {
            let keyword = level.keyword();
            return Err(format!("`#/{keyword}`: a document as a whole cannot be {keyword}; mark its members"));
        }
        while let Some((at, schemas)) = open.pop() {
            let mut named: HashMap<&str, Vec<&'a Value>> = HashMap::new();
            let (mut others, mut elements) = (Vec::new(), Vec::new());
            for inner in schemas.iter().flat_map(|schema| walk::inside(schema)) {
                match inner.keyword {
                    "properties" => {}
                    "patternProperties" if self.holds(inner.schema, |_| true) => {
                        return Err(format!(
                            "`{}`: private and protected members are named in `properties`, or are all that are not",
                            self.place(inner.schema)
                        ));
                    }
                    "patternProperties" => {}
                    "additionalProperties" | "unevaluatedProperties" => others.push(inner.schema),
                    _ if inner.role == Role::Part => elements.push(inner.schema),
                    _ => {}
                }
            }
            for name in schemas.iter().filter_map(|schema| schema.get("properties")?.as_object()).flat_map(Map::keys) {
                named.entry(name).or_default();
            }
            for (name, speaking) in &mut named {
                for schema in &schemas {
                    match schema.get("properties").and_then(|properties| properties.get(*name)) {
                        Some(property) => speaking.push(property),
                        None => speaking.extend(schema.get("additionalProperties")),
                    }
                    speaking.extend(schema.get("unevaluatedProperties"));
                }
            }
            let mut members: HashMap<Box<str>, Option<SpotIndex>> = HashMap::new();
            for (name, speaking) in named {
                members.insert(name.into(), spot_of(speaking, &mut open, &mut spots)?);
            }
            let others = spot_of(others, &mut open, &mut spots)?;
            let place = elements.iter().map(|schema| self.place(schema).to_owned()).next();
            let elements = spot_of(elements, &mut open, &mut spots)?;
            let level_of = |at: Option<SpotIndex>| at.and_then(|at| spots.get(at as usize)).and_then(|spot| spot.level);
            if let Some(level) = level_of(elements) {
                return Err(format!(
                    "`{}`: an element of a list cannot be {}; mark the list, or members of the element",
                    place.unwrap_or_default(),
                    level.keyword()
                ));
            }
            let protected = members.iter().filter(|(_, at)| level_of(**at) == Some(Level::Protected));
            for (name, _) in protected {
                self.refuse_to_depend_on(name, &schemas)?;
            }
            if let Some(spot) = spots.get_mut(at as usize) {
                (spot.members, spot.others, spot.elements) = (members, others, elements);
            }
        }
        Ok(Shape { spots: pruned(spots) })
    }

    /// Refuses what would let the rest of an object fit, or not, by what its protected member is: anyone could try.
    fn refuse_to_depend_on(&self, name: &str, schemas: &[&'a Value]) -> Result<(), String> {
        let told = |place: &str| {
            Err(format!(
                "`{place}`: what else fits must not depend on the protected `{name}`, which it would tell about"
            ))
        };
        for schema in schemas {
            for keyword in ["dependentRequired", "dependentSchemas", "dependencies"] {
                if schema.get(keyword).is_some_and(|keyed| keyed.get(name).is_some()) {
                    return told(&format!("{}/{keyword}", self.place(schema)));
                }
            }
            for asked in ["if", "not"].into_iter().filter_map(|keyword| schema.get(keyword)) {
                let mentions = |schema: &&'a Value| {
                    let listed = schema.get("required").and_then(Value::as_array);
                    schema.get("properties").is_some_and(|named| named.get(name).is_some())
                        || listed.is_some_and(|listed| listed.iter().any(|other| other == name))
                };
                if self.closed(vec![asked])?.iter().any(mentions) {
                    return told(self.place(asked));
                }
            }
        }
        Ok(())
    }

    /// Whether a schema says one of these levels of any value below it.
    fn holds(&self, schema: &'a Value, is_meant: impl Fn(Level) -> bool) -> bool {
        let mut seen = Set::new();
        let mut open = vec![schema];
        while let Some(schema) = open.pop() {
            if Level::of(schema).is_some_and(&is_meant) {
                return true;
            }
            if seen.insert(std::ptr::from_ref(schema)) {
                open.extend(walk::inside(schema).into_iter().map(|inner| inner.schema));
                open.extend(walk::referred(self.root, schema).ok().flatten());
            }
        }
        false
    }
}

/// Takes out the ways to spots that nothing private is reached from.
fn pruned(mut spots: Vec<Spot>) -> Vec<Spot> {
    let mut holds: Vec<bool> = spots.iter().map(|spot| spot.level.is_some()).collect();
    loop {
        let leads = |spot: &Spot| {
            let ways = spot.members.values().flatten().chain(&spot.others).chain(&spot.elements);
            ways.into_iter().any(|to| holds.get(*to as usize) == Some(&true))
        };
        let next: Vec<bool> = spots.iter().map(|spot| spot.level.is_some() || leads(spot)).collect();
        if next == holds {
            break;
        }
        holds = next;
    }
    let keep = |to: &mut Option<SpotIndex>| *to = to.filter(|to| holds.get(*to as usize) == Some(&true));
    for spot in &mut spots {
        spot.members.values_mut().for_each(keep);
        keep(&mut spot.others);
        keep(&mut spot.elements);
    }
    spots
}

/// An object or an array that holds private members, as it is seen.
pub(crate) struct Part<'a> {
    value: &'a Value,
    shape: &'a Shape,
    spot: SpotIndex,
}

impl<'a> Part<'a> {
    pub(crate) fn new(value: &'a Value, shape: &'a Shape, spot: SpotIndex) -> Self {
        Self { value, shape, spot }
    }

    /// The view of it, which lies on the stack.
    pub(crate) fn view(&self) -> ValueRef<'_> {
        match self.value {
            Value::Object(_) => ValueRef::Object(self),
            Value::Array(_) => ValueRef::Array(self),
            value => value.as_value(),
        }
    }

    fn member(&self, name: &str, value: &'a Value) -> ValueRef<'a> {
        self.shape.view(self.shape.member(self.spot, name), value)
    }
}

impl ObjectRef for Part<'_> {
    fn get(&self, name: &str) -> Option<ValueRef<'_>> {
        self.value.get(name).map(|value| self.member(name, value))
    }
    fn slots(&self) -> usize {
        self.value.as_object().map_or(0, Map::len)
    }
    fn entry(&self, slot: usize) -> Option<(&str, ValueRef<'_>)> {
        let (name, value) = self.value.as_object()?.iter().nth(slot)?;
        Some((name, self.member(name, value)))
    }
    fn each(&self, f: &mut dyn FnMut(&str, ValueRef<'_>)) {
        let members = self.value.as_object().into_iter().flatten();
        members.for_each(|(name, value)| f(name, self.member(name, value)));
    }
}

impl ArrayRef for Part<'_> {
    fn len(&self) -> usize {
        self.value.as_array().map_or(0, Vec::len)
    }
    fn at(&self, index: usize) -> ValueRef<'_> {
        let element = self.value.as_array().and_then(|array| array.get(index));
        element.map_or(ValueRef::Null, |element| self.shape.view(self.shape.elements(self.spot), element))
    }
}

/// Written without what is private.
impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Object(object) => serialize_members(object, self.shape, self.spot, serializer),
            Value::Array(array) => {
                let at = self.shape.elements(self.spot);
                let mut list = serializer.serialize_seq(Some(array.len()))?;
                for element in array {
                    match at {
                        Some(spot) => list.serialize_element(&Part { value: element, spot, ..*self })?,
                        None => list.serialize_element(element)?,
                    }
                }
                list.end()
            }
            value => value.serialize(serializer),
        }
    }
}

/// Writes the members of an object at a spot without those that are private.
pub(crate) fn serialize_members<S: Serializer>(
    object: &Map<String, Value>,
    shape: &Shape,
    spot: SpotIndex,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    for (name, value) in object {
        match shape.member(spot, name) {
            None => map.serialize_entry(name, value)?,
            Some(at) if shape.level(at).is_some_and(|level| !is_written(level)) => {}
            Some(at) if shape.level(at).is_some() => map.serialize_entry(name, value)?,
            Some(at) => map.serialize_entry(name, &Part { value, shape, spot: at })?,
        }
    }
    map.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(schema: &Value, value: &Value) -> Value {
        let shape = Shape::of(schema).unwrap().unwrap();
        serde_json::to_value(Part::new(value, &shape, ROOT)).unwrap()
    }

    #[test]
    fn private_members_are_found_wherever_the_schema_names_them() {
        let secret = json!({"type": "string", "private": true});
        let holder = json!({"properties": {"pin": secret, "name": {}}});
        let value = json!({"a": {"pin": "9", "name": "n"}, "b": 1});
        let without = json!({"a": {"name": "n"}, "b": 1});
        for schema in [
            json!({"properties": {"a": holder}}),
            json!({"properties": {"a": {"$ref": "#/$defs/h"}}, "$defs": {"h": holder}}),
            json!({"properties": {"a": {"$ref": "#/definitions/h~1x"}}, "definitions": {"h/x": holder}}),
            json!({"properties": {"a": {"anyOf": [{"type": "null"}, holder]}}}),
            json!({"properties": {"a": {"oneOf": [{"type": "null"}, holder]}}}),
            json!({"allOf": [{"properties": {"a": {"properties": {"name": {}}}}}, {"properties": {"a": holder}}]}),
            json!({"if": {"properties": {"b": {"const": 2}}}, "then": {"properties": {"a": holder}}}),
            json!({"if": true, "else": {"properties": {"a": holder}}}),
            json!({"dependentSchemas": {"b": {"properties": {"a": holder}}}}),
            json!({"additionalProperties": holder}),
            json!({"unevaluatedProperties": holder}),
            json!({"properties": {"b": {}}, "additionalProperties": {"$ref": "#/properties/x"}, "$ref": "#/$defs/r",
                   "$defs": {"r": {"properties": {"x": holder}}, "x": holder}, "not": {"properties": {"a": holder}}}),
        ] {
            if schema.get("$defs").is_some_and(|defs| defs.get("r").is_some()) {
                // Its reference leads nowhere.
                assert!(Shape::of(&schema).is_err(), "{schema}");
                continue;
            }
            assert_eq!(shown(&schema, &value), without, "{schema}");
        }
    }

    #[test]
    fn lists_maps_and_types_that_hold_themselves() {
        let schema = json!({"$ref": "#/$defs/node", "$defs": {"node": {"properties": {
            "secret": {"private": true}, "next": {"$ref": "#/$defs/node"}, "all": {"items": {"$ref": "#/$defs/node"}},
            "pair": {"prefixItems": [{"$ref": "#/$defs/node"}]},
            "by": {"additionalProperties": {"$ref": "#/$defs/node"}}, "open": {}}}}});
        let node = |inner: Value| {
            json!({"secret": 1, "next": inner, "all": [inner, 5], "pair": [inner], "by": {"k": inner},
                                         "open": {"secret": 1}, "other": {"secret": 2}})
        };
        let plain = |inner: Value| {
            json!({"next": inner, "all": [inner, 5], "pair": [inner], "by": {"k": inner},
                                          "open": {"secret": 1}, "other": {"secret": 2}})
        };
        let deep = node(node(node(json!({"secret": 1}))));
        assert_eq!(shown(&schema, &deep), plain(plain(plain(json!({})))));
    }

    #[test]
    fn all_members_that_are_not_named() {
        let schema = json!({"properties": {"name": {}}, "additionalProperties": {"private": true}});
        assert_eq!(shown(&schema, &json!({"name": 1, "x": 2})), json!({"name": 1}));
    }

    #[test]
    fn nothing_private_is_no_shape() {
        // Data is not looked into, and a member that is called so is no mark.
        let schema = json!({"properties": {"private": {"type": "boolean"}, "b": {"private": false}},
                            "default": {"private": true}, "examples": [{"private": true}]});
        assert!(Shape::of(&schema).unwrap().is_none());
    }

    #[test]
    fn samples_do_not_tell_what_is_withheld() {
        let schema = json!({
            "properties": {
                "p": {"private": true, "default": "secret", "examples": ["secret"], "minLength": 3},
                "q": {"$ref": "#/$defs/q", "default": {"pin": "secret", "n": 1}},
                "l": {"items": {"$ref": "#/$defs/q"}, "default": [{"pin": "secret"}, 5]},
                "default": {"examples": ["open"]},
                "s": {"protected": true, "default": "paid"},
            },
            "examples": [{"p": "secret", "q": {"pin": "secret", "n": 2}, "s": "paid"}, "other"],
            "$defs": {"q": {"properties": {"pin": {"private": true}, "n": {"default": 3}}, "default": {"pin": "secret"}}},
        });
        let verified = without_samples(&schema, Audience::Verified);
        assert!(!verified.to_string().contains("secret"), "{verified}");
        assert_eq!(verified["properties"]["p"], json!({"private": true, "minLength": 3}));
        assert_eq!(verified["properties"]["q"]["default"], json!({"n": 1}));
        assert_eq!(verified["properties"]["l"]["default"], json!([{}, 5]));
        assert_eq!(verified["properties"]["default"], schema["properties"]["default"]);
        assert_eq!(verified["examples"], json!([{"q": {"n": 2}, "s": "paid"}, "other"]));
        assert_eq!(verified["$defs"]["q"]["default"], json!({}));
        let anyone = without_samples(&schema, Audience::Anyone);
        assert!(!anyone.to_string().contains("secret") && !anyone.to_string().contains("paid"), "{anyone}");
        // What has a level by another schema that speaks of the same value.
        let both =
            json!({"allOf": [{"properties": {"a": {"private": true}}}, {"properties": {"a": {"default": "secret"}}}]});
        assert!(!without_samples(&both, Audience::Verified).to_string().contains("secret"));
        // Where it cannot be told.
        let dynamic = json!({"properties": {"a": {"$dynamicRef": "#x", "default": 1}, "b": {"private": true}}});
        assert!(!without_samples(&dynamic, Audience::Verified).to_string().contains("default"));
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_its_place() {
        let many: Vec<Value> =
            (0..20).map(|at| json!({"properties": {"a": {"properties": {"p": {"private": at == 0}}}}})).collect();
        assert!(Shape::of(&json!({"anyOf": many})).is_ok());
        for (schema, place) in [
            (json!({"private": true}), "#/private"),
            (json!({"properties": {"a": {"private": "yes"}}}), "#/properties/a/private"),
            (json!({"properties": {"a": {"items": {"private": true}}}}), "#/properties/a/items"),
            (json!({"patternProperties": {"^a/b": {"private": true}}}), "#/patternProperties/^a~1b"),
            (json!({"properties": {"a": {"private": true}, "b": {"$ref": "other.json"}}}), "#/properties/b"),
            (json!({"properties": {"a": {"private": true}, "b": {"$dynamicRef": "#x"}}}), "#/properties/b"),
        ] {
            let error = Shape::of(&schema).map(drop).unwrap_err();
            assert!(error.contains(place), "{schema}: {error}");
        }
    }
}
