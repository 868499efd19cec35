//! Finds the row of a command by its name, in any case.

use super::{COMMANDS, Command, flag};
use crate::resp::{Args, Error};
use smallvec::SmallVec;
use std::sync::LazyLock;

/// A row, with what is worked out from its place in the table.
pub struct Numbered {
    /// Numbers commands and subcommands from 0, for statistics.
    pub id: u16,
    /// The row.
    pub row: &'static Command,
    /// `config|get` for a subcommand.
    pub full_name: &'static str,
}

/// The row of a request.
pub type Found = &'static Numbered;

struct Index {
    rows: Vec<Numbered>,
    /// Open addressing by a hash of the lower-case name: places in `rows` of top-level commands.
    slots: Vec<u16>,
}

const EMPTY: u16 = u16::MAX;
const SLOTS: usize = 1024;

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut index = Index { rows: Vec::new(), slots: vec![EMPTY; SLOTS] };
    for row in COMMANDS {
        let id = index.rows.len() as u16;
        index.rows.push(Numbered { id, row, full_name: row.name });
        let mut slot = hash(row.name.as_bytes());
        while index.slots[slot % SLOTS] != EMPTY {
            slot += 1;
        }
        index.slots[slot % SLOTS] = id;
        for (subrow, id) in row.subcommands.iter().zip(id + 1..) {
            // Once for the process: the table is static.
            let full_name = format!("{}|{}", row.name, subrow.name).leak();
            index.rows.push(Numbered { id, row: subrow, full_name });
        }
    }
    index
});

/// Every command and subcommand, by id.
pub fn all() -> &'static [Numbered] {
    &INDEX.rows
}

/// The command that was asked for last, and how it was spelt: the next request is often of the same.
#[derive(Default)]
pub struct Likely {
    found: Option<Found>,
    name: SmallVec<[u8; 16]>,
}

impl Likely {
    #[inline]
    fn find(&mut self, name: &[u8]) -> Option<Found> {
        if *self.name == *name && self.found.is_some() {
            return self.found;
        }
        self.found = find(name);
        if self.found.is_some() {
            self.name = SmallVec::from_slice(name);
        }
        self.found
    }

    /// As [`lookup`]; quick if the request names the command that is likely, which what it names becomes.
    ///
    /// # Errors
    /// As [`lookup`].
    pub fn lookup(&mut self, args: Args<'_>) -> Result<Found, Error> {
        let found = self.find(args.at(0)).ok_or_else(|| unknown_command(args))?;
        if found.row.subcommands.is_empty() || args.len() == 1 {
            return if found.row.accepts(args.len()) {
                Ok(found)
            } else {
                Err(Error::arity(found.full_name))
            };
        }
        let name = args.at(1);
        let sub = found.row.subcommands.iter().zip(found.id + 1..);
        match sub.into_iter().find(|(row, _)| row.name.as_bytes().eq_ignore_ascii_case(name)) {
            Some((row, id)) if row.accepts(args.len()) => Ok(&INDEX.rows[id as usize]),
            Some((_, id)) if !found.row.has(flag::LOOSE) => {
                Err(Error::arity(INDEX.rows[id as usize].full_name))
            }
            _ => Err(unknown_subcommand(found.row, name)),
        }
    }
}

/// The command, and the subcommand if it is a container, that a request names.
///
/// # Errors
/// Redis's text for an unknown command or subcommand, or for a wrong number of arguments.
pub fn lookup(args: Args<'_>) -> Result<Found, Error> {
    Likely::default().lookup(args)
}

/// A top-level command by its name, in any case.
pub(crate) fn find(name: &[u8]) -> Option<Found> {
    let mut slot = hash(name);
    loop {
        match INDEX.slots[slot % SLOTS] {
            EMPTY => return None,
            id => {
                let found = &INDEX.rows[id as usize];
                if found.row.name.as_bytes().eq_ignore_ascii_case(name) {
                    return Some(found);
                }
            }
        }
        slot += 1;
    }
}

/// A command or a subcommand by its full name, `config|get`.
pub(crate) fn find_full(name: &[u8]) -> Option<Found> {
    let mut all = INDEX.rows.iter();
    all.find(|found| found.full_name.as_bytes().eq_ignore_ascii_case(name))
}

/// FNV-1a over the lower-case name; the names are ours, so nobody can make them collide.
fn hash(name: &[u8]) -> usize {
    let hash = name.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash ^ (hash >> 32)) as usize % SLOTS
}

fn unknown_command(args: Args<'_>) -> Error {
    let mut listed = Vec::new();
    for arg in args.from(1) {
        if listed.len() >= 128 {
            break;
        }
        let room = 128 - listed.len();
        listed.push(b'\'');
        listed.extend_from_slice(shown(arg, room));
        listed.extend_from_slice(b"' ");
    }
    let (name, with) = (shown(args.at(0), 128), b"', with args beginning with: ");
    Error::from_parts(&[b"ERR unknown command '", name, with, &listed])
}

fn unknown_subcommand(container: &Command, name: &[u8]) -> Error {
    let upper = container.name.to_uppercase();
    let what: &[u8] = if container.has(flag::LOOSE) {
        b"ERR unknown subcommand or wrong number of arguments for '"
    } else {
        b"ERR unknown subcommand '"
    };
    Error::from_parts(&[what, shown(name, 128), b"'. Try ", upper.as_bytes(), b" HELP."])
}

/// As much of an argument as an error shows: to Redis it is a C string, which ends at a NUL.
fn shown(arg: &[u8], most: usize) -> &[u8] {
    let arg = &arg[..arg.len().min(most)];
    &arg[..arg.iter().position(|&b| b == 0).unwrap_or(arg.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::ArgsBuf;

    /// What is likely makes no difference, whatever it is.
    #[test]
    fn a_likely_row_changes_nothing() {
        let requests: [&[&[u8]]; 8] = [
            &[b"get", b"k"],
            &[b"GET", b"k"],
            &[b"GET"],
            &[b"config", b"get", b"x"],
            &[b"config|get", b"get", b"x"],
            &[b"getx", b"k"],
            &[b"", b"k"],
            &[b"config"],
        ];
        let look = |request: &[&[u8]], likely: &mut Likely| {
            likely.lookup(ArgsBuf::build(request).args()).map(|found| found.id)
        };
        for request in requests {
            let alone = look(request, &mut Likely::default());
            for before in requests {
                let mut likely = Likely::default();
                for _ in 0..2 {
                    assert_eq!(look(before, &mut likely), look(before, &mut Likely::default()));
                }
                for _ in 0..2 {
                    assert_eq!(look(request, &mut likely), alone, "{request:?} after {before:?}");
                }
            }
        }
    }
}
