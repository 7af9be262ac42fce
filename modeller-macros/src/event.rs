//! `#[event]`: a method that is dispatched through a subscription.

use proc_macro2::TokenStream;

use crate::keys::keys;
use crate::method::{OperationKey, Role, operation};

keys! {
    /// The keys of `#[event]`, after the model.
    enum EventKey for "#[event]" {
        Public = "public", Flag, "public";
        Protected = "protected", Flag, "protected";
        Internal = "internal", Flag, "internal";
        Id = "id", Text, "id = \"name\"";
        Crate = "crate", Path, "crate = path::to::modeller";
    }
    conflicts {
        Public, Protected: "an event is reached by anyone or by verified callers; remove one";
        Public, Internal: "an event is reached by anyone or in process only; remove one";
        Protected, Internal: "an event is reached by verified callers or in process only; remove one";
    }
}

impl OperationKey for EventKey {
    const ROLE: Role = Role {
        word: "event",
        declaration: "Event",
        argument: "EventArg",
        argument_of_model: true,
        receives: None,
        transaction: true,
        receiver: "Subscription",
        entry: "dispatch",
        taken: &["clone", "dispatch", "events", "id", "listen", "publish", "room"],
    };
    const PUBLIC: Self = Self::Public;
    const PROTECTED: Self = Self::Protected;
    const INTERNAL: Self = Self::Internal;
    const ID: Self = Self::Id;
    const CRATE: Self = Self::Crate;
}

/// Expands `#[event(args)] item`.
pub(crate) fn expand(args: TokenStream, item: &TokenStream) -> TokenStream {
    operation::<EventKey>(args, item)
}
