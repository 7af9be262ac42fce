//! Without the feature `oidc` nobody else is known who knows users.

use serde_json::Value;

use super::jwt::Identity;
use crate::error::{Error, Result};
use crate::model::runtime::Runtime;
use crate::server::router::Table;

#[derive(Clone, Default)]
pub(in crate::server) struct Said;

impl Said {
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "with the feature it can fail")]
    pub(in crate::server) fn check(&self, _: &Runtime) -> Result<()> {
        Ok(())
    }
}

pub(in crate::server) struct Outside;

impl Outside {
    #[expect(clippy::unnecessary_wraps, reason = "with the feature it can fail")]
    pub(in crate::server) fn new(_: Said, _: &[u8]) -> Result<Self> {
        Ok(Self)
    }

    pub(in crate::server) fn none() -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "with the feature it is used")]
    pub(in crate::server) fn mount(&self, table: Table) -> Table {
        table
    }

    #[expect(clippy::unused_self, reason = "with the feature it is used")]
    pub(in crate::server) fn describe(&self, _: &mut Value) {}

    #[expect(clippy::unused_async, reason = "with the feature keys are fetched")]
    pub(in crate::server) async fn verify(&self, _: &Runtime, _: &str) -> Result<Identity> {
        Err(Error::unauthenticated())
    }
}
