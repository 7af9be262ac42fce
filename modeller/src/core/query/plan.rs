//! Which documents are looked at to answer a filter. The filter is always applied to them, so a plan can be wasteful, never wrong.

use serde_json::Value;

use super::filter::{Compare, RawFilter, Test, is_scalar};
use crate::core::collection::Collection;
use crate::core::id::RawId;
use crate::core::index::{Index, Key};
use crate::core::value::AsValue;

/// Where the candidates come from.
pub(crate) enum Plan<'a> {
    /// All documents, in the order of their ids.
    Scan,
    /// These, by their ids.
    Ids(Vec<RawId>),
    /// Those that have one of these keys in an index.
    Index(&'a Index, Vec<Key>),
}

/// How many entries are counted to choose between indexes.
const COUNTED: usize = 1_000;

impl<'a> Plan<'a> {
    /// Whether the candidates come in the order of their ids.
    pub(crate) fn is_by_id(&self) -> bool {
        match self {
            Self::Scan | Self::Ids(_) => true,
            Self::Index(_, keys) => keys.len() <= 1,
        }
    }

    /// Whether one candidate may come several times: an array of it has several of the keys.
    pub(crate) fn may_repeat(&self) -> bool {
        !self.is_by_id()
    }

    /// The plan with the fewest candidates, as far as that is cheap to know.
    pub(crate) fn of(filter: &RawFilter, collection: &'a Collection) -> Self {
        let mut best: Option<(usize, Self)> = None;
        let members = match filter {
            RawFilter::And { members, .. } => members.as_slice(),
            single => std::slice::from_ref(single),
        };
        for member in members {
            let RawFilter::Field(path, test) = member else { continue };
            let (Some(field), Some(operands)) = (path.single(), operands(test)) else { continue };
            let candidate = if field == "_id" {
                // A text that cannot be an id is the id of no document.
                let mut ids: Vec<RawId> = operands
                    .iter()
                    .filter_map(|value| value.as_str())
                    .filter_map(|text| RawId::parse(text).ok())
                    .collect();
                ids.sort_unstable();
                ids.dedup();
                (ids.len(), Self::Ids(ids))
            } else if let Some(index) = collection.index(field) {
                let mut keys: Vec<Key> = operands.iter().filter_map(|value| Key::of(&value.as_value())).collect();
                keys.sort_unstable();
                keys.dedup();
                let count = keys.iter().map(|key| index.count(key, COUNTED)).fold(0, usize::saturating_add);
                (count, Self::Index(index, keys))
            } else {
                continue;
            };
            if best.as_ref().is_none_or(|(count, _)| candidate.0 < *count) {
                best = Some(candidate);
            }
        }
        best.map_or(Self::Scan, |(_, plan)| plan)
    }
}

/// The operands of a test for equality, if all of them can be keys.
fn operands(test: &Test) -> Option<&[Value]> {
    let values = match test {
        Test::Compare(Compare::Eq, value) => std::slice::from_ref(value),
        Test::In { values, negated: false } => values.as_slice(),
        _ => return None,
    };
    values.iter().all(|value| is_scalar(value.as_value().kind())).then_some(values)
}
