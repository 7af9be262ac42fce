//! LAYER 3, transport: HTTP routes, the socket, and `serve`.

use std::future::Future;
use std::process::ExitCode;

use crate::error::Result;

/// How an application is served.
#[derive(Debug, Default)]
pub(crate) struct Settings {}

/// Runs the body of `#[modeller::main]`: exit code 0, or 1 and one line that says why.
#[expect(clippy::print_stderr, reason = "the one line of a failed start")]
pub fn main<F: Future<Output = Result<()>>>(body: F) -> ExitCode {
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(crate::Error::internal)
        .and_then(|runtime| runtime.block_on(body));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
