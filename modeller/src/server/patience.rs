//! A connection that does not wait for ever for a client to read: without a bound, one that asks for a long list and never
//! takes it holds the answer in memory for as long as it likes.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::limits::READ_RATE;

/// What a future answers, unless it takes longer. The clock is set when it has to wait for the second time: most bodies are there
/// the moment after they are asked for, and to set a clock and take it back costs more than to look again.
pub(super) async fn in_time<F: Future>(most: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut asked = false;
    let soon = poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if asked => Poll::Ready(None),
        Poll::Pending => {
            asked = true;
            context.waker().wake_by_ref();
            Poll::Pending
        }
    });
    match soon.await {
        Some(output) => Some(output),
        None => tokio::time::timeout(most, future).await.ok(),
    }
}

thread_local! {
    /// When the last request was answered, for what begins with it in the same breath.
    static ANSWERED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// What time it is as a request is answered.
pub(super) fn answered_at() -> Instant {
    let now = Instant::now();
    ANSWERED.set(Some(now));
    now
}

/// Forgets when a request was answered: another time comes.
pub(super) fn time_goes_on() {
    ANSWERED.set(None);
}

/// The clock of one connection, of which hyper asks for one thing at a time: that the next head arrives in time. It is set once for
/// many requests, and looked at again when it rings.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    timer: Option<Pin<Box<Sleep>>>,
    /// Whom it wakes when it rings.
    told: Option<Waker>,
}

impl hyper::rt::Timer for Clock {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Until { clock: self.clone(), deadline: deadline.into() })
    }

    /// The head that is waited for next is waited for from when the request before it was answered, in the same poll of the
    /// connection: that time is known, and clocks are dear.
    fn now(&self) -> std::time::Instant {
        ANSWERED.take().unwrap_or_else(Instant::now).into()
    }
}

/// Resolves at its time.
struct Until {
    clock: Clock,
    deadline: Instant,
}

impl hyper::rt::Sleep for Until {}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut kept = self.clock.0.lock();
        let Kept { timer, told } = &mut *kept;
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(self.deadline)));
        let is_told = told.as_ref().is_some_and(|told| told.will_wake(context.waker()));
        // One that rings too early is set again when it does.
        if timer.deadline() > self.deadline {
            timer.as_mut().reset(self.deadline);
        } else if is_told && !timer.is_elapsed() {
            return Poll::Pending;
        }
        while timer.as_mut().poll(context).is_ready() {
            if timer.deadline() >= self.deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(self.deadline);
        }
        *told = Some(context.waker().clone());
        Poll::Pending
    }
}

/// A connection whose writes fail when the client makes them wait for so long altogether. What it takes makes up for waiting, at a
/// rate that any client has: else one that takes a byte now and then would be waited for all day.
pub(super) struct Patient<T> {
    io: T,
    most: Duration,
    /// Made by the first write that has to wait, and kept for the next.
    timer: Option<Pin<Box<Sleep>>>,
    /// Since when a write waits.
    since: Option<Instant>,
    /// How long writes have waited that nothing has made up for.
    waited: Duration,
}

impl<T> Patient<T> {
    pub(super) fn new(io: T, most: Duration) -> Self {
        Self { io, most, timer: None, since: None, waited: Duration::ZERO }
    }

    fn watch<R>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if outcome.is_ready() {
            if let Some(since) = self.since.take() {
                self.waited += since.elapsed();
            }
            return outcome;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(self.most)));
        if self.since.is_none() {
            let now = Instant::now();
            self.since = Some(now);
            timer.as_mut().reset(now + self.most.saturating_sub(self.waited));
        }
        timer.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// The same for a write of so many bytes.
    fn written(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let outcome = self.watch(context, outcome);
        if let Poll::Ready(Ok(bytes)) = &outcome
            && !self.waited.is_zero()
        {
            let taken = Duration::from_secs(*bytes as u64) / READ_RATE;
            self.waited = self.waited.saturating_sub(taken);
        }
        outcome
    }
}

impl<T: Read + Unpin> Read for Patient<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<T: Write + Unpin> Write for Patient<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(context, bytes);
        self.written(context, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_flush(context);
        self.watch(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_shutdown(context);
        self.watch(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write_vectored(context, slices);
        self.written(context, outcome)
    }
}

#[cfg(test)]
mod tests {
    use hyper::rt::Timer as _;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn one_clock_rings_for_each_at_its_time() {
        let clock = Clock::default();
        let begun = Instant::now();
        // Set for later, for earlier, and for later again than what is set.
        for millis in [300, 40, 20, 120, 60] {
            let until = Instant::now() + Duration::from_millis(millis);
            let mut waited = clock.sleep_until(until.into());
            assert!(Pin::new(&mut waited).poll(&mut Context::from_waker(Waker::noop())).is_pending());
            if millis == 300 {
                // The next head has come.
                continue;
            }
            // By another task than it was asked by first.
            tokio::time::timeout(LONG, waited).await.unwrap();
            assert!(Instant::now() >= until, "{millis}");
        }
        // Once it has rung for what nobody waits for any more.
        sleep_until(begun + Duration::from_millis(350)).await;
        let until = Instant::now() + Duration::from_millis(20);
        tokio::time::timeout(LONG, clock.sleep_until(until.into())).await.unwrap();
        assert!(Instant::now() >= until);
    }

    #[test]
    fn the_time_of_an_answer_counts_once() {
        let clock = Clock::default();
        let answered = answered_at();
        assert_eq!(clock.now(), answered.into_std());
        assert!(clock.now() > answered.into_std());
        let answered = answered_at();
        time_goes_on();
        assert!(clock.now() > answered.into_std());
    }
}
