//! `#[event]`: a method that is dispatched through a subscription.

use proc_macro2::TokenStream;

use crate::method::{Role, operation, operation_keys};

operation_keys! {
    /// The keys of `#[event]`, after the model.
    EventKey for "#[event]", "an event", [],
    Role {
        word: "event",
        declaration: "Event",
        argument: "EventArg",
        argument_of_model: true,
        receives: None,
        transaction: true,
        receiver: "Subscription",
        calls: Some("Dispatches"),
        entry: "dispatch",
        taken: &["clone", "dispatch", "events", "id", "listen", "publish", "publish_about", "room"],
    }
}

/// Expands `#[event(args)] item`.
pub(crate) fn expand(args: TokenStream, item: &TokenStream) -> TokenStream {
    operation::<EventKey>(args, item)
}
