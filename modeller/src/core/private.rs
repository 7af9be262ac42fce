//! Values that are not shown to everybody.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::thread::LocalKey;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::UnitDeserializer;
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::value::{AsValue, ValueRef};

/// How far a value is withheld.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// From all but verified callers.
    Protected,
    /// From all outside of the process.
    Private,
}

impl Level {
    /// What the schema of a value says of it.
    pub(crate) fn of(schema: &Value) -> Option<Self> {
        [Self::Private, Self::Protected]
            .into_iter()
            .find(|level| schema.get(level.keyword()) == Some(&Value::Bool(true)))
    }

    /// The keyword in a schema.
    pub(crate) const fn keyword(self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::Private => "private",
        }
    }

    /// What stands for the value where it is printed.
    pub(crate) const fn shown(self) -> &'static str {
        match self {
            Self::Protected => "<protected>",
            Self::Private => "<private>",
        }
    }
}

/// Whom a value is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Audience {
    /// Anyone outside.
    Anyone,
    /// A caller with a verified token.
    Verified,
    /// Nobody: the stored form without what is protected, for anyone to change.
    Open,
    /// The store, and the program itself.
    Store,
}

impl Audience {
    /// Whether values of this level are there for it.
    pub(crate) fn sees(self, level: Level) -> bool {
        match self {
            Self::Anyone => false,
            Self::Verified => level == Level::Protected,
            Self::Open => level == Level::Private,
            Self::Store => true,
        }
    }
}

thread_local! {
    /// Whom what is being serialized on this thread is for. Serialization neither yields nor blocks, so the thread is the right
    /// scope; outside of [`written_for`] everything is withheld, which is the safe way to be wrong.
    static AUDIENCE: Cell<Audience> = const { Cell::new(Audience::Anyone) };
}

/// Runs `f` with another value there.
fn with<T: Copy + 'static, R>(cell: &'static LocalKey<Cell<T>>, value: T, f: impl FnOnce() -> R) -> R {
    /// Also puts it back when `f` panics.
    struct Restore<T: Copy + 'static>(&'static LocalKey<Cell<T>>, T);
    impl<T: Copy> Drop for Restore<T> {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    let _restore = Restore(cell, cell.replace(value));
    f()
}

/// Runs `f` with what this audience sees written out.
pub(crate) fn written_for<R>(audience: Audience, f: impl FnOnce() -> R) -> R {
    with(&AUDIENCE, audience, f)
}

/// Runs `f` with everything written out: the hidden codec of the store.
pub(crate) fn for_storage<R>(f: impl FnOnce() -> R) -> R {
    written_for(Audience::Store, f)
}

