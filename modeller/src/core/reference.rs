//! References: a field whose value is the id, or a unique value, of a document of another model or of its own.
//!
//! They are read from the schema, where `"model": "teams._id"` and `"onDelete": "cascade"` say it of a property, so that models
//! of the program and models given as JSON are treated alike. A commit never leaves a reference that leads nowhere: what one
//! change breaks, another change of the same commit has to mend, and [`broken`] is asked before a commit is accepted.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::collection::{Change, ModelIndex, State};
use super::document::{AnyDoc, DynDoc};
use super::id::RawId;
use super::index::keys_of;
use super::key::Key;
use super::schema::ModelSchema;
use super::validate::Validator;
use super::value::AsValue;
use crate::error::Error;

/// What becomes of a document when the one that it refers to is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnDelete {
    /// As long as it is there, the other one cannot be deleted.
    Restrict,
    /// It is deleted, too.
    Cascade,
    /// It stays, with `null` in the place of the reference, and without it where there is a list of them.
    SetNull,
}

/// The keywords of a property that refers.
pub(crate) const KEYWORDS: [&str; 2] = ["model", "onDelete"];

/// A reference as a schema says it.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    /// Name of the field that refers.
    pub(crate) field: Box<str>,
    /// Id of the model that it refers to, a dot, and the name of the field there: `_id` or a unique one.
    to: Box<str>,
    on_delete: OnDelete,
}

impl Reference {
    /// The references of a schema, from the keywords of these properties of its documents, or of the elements of a property
    /// that is a list.
    ///
    /// # Errors
    /// Which property says it wrong, and how it is written right.
    pub(crate) fn read_all<'a>(
        schema: &Value,
        properties: impl Iterator<Item = (&'a String, &'a Value)>,
    ) -> Result<Vec<Self>, String> {
        let said = properties.filter_map(|(name, property)| {
            let by = |keyword: &str| {
                property.get(keyword).or_else(|| property.get("items").and_then(|items| items.get(keyword)))
            };
            let [model, on_delete] = KEYWORDS.map(by);
            match (model, on_delete) {
                (None, None) => None,
                (model, on_delete) => Some(Self::read(schema, name, property, model, on_delete)),
            }
        });
        said.collect()
    }

    fn read(
        schema: &Value,
        name: &str,
        property: &Value,
        model: Option<&Value>,
        on_delete: Option<&Value>,
    ) -> Result<Self, String> {
        let Some(model) = model else {
            return Err(format!("`onDelete` of the field `{name}` needs `model` beside it"));
        };
        let to = model
            .as_str()
            .filter(|text| splits(text).any(|(model, target)| !model.is_empty() && !target.is_empty()))
            .ok_or_else(|| format!("`model` of the field `{name}` is not of the form `\"teams._id\"`"))?;
        let on_delete = match on_delete.map(Value::as_str) {
            None | Some(Some("restrict")) => OnDelete::Restrict,
            Some(Some("cascade")) => OnDelete::Cascade,
            Some(Some("setNull")) => OnDelete::SetNull,
            Some(_) => {
                return Err(format!(
                    "`onDelete` of the field `{name}` is none of `\"restrict\"`, `\"cascade\"`, `\"setNull\"`"
                ));
            }
        };
        if on_delete == OnDelete::SetNull && !can_let_go(schema, property)? {
            return Err(format!("`onDelete` of the field `{name}` is `\"setNull\"`, and the field cannot be `null`"));
        }
        Ok(Self { field: name.into(), to: to.into(), on_delete })
    }
}

/// What a reference may mean: the id of an extension has dots, and so can a name in a schema that was given. The longest id first.
fn splits(to: &str) -> impl Iterator<Item = (&str, &str)> {
    to.rmatch_indices('.').filter_map(|(at, _)| Some((to.get(..at)?, to.get(at + 1..)?)))
}

