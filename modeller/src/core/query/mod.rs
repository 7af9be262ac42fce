//! Queries: the syntax of the MongoDB manual, parsed once into one tree that field constants build as well.

pub(crate) mod canonical;
pub(crate) mod cursor;
#[cfg(test)]
mod differential;
pub(crate) mod filter;
pub(crate) mod matcher;
pub(crate) mod operator;
pub(crate) mod parse;
pub(crate) mod plan;
pub(crate) mod project;
pub(crate) mod sort;
pub(crate) mod update;

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use serde_json::Value;

use self::filter::{Filter, RawFilter};
use self::parse::{QueryParts, Schema, parse_query};
use self::sort::{RawSort, Sort};
use super::document::Doc;
use crate::error::{Error, Result};

/// The most documents that one list answers.
pub const MAX_LIMIT: usize = 1_000;

/// How many documents a list answers when the query does not say.
pub const DEFAULT_LIMIT: usize = 100;

/// Which documents, in which order, and which part of them.
///
/// ```
/// # use modeller::prelude::*;
/// # #[model(id = "users")]
/// # pub struct User { pub age: u8 }
/// let query = Query::of(User::AGE.gte(18)).sort(User::AGE.desc()).limit(20);
/// assert_eq!(query.limit, Some(20));
/// ```
#[derive(Debug)]
pub struct Query<T: ?Sized> {
    /// Which documents.
    pub filter: Filter<T>,
    /// In which order; by `_id` where it says nothing.
    pub sort: Sort<T>,
    /// How many are passed over.
    pub skip: usize,
    /// How many are answered at most: [`DEFAULT_LIMIT`] when not given, never more than [`MAX_LIMIT`].
    pub limit: Option<usize>,
    /// Where the list goes on: the [`next_cursor`](Page::next_cursor) of the page before. What a hook makes of it does not count.
    pub cursor: Option<String>,
}

impl<T: ?Sized> Query<T> {
    /// All documents, in the order of their ids.
    #[must_use]
    pub fn all() -> Self {
        Self::of(Filter::all())
    }

    /// The documents that match.
    #[must_use]
    pub fn of(filter: Filter<T>) -> Self {
        Self { filter, sort: Sort::none(), skip: 0, limit: None, cursor: None }
    }

    /// Reads a query from JSON: an object with `filter`, `sort`, `skip` and `limit`, each as in MongoDB, and `cursor`. The names
    /// of fields are not checked here.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # use modeller::__private::serde_json::{self, json};
    /// let query = Query::<Document>::parse(json!({"filter": {"age": {"$gte": 18}}, "sort": {"age": -1}, "limit": 20}))?;
    /// assert_eq!(query.limit, Some(20));
    /// # Ok::<(), modeller::Error>(())
    /// ```
    ///
    /// # Errors
    /// `INVALID_QUERY` with the path and the reason.
    pub fn parse(json: Value) -> Result<Self> {
        let Value::Object(object) = json else { return Err(Error::query("", "a query is an object")) };
        let mut parts = QueryParts::default();
        for (name, value) in object {
            if name == "fields" {
                return Err(Error::query("fields", "is given where the documents are asked for, as a `Projection`"));
            }
            *parts.part(&name)? = Some(value);
        }
        parse_query(&parts, &Schema::Any).map(Self::from_raw)
    }

    /// In this order.
    #[must_use]
    pub fn sort(mut self, sort: Sort<T>) -> Self {
        self.sort = sort;
        self
    }

    /// Without the first so many.
    #[must_use]
    pub fn skip(mut self, skip: usize) -> Self {
        self.skip = skip;
        self
    }

