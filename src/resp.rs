//! Bytes to requests and replies to bytes, RESP2 and RESP3. Knows no command.

mod args;
mod decode;
mod frame;
mod output;
mod reply;

pub(crate) use args::encode;
pub use args::{Args, ArgsBuf};
pub use decode::{Decoded, Decoder, Limits, ProtocolError};
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
