//! LAYER 1, data: documents, queries, collections, transactions and the commit log. It knows no hooks and no HTTP.

pub(crate) mod call;
pub(crate) mod check;
pub(crate) mod clock;
pub(crate) mod collection;
pub(crate) mod decimal;
pub(crate) mod document;
pub(crate) mod field;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
#[expect(clippy::print_stdout, reason = "counts and times that show what the tests have done")]
pub(crate) mod fuzz;
pub(crate) mod id;
pub(crate) mod index;
pub(crate) mod interest;
pub(crate) mod json;
pub(crate) mod key;
pub(crate) mod log;
pub(crate) mod migrate;
pub(crate) mod private;
pub(crate) mod query;
pub(crate) mod reference;
pub(crate) mod schema;
pub(crate) mod seal;
pub(crate) mod secret;
pub(crate) mod storage;
pub(crate) mod text;
pub(crate) mod token;
pub(crate) mod transaction;
pub(crate) mod trash;
pub(crate) mod tree;
pub(crate) mod validate;
pub(crate) mod value;
pub(crate) mod window;

#[cfg(test)]
#[path = "../../../tests/src/random.rs"]
#[allow(unreachable_pub, reason = "public where the other tests share it")]
pub(crate) mod random;
