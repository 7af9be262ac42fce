//! Cursors: where a list goes on.
//!
//! A cursor is the place of the last document of a page in the order of the list: what it was sorted by, and its id. The next
//! page is what stands behind that place when it is asked for, whatever became of the document. So a list that is followed to
//! its end shows each document that stayed what it was once, however many others come and go meanwhile.
//!
//! To clients it is a text without meaning. It is sealed, because fields that a list is sorted by may be private, and for one
//! caller and one query, because a place in one order is none in another.

use sha2::{Digest, Sha256};

use super::RawQuery;
use super::canonical::canonical;
use super::project::RawProjection;
use super::sort::{Position, RawSort};
use crate::core::id::RawId;
use crate::core::seal::Seal;
use crate::error::{Error, Result};

/// How many bytes a place has at most, so that a cursor can be a part of a URL. What a document is sorted by is seldom longer; where it is,
/// the cursor holds a hash of it, and is good for as long as the document is sorted by the same.
const MOST: usize = 4_000;
/// The longest cursor.
const LONGEST: usize = Seal::longest(MOST);

const WHOLE: u8 = 1;
const HASHED: u8 = 2;

/// The one refusal for all that is wrong with a cursor: what exactly would help only those who try.
fn refused() -> Error {
    Error::query("cursor", "is not one of this query and this caller")
}

/// What a cursor belongs to.
pub(crate) struct Listing<'a> {
    pub(crate) model: &'a str,
    /// Who asks.
    pub(crate) caller: &'a str,
    /// The query as it was given.
    pub(crate) asked: &'a RawQuery,
    /// The order in which it is answered; hooks may have changed it.
    pub(crate) sort: &'a RawSort,
    /// Which part of each document is shown.
    pub(crate) shown: Option<&'a RawProjection>,
}

impl Listing<'_> {
    fn bytes(&self) -> Vec<u8> {
        let shown = self.shown.map(|shown| shown.to_json().to_string()).unwrap_or_default();
        let (asked, sort) = (self.asked.sort.to_json().to_string(), self.sort.to_json().to_string());
        let mut bytes = Vec::new();
        for part in [self.model, self.caller, &canonical(&self.asked.filter), &asked, &sort, &shown] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }

    /// The cursor of a place in this list.
    ///
    /// # Errors
    /// `INTERNAL` without a source of random numbers.
    pub(crate) fn cursor(&self, seal: &Seal, position: &Position) -> Result<String> {
        let mut content = vec![WHOLE];
        position.id.with_text(|id| push(&mut content, id.as_bytes()))?;
        let keys = position.keys.iter().map(Vec::len).fold(0, usize::saturating_add);
        if content.len().saturating_add(keys).saturating_add(2 * position.keys.len()) > MOST {
            content = vec![HASHED];
            position.id.with_text(|id| push(&mut content, id.as_bytes()))?;
            content.extend_from_slice(&hash(position));
        } else {
            position.keys.iter().try_for_each(|key| push(&mut content, key))?;
        }
        seal.close(&content, &self.bytes())
    }

    /// The place that a cursor stands for. `now` finds where the document of an id stands now, if it is there.
    ///
    /// # Errors
    /// `INVALID_QUERY` for what is no cursor of this list.
    pub(crate) fn position(
        &self,
        seal: &Seal,
        cursor: &str,
        now: impl FnOnce(&RawId) -> Option<Position>,
    ) -> Result<Position> {
        if cursor.len() > LONGEST {
            return Err(refused());
        }
        let content = seal.open(cursor, &self.bytes()).ok_or_else(refused)?;
        let (form, mut rest) = content.split_first().ok_or_else(refused)?;
        let id = pull(&mut rest).and_then(|id| RawId::parse(std::str::from_utf8(id).ok()?).ok()).ok_or_else(refused)?;
        if *form == WHOLE {
            let mut keys = Vec::new();
            while let Some(key) = pull(&mut rest) {
                keys.push(key.to_vec());
            }
            return Ok(Position { keys, id });
        }
        now(&id).filter(|position| hash(position) == rest).ok_or_else(|| {
            Error::query(
                "cursor",
                "the document that it stands behind has changed, and what it was sorted by is too long to be held",
            )
        })
    }
}

fn push(content: &mut Vec<u8>, part: &[u8]) -> Result<()> {
    let length = u16::try_from(part.len()).map_err(Error::internal)?;
    content.extend_from_slice(&length.to_be_bytes());
    content.extend_from_slice(part);
    Ok(())
}

fn pull<'a>(content: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = content.split_first_chunk::<2>()?;
    let (part, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *content = rest;
    Some(part)
}

