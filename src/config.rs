//! The parameters of a server: every one is defined once in [`PARAMS`], which the command line, the environment,
//! CONFIG GET and SET, and `--help` read; and the values in force.

mod params;
mod value;

pub use params::{Access, Id, Kind, PARAMS, Param, Scope};
pub use value::{OutputLimit, format_size, parse_size};

use crate::resp::parse_int;
use crate::store::usage::{Separator, Settings};
use crate::store::{Policy, Store};
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use subtle::ConstantTimeEq;

/// The values in force on one server. Numbers are read without a lock, on the hot path too.
pub struct Config {
    numbers: Vec<AtomicU64>,
    texts: Vec<Mutex<String>>,
    /// The SHA-256 digest of `requirepass`, `None` while no password is asked for.
    password: Mutex<Option<[u8; 32]>>,
}

impl Default for Config {
    fn default() -> Self {
        let config = Config {
            numbers: PARAMS.iter().map(|_| AtomicU64::new(0)).collect(),
            texts: PARAMS.iter().map(|_| Mutex::default()).collect(),
            password: Mutex::default(),
        };
        for param in PARAMS {
            if let Err(reason) = config.set(param, param.default) {
                unreachable!("the default of {}: {reason}", param.name);
            }
        }
        config
    }
}

impl Config {
    /// The value of a number, size, truth value (0 or 1) or choice (its place in the list).
    pub fn number(&self, id: Id) -> u64 {
        self.numbers[id as usize].load(Relaxed)
    }

    /// Tells a store what its part of the parameters is.
    pub fn apply_to(&self, store: &Store) {
        let budget = &store.budget;
        let policy = Policy::from_index(self.number(Id::MaxmemoryPolicy));
        let before = (budget.limit(), budget.policy());
        budget.configure(self.number(Id::Maxmemory), policy);
        if before != (budget.limit(), budget.policy()) {
            // What reads found under the one says nothing of the other.
            store.usage.restart_curve();
        }
        // Their bounds lie far below those of the type.
        let lfu = [Id::MaxmemorySamples, Id::LfuLogFactor, Id::LfuDecayTime];
        let [samples, log_factor, decay_minutes] = lfu.map(|id| self.number(id) as u32);
        budget.configure_lfu(samples, log_factor, decay_minutes);
        store.watch(Settings {
            sampled: self.number(Id::StatsSampleEvery) as u32,
            curve: self.is_on(Id::StatsCurve),
            separator: Separator::new(self.text(Id::StatsSeparator).as_bytes()),
        });
    }

    /// Whether a truth value is `yes`.
    pub fn is_on(&self, id: Id) -> bool {
        self.number(id) != 0
    }

    /// The value of a text.
    pub fn text(&self, id: Id) -> String {
        lock(&self.texts[id as usize]).clone()
    }

    /// What an ordinary client may be owed.
    pub fn output_limit(&self) -> OutputLimit {
        value::normal_limit(&lock(&self.texts[Id::ClientOutputBufferLimit as usize]))
    }

    /// Sets a number that the server itself worked out at start.
    pub fn set_number(&self, id: Id, value: u64) {
        self.numbers[id as usize].store(value, Relaxed);
    }

    /// Sets a parameter from text; says what is wrong with it otherwise, in Redis's words.
    pub fn set(&self, param: &Param, text: &str) -> Result<(), String> {
        let number = match &param.kind {
            Kind::Secret => {
                *lock(&self.password) = (!text.is_empty()).then(|| digest(text.as_bytes()));
                return Ok(());
            }
            Kind::Text | Kind::Separator => {
                value::parse(&param.kind, text)?;
                text.clone_into(&mut lock(&self.texts[param.id as usize]));
                return Ok(());
            }
            Kind::OutputLimits => {
                let mut current = lock(&self.texts[param.id as usize]);
                *current = value::output_limits(&current, text)?;
                return Ok(());
            }
            kind => value::parse(kind, text)?,
        };
        self.set_number(param.id, number);
        Ok(())
    }

    /// Whether `text` would be accepted.
    pub fn check(&self, param: &Param, text: &str) -> Result<(), String> {
        match &param.kind {
            Kind::Secret | Kind::Text => Ok(()),
            kind => value::parse(kind, text).map(drop),
        }
    }

    /// The value as CONFIG GET shows it. A password is never shown.
    pub fn get(&self, param: &Param) -> String {
        match &param.kind {
            Kind::Text | Kind::Separator | Kind::OutputLimits => self.text(param.id),
            Kind::Secret => String::new(),
            Kind::Bool => (if self.is_on(param.id) { "yes" } else { "no" }).to_owned(),
            Kind::Choice(names) => names[self.number(param.id) as usize].to_owned(),
            Kind::Number { .. } | Kind::Size { .. } => (self.number(param.id) as i64).to_string(),
        }
    }

    /// Whether clients must authenticate.
    pub fn has_password(&self) -> bool {
        lock(&self.password).is_some()
    }

    /// Whether `password` is the one asked for, in a time that does not depend on it. `None` if none is.
    pub fn password_matches(&self, password: &[u8]) -> Option<bool> {
        let expected = (*lock(&self.password))?;
        Some(digest(password).ct_eq(&expected).into())
    }
}

/// The parameter of a name, in any case.
pub fn find(name: &[u8]) -> Option<&'static Param> {
    PARAMS.iter().find(|param| param.name.as_bytes().eq_ignore_ascii_case(name))
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Parses an integer parameter.
fn parse_number(text: &str) -> Option<i64> {
    parse_int(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_its_names_are_unique() {
        for (place, param) in PARAMS.iter().enumerate() {
            assert_eq!(param.id as usize, place, "{}", param.name);
            assert_eq!(PARAMS.iter().filter(|other| other.name == param.name).count(), 1);
            assert!(!param.help.is_empty());
        }
    }

    #[test]
    fn values_read_back_as_they_were_set() {
        let config = Config::default();
        for (name, text, shown) in [
            ("maxmemory", "1gb", "1073741824"),
            ("maxmemory-policy", "noeviction", "noeviction"),
            ("timeout", "30", "30"),
            ("protected-mode", "no", "no"),
        ] {
            let param = find(name.as_bytes()).unwrap();
            config.set(param, text).unwrap();
            assert_eq!(config.get(param), shown);
        }
        assert!(config.set(find(b"TIMEOUT").unwrap(), "x").is_err());
        assert_eq!(config.number(Id::Timeout), 30);
    }

    #[test]
    fn the_password_is_kept_as_a_digest_only() {
        let config = Config::default();
        assert_eq!(config.password_matches(b""), None);
        config.set(find(b"requirepass").unwrap(), "secret").unwrap();
        assert_eq!(config.password_matches(b"secret"), Some(true));
        assert_eq!(config.password_matches(b"Secret"), Some(false));
        assert_eq!(config.get(find(b"requirepass").unwrap()), "");
        config.set(find(b"requirepass").unwrap(), "").unwrap();
        assert!(!config.has_password());
    }
}
