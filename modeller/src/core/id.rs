//! Ids of documents.

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use super::tree::{Marked, mark_of};
use crate::error::{Error, ErrorCode, Violation};

/// The longest id, in bytes.
pub const MAX_ID_BYTES: usize = 128;

/// The id of a document, of whatever model.
///
/// On the wire a string of 1 to 128 bytes without `/`, control characters or a leading `@`. A canonical UUID, which is what
/// [`RawId::generate`] makes, takes 16 bytes in memory, and a text of up to 22 bytes lies in it as it is; the order is that of the
/// text in any case.
#[derive(Clone, PartialEq, Eq)]
pub struct RawId(Repr);

#[derive(Clone, PartialEq, Eq)]
enum Repr {
    /// As two halves: a `u128` would align the whole enum to 16 bytes.
    Uuid(u64, u64),
    /// A text with so many bytes; the others are zero.
    Short(u8, [u8; SHORT]),
    /// A longer one, but never the canonical text of a UUID, so that each id has one form.
    Text(Arc<str>),
}

/// As long a text as fits beside the discriminant and the length without making the whole larger.
const SHORT: usize = 22;

impl Repr {
    fn of_text(text: &str) -> Self {
        let mut bytes = [0; SHORT];
        match (u8::try_from(text.len()), bytes.get_mut(..text.len())) {
            (Ok(length), Some(place)) => {
                place.copy_from_slice(text.as_bytes());
                Self::Short(length, bytes)
            }
            _ => Self::Text(text.into()),
        }
    }

    /// The bytes of the text; `None` for a UUID.
    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Uuid(..) => None,
            Self::Short(length, bytes) => bytes.get(..usize::from(*length)),
            Self::Text(text) => Some(text.as_bytes()),
        }
    }
}

impl RawId {
    /// A new UUIDv7 (RFC 9562 §5.7): unique, and rising with time, also within a millisecond.
    #[must_use]
    pub fn generate() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let milliseconds = since.as_secs().saturating_mul(1_000).saturating_add(since.subsec_millis().into());
        let made = GENERATOR.lock().next(milliseconds);
        made.unwrap_or_else(|| Self::of_uuid(Uuid::now_v7()))
    }

    /// A UUIDv8 for what is no document (RFC 9562 §5.8): unique, and nothing more. It is a number that each thread counts up from
    /// where no other one begins, which asks neither for the time nor for randomness.
    pub(crate) fn fresh_uuid() -> Uuid {
        thread_local! {
            static NEXT: Cell<(u64, u64)> = {
                let anywhere = || getrandom::u64().unwrap_or_else(|_| Uuid::now_v7().as_u64_pair().1);
                Cell::new((anywhere(), anywhere()))
            };
        }
        let (high, low) = NEXT.get();
        NEXT.set((high, low.wrapping_add(1)));
        Uuid::from_u64_pair(high & !0xf000 | 0x8000, low & (u64::MAX >> 2) | 1 << 63)
    }

    fn of_uuid(uuid: Uuid) -> Self {
        let (high, low) = uuid.as_u64_pair();
        Self(Repr::Uuid(high, low))
    }

    /// Any text in the same form, as a bound. It need not be a valid id.
    pub(crate) fn of_any_text(text: &str) -> Self {
        canonical_uuid(text).map_or_else(|| Self(Repr::of_text(text)), Self::of_uuid)
    }

    /// The halves of the UUID that the text is the canonical text of.
    pub(crate) fn uuid_of_text(text: &str) -> Option<(u64, u64)> {
        canonical_uuid(text).map(|uuid| uuid.as_u64_pair())
    }

    /// The halves of the UUID that the id is.
    pub(crate) fn as_uuid(&self) -> Option<(u64, u64)> {
        match self.0 {
            Repr::Uuid(high, low) => Some((high, low)),
            _ => None,
        }
    }

    fn compare_texts(&self, other: &Self) -> Ordering {
        match (self.0.bytes(), other.0.bytes()) {
            (Some(a), Some(b)) => a.cmp(b),
            _ => self.with_text(|a| other.with_text(|b| a.cmp(b))),
        }
    }

    /// Reads an id from its text.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for a text that cannot be an id.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if let Some(uuid) = canonical_uuid(text) {
            return Ok(Self::of_uuid(uuid));
        }
        let reason = if text.is_empty() || text.len() > MAX_ID_BYTES {
            Some("must be 1 to 128 bytes")
        } else if text.starts_with('@') {
            Some("must not begin with `@`")
        } else if text.contains('/') || text.chars().any(char::is_control) {
            Some("must not contain `/` or control characters")
        } else {
            None
        };
        match reason {
            None => Ok(Self(Repr::of_text(text))),
            Some(reason) => Err(Error::new(ErrorCode::ValidationError)
                .message(format!("the id {reason}"))
                .and_violation(Violation {
                    instance_path: "/_id".into(),
                    keyword: "format".into(),
                    message: reason.into(),
                    params: serde_json::json!({"format": "document-id"}),
                    schema_path: "#/properties/_id/format".into(),
                })),
        }
    }

    /// Runs `f` on the text, without allocating.
    pub fn with_text<R>(&self, f: impl FnOnce(&str) -> R) -> R {
        match &self.0 {
            Repr::Text(text) => f(text),
            // Made of a text, so that it is one.
            Repr::Short(..) => f(self.0.bytes().and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()),
            Repr::Uuid(high, low) => {
                f(Uuid::from_u64_pair(*high, *low).hyphenated().encode_lower(&mut Uuid::encode_buffer()))
            }
        }
    }
}

