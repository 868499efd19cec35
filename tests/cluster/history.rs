//! What clients did and saw, and a check of it: no read returns a value that was overwritten or deleted before the read
//! began. That a key is missing is never wrong: this is a cache.

use std::collections::HashMap;

/// When, in nanoseconds since some moment.
pub type Time = u64;

/// One request of a client.
#[derive(Clone, Debug)]
pub struct Event {
    pub key: usize,
    pub what: What,
    /// When it was sent.
    pub invoked: Time,
    /// When it was answered; for a write none if it was not, or by an error: it may have happened then or may do so at
    /// any time later.
    pub returned: Option<Time>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum What {
    /// A write of a value that no other one writes.
    Set(u64),
    Delete,
    /// A read that was answered with this value.
    Read(u64),
}

/// A write, or a removal, and since when it is known to have happened.
struct Change {
    invoked: Time,
    happened: Time,
}

/// All reads that are wrong, each with a word on why.
pub fn check(events: &[Event]) -> Vec<String> {
    let mut by_key: HashMap<usize, Vec<&Event>> = HashMap::new();
    for event in events {
        by_key.entry(event.key).or_default().push(event);
    }
    by_key.values().flat_map(|events| check_key(events)).collect()
}

fn check_key(events: &[&Event]) -> Vec<String> {
    // Who saw a value knows that its write has happened, though it may never have been answered.
    let mut seen: HashMap<u64, Time> = HashMap::new();
    for event in events {
        if let (What::Read(value), Some(returned)) = (event.what, event.returned) {
            let first = seen.entry(value).or_insert(returned);
            *first = returned.min(*first);
        }
    }
    let (mut changes, mut writes) = (Vec::new(), HashMap::new());
    for event in events {
        let answered = event.returned.unwrap_or(Time::MAX);
        let happened = match event.what {
            What::Set(value) => answered.min(seen.get(&value).copied().unwrap_or(Time::MAX)),
            What::Delete => answered,
            What::Read(_) => continue,
        };
        changes.push(Change { invoked: event.invoked, happened });
        if let What::Set(value) = event.what {
            writes.insert(value, (event.invoked, happened));
        }
    }
    changes.sort_by_key(|change| change.invoked);
    // Of each change and all that were sent later: when the first of them had happened.
    let mut firsts = vec![Time::MAX; changes.len() + 1];
    for (number, change) in changes.iter().enumerate().rev() {
        firsts[number] = firsts[number + 1].min(change.happened);
    }
    let mut wrong = Vec::new();
    for event in events {
        let What::Read(value) = event.what else { continue };
        let returned = event.returned.unwrap_or(Time::MAX);
        match writes.get(&value) {
            Some(&(invoked, _)) if invoked > returned => {
                wrong.push(format!("read before it was written: {event:?}"));
            }
            Some(&(_, happened)) => {
                let later = changes.partition_point(|change| change.invoked <= happened);
                if firsts[later] < event.invoked {
                    let since = (event.invoked - firsts[later]) / 1000;
                    wrong.push(format!(
                        "stale: {event:?}; that write had happened at {happened}, one that was sent later had \
                         {since} us before the read began"
                    ));
                }
            }
            None => wrong.push(format!("nobody wrote it: {event:?}")),
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(what: What, invoked: Time, returned: impl Into<Option<Time>>) -> Event {
        Event { key: 0, what, invoked, returned: returned.into() }
    }

    #[track_caller]
    fn assert_right(events: &[Event]) {
        assert_eq!(check(events), [""; 0]);
    }

    #[track_caller]
    fn assert_wrong(events: &[Event], why: &str) {
        let wrong = check(events);
        assert!(wrong.len() == 1 && wrong[0].starts_with(why), "{wrong:?}");
    }

    #[test]
    fn what_may_be_read() {
        use What::{Delete, Read, Set};
        assert_right(&[event(Set(1), 0, 1), event(Read(1), 2, 3)]);
        // While it is being written, and while it is being overwritten.
        assert_right(&[event(Set(1), 0, 9), event(Read(1), 1, 2)]);
        assert_right(&[event(Set(1), 0, 1), event(Set(2), 2, 9), event(Read(1), 3, 4)]);
        // The read began before the other write had happened.
        assert_right(&[event(Set(1), 0, 1), event(Set(2), 2, 4), event(Read(1), 3, 9)]);
        // Of two at the same time either may be the last.
        assert_right(&[event(Set(1), 0, 5), event(Set(2), 1, 4), event(Read(1), 6, 7)]);
        // One that was not answered may happen late, or never.
        assert_right(&[event(Set(1), 0, None), event(Set(2), 1, 2), event(Read(1), 6, 7)]);
        assert_right(&[event(Set(1), 0, 1), event(Set(2), 2, None), event(Read(1), 6, 7)]);
        assert_right(&[event(Set(1), 0, 1), event(Delete, 2, None), event(Read(1), 6, 7)]);
        // Another key.
        let other = Event { key: 1, ..event(Set(2), 2, 3) };
        assert_right(&[event(Set(1), 0, 1), other, event(Read(1), 6, 7)]);
    }

    #[test]
    fn what_may_not() {
        use What::{Delete, Read, Set};
        assert_wrong(&[event(Read(1), 2, 3)], "nobody wrote it");
        assert_wrong(&[event(Read(1), 2, 3), event(Set(1), 4, 5)], "read before");
        let first = event(Set(1), 0, 1);
        assert_wrong(&[first.clone(), event(Set(2), 2, 3), event(Read(1), 4, 5)], "stale");
        assert_wrong(&[first.clone(), event(Delete, 2, 3), event(Read(1), 4, 5)], "stale");
        // A write that was not answered, but whose value somebody saw.
        let seen = [first, event(Set(2), 2, None), event(Read(2), 3, 4)];
        assert_wrong(&[&seen[..], &[event(Read(1), 5, 6)]].concat(), "stale");
        let seen = [event(Set(1), 0, None), event(Read(1), 1, 2), event(Set(2), 3, 4)];
        assert_wrong(&[&seen[..], &[event(Read(1), 5, 6)]].concat(), "stale");
    }
}
