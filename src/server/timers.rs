//! The timers of all workers of the process, which a thread of their own keeps.
//!
//! A runtime that keeps timers itself reads the clock twice more each time it asks the system for events. Without
//! pipelining that is for nearly each request, and 460 instructions of 4,370. Workers need few timers, and none on the path of a
//! request.

use std::future::{Future, pending};
use std::io;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::time::{Interval, Sleep, Timeout};

static TIMERS: LazyLock<io::Result<Handle>> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let handle = runtime.handle().clone();
    let keep = move || runtime.block_on(pending::<()>());
    std::thread::Builder::new().name("timers".to_owned()).spawn(keep)?;
    Ok(handle)
});

/// Makes sure that there are timers.
///
/// # Errors
/// Their thread cannot be had.
pub(super) fn start() -> io::Result<()> {
    match &*TIMERS {
        Ok(_) => Ok(()),
        Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
    }
}

/// As tokio's; the same of the others.
pub(crate) fn sleep(duration: Duration) -> Sleep {
    make(|| tokio::time::sleep(duration))
}

pub(crate) fn timeout<F: Future>(duration: Duration, future: F) -> Timeout<F> {
    make(|| tokio::time::timeout(duration, future))
}

pub(super) fn interval(period: Duration) -> Interval {
    make(|| tokio::time::interval(period))
}

/// A timer belongs to the runtime in which it was made.
fn make<T>(timer: impl FnOnce() -> T) -> T {
    #[allow(clippy::expect_used, reason = "no server has started without it")]
    let _entered = TIMERS.as_ref().expect("the timers have a thread").enter();
    timer()
}
