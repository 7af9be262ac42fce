//! Traces for whoever collects them, by OpenTelemetry: feature `otel`.
//!
//! Each request is a span, named by its method and the pattern of its route, and each run of a hook, method, event, upload, stream,
//! worker or job is one within. In them there are names, ids of requests, statuses and codes of errors; nothing of what a client
//! sent or of what is stored, no token, and no entry of the log. A request that carries `traceparent` (W3C Trace Context) goes on with
//! the trace that it names.
//!
//! They are sent by OTLP over HTTP, in the encoding `http/protobuf`, and set up by the variables of the specification
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>):
//!
//! | variable | what it says |
//! |---|---|
//! | `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` | where to send them, as `http://localhost:4318`; without one there are no traces |
//! | `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` | what the program is called, and what else is said of it |
//! | `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_COMPRESSION` | what is sent along, and whether it is sent as `gzip` |
//! | `OTEL_EXPORTER_OTLP_TIMEOUT` | how long sending takes at most, in milliseconds: 10,000 |
//! | `OTEL_EXPORTER_OTLP_CERTIFICATE` | a file of certificates in PEM that are trusted beside those that browsers trust |
//! | `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG` | which traces are sent: all whose parent is, or that have none |
//! | `OTEL_BSP_MAX_QUEUE_SIZE`, `OTEL_BSP_SCHEDULE_DELAY` | how many spans wait at most, 2,048, beyond which they are dropped, and how long, 5,000 milliseconds |
//! | `OTEL_SDK_DISABLED=true`, `OTEL_TRACES_EXPORTER=none` | no traces |
//!
//! A program without a subscriber of `tracing` that is served by [`AppBuilder::serve`](crate::AppBuilder::serve) has to do nothing
//! else. One with a subscriber of its own adds the [`layer`], whose crates are those of `tracing-subscriber` 0.3.

use std::env;
use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::OnceLock;
use std::time::Duration;

use axum::http::uri::Scheme;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::task::JoinSet;
use tracing::{Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use super::dial::Dial;
use crate::error::{Error, Result};

/// How many bytes the answer of a collector has at most.
const MOST_BYTES: usize = 64 << 10;
/// How many bytes its header has at most.
const HEADER_BYTES: usize = 64 << 10;
/// How long sending takes at most, whatever is said.
const MOST_TIME: Duration = Duration::from_secs(60);
/// How long it takes unless something is said.
const TIME: Duration = Duration::from_secs(10);
/// How many bytes of `tracestate` are kept: as many as have to be (W3C Trace Context §3.3.1.5).
const STATE_BYTES: usize = 512;
/// How many entries it has at most (§3.3.1.1).
const STATE_ENTRIES: usize = 32;

/// Made once: what is said in the environment is said to the whole process.
static PROVIDER: OnceLock<Option<SdkTracerProvider>> = OnceLock::new();

/// What sends the spans of this process to the collector that the environment names; nothing where it names none. It takes spans of
/// [`tracing::Level::INFO`] and above, also those of the program, and no events.
///
/// ```
/// # fn main() -> modeller::Result<()> {
/// use tracing_subscriber::layer::SubscriberExt;
///
/// let subscriber = tracing_subscriber::registry().with(modeller::server::otel::layer()?);
/// let _ = tracing::subscriber::set_global_default(subscriber);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `INVALID_ARGUMENT` when a variable says what cannot be: an endpoint that is no URL, a file that is none, a protocol that is not
/// spoken here.
pub fn layer<S>() -> Result<Option<impl Layer<S> + Send + Sync>>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let provider = match PROVIDER.get() {
        Some(provider) => provider,
        None => {
            let provider = provider()?;
            PROVIDER.get_or_init(|| provider)
        }
    };
    let layer = provider.as_ref().map(|provider| {
        let is_told = |metadata: &Metadata<'_>| metadata.is_span() && *metadata.level() <= tracing::Level::INFO;
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("modeller"))
            // Where in the source something stands is a path of the machine that built it.
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(is_told))
    });
    Ok(layer)
}

/// Sends what has not been sent, and waits for it, for five seconds at most. [`AppBuilder::serve`](crate::AppBuilder::serve) does it at
/// its end; a program that serves by other means does it at its own.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// modeller::server::otel::flush().await;
/// # }
/// ```
pub async fn flush() {
    let Some(Some(provider)) = PROVIDER.get() else { return };
    let provider = provider.clone();
    // It waits by holding its thread.
    let flushed = tokio::task::spawn_blocking(move || provider.force_flush()).await;
    if !matches!(flushed, Ok(Ok(()))) {
        tracing::warn!("not all traces could be sent");
    }
}

