//! Who the tables are decided by, and the simplest one: a single process with a file.

use super::super::table::{Epoch, Table};

/// Decides on tables: at most one for an epoch, each made out of the one before, and none is ever forgotten.
///
/// A group of processes that agree on a log can take the place of the file. Only the process that the group goes by
/// then has an [`super::Authority`] over it.
pub trait TableAuthority {
    /// The table in force.
    fn table(&self) -> &Table;

    /// The epoch of the next table. No table that was ever proposed elsewhere has it.
    fn next_epoch(&self) -> Epoch;

    /// Whether a table that somebody has can be one that was decided here.
    fn knows(&self, epoch: Epoch) -> bool;

    /// Asks for a table to be next, after the one of `expected`. What becomes of it is seen by [`Self::watch`].
    ///
    /// # Errors
    /// Another table is in force, or something is being decided already.
    fn propose(&mut self, expected: Epoch, next: Table) -> Result<(), Conflict>;

    /// Begins to make sure that nobody else can have decided on a table up to now, and gives that a number: it is made
    /// sure when [`Self::watch`] says so.
    fn confirm_leadership(&mut self) -> u64;

    /// What happened, one at a time.
    fn watch(&mut self) -> Option<Decision>;
}

/// A table was proposed after another than the one in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict;

/// What happened at a [`TableAuthority`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The table proposed is in force now, and will be after a restart.
    Decided,
    /// It is not.
    Dropped,
    /// Leadership was confirmed, by this number.
    Confirmed(u64),
}

/// How far the first epoch after a start may be from the last one on file.
const JUMP: u64 = 1 << 20;

/// Tables in one file, which only one process has. It does no I/O: the driver writes what
/// [`FileAuthority::take_unwritten`] gives (to a temporary file, with fsync, renamed, and the directory synced) and
/// says when it is done.
///
/// Should the file be put back to an older state, its tables get epochs that were given before. So after each start
/// epochs jump by a random distance: then whoever has a table from before the accident is known by its epoch, whether
/// that is greater or less than ours.
pub struct FileAuthority {
    table: Table,
    /// The last epoch on file at the start, and the first one to be given.
    on_file: Epoch,
    first: Epoch,
    writing: Option<Table>,
    is_handed_out: bool,
    done: Option<Decision>,
    confirmations: u64,
    confirmed: u64,
}

impl FileAuthority {
    /// Goes on from the table on file, the empty one if there is none. The seed must be another one for each start.
    pub fn new(table: Table, seed: u64) -> Self {
        let on_file = table.epoch;
        FileAuthority {
            table,
            on_file,
            first: on_file + 1 + seed % JUMP,
            writing: None,
            is_handed_out: false,
            done: None,
            confirmations: 0,
            confirmed: 0,
        }
    }

    /// A table to be written, once.
    pub fn take_unwritten(&mut self) -> Option<&Table> {
        if std::mem::replace(&mut self.is_handed_out, true) { None } else { self.writing.as_ref() }
    }

    /// What became of the writing. On failure the file may have either table; the new one was not in force.
    pub fn written(&mut self, is_durable: bool) {
        if let Some(table) = self.writing.take() {
            self.done = Some(if is_durable { Decision::Decided } else { Decision::Dropped });
            if is_durable {
                self.table = table;
            }
        }
    }
}

impl TableAuthority for FileAuthority {
    fn table(&self) -> &Table {
        &self.table
    }

    fn next_epoch(&self) -> Epoch {
        self.first.max(self.table.epoch + 1)
    }

    fn knows(&self, epoch: Epoch) -> bool {
        epoch <= self.on_file || (self.first..=self.table.epoch).contains(&epoch)
    }

    fn propose(&mut self, expected: Epoch, next: Table) -> Result<(), Conflict> {
        if expected != self.table.epoch || next.epoch != self.next_epoch() || self.writing.is_some()
        {
            return Err(Conflict);
        }
        self.writing = Some(next);
        self.is_handed_out = false;
        Ok(())
    }

    fn confirm_leadership(&mut self) -> u64 {
        // Nobody else has the file.
        self.confirmations += 1;
        self.confirmations
    }

    fn watch(&mut self) -> Option<Decision> {
        if let Some(done) = self.done.take() {
            return Some(done);
        }
        (self.confirmed < self.confirmations).then(|| {
            self.confirmed = self.confirmations;
            Decision::Confirmed(self.confirmed)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(authority: &FileAuthority) -> Table {
        Table { epoch: authority.next_epoch(), ..authority.table().clone() }
    }

    #[test]
    fn a_table_is_in_force_once_it_is_on_disk() {
        let mut authority = FileAuthority::new(Table { epoch: 7, ..Table::default() }, 4);
        assert!(authority.take_unwritten().is_none());
        let next = after(&authority);
        assert_eq!(next.epoch, 12, "it jumped by 4 more than 1");
        assert_eq!(authority.propose(6, next.clone()), Err(Conflict));
        assert_eq!(authority.propose(7, Table { epoch: 8, ..next.clone() }), Err(Conflict));
        assert_eq!(authority.propose(7, next.clone()), Ok(()));
        assert_eq!(authority.propose(7, next.clone()), Err(Conflict));
        assert_eq!(authority.take_unwritten(), Some(&next));
        assert_eq!(authority.take_unwritten(), None);
        assert_eq!(
            (authority.table().epoch, authority.watch(), authority.knows(12)),
            (7, None, false)
        );
        authority.written(false);
        assert_eq!((authority.watch(), authority.table().epoch), (Some(Decision::Dropped), 7));
        authority.propose(7, next.clone()).unwrap();
        assert_eq!(authority.take_unwritten(), Some(&next));
        authority.written(true);
        assert_eq!((authority.watch(), authority.table().epoch), (Some(Decision::Decided), 12));
        assert_eq!(after(&authority).epoch, 13);
        // What lies in the gap is from a file that is gone.
        assert_eq!(
            [7, 8, 11, 12, 13].map(|epoch| authority.knows(epoch)),
            [true, false, false, true, false]
        );
    }

    #[test]
    fn confirms_at_once() {
        let mut authority = FileAuthority::new(Table::default(), 0);
        assert_eq!(authority.watch(), None);
        let number = authority.confirm_leadership();
        assert_eq!(
            (authority.watch(), authority.watch()),
            (Some(Decision::Confirmed(number)), None)
        );
    }
}