static GENERATOR: Mutex<Generator> =
    Mutex::new(Generator { milliseconds: 0, counter: 0, random: [0; RANDOM], used: RANDOM });

/// How much randomness is asked of the system at once. To ask for each id takes longer than all else about it.
const RANDOM: usize = 1_024;

/// Makes UUIDv7s with a counter of 42 bits that begins anywhere each millisecond (RFC 9562 §6.2, method 1), and 32 random bits
/// behind it.
struct Generator {
    milliseconds: u64,
    counter: u64,
    random: [u8; RANDOM],
    used: usize,
}

impl Generator {
    /// One that is above the one before; `None` where the system has no randomness, or no such time.
    fn next(&mut self, now: u64) -> Option<RawId> {
        const COUNTER_BITS: u32 = 42;
        if now > self.milliseconds {
            self.milliseconds = now;
            // Half of the numbers are left to count.
            self.counter = u64::from_be_bytes(self.take()?) >> (u64::BITS - COUNTER_BITS + 1);
        } else {
            // Also where the clock was put back.
            self.counter += 1;
            if self.counter >> COUNTER_BITS != 0 {
                self.milliseconds += 1;
                self.counter = 0;
            }
        }
        if self.milliseconds >> 48 != 0 {
            return None;
        }
        let high = self.milliseconds << 16 | 0x7000 | self.counter >> 30;
        let low = 1 << 63 | (self.counter & 0x3fff_ffff) << 32 | u64::from(u32::from_be_bytes(self.take()?));
        Some(RawId(Repr::Uuid(high, low)))
    }

    /// Random bytes, each used once.
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        if self.used + N > RANDOM {
            getrandom::fill(&mut self.random).ok()?;
            self.used = 0;
        }
        let bytes = self.random.get(self.used..)?.first_chunk().copied();
        self.used += N;
        bytes
    }
}

/// Only the one spelling that is written again: 36 characters, lower case.
fn canonical_uuid(text: &str) -> Option<Uuid> {
    if text.len() != 36 || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    Uuid::try_parse(text).ok()
}

impl PartialOrd for RawId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RawId {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            // The canonical text of UUIDs rises with their bytes.
            (Repr::Uuid(a, b), Repr::Uuid(c, d)) => (a, b).cmp(&(c, d)),
            _ => self.compare_texts(other),
        }
    }
}

impl Marked for RawId {
    fn mark(&self) -> u8 {
        match &self.0 {
            Repr::Uuid(high, low) => mark_of(high.rotate_left(32) ^ low),
            text => text.bytes().unwrap_or_default().iter().fold(0, |mark, byte| mark_of(u64::from(mark ^ byte))),
        }
    }
}

impl Hash for RawId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.0 {
            Repr::Uuid(high, low) => (high, low).hash(state),
            text => text.bytes().hash(state),
        }
    }
}

impl fmt::Display for RawId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.pad(text))
    }
}

impl fmt::Debug for RawId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| fmt::Debug::fmt(text, f))
    }
}

impl FromStr for RawId {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl Serialize for RawId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_text(|text| serializer.serialize_str(text))
    }
}

impl<'de> Deserialize<'de> for RawId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

/// The id of a document of the model `T`. See [`RawId`] for its form.
///
/// ```
/// use modeller::Id;
/// struct User;
/// let id: Id<User> = "ada".parse()?;
/// assert_eq!(id.to_string(), "ada");
/// assert!("@ada".parse::<Id<User>>().is_err());
/// # Ok::<(), modeller::Error>(())
/// ```
pub struct Id<T: ?Sized>(RawId, PhantomData<fn() -> T>);

impl<T: ?Sized> Id<T> {
    /// A new UUIDv7.
    #[must_use]
    pub fn generate() -> Self {
        Self::from_raw(RawId::generate())
    }

