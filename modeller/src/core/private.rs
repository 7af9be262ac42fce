//! Values that do not leave the process.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use super::value::{AsValue, ValueRef};

thread_local! {
    /// Whether what is being serialized on this thread goes into the store. Serialization neither yields nor blocks, so the
    /// thread is the right scope; everything outside of [`for_storage`] withholds, which is the safe way to be wrong.
    static FOR_STORAGE: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` with private values written out: the hidden codec of the store.
pub(crate) fn for_storage<R>(f: impl FnOnce() -> R) -> R {
    /// Also puts it back when `f` panics.
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            FOR_STORAGE.set(self.0);
        }
    }
    let _restore = Restore(FOR_STORAGE.replace(true));
    f()
}

/// Whether what is serialized goes into the store.
pub(crate) fn is_for_storage() -> bool {
    FOR_STORAGE.get()
}

/// Whether a private value is left out; named in expansions as `skip_serializing_if`.
pub fn withholds<F>(value: &Private<F>) -> bool {
    value.0.is_none() || !FOR_STORAGE.get()
}

/// A field that never leaves the process: not in a response, an event, an error or a log, and not as a filter or sort from
/// outside. It is stored, and read in process.
///
/// Whoever deserializes a document that came over the wire gets the value *withheld*.
///
/// ```
/// use modeller::Private;
/// let password = Private::new(String::from("correct horse"));
/// assert_eq!(password.get().map(String::as_str), Some("correct horse"));
/// assert_eq!(format!("{password:?}"), "<private>");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Private<F>(Option<F>);

impl<F> Private<F> {
    /// A private value.
    pub const fn new(value: F) -> Self {
        Self(Some(value))
    }

    /// The value that stands in where the true one was left out.
    #[must_use]
    pub const fn withheld() -> Self {
        Self(None)
    }

    /// The value; `None` where it was withheld.
    pub const fn get(&self) -> Option<&F> {
        self.0.as_ref()
    }

    /// The value, to be changed; `None` where it was withheld.
    pub fn get_mut(&mut self) -> Option<&mut F> {
        self.0.as_mut()
    }

    /// Puts another value in its place.
    pub fn set(&mut self, value: F) {
        self.0 = Some(value);
    }

    /// The value, taken out.
    pub fn into_inner(self) -> Option<F> {
        self.0
    }
}

impl<F> From<F> for Private<F> {
    fn from(value: F) -> Self {
        Self::new(value)
    }
}

impl From<&str> for Private<String> {
    fn from(value: &str) -> Self {
        Self::new(value.to_owned())
    }
}

/// The default of the value, not withheld.
impl<F: Default> Default for Private<F> {
    fn default() -> Self {
        Self::new(F::default())
    }
}

impl<F> fmt::Debug for Private<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<private>")
    }
}

/// Written for the store; anywhere else `null`, where the field was not left out altogether.
impl<F: Serialize> Serialize for Private<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(value) if FOR_STORAGE.get() => value.serialize(serializer),
            _ => serializer.serialize_unit(),
        }
    }
}

/// A missing field is a withheld one: `deserialize_option` is what serde answers with "none" for a field that is not there.
impl<'de, F: Deserialize<'de>> Deserialize<'de> for Private<F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Content<F>(std::marker::PhantomData<F>);
        impl<'de, F: Deserialize<'de>> Visitor<'de> for Content<F> {
            type Value = Private<F>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a private value, or nothing")
            }
            fn visit_none<E>(self) -> Result<Self::Value, E> {
                Ok(Private::withheld())
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Private::withheld())
            }
            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
                F::deserialize(deserializer).map(Private::new)
            }
        }
        deserializer.deserialize_option(Content(std::marker::PhantomData))
    }
}

/// The schema of the value with `"private": true`.
impl<F: JsonSchema> JsonSchema for Private<F> {
    fn schema_name() -> Cow<'static, str> {
        format!("Private_{}", F::schema_name()).into()
    }
    fn schema_id() -> Cow<'static, str> {
        format!("modeller::Private<{}>", F::schema_id()).into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = generator.subschema_for::<F>();
        schema.insert("private".into(), true.into());
        schema
    }
}

impl<F: AsValue> AsValue for Private<F> {
    fn as_value(&self) -> ValueRef<'_> {
        self.0.as_ref().map_or(ValueRef::Null, |value| ValueRef::Private(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, serde::Deserialize, Debug)]
    struct Account {
        name: String,
        #[serde(skip_serializing_if = "withholds")]
        password: Private<String>,
    }

    #[test]
    fn only_the_store_sees_it() {
        let account = Account { name: "a".into(), password: "p".into() };
        assert_eq!(serde_json::to_string(&account).unwrap(), r#"{"name":"a"}"#);
        assert_eq!(for_storage(|| serde_json::to_string(&account)).unwrap(), r#"{"name":"a","password":"p"}"#);
        assert_eq!(serde_json::to_string(&account.password).unwrap(), "null");
        assert!(!format!("{account:?}").contains('p') || format!("{account:?}").contains("<private>"));
    }

    #[test]
    fn a_missing_one_is_withheld() {
        let account: Account = serde_json::from_str(r#"{"name":"a"}"#).unwrap();
        assert_eq!(account.password.get(), None);
        let account: Account = serde_json::from_str(r#"{"name":"a","password":"p"}"#).unwrap();
        assert_eq!(account.password.get().unwrap(), "p");
    }
}