/// Whether a property takes `null`, or is a list, which can be without one of its elements.
fn can_let_go(schema: &Value, property: &Value) -> Result<bool, String> {
    // The definitions that the property may lead to are found beside it.
    let mut alone = Map::new();
    for name in ["$id", "$defs", "definitions"] {
        if let Some(member) = schema.get(name) {
            alone.insert(name.to_owned(), member.clone());
        }
    }
    alone.insert("allOf".into(), Value::Array(vec![property.clone()]));
    let takes = |kind: &str| {
        let mut one = alone.clone();
        if kind == "array" {
            one.insert("allOf".into(), serde_json::json!([without_bounds(property)]));
        }
        let validator = Validator::new(&Value::Object(one))?;
        let value = if kind == "array" { Value::Array(Vec::new()) } else { Value::Null };
        Ok::<_, String>(validator.check(&value).is_ok())
    };
    Ok(takes("null")? || takes("array")?)
}

/// The property without a least number of elements: whether that many are left is known when one goes.
fn without_bounds(property: &Value) -> Value {
    let mut property = property.clone();
    if let Some(object) = property.as_object_mut() {
        object.remove("minItems");
        object.remove("contains");
    }
    property
}

/// A reference between two models of an application.
#[derive(Debug)]
pub(crate) struct Link {
    /// The model that refers.
    pub(crate) child: ModelIndex,
    /// Its id.
    child_id: Box<str>,
    /// The field that refers.
    pub(crate) field: Box<str>,
    /// The model that is referred to.
    pub(crate) parent: ModelIndex,
    /// Its id.
    parent_id: Box<str>,
    /// The field that is referred to: `_id` or a unique one.
    pub(crate) target: Box<str>,
    pub(crate) on_delete: OnDelete,
}

impl Link {
    /// The error of a document that refers to nothing.
    pub(crate) fn leads_nowhere(&self) -> Error {
        Error::no_reference(&self.field, &self.parent_id)
    }

    /// The error of a document that others refer to.
    pub(crate) fn is_in_use(&self) -> Error {
        Error::referenced(&self.child_id, &self.field)
    }

    /// Takes what the schema of the field says of the reference out of it.
    pub(crate) fn unsay(&self, property: &mut Value) {
        for keyword in KEYWORDS {
            if let Some(object) = property.as_object_mut() {
                object.remove(keyword);
            }
            if let Some(items) = property.get_mut("items").and_then(Value::as_object_mut) {
                items.remove(keyword);
            }
        }
    }

    /// Takes the reference out of the stored form of a document that refers by it.
    pub(crate) fn cut(&self, json: &mut Value, key: &Key) {
        match json.get_mut(&*self.field) {
            Some(Value::Array(elements)) => {
                elements.retain(|element| Key::of_value(&element.as_value()) != *key);
            }
            Some(member) => *member = Value::Null,
            None => {}
        }
    }
}

/// All references of an application.
#[derive(Debug, Default)]
pub(crate) struct Links {
    /// By the model that refers.
    from: Vec<Vec<Arc<Link>>>,
    /// By the model that is referred to.
    to: Vec<Vec<Arc<Link>>>,
}

impl Links {
    /// Resolves what the schemas say.
    ///
    /// # Errors
    /// What leads nowhere, each with the model that says it.
    pub(crate) fn of(schemas: &[Arc<ModelSchema>]) -> Result<Self, Vec<(ModelIndex, String)>> {
        let mut links = Self {
            from: schemas.iter().map(|_| Vec::new()).collect(),
            to: schemas.iter().map(|_| Vec::new()).collect(),
        };
        let mut wrong = Vec::new();
        for (child, schema) in schemas.iter().enumerate() {
            for reference in &schema.references {
                match links.resolve(schemas, child, schema, reference) {
                    Ok(()) => {}
                    Err(what) => wrong.push((child, what)),
                }
            }
        }
        if wrong.is_empty() { Ok(links) } else { Err(wrong) }
    }