    /// The id of that model with this text.
    #[must_use]
    pub fn from_raw(raw: RawId) -> Self {
        Self(raw, PhantomData)
    }

    /// The id without its model, taken out.
    #[must_use]
    pub fn into_raw(self) -> RawId {
        self.0
    }

    /// The id without its model.
    #[must_use]
    pub fn raw(&self) -> &RawId {
        &self.0
    }
}

impl<T: ?Sized> From<&Self> for Id<T> {
    fn from(id: &Self) -> Self {
        id.clone()
    }
}

impl<T: ?Sized> Clone for Id<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}

impl<T: ?Sized> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T: ?Sized> Eq for Id<T> {}

impl<T: ?Sized> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: ?Sized> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl<T: ?Sized> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<T: ?Sized> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: ?Sized> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<T: ?Sized> FromStr for Id<T> {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        RawId::parse(text).map(Self::from_raw)
    }
}

impl<T: ?Sized> Serialize for Id<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: ?Sized> Deserialize<'de> for Id<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        RawId::deserialize(deserializer).map(Self::from_raw)
    }
}

impl<T: ?Sized> JsonSchema for Id<T> {
    fn schema_name() -> Cow<'static, str> {
        "Id".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 1, "maxLength": MAX_ID_BYTES})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_text() {
        let texts = [
            "0",
            "018f0000-0000-7000-8000-000000000000",
            "018f0000-0000-7000-8000-000000000001",
            "018g",
            "a",
            "a text of twenty-two b",
            "a text of twenty-two by",
            "a text of twenty-two bytes and more",
            "é",
        ];
        let ids: Vec<RawId> = texts.iter().map(|text| RawId::parse(text).unwrap()).collect();
        assert!(ids.is_sorted());
        for (id, text) in ids.iter().zip(texts) {
            assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn one_text_one_form() {
        let upper = RawId::parse("018F0000-0000-7000-8000-00000000000A").unwrap();
        assert_eq!(upper.to_string(), "018F0000-0000-7000-8000-00000000000A");
        assert_ne!(upper, RawId::parse("018f0000-0000-7000-8000-00000000000a").unwrap());
    }

    #[test]
    fn what_cannot_be_an_id() {
        for text in ["", "@x", "a/b", "a\u{0}", "a\nb", &"x".repeat(129)] {
            assert!(RawId::parse(text).is_err(), "{text:?}");
        }
        assert!(RawId::parse(&"x".repeat(128)).is_ok());
    }

    #[test]
    fn generated_ids_rise_and_are_of_now() {
        let ids: Vec<RawId> = (0..10_000).map(|_| RawId::generate()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        let other = Uuid::now_v7().get_timestamp().unwrap().to_unix().0;
        for id in &ids {
            let uuid = Uuid::parse_str(&id.to_string()).unwrap();
            assert_eq!((uuid.get_version_num(), uuid.get_variant()), (7, uuid::Variant::RFC4122));
            assert!(uuid.get_timestamp().unwrap().to_unix().0.abs_diff(other) < 60);
        }
        let random: std::collections::HashSet<u64> =
            ids.iter().map(|id| id.as_uuid().unwrap().1 & 0xffff_ffff).collect();
        assert!(random.len() > 9_900);
    }

    #[test]
    fn what_is_no_document_has_an_id_of_its_own() {
        let made = || (0..1_000).map(|_| RawId::fresh_uuid()).collect::<Vec<_>>();
        let others: Vec<_> = (0..4).map(|_| std::thread::spawn(made)).collect();
        let mut all = made();
        all.extend(others.into_iter().flat_map(|thread| thread.join().unwrap()));
        assert!(all.iter().all(|id| (id.get_version_num(), id.get_variant()) == (8, uuid::Variant::RFC4122)));
        assert_eq!(all.iter().collect::<std::collections::HashSet<_>>().len(), 5_000);
    }

    #[test]
    fn ids_rise_when_the_clock_does_not() {
        let mut generator = Generator { milliseconds: 0, counter: 0, random: [0; RANDOM], used: RANDOM };
        let first = generator.next(5_000).unwrap();
        let second = generator.next(4_000).unwrap();
        generator.counter = (1 << 42) - 1;
        let third = generator.next(5_000).unwrap();
        let fourth = generator.next(5_001).unwrap();
        let fifth = generator.next(5_002).unwrap();
        assert!(first < second && second < third && third < fourth && fourth < fifth);
        assert_eq!(third.as_uuid().unwrap().0 >> 16, 5_001);
        assert!(generator.next(1 << 48).is_none());
    }

    #[test]
    fn it_is_small() {
        assert_eq!(size_of::<RawId>(), 24);
    }
}
