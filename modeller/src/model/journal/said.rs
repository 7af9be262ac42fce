//! The log as handlers have it.

use std::fmt::{self, Write as _};
use std::io;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::entry::{CallSite, LogLevel, MOST_TEXT, beginning};
use super::{Journal, Subject, Words};
use crate::core::private::{Audience, written_for};
use crate::error::Result;
use crate::model::handler::{Extract, Invocation};

/// How many bytes the data of an entry has at most, as JSON.
const MOST_DATA: usize = 16 * 1_024;

/// The log, as an argument of a handler: what is said to it is an entry of the handler's model.
///
/// An entry is given at once, also in a transaction that is undone later or run once more;
/// [`LogEntry::call`](crate::LogEntry::call) tells which run it is from. A message is any text, best `format_args!(…)`, which is
/// written out only if somebody wants it.
///
/// ```
/// use modeller::prelude::*;
/// # use modeller::__private::serde_json::{self, json};
/// #[model(id = "users")]
/// pub struct User { pub name: String, #[field(default)] pub password: Private<String> }
///
/// #[hook(User, after(insert))]
/// async fn greet(user: Doc<User>, log: Log) -> Result<()> {
///     log.info(format_args!("welcome {}", user.name));
///     log.with(&user).debug("with all that may be known of it");
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let app = App::new().model::<User>().in_memory().open().await?;
/// let users = app.model::<User>();
/// let mut entries = users.on_log();
/// users.insert(User { name: "Ada".into(), password: "correct horse".into() }).await?;
/// assert_eq!(entries.once().await.unwrap().message, "welcome Ada");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Log {
    journal: Arc<Journal>,
    subject: Subject,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("subject", &self.subject).finish_non_exhaustive()
    }
}

macro_rules! levels {
    ($($(#[$doc:meta])* $name:ident $level:ident;)*) => {
        impl Log {
            $($(#[$doc])*
            #[track_caller]
            pub fn $name(&self, message: impl fmt::Display) {
                self.say(LogLevel::$level, CallSite::here(), &message, || None);
            })*
        }

        impl<D: Serialize> LogWith<'_, D> {
            $($(#[$doc])*
            #[track_caller]
            pub fn $name(&self, message: impl fmt::Display) {
                self.log.say(LogLevel::$level, CallSite::here(), &message, || Some(bounded(&self.data)));
            })*
        }
    };
}

levels! {
    /// Says what is of use only to who looks for a mistake.
    debug Debug;
    /// Says what is good to know.
    info Info;
    /// Says what may be a mistake.
    warn Warn;
    /// Says what has failed.
    error Error;
}

impl Log {
    pub(crate) fn of(invocation: &Invocation<'_>) -> Self {
        Self { journal: invocation.scope.runtime().journal().clone(), subject: invocation.subject.clone() }
    }

    /// Whether an entry of this level reaches anybody: for what is costly to find out, and is for the log alone.
    #[must_use]
    pub fn is_enabled(&self, level: LogLevel) -> bool {
        level != LogLevel::Silent
            && self.journal.wants(self.journal.pages(self.subject.model), self.subject.feature, level)
    }

    /// The log with data that goes with what is said, e.g. `json!({"count": 3})`, a document, or a `#[value]`. It is written, as JSON,
    /// only if somebody wants it, and without what is private or protected in it; what was taken out of its
    /// [`Private`](crate::Private) before is private no more. More than 16 KiB, or what cannot be written, is left out.
    pub fn with<D: Serialize>(&self, data: D) -> LogWith<'_, D> {
        LogWith { log: self, data }
    }

    fn say(
        &self,
        level: LogLevel,
        from: CallSite,
        message: &dyn fmt::Display,
        data: impl FnOnce() -> Option<std::result::Result<Value, &'static str>>,
    ) {
        let pages = self.journal.pages(self.subject.model);
        if !self.journal.wants(pages, self.subject.feature, level) {
            return;
        }
        let mut text = Text(String::new());
        // That it is longer than what is kept ends the writing.
        let _ = write!(text, "{message}");
        let data = match data() {
            None => None,
            Some(Ok(data)) => Some(data),
            Some(Err(why)) => {
                text.0 = format!("{}{why}", beginning(&text.0, MOST_TEXT - why.len()));
                None
            }
        };
        let subject = Subject { call_site: Some(from), ..self.subject.clone() };
        self.journal.give(pages, subject, level, false, Words { message: text.0.into(), data });
    }
}

impl<'a> Extract<'a> for Log {
    fn extract(invocation: &mut Invocation<'a>) -> Result<Self> {
        Ok(Self::of(invocation))
    }
}

/// The [`Log`] with data, from [`Log::with`].
#[must_use = "it says nothing until it is given a message"]
pub struct LogWith<'a, D> {
    log: &'a Log,
    data: D,
}

impl<D> fmt::Debug for LogWith<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogWith").field("log", self.log).finish_non_exhaustive()
    }
}

/// A text that takes no more than a little over what is kept, so that [`cut`] sees that it is too long.
struct Text(String);

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let most = (MOST_TEXT + '…'.len_utf8()).saturating_sub(self.0.len());
        let fits = beginning(text, most);
        self.0.push_str(fits);
        if fits.len() == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// Bytes up to a number of them.
struct Bytes(Vec<u8>);

impl io::Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MOST_DATA {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The data as JSON, with nothing in it that is not for everybody; else why it is left out.
fn bounded(data: &impl Serialize) -> std::result::Result<Value, &'static str> {
    let mut bytes = Bytes(Vec::new());
    let written = written_for(Audience::Anyone, || serde_json::to_writer(&mut bytes, data));
    match written {
        Ok(()) => serde_json::from_slice(&bytes.0).map_err(|_| " (with data that cannot be read again)"),
        Err(error) if error.is_io() => Err(" (with more data than an entry may have)"),
        Err(_) => Err(" (with data that cannot be written)"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::cut;
    use super::*;

    #[test]
    fn a_message_is_cut_between_characters() {
        for text in ["x".repeat(MOST_TEXT + 1), "é".repeat(MOST_TEXT), format!("x{}", "é".repeat(MOST_TEXT))] {
            let mut text_of = Text(String::new());
            let _ = write!(text_of, "{text}");
            for kept in [cut(text.clone().into()), cut(text_of.0.into())] {
                assert!(kept.len() <= MOST_TEXT && kept.len() > MOST_TEXT - 4 && kept.ends_with('…'), "{}", kept.len());
                assert!(text.starts_with(kept.trim_end_matches('…')));
            }
        }
        let whole = "x".repeat(MOST_TEXT);
        assert_eq!(cut(whole.clone().into()), whole);
    }
}
