//! Bytes to requests and replies to bytes, RESP2 and RESP3. Knows no command.

mod args;
mod decode;
mod frame;
mod output;
mod reply;

pub(crate) use args::encode;
pub use args::{Args, ArgsBuf};
pub use decode::{Decoded, Decoder, Expected, Limits, ProtocolError};
pub use frame::{BadReply, Framer};
pub use output::Output;
pub use reply::{Error, Proto, Reply};

/// Parses a decimal integer exactly as Redis's `string2ll` does: no sign but `-`, no leading zeros,
/// no white space, and nothing outside `i64`.
pub fn parse_int(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut value: i64 = 0;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        // Accumulates below zero, where there is room for i64::MIN.
        value = value.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// Appends bytes in double quotes, with the escapes of Redis's `sdscatrepr`: redis-cli and our client read it as the same
/// bytes.
pub(crate) fn quote(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x07 => out.extend_from_slice(b"\\a"),
            0x08 => out.extend_from_slice(b"\\b"),
            b' '..=b'~' => out.push(byte),
            byte => out.extend(format!("\\x{byte:02x}").bytes()),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::parse_int;
    use proptest::prelude::*;

    #[test]
    fn refuses_what_redis_refuses() {
        for text in ["", "-", "+1", "01", "-0", "00", " 1", "1 ", "1.0", "9223372036854775808"] {
            assert_eq!(parse_int(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse_int(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_int(b"9223372036854775807"), Some(i64::MAX));
    }

    proptest! {
        #[test]
        fn every_integer_parses_to_itself(value: i64) {
            prop_assert_eq!(parse_int(value.to_string().as_bytes()), Some(value));
        }
    }
}