fn wrong(what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new("INVALID_ARGUMENT").message(what)
}

/// A variable that says something; one that is empty says nothing (§"Parsing empty value" of the specification).
fn said(name: &str) -> Option<String> {
    env::var(name).ok().filter(|text| !text.trim().is_empty())
}

/// What one variable says for traces, or another for all.
fn said_of_traces(what: &str) -> Option<String> {
    said(&format!("OTEL_EXPORTER_OTLP_TRACES_{what}")).or_else(|| said(&format!("OTEL_EXPORTER_OTLP_{what}")))
}

fn provider() -> Result<Option<SdkTracerProvider>> {
    let is = |name: &str, value: &str| said(name).is_some_and(|said| said.trim().eq_ignore_ascii_case(value));
    if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") || said_of_traces("ENDPOINT").is_none() {
        return Ok(None);
    }
    match said_of_traces("PROTOCOL") {
        Some(protocol) if protocol.trim() != "http/protobuf" => {
            return Err(wrong("traces are sent by `http/protobuf` alone; `OTEL_EXPORTER_OTLP_PROTOCOL` says another"));
        }
        _ => {}
    }
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_http_client(Sender::of_environment()?)
        .build()
        .map_err(|cause| wrong(format!("traces cannot be sent: {cause}")))?;
    let provider =
        SdkTracerProvider::builder().with_resource(Resource::builder().build()).with_batch_exporter(exporter).build();
    Ok(Some(provider))
}

/// Sends, on the thread of whoever waits for it, which is one that has nothing else to do: so it goes on while the runtime of the
/// program ends, and does not care whether there is one.
struct Sender {
    dial: Dial,
    time: Duration,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl Sender {
    fn of_environment() -> Result<Self> {
        let time = match said_of_traces("TIMEOUT") {
            None => TIME,
            Some(text) => text
                .trim()
                .parse()
                .map(Duration::from_millis)
                .map_err(|_| wrong("`OTEL_EXPORTER_OTLP_TIMEOUT` is no number of milliseconds"))?,
        };
        let roots = match said_of_traces("CERTIFICATE") {
            None => Vec::new(),
            Some(file) => {
                let cannot = |cause| wrong(format!("`OTEL_EXPORTER_OTLP_CERTIFICATE`: cannot read {file}: {cause}"));
                vec![std::fs::read(&file).map_err(cannot)?]
            }
        };
        Ok(Self { dial: Dial::new(&roots)?, time: time.min(MOST_TIME) })
    }

    async fn send(&self, mut request: Request<Bytes>) -> std::result::Result<Response<Bytes>, HttpError> {
        let uri = std::mem::take(request.uri_mut()).into_parts();
        let authority = uri.authority.ok_or("the endpoint has no host")?;
        let is_secure = uri.scheme == Some(Scheme::HTTPS);
        let port = authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        // A user and a password before the host are no part of it (RFC 9110 §7.2).
        let own = authority.as_str().rsplit('@').next().unwrap_or_default();
        request.headers_mut().insert(header::HOST, HeaderValue::try_from(own)?);
        *request.uri_mut() = uri.path_and_query.map(Into::into).unwrap_or_default();
        let io = TokioIo::new(self.dial.connect(host, port, is_secure).await?);
        let (mut sender, connection) = http1::Builder::new().max_buf_size(HEADER_BYTES).handshake(io).await?;
        // It ends with this request, however that ends.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let (head, body) = sender.send_request(request.map(Full::new)).await?.into_parts();
        let body = Limited::new(body, MOST_BYTES).collect().await?.to_bytes();
        Ok(Response::from_parts(head, body))
    }
}

type Sent<'a> = Pin<Box<dyn Future<Output = std::result::Result<Response<Bytes>, HttpError>> + Send + 'a>>;

impl HttpClient for Sender {
    fn send_bytes<'s, 'a>(&'s self, request: Request<Bytes>) -> Sent<'a>
    where
        's: 'a,
        Self: 'a,
    {
        Box::pin(async move {
            // Of its own each time: one that is kept could be dropped where it must not be.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let in_time = runtime.block_on(async { tokio::time::timeout(self.time, self.send(request)).await });
            in_time.unwrap_or_else(|_| Err(Box::<dyn StdError + Send + Sync>::from("there was no answer in time")))
        })
    }
}

/// The span that a request says it is made within.
pub(super) fn parent(headers: &HeaderMap) -> Option<SpanContext> {
    const PARENT: HeaderName = HeaderName::from_static("traceparent");
    const STATE: HeaderName = HeaderName::from_static("tracestate");
    let mut given = headers.get_all(PARENT).iter();
    let (Some(text), None) = (given.next(), given.next()) else { return None };
    let (trace, span, flags) = ids(text.as_bytes())?;
    // What is wrong with the state says nothing against the parent (W3C Trace Context §3.3.1.5).
    let state = state(headers.get_all(STATE).iter().map(HeaderValue::as_bytes)).unwrap_or_default();
    Some(SpanContext::new(trace, span, flags & TraceFlags::SAMPLED, true, state)).filter(SpanContext::is_valid)
}

/// `00-` and the ids of a trace and of a span and flags, in small hexadecimal digits (W3C Trace Context §3.2); of later versions, what
/// they have in common with that.
fn ids(text: &[u8]) -> Option<(TraceId, SpanId, TraceFlags)> {
    let (now, later) = text.split_at_checked(55)?;
    let parts = [now.get(..2)?, now.get(3..35)?, now.get(36..52)?, now.get(53..)?];
    let is_hex = |part: &&[u8]| part.iter().all(|sign| matches!(sign, b'0'..=b'9' | b'a'..=b'f'));
    let is_apart = [2, 35, 52].iter().all(|at| now.get(*at) == Some(&b'-'));
    if !parts.iter().all(is_hex) || !is_apart {
        return None;
    }
    let [version, trace, span, flags] = parts.map(|part| str::from_utf8(part).unwrap_or_default());
    match version {
        "ff" => return None,
        "00" if !later.is_empty() => return None,
        _ if !(later.is_empty() || later.starts_with(b"-")) => return None,
        _ => {}
    }
    let flags = u8::from_str_radix(flags, 16).ok()?;
    Some((TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?, TraceFlags::new(flags)))
}

fn state<'a>(values: impl Iterator<Item = &'a [u8]>) -> Option<TraceState> {
    let mut whole = Vec::new();
    for value in values {
        if !whole.is_empty() {
            whole.push(b',');
        }
        if whole.len() + value.len() > STATE_BYTES {
            return None;
        }
        whole.extend_from_slice(value);
    }
    let text = str::from_utf8(&whole).ok().filter(|text| text.split(',').count() <= STATE_ENTRIES)?;
    text.parse().ok()
}

/// The span of a request, within the one that the client named.
pub(super) fn continued(span: Span, parent: Option<SpanContext>) -> Span {
    if let Some(parent) = parent.filter(|_| !span.is_disabled()) {
        // A subscriber without our layer has no use for it.
        let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(parent));
    }
    span
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn of(traceparent: &str, states: &[&str]) -> Option<SpanContext> {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", HeaderValue::from_str(traceparent).unwrap());
        for state in states {
            headers.append("tracestate", HeaderValue::from_str(state).unwrap());
        }
        parent(&headers)
    }