    /// At most so many.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// From where another page ended on: all that comes behind it in the order of the list, whatever was inserted, changed or
    /// deleted meanwhile. A cursor is good for the same filter, sort and fields, and for the same caller; the limit may be another
    /// one. It survives restarts, for as long as the secret of the application stays the same.
    ///
    /// ```
    /// # use modeller::prelude::*;
    /// # #[model(id = "users")]
    /// # pub struct User { pub age: u8 }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// # let app = App::new().model::<User>().in_memory().open().await?;
    /// # let users = app.model::<User>();
    /// # users.insert_many((0..5).map(|age| User { age }).collect()).await?;
    /// let mut query = Query::all().sort(User::AGE.desc()).limit(2);
    /// let mut ages = Vec::new();
    /// loop {
    ///     let page = users.list(query.clone()).await?;
    ///     ages.extend(page.items.iter().map(|user| user.age));
    ///     let Some(cursor) = page.next_cursor else { break };
    ///     query = query.cursor(cursor);
    /// }
    /// assert_eq!(ages, [4, 3, 2, 1, 0]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn cursor(mut self, cursor: impl Into<String>) -> Self {
        self.cursor = Some(cursor.into());
        self
    }

    pub(crate) fn from_raw(raw: RawQuery) -> Self {
        let RawQuery { filter, sort, skip, limit, cursor } = raw;
        Self { filter: Filter::from_arc(filter), sort: Sort::from_raw(sort), skip, limit, cursor }
    }

    pub(crate) fn to_raw(&self) -> RawQuery {
        RawQuery {
            filter: self.filter.raw().clone(),
            sort: self.sort.raw().clone(),
            skip: self.skip,
            limit: self.limit,
            cursor: self.cursor.clone(),
        }
    }
}

impl<T: ?Sized> Clone for Query<T> {
    fn clone(&self) -> Self {
        Self {
            filter: self.filter.clone(),
            sort: self.sort.clone(),
            skip: self.skip,
            limit: self.limit,
            cursor: self.cursor.clone(),
        }
    }
}

impl<T: ?Sized> From<Filter<T>> for Query<T> {
    fn from(filter: Filter<T>) -> Self {
        Self::of(filter)
    }
}

/// A query of whatever model.
#[derive(Clone, Debug)]
pub(crate) struct RawQuery {
    pub(crate) filter: Arc<RawFilter>,
    pub(crate) sort: RawSort,
    pub(crate) skip: usize,
    pub(crate) limit: Option<usize>,
    pub(crate) cursor: Option<String>,
}

impl RawQuery {
    /// All documents that match.
    pub(crate) fn of(filter: Arc<RawFilter>) -> Self {
        Self { filter, sort: RawSort::default(), skip: 0, limit: None, cursor: None }
    }

    /// The same of the documents of this filter.
    pub(crate) fn within(&self, filter: &Arc<RawFilter>) -> Cow<'_, Self> {
        if Arc::ptr_eq(&self.filter, filter) {
            return Cow::Borrowed(self);
        }
        Cow::Owned(Self { filter: filter.clone(), ..self.clone() })
    }

    /// Whether the other one finds the same documents in the same order.
    pub(crate) fn asks_the_same(&self, other: &Self) -> bool {
        (Arc::ptr_eq(&self.filter, &other.filter) || self.filter == other.filter) && self.sort == other.sort
    }

    /// How many documents a list answers at most.
    pub(crate) fn page_size(&self) -> usize {
        // As in MongoDB, a limit of 0 is none; here that is the largest page.
        match self.limit {
            None => DEFAULT_LIMIT,
            Some(0) => MAX_LIMIT,
            Some(limit) => limit.min(MAX_LIMIT),
        }
    }
}

/// What a list answers: a part of the matching documents, and the commit that it was read at.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(serialize = "T: Serialize", deserialize = "T: serde::de::DeserializeOwned"))]
pub struct Page<T> {
    /// The documents, in order.
    pub items: Vec<Doc<T>>,
    /// Where to go on, by [`Query::cursor`]; `None` at the end.
    pub next_cursor: Option<String>,
    /// Sequence number of the last commit that it shows.
    pub seq: u64,
}
