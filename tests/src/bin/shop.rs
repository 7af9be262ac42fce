//! Places orders in the shop of [`modeller_tests::shop`] until it is killed, and says what became of each.
//!
//! `shop DATA FIRST` prints lines of a word and a number: `placed 7` and `refused 7` for an answer, and what was heard of an order.

#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use modeller::Listener;
use modeller::prelude::*;
use modeller_tests::shop::{Journal, Order, Place, PlaceMethod as _, build};

/// How many orders are placed at a time.
const WRITERS: u64 = 6;

/// One line is one write, so that none is cut where the program is killed.
fn say(word: &str, number: u64) {
    println!("{word} {number}");
}

fn tell(mut listener: Listener, word: &'static str) {
    tokio::spawn(async move {
        while let Some(Heard::Payload { payload, .. }) = listener.next().await {
            say(word, payload.as_u64().unwrap_or(u64::MAX));
        }
    });
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let wrong = || Error::new("USAGE").message("shop DATA FIRST");
    let data = args.next().ok_or_else(wrong)?;
    let first: u64 = args.next().and_then(|first| first.parse().ok()).ok_or_else(wrong)?;
    let app = build(Journal::new(say)).data(data).open().await?;
    let orders = app.model::<Order>();
    tell(orders.subscription(Filter::all()).listen(), "published");
    tell(orders.on("placed")?, "emitted");
    app.start_jobs();
    say("open", first);
    let next = Arc::new(AtomicU64::new(first));
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let (orders, next) = (orders.clone(), next.clone());
            tokio::spawn(async move {
                loop {
                    // So that the jobs keep up, of which no more than a thousand are shown.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    match orders.place(Place { number, fail: number % 4 == 3 }).await {
                        Ok(()) => say("placed", number),
                        Err(error) if error.code().as_str() == "REFUSED" => say("refused", number),
                        Err(error) => return error,
                    }
                }
            })
        })
        .collect();
    // None ends but by an error, which is the end of all.
    let mut failed = Ok(());
    for writer in writers {
        failed = Err(writer.await?);
    }
    failed
}
