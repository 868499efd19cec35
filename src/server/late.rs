//! Replies to requests that came together leave together, in one write: those that are there wait for the rest of their
//! batch. But only for a few milliseconds, since a node may be slow, or not answer at all. What comes before its turn lies
//! in buffers that a worker's connections share.

use super::Client;
use super::timers::sleep;
use crate::resp::Output;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Buffers that are kept for replies that come early, and bytes of each at most.
const SPARE_MAX: usize = 1024;
const SPARE_BYTES_MAX: usize = 4096;
/// Replies wait for others for between one and two of these, which the runtime rounds up.
const ROUND: Duration = Duration::from_millis(1);

/// The clients of a worker that are kept waiting for the rest of a batch, and buffers for replies that come early.
#[derive(Default)]
pub(super) struct Late {
    /// Since this round, and since the one before.
    lists: RefCell<[Vec<Waiting>; 2]>,
    some: Notify,
    /// Empty, for replies that come early.
    spare: RefCell<Vec<Output>>,
}

/// A client, and the batch it waits for, as long as the cell says that it still does.
struct Waiting {
    client: Arc<Client>,
    batch: u64,
    current: Rc<Cell<u64>>,
}

impl Late {
    /// Keeps a client waiting for the batch that `current` names.
    pub(super) fn add(&self, client: &Arc<Client>, current: &Rc<Cell<u64>>) {
        let waiting =
            Waiting { client: client.clone(), batch: current.get(), current: current.clone() };
        let [newer, older] = &mut *self.lists.borrow_mut();
        if newer.is_empty() && older.is_empty() {
            self.some.notify_one();
        }
        newer.push(waiting);
    }

    /// A buffer for a reply that comes early.
    pub(super) fn take_spare(&self) -> Output {
        self.spare.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes back an empty one.
    pub(super) fn give_spare(&self, output: Output) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_MAX && output.capacity() <= SPARE_BYTES_MAX {
            spare.push(output);
        }
    }

    /// Wakes those who have waited long enough.
    pub(super) async fn tend(self: Rc<Self>) {
        loop {
            self.some.notified().await;
            loop {
                sleep(ROUND).await;
                let [newer, older] = &mut *self.lists.borrow_mut();
                for waiting in older.drain(..) {
                    if waiting.current.get() == waiting.batch {
                        waiting.current.set(0);
                        waiting.client.wake();
                    }
                }
                std::mem::swap(newer, older);
                if older.is_empty() {
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Clients;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::task::Wake;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn nobody_waits_for_long() {
        let late = Rc::<Late>::default();
        for (complete, expected) in [(true, 0), (false, 1)] {
            let client = Clients::default().register(String::new(), String::new(), 0);
            let (wakes, batch) = (Arc::<Wakes>::default(), Rc::new(Cell::new(1)));
            client.set_waker(&wakes.clone().into());
            late.add(&client, &batch);
            if complete {
                batch.set(0);
            }
            let tend = late.clone().tend();
            assert!(tokio::time::timeout(50 * ROUND, tend).await.is_err());
            assert_eq!((wakes.0.load(Relaxed), batch.get()), (expected, 0));
        }
    }
}