    fn resolve(
        &mut self,
        schemas: &[Arc<ModelSchema>],
        child: ModelIndex,
        schema: &ModelSchema,
        reference: &Reference,
    ) -> Result<(), String> {
        let Reference { field, to, on_delete } = reference;
        let mut found = splits(to).filter_map(|(model, target)| {
            let at = schemas.iter().position(|schema| *schema.id == *model)?;
            Some((model, target, at, schemas.get(at)?))
        });
        let Some((model, target, parent, other)) = found.next() else {
            let model = splits(to).next().map_or(&**to, |(model, _)| model);
            return Err(format!(
                "its field `{field}` refers to the model `{model}`, which the application does not have"
            ));
        };
        if target != "_id" && !other.field(target).is_some_and(|field| field.unique) {
            return Err(match other.field(target) {
                Some(_) => format!("its field `{field}` refers to `{model}.{target}`, which is not unique"),
                None => format!("its field `{field}` refers to `{model}.{target}`, and there is no such field"),
            });
        }
        if other.field(target).is_some_and(|field| field.protected) {
            return Err(format!(
                "its field `{field}` refers to `{model}.{target}`, which is protected: whether a value is there would tell what it is"
            ));
        }
        // That a document cannot be deleted would tell about it.
        let withheld = schema.field(field).filter(|field| field.private || field.protected);
        if let Some(level) = withheld.map(|field| if field.private { "private" } else { "protected" }) {
            return Err(format!("its field `{field}` refers to another model, and a {level} field cannot"));
        }
        let link = Arc::new(Link {
            child,
            child_id: (*schema.id).into(),
            field: field.clone(),
            parent,
            parent_id: model.into(),
            target: target.into(),
            on_delete: *on_delete,
        });
        if let (Some(from), Some(to)) = (self.from.get_mut(child), self.to.get_mut(parent)) {
            from.push(link.clone());
            to.push(link);
        }
        Ok(())
    }

    /// The references that documents of a model have.
    pub(crate) fn from(&self, model: ModelIndex) -> &[Arc<Link>] {
        self.from.get(model).map_or(&[], Vec::as_slice)
    }

    /// The references that documents of a model are met by.
    pub(crate) fn to(&self, model: ModelIndex) -> &[Arc<Link>] {
        self.to.get(model).map_or(&[], Vec::as_slice)
    }

    /// Whether the end of a document of the model can be the end of others, or change them.
    pub(crate) fn spreads(&self, model: ModelIndex) -> bool {
        self.to(model).iter().any(|link| link.on_delete != OnDelete::Restrict)
    }
}

/// The keys that a field loses with a change.
pub(crate) fn lost<'a>(
    before: &'a dyn AnyDoc,
    after: Option<&dyn AnyDoc>,
    field: &str,
) -> impl Iterator<Item = Key> + use<'a> {
    let kept = after.map(|after| keys_of(after, field)).unwrap_or_default();
    keys_of(before, field).into_iter().filter(move |key| !kept.contains(key))
}

/// The first reference of a document that leads nowhere, once the document is in the state.
pub(crate) fn dangling<'l>(state: &State, links: &'l Links, model: ModelIndex, doc: &DynDoc) -> Option<&'l Link> {
    links.from(model).iter().map(AsRef::as_ref).find(|link| {
        keys_of(doc.as_ref(), &link.field)
            .iter()
            .any(|key| state.with_key(link.parent, &link.target, key).next().is_none())
    })
}

/// Which of these changes, which the state already shows, leaves a reference that leads nowhere.
pub(crate) fn broken(state: &State, links: &Links, changes: &[Change]) -> Option<(usize, Error)> {
    for (at, change) in changes.iter().enumerate() {
        if let Some(after) = &change.after {
            let before = change.before.as_ref();
            for link in links.from(change.model) {
                // What it referred to before is there, or gone by another of the changes, which is met below.
                let known = before.map(|before| keys_of(before.as_ref(), &link.field)).unwrap_or_default();
                let missing = |key: &Key| state.with_key(link.parent, &link.target, key).next().is_none();
                if keys_of(after.as_ref(), &link.field).iter().any(|key| !known.contains(key) && missing(key)) {
                    return Some((at, link.leads_nowhere()));
                }
            }
        }
        let Some(before) = &change.before else { continue };
        for link in links.to(change.model) {
            let left = lost(before.as_ref(), change.after.as_deref(), &link.target);
            for key in left {
                let held = state.with_key(link.parent, &link.target, &key).next().is_some();
                if !held && state.with_key(link.child, &link.field, &key).next().is_some() {
                    return Some((at, link.is_in_use()));
                }
            }
        }
    }
    None
}

/// Documents by model and id.
pub(crate) type Places = BTreeSet<(ModelIndex, RawId)>;