thread_local! {
    /// Whether what is being read on this thread is an answer of a server, as [`AUDIENCE`] is for what is written.
    static IS_ANSWER: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f`, in which a value that is not there was withheld, whatever its default is: what a server answers is whole otherwise.
#[cfg(feature = "client")]
pub(crate) fn read_as_answer<R>(f: impl FnOnce() -> R) -> R {
    with(&IS_ANSWER, true, f)
}

/// The default of a private or protected field, for expansions: withheld in what a server has answered.
pub fn defaulted<T: Withheld>(default: impl FnOnce() -> T) -> T {
    if IS_ANSWER.get() { T::withheld_value() } else { default() }
}

/// What has a value that stands in where the true one was left out.
pub trait Withheld {
    /// That value.
    fn withheld_value() -> Self;
}

/// Whether a value of this level is written at the moment.
pub(crate) fn is_written(level: Level) -> bool {
    AUDIENCE.get().sees(level)
}

/// A value that may be withheld.
pub trait Withhold {
    /// Whether it is left out of what is being written.
    fn is_withheld(&self) -> bool;
}

/// Whether a value is left out; named in expansions as `skip_serializing_if`.
pub fn withholds<T: Withhold>(value: &T) -> bool {
    value.is_withheld()
}

macro_rules! withheld {
    ($(#[$docs:meta])* $name:ident, $level:ident, $kind:literal, $view:expr) => {
        $(#[$docs])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name<F>(Option<F>);

        impl<F> $name<F> {
            #[doc = concat!("A ", $kind, " value.")]
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

        impl<F> From<F> for $name<F> {
            fn from(value: F) -> Self {
                Self::new(value)
            }
        }

        impl<F> Withhold for $name<F> {
            fn is_withheld(&self) -> bool {
                self.0.is_none() || !is_written(Level::$level)
            }
        }

        impl<F> Withheld for $name<F> {
            fn withheld_value() -> Self {
                Self::withheld()
            }
        }

        impl From<&str> for $name<String> {
            fn from(value: &str) -> Self {
                Self::new(value.to_owned())
            }
        }

        /// The default of the value, not withheld.
        impl<F: Default> Default for $name<F> {
            fn default() -> Self {
                defaulted(|| Self::new(F::default()))
            }
        }

        impl<F> fmt::Debug for $name<F> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Level::$level.shown())
            }
        }

        /// Written for who may see it; for anybody else `null`, where the field was not left out altogether.
        impl<F: Serialize> Serialize for $name<F> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match &self.0 {
                    Some(value) if is_written(Level::$level) => value.serialize(serializer),
                    _ => serializer.serialize_unit(),
                }
            }
        }

        /// A missing field is a withheld one: `deserialize_option` is what serde answers with "none" for a field that is not there.
        impl<'de, F: Deserialize<'de>> Deserialize<'de> for $name<F> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Content<F>(std::marker::PhantomData<F>);
                impl<'de, F: Deserialize<'de>> Visitor<'de> for Content<F> {
                    type Value = $name<F>;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("a ", $kind, " value, or nothing"))
                    }
                    fn visit_none<E: serde::de::Error>(self) -> Result<Self::Value, E> {
                        // What is stored and what comes in says `null` of an optional value; what a server answers leaves out.
                        let null = || F::deserialize(UnitDeserializer::<E>::new()).ok();
                        Ok($name(if IS_ANSWER.get() { None } else { null() }))
                    }
                    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
                        self.visit_none()
                    }
                    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
                        F::deserialize(deserializer).map($name::new)
                    }
                }
                deserializer.deserialize_option(Content(std::marker::PhantomData))
            }
        }

        /// The schema of the value with the keyword.
        impl<F: JsonSchema> JsonSchema for $name<F> {
            fn schema_name() -> Cow<'static, str> {
                format!(concat!(stringify!($name), "_{}"), F::schema_name()).into()
            }
            fn schema_id() -> Cow<'static, str> {
                format!(concat!("modeller::", stringify!($name), "<{}>"), F::schema_id()).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let mut schema = generator.subschema_for::<F>();
                schema.insert(Level::$level.keyword().into(), true.into());
                schema
            }
        }

        impl<F: AsValue> AsValue for $name<F> {
            fn as_value(&self) -> ValueRef<'_> {
                /// One that is not known is no less withheld.
                static UNKNOWN: Value = Value::Null;
                match &self.0 {
                    Some(value) => $view(value),
                    None => $view(&UNKNOWN),
                }
            }
        }
    };
}

withheld! {
    /// A field that never leaves the process: not in a response, an event, an error or a log, and not as a filter or sort from
    /// outside. It is stored, and read in process.
    ///
    /// Whoever deserializes a document that came over the wire gets the value *withheld*; by hand, one that may be `null` as that.
    ///
    /// ```
    /// use modeller::Private;
    /// let password = Private::new(String::from("correct horse"));
    /// assert_eq!(password.get().map(String::as_str), Some("correct horse"));
    /// assert_eq!(format!("{password:?}"), "<private>");
    /// ```
    Private, Private, "private", ValueRef::Private
}

withheld! {
    /// A field that only verified callers see: over the wire it is shown to and taken from whoever has a verified token. To anyone
    /// else it is not there: not in an answer, an error, or the metadata, and as a filter or in an update it is an unknown name. It
    /// is stored, and read in process. What is published to a room never holds it, for a room has listeners of both kinds.
    ///
    /// Whoever deserializes a document that came over the wire without it gets the value *withheld*; by hand, one that may be
    /// `null` as that.
    ///
    /// ```
    /// use modeller::Protected;
    /// let salary = Protected::new(4_000);
    /// assert_eq!(salary.get(), Some(&4_000));
    /// assert_eq!(format!("{salary:?}"), "<protected>");
    /// ```
    Protected, Protected, "protected", ValueRef::Protected
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

    #[derive(Serialize)]
    struct Staff {
        #[serde(skip_serializing_if = "withholds")]
        salary: Protected<u32>,
        #[serde(skip_serializing_if = "withholds")]
        pin: Private<u32>,
    }

    #[test]
    fn each_audience_sees_its_own() {
        let staff = Staff { salary: 1.into(), pin: 2.into() };
        let text = |audience| written_for(audience, || serde_json::to_string(&staff)).unwrap();
        assert_eq!(text(Audience::Anyone), "{}");
        assert_eq!(text(Audience::Verified), r#"{"salary":1}"#);
        assert_eq!(text(Audience::Open), r#"{"pin":2}"#);
        assert_eq!(text(Audience::Store), r#"{"salary":1,"pin":2}"#);
        assert_eq!(serde_json::to_string(&staff).unwrap(), "{}");
        // A scope ends where it ends, and the one around it goes on.
        written_for(Audience::Verified, || {
            assert_eq!(text(Audience::Anyone), "{}");
            assert_eq!(serde_json::to_string(&staff).unwrap(), r#"{"salary":1}"#);
        });
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

    #[test]
    fn null_of_an_optional_one_is_kept() {
        #[derive(Serialize, serde::Deserialize)]
        struct Optional {
            #[serde(skip_serializing_if = "withholds")]
            note: Private<Option<String>>,
        }
        let stored = for_storage(|| serde_json::to_string(&Optional { note: None.into() })).unwrap();
        assert_eq!(stored, r#"{"note":null}"#);
        assert_eq!(serde_json::from_str::<Optional>(&stored).unwrap().note.get(), Some(&None));
        // Of what is not optional it is no value.
        assert_eq!(serde_json::from_str::<Account>(r#"{"name":"a","password":null}"#).unwrap().password.get(), None);
    }
}