    #[test]
    fn a_parent_is_read_as_the_recommendation_says() {
        let good = of(&format!("00-{TRACE}-{SPAN}-01"), &["a=1,b=2", "c=3"]).unwrap();
        assert_eq!((good.trace_id().to_string().as_str(), good.span_id().to_string().as_str()), (TRACE, SPAN));
        assert!(good.is_sampled() && good.is_remote());
        assert_eq!(good.trace_state().header(), "a=1,b=2,c=3");
        assert!(!of(&format!("00-{TRACE}-{SPAN}-fe"), &[]).unwrap().is_sampled());
        assert!(of(&format!("cc-{TRACE}-{SPAN}-01-what-comes-then"), &[]).is_some());
    }

    #[test]
    fn what_is_malformed_is_no_parent() {
        let zeros = "0".repeat(32);
        for wrong in [
            String::new(),
            "-".repeat(55),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-0"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01 "),
            format!("cc-{TRACE}-{SPAN}-01.x"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("00_{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-+1"),
            format!("00-{}-{SPAN}-01", TRACE.replace('4', "g")),
            "0".repeat(4000),
        ] {
            assert_eq!(of(&wrong, &[]), None, "{wrong}");
        }
        let twice = format!("00-{TRACE}-{SPAN}-01");
        let mut headers = HeaderMap::new();
        headers.append("traceparent", HeaderValue::from_str(&twice).unwrap());
        headers.append("traceparent", HeaderValue::from_str(&twice).unwrap());
        assert_eq!(parent(&headers), None);
    }

    #[test]
    fn a_state_that_will_not_do_is_left_out() {
        let many = (0..33).map(|at| format!("k{at}=v")).collect::<Vec<_>>().join(",");
        for wrong in [&"a=".repeat(300), &many, "nothing", "a=1,B=2", &format!("a={}", "x".repeat(600))] {
            let parent = of(&format!("00-{TRACE}-{SPAN}-01"), &[wrong]).unwrap();
            assert_eq!(parent.trace_state().header(), "", "{wrong}");
        }
    }
}