fn hash(position: &Position) -> [u8; 32] {
    let mut hash = Sha256::new();
    for key in &position.keys {
        hash.update((key.len() as u64).to_be_bytes());
        hash.update(key);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::core::query::filter::RawFilter;
    use crate::core::query::parse::{Schema, parse_filter, parse_sort};
    use serde_json::{Value, json};

    fn query(filter: &Value, sort: &Value) -> RawQuery {
        let mut query = RawQuery::of(Arc::new(parse_filter(filter, &Schema::Any).unwrap()));
        query.sort = parse_sort(sort, &Schema::Any).unwrap();
        query
    }

    fn list<'a>(asked: &'a RawQuery, shown: Option<&'a RawProjection>) -> Listing<'a> {
        Listing { model: "users", caller: "anyone", asked, sort: &asked.sort, shown }
    }

    fn seal() -> Seal {
        Seal::of(&[7; 32], "tests").unwrap()
    }

    fn place(length: usize) -> Position {
        Position { keys: vec![vec![b'k'; length], Vec::new(), vec![0, 255]], id: RawId::parse("id").unwrap() }
    }

    #[test]
    fn a_cursor_is_its_place() {
        let asked = query(&json!({"a": 1}), &json!({"b": 1}));
        let list = list(&asked, None);
        for length in [0, 1, 100, 3_900, 3_987, 3_988, 5_000, 100_000] {
            let position = place(length);
            let cursor = list.cursor(&seal(), &position).unwrap();
            assert!(cursor.len() <= LONGEST && cursor.len() < 6_000, "{} for {length}", cursor.len());
            assert_eq!(list.position(&seal(), &cursor, |_| Some(place(length))).unwrap(), position, "{length}");
            // What is held in full needs no document any more.
            for now in [None, Some(place(length + 1))] {
                let found = list.position(&seal(), &cursor, |_| now);
                assert_eq!(found.is_ok(), length <= 3_987, "{length}");
            }
        }
    }

    #[test]
    fn a_cursor_of_anything_else_is_refused() {
        let asked = query(&json!({"a": 1, "b": 2}), &json!({"b": 1, "c": 1}));
        let fields = |json: &Value| RawProjection::parse(json, &Schema::Any).unwrap();
        let shown = fields(&json!({"a": 1, "b.c": 1}));
        let one = list(&asked, Some(&shown));
        let cursor = one.cursor(&seal(), &place(1)).unwrap();
        let opens = |list: &Listing<'_>| match list.position(&seal(), &cursor, |_| None) {
            Ok(_) => true,
            Err(error) => {
                assert_eq!((error.code().as_str(), error.get("path")), ("INVALID_QUERY", Some(&json!("cursor"))));
                false
            }
        };
        assert!(opens(&one));
        // The same in other words, and another size of the page.
        let mut same = query(&json!({"$and": [{"b": {"$eq": 2.0}}, {"a": 1}]}), &json!({"b": 1, "c": 1}));
        let other_words = fields(&json!({"b": {"c": true}, "a": 5, "_id": 1}));
        same.limit = Some(3);
        let unlike = query(&json!({"b": 2, "a": {"$eq": 1.0}}), &json!({"b": 1, "c": 1}));
        assert!(!opens(&list(&same, Some(&other_words))) && opens(&list(&unlike, Some(&other_words))));
        for other in [
            query(&json!({"a": 1}), &json!({"b": 1, "c": 1})),
            query(&json!({"a": 1, "b": 2}), &json!({"c": 1, "b": 1})),
            query(&json!({"a": 1, "b": 2}), &json!({"b": 1, "c": -1})),
            query(&json!({"a": 1, "b": 2}), &json!({"b": 1})),
            RawQuery::of(Arc::new(RawFilter::all())),
        ] {
            assert!(!opens(&list(&other, Some(&shown))));
        }
        for other in [json!({"a": 1}), json!({"a": 1, "b.c": 1, "_id": 0}), json!({"a": 0, "b.c": 0})] {
            assert!(!opens(&list(&asked, Some(&fields(&other)))), "{other}");
        }
        assert!(!opens(&list(&asked, None)));
        assert!(!opens(&Listing { model: "user", ..list(&asked, Some(&shown)) }));
        assert!(!opens(&Listing { caller: "somebody", ..list(&asked, Some(&shown)) }));
        let hooked = query(&json!({}), &json!({"secret": 1}));
        assert!(!opens(&Listing { sort: &hooked.sort, ..list(&asked, Some(&shown)) }));
        for text in ["", "x", &cursor[1..], &"A".repeat(LONGEST + 1), &"é".repeat(40)] {
            assert!(one.position(&seal(), text, |_| Some(place(1))).is_err(), "{text}");
        }
    }
}
