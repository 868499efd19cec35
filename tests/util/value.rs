//! A reply as the tests see it, and its parser for RESP2 and RESP3.

use std::fmt::{self, Debug, Formatter};

/// One reply. `Null` is RESP2's `$-1` and RESP3's `_`, `NullArray` is RESP2's `*-1`.
#[derive(Clone, PartialEq)]
pub enum Value {
    Simple(String),
    Error(String),
    Int(i64),
    Bulk(Vec<u8>),
    Null,
    NullArray,
    Array(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Set(Vec<Value>),
    Double(f64),
    Bool(bool),
    /// Format (`txt`) and content.
    Verbatim(String, Vec<u8>),
    Push(Vec<Value>),
    BigNumber(String),
}

/// As [`Value`] is written in a test; bytes as text, long ones cut.
impl Debug for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| match bytes.len() {
            0..=1000 => bytes.escape_ascii().to_string(),
            length => format!("{}... ({length} bytes)", bytes[..1000].escape_ascii()),
        };
        match self {
            Value::Simple(line) => write!(f, "Simple({line:?})"),
            Value::Error(line) => write!(f, "Error({line:?})"),
            Value::Int(number) => write!(f, "Int({number})"),
            Value::Bulk(bytes) => write!(f, "Bulk(\"{}\")", text(bytes)),
            Value::Null => write!(f, "Null"),
            Value::NullArray => write!(f, "NullArray"),
            Value::Array(items) => write!(f, "Array{items:?}"),
            Value::Map(pairs) => f.debug_map().entries(pairs.iter().map(|(k, v)| (k, v))).finish(),
            Value::Set(items) => write!(f, "Set{items:?}"),
            Value::Double(number) => write!(f, "Double({number})"),
            Value::Bool(truth) => write!(f, "Bool({truth})"),
            Value::Verbatim(format, bytes) => write!(f, "Verbatim({format}, \"{}\")", text(bytes)),
            Value::Push(items) => write!(f, "Push{items:?}"),
            Value::BigNumber(digits) => write!(f, "BigNumber({digits})"),
        }
    }
}

impl Value {
    /// The first reply in `bytes` and its length; `None` when it is not there as a whole.
    /// Panics on what is no reply.
    pub fn parse(bytes: &[u8]) -> Option<(Value, usize)> {
        let mut parser = Parser { bytes, at: 0 };
        let value = parser.value()?;
        Some((value, parser.at))
    }

    /// The text of a bulk, simple, verbatim or error reply; panics on others.
    pub fn text(&self) -> String {
        match self {
            Value::Simple(text) | Value::Error(text) | Value::BigNumber(text) => text.clone(),
            Value::Bulk(bytes) | Value::Verbatim(_, bytes) => {
                String::from_utf8_lossy(bytes).into_owned()
            }
            other => panic!("no text: {other:?}"),
        }
    }

    /// The number; panics on anything but an integer reply.
    pub fn int(&self) -> i64 {
        let Value::Int(number) = self else { panic!("no integer: {self:?}") };
        *number
    }

    /// The elements of an array, set or push; panics on others.
    pub fn items(&self) -> &[Value] {
        match self {
            Value::Array(items) | Value::Set(items) | Value::Push(items) => items,
            other => panic!("no array: {other:?}"),
        }
    }

    /// The pairs of a map, or of the flat array that RESP2 has in its place.
    pub fn pairs(&self) -> Vec<(Value, Value)> {
        match self {
            Value::Map(pairs) => pairs.clone(),
            Value::Array(items) if items.len().is_multiple_of(2) => {
                items.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
            }
            other => panic!("no map: {other:?}"),
        }
    }

    /// The value of a text key in a map or flat array.
    pub fn field(&self, name: &str) -> Option<Value> {
        self.pairs().into_iter().find(|(key, _)| key.text() == name).map(|(_, value)| value)
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn value(&mut self) -> Option<Value> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).expect("a reply is never an empty line");
        let number = || rest.parse::<i64>().unwrap_or_else(|_| panic!("bad length in {line:?}"));
        Some(match kind {
            "+" => Value::Simple(rest.to_owned()),
            "-" => Value::Error(rest.to_owned()),
            ":" => Value::Int(number()),
            "$" if number() < 0 => Value::Null,
            "$" => Value::Bulk(self.block(number())?),
            "*" if number() < 0 => Value::NullArray,
            "*" => Value::Array(self.values(number())?),
            "~" => Value::Set(self.values(number())?),
            ">" => Value::Push(self.values(number())?),
            "%" => {
                let flat = self.values(number() * 2)?;
                let mut flat = flat.into_iter();
                let mut pairs = Vec::new();
                while let (Some(key), Some(value)) = (flat.next(), flat.next()) {
                    pairs.push((key, value));
                }
                Value::Map(pairs)
            }
            "_" => Value::Null,
            "," => Value::Double(rest.parse().expect("a double")),
            "#" => Value::Bool(rest == "t"),
            "(" => Value::BigNumber(rest.to_owned()),
            "!" => Value::Error(String::from_utf8_lossy(&self.block(number())?).into_owned()),
            "=" => {
                let block = self.block(number())?;
                let format = String::from_utf8_lossy(&block[..3]).into_owned();
                assert_eq!(block[3], b':', "a verbatim string has a format");
                Value::Verbatim(format, block[4..].to_vec())
            }
            _ => panic!("no reply starts like {line:?}"),
        })
    }

    fn values(&mut self, count: i64) -> Option<Vec<Value>> {
        (0..count).map(|_| self.value()).collect()
    }

    fn line(&mut self) -> Option<String> {
        let rest = &self.bytes[self.at..];
        let length = rest.windows(2).position(|pair| pair == b"\r\n")?;
        self.at += length + 2;
        Some(String::from_utf8_lossy(&rest[..length]).into_owned())
    }

    fn block(&mut self, length: i64) -> Option<Vec<u8>> {
        let end = self.at + usize::try_from(length).expect("a length");
        let block = self.bytes.get(self.at..end)?;
        assert_eq!(self.bytes.get(end..end + 2)?, b"\r\n", "a block ends with CRLF");
        self.at = end + 2;
        Some(block.to_vec())
    }
}
