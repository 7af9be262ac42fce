//! Warnings and errors on standard error, for a program that has set up no subscriber of its own: a failure that nobody sees is
//! worse than an ugly line.

use std::fmt::{Debug, Write as _};
use std::io::Write as _;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::error::Result;

/// Writes from here on, and sends traces where there is somebody who collects them, unless the program has a subscriber of its own.
pub(crate) fn install() -> Result<()> {
    if tracing::dispatcher::has_been_set() {
        return Ok(());
    }
    #[cfg(feature = "otel")]
    if let Some(traces) = super::otel::layer()? {
        use tracing_subscriber::layer::{Layer, SubscriberExt};
        let both = tracing_subscriber::registry().with(traces).with(Console.with_filter(LevelFilter::WARN));
        // Another thread may have been faster.
        let _ = tracing::subscriber::set_global_default(both);
        return Ok(());
    }
    let _ = tracing::subscriber::set_global_default(Console);
    Ok(())
}

struct Console;

impl Subscriber for Console {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        write(event);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[cfg(feature = "otel")]
impl<S: Subscriber> tracing_subscriber::Layer<S> for Console {
    fn on_event(&self, event: &Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        write(event);
    }
}

fn write(event: &Event<'_>) {
    let mut line = Line::default();
    event.record(&mut line);
    let level = event.metadata().level();
    // One line each, whatever is in the values; where nobody reads, nothing is lost by not writing.
    let text = format!("{level} {}: {}{}", event.metadata().target(), line.message, line.fields).replace('\n', "\\n");
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
