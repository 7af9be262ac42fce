//! The transaction of a handler, in the open: savepoints, and what is done when it is durable.

use std::future::Future;
use std::sync::Arc;

use super::handle::Model;
use super::journal::{LogFeature, Subject, no_data};
use super::runtime::{Scope, caught};
use crate::core::json::Document;
use crate::core::schema::ModelType;
use crate::error::Result;

/// A transaction: what the body of [`App::transaction`](crate::App::transaction) works with, and what a hook, a method or an
/// event may take as an argument, which runs in one. It sees what was committed when it is first asked for something, and what it
/// has done itself.
///
/// ```
/// use modeller::prelude::*;
/// # #[model(id = "orders")]
/// # pub struct Order { pub item: String }
/// # #[model(id = "mails")]
/// # pub struct Mail { #[field(max_length = 5)] pub text: String }
/// #[method(Order)]
/// async fn order(tx: Transaction, orders: Model<Order>) -> Result<Doc<Order>> {
///     let order = orders.insert(Order { item: "tea".into() }).await?;
///     // Undone alone, where it fails.
///     let mailed = tx.savepoint(|tx| async move { tx.model::<Mail>()?.insert(Mail { text: "too long".into() }).await }).await;
///     assert!(mailed.is_err());
///     tx.after_commit(|| async { println!("ordered") })?;
///     Ok(order)
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let app = App::new().model::<Order>().model::<Mail>().in_memory().open().await?;
/// app.model::<Order>().order().await?;
/// assert_eq!(app.model::<Order>().count(Filter::all()).await?, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Transaction {
    pub(crate) scope: Scope,
    /// What the log knows it by.
    pub(crate) subject: Subject,
}

impl Transaction {
    /// The handle of a model in this transaction.
    ///
    /// # Errors
    /// `MODEL_NOT_FOUND` when the application was built without it.
    pub fn model<T: ModelType>(&self) -> Result<Model<T>> {
        Model::of_scope(&self.scope)
    }

    /// The handle of a model by its id in this transaction; see [`App::model_by_id`](crate::App::model_by_id).
    ///
    /// # Errors
    /// `MODEL_NOT_FOUND` when the application was built without it.
    pub fn model_by_id(&self, id: &str) -> Result<Model<Document>> {
        Model::by_id(&self.scope, id)
    }

    /// Does several operations as one step: when the body answers an error, what it has done is undone, and the transaction can
    /// go on. Savepoints nest, as deep as operations do.
    ///
    /// # Errors
    /// What the body answers; `TRANSACTION_CLOSED` when the transaction has ended.
    pub async fn savepoint<R, F, Fut>(&self, body: F) -> Result<R>
    where
        F: Fn(Self) -> Fut + Sync,
        Fut: Future<Output = Result<R>> + Send,
        R: Send,
    {
        let (body, subject) = (&body, &self.subject);
        self.scope.together("savepoint", |scope| body(Self { scope, subject: subject.clone() })).await
    }

    /// Has something done once the transaction is durable, in the order in which it was said, and before its caller is answered,
    /// also where nobody waits for the answer any more; not at all where the transaction, or the savepoint that it was said in, is
    /// undone. A handler may run twice, and what it does outside of the data is to happen once: here.
    ///
    /// It is kept in memory: when the process ends between the commit and this, it is not done. What must be done is a job. A panic
    /// in it is logged.
    ///
    /// # Errors
    /// `TRANSACTION_CLOSED` when the transaction has ended, `TRANSACTION_TOO_LARGE`.
    pub fn after_commit<F, Fut>(&self, run: F) -> Result<()>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let subject = Subject { feature: LogFeature::Transaction, ..self.subject.clone() };
        let journal = self.scope.runtime().journal().clone();
        let done = Arc::new((run, journal, subject));
        self.scope.after_commit(Arc::new(move || {
            let done = done.clone();
            Box::pin(async move {
                let (run, journal, subject) = &*done;
                let ran = async {
                    run().await;
                    Ok(())
                };
                if let Err(error) = caught(ran).await {
                    journal.failed(subject, "what was to be done after a commit failed", no_data, &error);
                }
            })
        }))
    }
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Transaction").finish()
    }
}
