//! What clients asked and were told, and whether that is possible without a stale read.

/// What an operation does to its key. The value that a write leaves is the operation's own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
    Delete,
}

/// How it ended for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With the value that a read found.
    Done(Option<usize>),
    /// An error that says that nothing was executed.
    Failed,
    /// Any other error, or none came: it may have had its effect, or may still have it.
    Unknown,
}

/// An operation of a client on one key. Times are those of the world, in microseconds.
#[derive(Clone, Debug)]
pub(super) struct Op {
    pub(super) key: usize,
    pub(super) kind: Kind,
    pub(super) begin: u64,
    pub(super) end: u64,
    pub(super) outcome: Outcome,
    /// When a node executed it, or it was lost: it has no effect later than that. The simulator knows, a client does
    /// not.
    pub(super) over: u64,
    /// Since which epoch the node that executed it had the slot, if it replied so.
    pub(super) turn: Option<u64>,
    /// The host of the coordinator that it went by.
    pub(super) coordinator: usize,
}

impl Op {
    pub(super) fn new(key: usize, kind: Kind, begin: u64, coordinator: usize) -> Self {
        let (end, outcome, over) = (u64::MAX, Outcome::Unknown, u64::MAX);
        Op { key, kind, begin, end, outcome, over, turn: None, coordinator }
    }

    fn is_done(&self) -> bool {
        matches!(self.outcome, Outcome::Done(_))
    }
}

/// A read that found what it must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stale {
    pub(super) read: usize,
    pub(super) value: usize,
    /// The operation that had replaced the value before the read began; the value itself if it was never written.
    pub(super) replaced_by: usize,
}

/// The reads that found a value that was overwritten or deleted before they began.
///
/// A write has its effect once, between its begin and the least of: its success, the end of a read that found its
/// value, and the time from which it surely had none. That it had one is sure by the first two. So a value is stale if
/// a write or deletion that began after the last moment of the value's effect had its own, surely, before the read
/// began. To find nothing is always right: it is a cache.
pub(super) fn stale_reads(ops: &[Op], keys: usize) -> Vec<Stale> {
    let mut stale = Vec::new();
    for key in 0..keys {
        let of_key: Vec<usize> = (0..ops.len()).filter(|&at| ops[at].key == key).collect();
        let found = |at: usize| match ops[at].outcome {
            Outcome::Done(found) if ops[at].kind == Kind::Read => found,
            _ => None,
        };
        // By when each surely had its effect.
        let mut surely: Vec<u64> =
            ops.iter().map(|op| if op.is_done() { op.end } else { u64::MAX }).collect();
        for &read in &of_key {
            if let Some(value) = found(read) {
                surely[value] = surely[value].min(ops[read].end);
            }
        }
        let changes: Vec<usize> =
            of_key.iter().copied().filter(|&at| ops[at].kind != Kind::Read).collect();
        for &read in &of_key {
            let Some(value) = found(read) else { continue };
            let last = surely[value].min(ops[value].over);
            let replaces =
                |&other: &usize| ops[other].begin > last && surely[other] < ops[read].begin;
            let was_never =
                ops[value].outcome == Outcome::Failed || ops[value].begin > ops[read].end;
            let replaced_by = changes.iter().copied().find(replaces).or(was_never.then_some(value));
            stale.extend(replaced_by.map(|replaced_by| Stale { read, value, replaced_by }));
        }
    }
    stale
}

/// The operations that a node executed, and said so, after the next owner of the slot executed another one.
///
/// While moved slots begin empty this makes nobody read a stale value: but what was written is lost, and would be
/// missing from a copy.
pub(super) fn out_of_turn(ops: &[Op], keys: usize) -> Vec<usize> {
    let mut wrong = Vec::new();
    for key in 0..keys {
        let taken = ops.iter().enumerate().filter(|(_, op)| op.key == key);
        let mut turns: Vec<_> =
            taken.filter_map(|(at, op)| Some((op.over, op.turn?, at))).collect();
        turns.sort_unstable();
        let mut newest = 0;
        for (_, turn, at) in turns {
            if turn < newest {
                wrong.push(at);
            }
            newest = newest.max(turn);
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(kind: Kind, begin: u64, end: u64, outcome: Outcome) -> Op {
        Op { end, outcome, ..Op::new(0, kind, begin, 0) }
    }

    fn read(begin: u64, found: usize) -> Op {
        op(Kind::Read, begin, begin + 1, Outcome::Done(Some(found)))
    }

    fn write(begin: u64, end: u64) -> Op {
        op(Kind::Write, begin, end, Outcome::Done(None))
    }

    fn stale_at(ops: &[Op]) -> Vec<usize> {
        stale_reads(ops, 1).into_iter().map(|stale| stale.read).collect()
    }

    #[test]
    fn finds_what_was_overwritten_or_deleted_before() {
        assert!(stale_at(&[write(1, 2), write(3, 4), read(5, 1)]).is_empty());
        assert_eq!(stale_at(&[write(1, 2), write(3, 4), read(5, 0)]), [2]);
        let delete = op(Kind::Delete, 3, 4, Outcome::Done(None));
        assert_eq!(stale_at(&[write(1, 2), delete, read(5, 0)]), [2]);
        // Of two that overlap either may be last, and a read that overlaps may find either.
        assert!(stale_at(&[write(1, 4), write(3, 4), read(5, 0)]).is_empty());
        assert!(stale_at(&[write(1, 2), write(3, 7), read(5, 0)]).is_empty());
        // But not one value after the other and back.
        assert_eq!(stale_at(&[write(1, 2), write(3, 17), read(5, 1), read(9, 0)]), [3]);
        // Another key's.
        let other = Op { key: 1, ..write(3, 4) };
        assert!(stale_at(&[write(1, 2), other, read(5, 0)]).is_empty());
    }

    #[test]
    fn an_unknown_outcome_may_come_late_but_not_twice() {
        let unknown = op(Kind::Write, 1, 2, Outcome::Unknown);
        assert!(stale_at(&[unknown.clone(), write(3, 4), read(9, 0)]).is_empty());
        assert_eq!(stale_at(&[unknown.clone(), read(2, 0), write(4, 5), read(9, 0)]), [3]);
        let lost = Op { over: 2, ..unknown.clone() };
        assert_eq!(stale_at(&[lost, write(3, 4), read(9, 0)]), [2]);
        // Whether it replaced anything is not known, until it is seen.
        assert!(
            stale_at(&[write(1, 2), Op { begin: 3, ..unknown.clone() }, read(9, 0)]).is_empty()
        );
        assert_eq!(
            stale_at(&[write(1, 2), Op { begin: 3, ..unknown }, read(9, 1), read(12, 0)]),
            [3]
        );
    }

    #[test]
    fn sees_who_was_not_up() {
        let turn = |over, turn| Op { over, turn: Some(turn), ..write(1, 9) };
        assert!(out_of_turn(&[turn(3, 1), turn(4, 2), turn(2, 1), write(1, 2)], 1).is_empty());
        assert_eq!(out_of_turn(&[turn(3, 1), turn(4, 2), turn(5, 1)], 1), [2]);
    }

    #[test]
    fn a_failed_write_is_never_seen() {
        assert_eq!(stale_at(&[op(Kind::Write, 1, 2, Outcome::Failed), read(9, 0)]), [1]);
        assert_eq!(stale_at(&[read(1, 1), write(5, 6)]), [0]);
    }
}
