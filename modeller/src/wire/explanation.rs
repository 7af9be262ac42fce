//! How a query was answered: which documents were looked at, and in which order.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where the documents of a query came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum PlanKind {
    /// All documents were looked at, in the order of their ids, until enough were found.
    Scan,
    /// The ids were known, or between which they are.
    Ids,
    /// The entries of an index, or a part of them.
    Index,
    /// What several plans found, one for each alternative of an `$or`.
    Or,
}

/// How a query was answered. Over HTTP a list with `?explain=true` answers it as `explain`, without the documents; there it is
/// told as if there were only those indexes whose fields the caller may know of.
///
/// ```
/// use modeller::PlanKind;
/// # use modeller::prelude::*;
/// #[model(id = "users", index(role, age))]
/// pub struct User { pub role: String, pub age: u8 }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let app = App::new().model::<User>().in_memory().open().await?;
/// let users = app.model::<User>();
/// for age in 0..100 {
///     users.insert(User { role: if age % 2 == 0 { "admin" } else { "user" }.into(), age }).await?;
/// }
/// let told = users.find(User::ROLE.eq("admin") & User::AGE.gte(30)).sort(User::AGE.asc()).limit(20).explain().await?;
/// assert_eq!((told.plan, told.index, told.sorted), (PlanKind::Index, Some(vec!["role".into(), "age".into()]), true));
/// assert_eq!((told.keys_examined, told.documents_examined, told.returned), (20, 20, 20));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Where the documents came from.
    pub plan: PlanKind,
    /// The fields of the index that was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<Vec<String>>,
    /// For each field by which the plan narrows, the tests that do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<Value>,
    /// Whether the documents came in the order of the query, so that nothing had to be sorted.
    pub sorted: bool,
    /// Entries of indexes and ids that were looked up.
    pub keys_examined: u64,
    /// Documents that were looked at.
    pub documents_examined: u64,
    /// Documents that the query answers.
    pub returned: u64,
    /// The plans of the alternatives, where the plan is [`PlanKind::Or`]; without numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Explanation>,
}

impl Explanation {
    pub(crate) fn of(plan: PlanKind) -> Self {
        Self {
            plan,
            index: None,
            bounds: None,
            sorted: false,
            keys_examined: 0,
            documents_examined: 0,
            returned: 0,
            parts: Vec::new(),
        }
    }
}
