//! The cluster's key: who has it may join, nobody else gets a connection.

use anyhow::{Context, Result, anyhow, bail};
use libp2p::pnet::PreSharedKey;
use rustix::rand::{GetRandomFlags, getrandom};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

const HEAD: &str = "/key/swarm/psk/1.0.0/\n/base16/\n";
const KEY_BYTES: usize = 32;

/// A key that all members of a cluster share, in the file format of libp2p's `swarm.key`.
#[derive(Clone)]
pub struct ClusterKey([u8; KEY_BYTES]);

impl ClusterKey {
    /// A new one, from the system's random numbers.
    ///
    /// # Errors
    /// The system has none to give.
    pub fn generate() -> Result<Self> {
        let mut key = [0; KEY_BYTES];
        let given = getrandom(&mut key[..], GetRandomFlags::empty())?;
        if given < KEY_BYTES {
            bail!("the system gave too few random numbers for a key");
        }
        Ok(ClusterKey(key))
    }

    /// The key in a file.
    ///
    /// # Errors
    /// It cannot be read, or is none; says how to make one.
    pub fn read(path: &str) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the cluster key file {path}"))?;
        Self::parse(&text).ok_or_else(|| {
            anyhow!("{path} is not a cluster key: make one with `larder cluster keygen {path}`")
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(HEAD)?.trim_end();
        if digits.len() != 2 * KEY_BYTES || !digits.is_ascii() {
            return None;
        }
        let mut key = [0; KEY_BYTES];
        for (byte, at) in key.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&digits[at..at + 2], 16).ok()?;
        }
        Some(ClusterKey(key))
    }

    /// Writes it to a new file that only its owner can read.
    ///
    /// # Errors
    /// The file is there already, or cannot be written.
    pub fn write(&self, path: &str) -> Result<()> {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .with_context(|| format!("cannot make the key file {path}"))?;
        file.write_all(self.to_text().as_bytes()).with_context(|| format!("cannot write {path}"))
    }

    /// The content of its file.
    pub fn to_text(&self) -> String {
        let digits: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{HEAD}{digits}\n")
    }

    /// Tells keys apart without giving them away.
    pub fn fingerprint(&self) -> String {
        self.shared().fingerprint().to_string()
    }

    /// The key itself.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn shared(&self) -> PreSharedKey {
        PreSharedKey::new(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let path = path.to_str().unwrap();
        let key = ClusterKey::generate().unwrap();
        key.write(path).unwrap();
        assert!(key.write(path).is_err(), "never over another one");
        let read = ClusterKey::read(path).unwrap();
        assert_eq!((read.bytes(), read.fingerprint()), (key.bytes(), key.fingerprint()));
        assert_ne!(key.fingerprint(), ClusterKey::generate().unwrap().fingerprint());
        for wrong in ["", HEAD, &format!("{HEAD}{}", "é".repeat(32)), &key.to_text()[1..]] {
            assert!(ClusterKey::parse(wrong).is_none());
        }
        std::fs::write(path, "x").unwrap();
        assert!(ClusterKey::read(path).err().unwrap().to_string().contains("keygen"));
    }
}
