//! What a member keeps on disk, in `--data-dir`: who it is, which of its lives this is, coordinators that it knows, and,
//! of the authority, the slot table.

use crate::cluster::Table;
use anyhow::{Context, Result, anyhow};
use libp2p::identity::Keypair;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

const IDENTITY: &str = "identity";
const BOOT: &str = "boot.json";
const TABLE: &str = "table.json";
const COORDINATORS: &str = "coordinators.json";

/// The directory of one member. Nobody else can have it at the same time.
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Opens a directory, which is made if it is not there.
    ///
    /// # Errors
    /// It cannot be used, or another process uses it.
    pub fn open(path: &str) -> Result<Self> {
        let what = || format!("--data-dir {path}");
        std::fs::create_dir_all(path).with_context(what)?;
        let path = PathBuf::from(path);
        let lock = OpenOptions::new().create(true).append(true).open(path.join("lock"));
        let lock = lock.with_context(what)?;
        match lock.try_lock() {
            Ok(()) => Ok(DataDir { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                Err(anyhow!("another process uses it: every member needs a directory of its own"))
                    .with_context(what)
            }
            Err(TryLockError::Error(error)) => Err(error).with_context(what),
        }
    }

    /// The key pair that names this member for good; made at the first start.
    ///
    /// # Errors
    /// It cannot be read or written, or is damaged.
    pub fn identity(&self) -> Result<Keypair> {
        let path = self.path.join(IDENTITY);
        let damaged =
            || format!("{} is damaged: remove it, and the member has a new name", path.display());
        if path.exists() {
            let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
            return Keypair::from_protobuf_encoding(&bytes).with_context(damaged);
        }
        let pair = Keypair::generate_ed25519();
        replace(&path, &pair.to_protobuf_encoding()?)?;
        Ok(pair)
    }

    /// The number of this life of the member, greater than those before.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn next_boot(&self) -> Result<u64> {
        let last = self.read::<u64>(BOOT)?.unwrap_or(0);
        let boot = boot_now().max(last + 1);
        self.write(BOOT, &boot)?;
        Ok(boot)
    }

    /// The slot table, if this member ever decided on one.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn table(&self) -> Result<Option<Table>> {
        self.read(TABLE)
    }

    /// Writes the slot table so that it is there after a power cut, or the last one is.
    ///
    /// # Errors
    /// The last one may be there still, or this one.
    pub fn write_table(&self, table: &Table) -> Result<()> {
        self.write(TABLE, table)
    }

    /// The addresses of the coordinators that were known last; none if that cannot be read.
    pub fn coordinators(&self) -> Vec<String> {
        self.read(COORDINATORS).ok().flatten().unwrap_or_default()
    }

    /// Notes the addresses of coordinators, if they are others than are noted.
    pub fn note_coordinators(&self, addresses: &[String]) {
        if self.coordinators() == addresses {
            return;
        }
        if let Err(error) = self.write(COORDINATORS, &addresses) {
            tracing::warn!(error = format!("{error:#}"), "cannot note the coordinators");
        }
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let path = self.path.join(name);
        match std::fs::read(&path) {
            Ok(bytes) => {
                let value = serde_json::from_slice(&bytes);
                value.map(Some).with_context(|| format!("{} is damaged", path.display()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        replace(&self.path.join(name), &serde_json::to_vec(value)?)
    }
}

/// The number of a life that is not written down: the time in milliseconds since 1970.
pub(super) fn boot_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_millis() as u64).max(1)
}

/// Replaces a file as a whole: a temporary file, synced, renamed, and the directory synced.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let temporary = path.with_extension("new");
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_stays_itself() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let path = path.to_str().unwrap();
        let first = DataDir::open(path).unwrap();
        let taken = DataDir::open(path).err().unwrap();
        assert!(format!("{taken:#}").contains("another process"), "{taken:#}");
        let (id, boot) = (first.identity().unwrap().public(), first.next_boot().unwrap());
        assert!(first.table().unwrap().is_none() && first.coordinators().is_empty());
        let table = Table { epoch: 7, ..Table::default() };
        first.write_table(&table).unwrap();
        first.note_coordinators(&["h:1".to_owned()]);
        drop(first);
        let second = DataDir::open(path).unwrap();
        assert_eq!(second.identity().unwrap().public(), id);
        assert!(second.next_boot().unwrap() > boot);
        assert_eq!(
            (second.table().unwrap(), second.coordinators()),
            (Some(table), vec!["h:1".to_owned()])
        );
        std::fs::write(dir.path().join("a/b/table.json"), "{").unwrap();
        assert!(second.table().is_err());
    }
}
