//! Who asks, and which call it is.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::core::id::{Id, RawId};
use crate::core::schema::ModelType;

/// Who asks: the application itself, anyone, or somebody with a verified token.
///
/// ```
/// # use modeller::prelude::*;
/// # #[model(id = "users")]
/// # pub struct User { pub name: String }
/// #[method(User)]
/// async fn whoami(caller: Caller) -> Result<Option<String>> {
///     Ok(caller.subject().map(str::to_owned))
/// }
/// ```
#[derive(Clone, Default)]
pub struct Caller {
    who: Who,
    document: Option<Arc<Known>>,
}

/// The document that a caller is.
pub(crate) struct Known {
    pub(crate) model: String,
    pub(crate) id: RawId,
}

#[derive(Clone, Default)]
enum Who {
    Application,
    #[default]
    Anyone,
    Verified(Arc<Map<String, Value>>),
}

impl Caller {
    /// The application itself: code that runs in process and was not called from outside.
    #[must_use]
    pub fn application() -> Self {
        Who::Application.into()
    }

    /// Somebody from outside who said nothing of himself.
    #[must_use]
    pub fn anyone() -> Self {
        Who::Anyone.into()
    }

    /// Somebody from outside whose token was verified, with its claims (RFC 7519 §4).
    #[must_use]
    pub fn verified(claims: Map<String, Value>) -> Self {
        Who::Verified(Arc::new(claims)).into()
    }

    /// Whether it is the application itself.
    #[must_use]
    pub fn is_application(&self) -> bool {
        matches!(self.who, Who::Application)
    }

    /// Whether a token was verified.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        matches!(self.who, Who::Verified(_))
    }

    /// All claims of the verified token.
    pub(crate) fn claims(&self) -> Option<&Map<String, Value>> {
        match &self.who {
            Who::Verified(claims) => Some(claims),
            Who::Application | Who::Anyone => None,
        }
    }

    /// A claim of the verified token.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims()?.get(name)
    }

    /// The subject of the verified token, its claim `sub`.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.claim("sub")?.as_str()
    }

    /// The roles of the verified token: its claim `roles`, a list of texts, or one text with spaces between them.
    ///
    /// ```
    /// # use modeller::Caller;
    /// # use modeller::__private::serde_json::{self, json};
    /// let claims = json!({"sub": "ada", "roles": ["admin", "author"]});
    /// let caller = Caller::verified(claims.as_object().cloned().unwrap_or_default());
    /// assert_eq!(caller.roles(), ["admin", "author"]);
    /// assert!(caller.has_role("admin") && !Caller::anyone().has_role("admin"));
    /// ```
    #[must_use]
    pub fn roles(&self) -> Vec<&str> {
        match self.claim("roles") {
            Some(Value::Array(roles)) => roles.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(roles)) => roles.split_ascii_whitespace().collect(),
            _ => Vec::new(),
        }
    }

    /// Whether the verified token has this role; see [`Caller::roles`].
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.roles().contains(&role)
    }

    /// Which document the caller is, of a model with `#[model(caller)]`: the one whose `_id` is the subject of the token, or the one
    /// that [`authenticate`](macro@crate::authenticate) has found. `None` for anyone, for the application, and of any other model.
    ///
    /// ```
    /// use modeller::prelude::*;
    ///
    /// #[model(id = "users", caller)]
    /// pub struct User { pub name: String }
    ///
    /// #[method(User)]
    /// async fn my_name(caller: Caller, users: System<Model<User>>) -> Result<Option<String>> {
    ///     let Some(me) = caller.id::<User>() else { return Ok(None) };
    ///     Ok(users.get(me).await?.map(|user| user.name.clone()))
    /// }
    /// ```
    #[must_use]
    pub fn id<T: ModelType>(&self) -> Option<Id<T>> {
        let known = self.document.as_ref().filter(|known| known.model == T::DECLARATION.id)?;
        Some(Id::from_raw(known.id.clone()))
    }
}

impl From<Who> for Caller {
    fn from(who: Who) -> Self {
        Self { who, document: None }
    }
}

impl Caller {
    /// The same as this document.
    pub(crate) fn known_as(self, model: &str, id: RawId) -> Self {
        Self { document: Some(Arc::new(Known { model: model.to_owned(), id })), ..self }
    }

    /// The document that it is.
    pub(crate) fn document(&self) -> Option<&Known> {
        self.document.as_deref()
    }

    /// Who it is, for as long as that stays the same: a renewed token speaks for the one of before.
    pub(crate) fn identity(&self) -> String {
        let claims = match &self.who {
            Who::Application => return "application".to_owned(),
            Who::Anyone => return "anyone".to_owned(),
            Who::Verified(claims) => claims,
        };
        // RFC 7519 §4.1: the subject is unique to its issuer, and these others are about the token.
        let is_of = |name: &str| match claims.contains_key("sub") {
            true => matches!(name, "iss" | "sub"),
            false => !matches!(name, "exp" | "nbf" | "iat" | "jti"),
        };
        let mut claims: Vec<_> = claims.iter().filter(|(name, _)| is_of(name)).collect();
        claims.sort_unstable_by_key(|(name, _)| *name);
        format!(
            "verified {}",
            Value::Object(claims.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect())
        )
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.who {
            Who::Application => f.write_str("Caller::Application"),
            Who::Anyone => f.write_str("Caller::Anyone"),
            Who::Verified(_) => write!(f, "Caller::Verified({:?})", self.subject()),
        }
    }
}

/// Which call a handler runs for.
///
/// A transaction that loses against another is run once more; the id is the same in both runs.
#[derive(Clone, Debug)]
pub struct Call {
    id: Uuid,
    attempt: u32,
}

impl Call {
    pub(crate) fn new() -> Self {
        Self { id: RawId::fresh_uuid(), attempt: 1 }
    }

    pub(crate) fn again(&self) -> Self {
        Self { id: self.id, attempt: self.attempt + 1 }
    }

    /// The same in every run of the call.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// 1 in the first run.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
}
