//! What a key holds.

use bytes::Bytes;
use std::ops::Deref;

/// The value of a key.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// A byte string.
    Str(Str<'a>),
}

impl Value<'_> {
    /// The name that `TYPE` gives.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Str(_) => "string",
        }
    }
}

/// A byte string on its way into or out of the store.
#[derive(Clone, Copy, Debug)]
pub enum Str<'a> {
    /// To be copied.
    Slice(&'a [u8]),
    /// Large, and reference-counted: a reply may hold it after the key is gone.
    Shared(&'a Bytes),
}

impl Str<'_> {
    /// The string by itself; a large one is not copied.
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Str::Slice(bytes) => Bytes::copy_from_slice(bytes),
            Str::Shared(bytes) => (*bytes).clone(),
        }
    }
}

impl Deref for Str<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Str::Slice(bytes) => bytes,
            Str::Shared(bytes) => bytes,
        }
    }
}

impl<'a> From<&'a [u8]> for Str<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Str::Slice(bytes)
    }
}

impl<'a> From<&'a Bytes> for Str<'a> {
    fn from(bytes: &'a Bytes) -> Self {
        Str::Shared(bytes)
    }
}
