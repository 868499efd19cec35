//! The fence of each worker of a node, which a batch of requests holds while it is executed.

use super::clock::now_ms;
use super::fence::{Fence, Refusal};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A fence for each worker: always the same one, but for the moment in which another is published.
///
/// A worker locks its own for the time of a batch; nobody else ever wants it, but who publishes. So when that is done
/// no request is under way that began under an older one.
pub struct Fences {
    seats: Box<[Mutex<Arc<Fence>>]>,
    /// The one that was published last: whoever asks may itself sit in a seat.
    current: Mutex<Arc<Fence>>,
}

impl Fences {
    /// For so many workers, with a fence that lets nothing through.
    pub fn new(workers: usize) -> Self {
        let none = Arc::new(Fence::none());
        let seats = (0..workers).map(|_| Mutex::new(none.clone())).collect();
        Fences { seats, current: Mutex::new(none) }
    }

    /// Begins a batch of a worker, whose requests have all been read. Nothing may be awaited before its end.
    pub fn enter(&self, worker: usize) -> Entered<'_> {
        Entered { fence: lock(&self.seats[worker]), now_ms: now_ms() }
    }

    /// Has all workers go by another fence. When this returns, no request is under way that began under an older one.
    pub fn publish(&self, fence: &Arc<Fence>) {
        for seat in &self.seats {
            *lock(seat) = fence.clone();
        }
        *lock(&self.current) = fence.clone();
    }

    /// The one that was published last.
    pub fn current(&self) -> Arc<Fence> {
        lock(&self.current).clone()
    }
}

/// What a batch of requests goes by.
pub struct Entered<'a> {
    fence: MutexGuard<'a, Arc<Fence>>,
    now_ms: u64,
}

impl Entered<'_> {
    /// Whether a request for a slot may be executed.
    ///
    /// # Errors
    /// Says why not.
    pub fn check(&self, slot: u16) -> Result<(), Refusal> {
        self.fence.check(slot, self.now_ms)
    }

    /// Whether what the batch executed may be replied: asked once, at its end.
    pub fn holds(&self) -> bool {
        self.fence.holds(now_ms())
    }
}

fn lock(seat: &Mutex<Arc<Fence>>) -> MutexGuard<'_, Arc<Fence>> {
    seat.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::rules::Rules;
    use super::*;

    #[test]
    fn who_publishes_waits_for_batches_under_way() {
        let fences = Fences::new(2);
        assert_eq!(fences.enter(0).check(5), Err(Refusal::NoLease));
        let fence = Arc::new(Fence::new(3, std::iter::once(0..10), Rules::ALL));
        fence.extend(u64::MAX);
        let batch = fences.enter(1);
        std::thread::scope(|scope| {
            let publishing = scope.spawn(|| fences.publish(&fence));
            std::thread::sleep(std::time::Duration::from_millis(30));
            assert!(!publishing.is_finished());
            assert_eq!(batch.check(5), Err(Refusal::NoLease), "it began under the old one");
            drop(batch);
        });
        let batch = fences.enter(1);
        assert_eq!((batch.check(5), batch.check(10)), (Ok(()), Err(Refusal::NotMine(3))));
        assert!(batch.holds() && fences.current().epoch() == 3);
    }
}
