//! Strings as numbers.

use super::Context;
use super::options::{float, int, key};
use crate::resp::{Args, Error, Reply, parse_int};
use crate::store::{Access, Expiry, Value};

fn add(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    by: i64,
) -> Result<(), Error> {
    let old = match cx.keyspace.view(key(args), Access::Write).map(|view| view.value) {
        Some(Value::Str(string)) => parse_int(&string).ok_or(Error::NOT_INTEGER)?,
        None => 0,
    };
    let new = old.checked_add(by).ok_or(Error::new("ERR increment or decrement would overflow"))?;
    put(cx, args, itoa::Buffer::new().format(new).as_bytes())?;
    reply.int(new);
    Ok(())
}

fn put(cx: &mut Context<'_, '_>, args: Args<'_>, text: &[u8]) -> Result<(), Error> {
    cx.keyspace.put(key(args), text.into(), Expiry::Keep)
}

pub(super) fn incr(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    add(cx, args, reply, 1)
}

pub(super) fn decr(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    add(cx, args, reply, -1)
}

pub(super) fn incrby(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let by = int(args.at(2))?;
    add(cx, args, reply, by)
}

pub(super) fn decrby(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let by = int(args.at(2))?;
    let by = by.checked_neg().ok_or(Error::new("ERR decrement would overflow"))?;
    add(cx, args, reply, by)
}

/// Digits behind the point that INCRBYFLOAT keeps, as Redis does.
const DECIMALS: usize = 17;

/// A plain decimal number (no exponent) as an integer of units of 10^-17; `None` if it does not fit.
fn scaled(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if fraction.len() > DECIMALS || whole.len() > 20 || whole.len() + fraction.len() == 0 {
        return None;
    }
    let number: i128 = format!("{whole}{fraction:0<DECIMALS$}").parse().ok()?;
    Some(if negative { -number } else { number })
}

/// The sum of two numbers as text: exact where both are plain decimals, so that 0.1 and 0.2 are 0.3; else in binary
/// floating point, with the shortest digits that read back as the same number. Never with an exponent.
fn sum(a: &[u8], b: &[u8]) -> Option<String> {
    let (x, y) = (float(a)?, float(b)?);
    let plain = |text| std::str::from_utf8(text).ok().and_then(scaled);
    let exact = plain(a).zip(plain(b)).and_then(|(a, b)| a.checked_add(b));
    let text = match exact {
        Some(sum) => {
            let digits = format!("{:0>width$}", sum.unsigned_abs(), width = DECIMALS + 1);
            let (whole, fraction) = digits.split_at(digits.len() - DECIMALS);
            format!("{}{whole}.{fraction}", if sum < 0 { "-" } else { "" })
        }
        None => format!("{}.", x + y),
    };
    let text = text.trim_end_matches('0').trim_end_matches('.');
    Some(if text.is_empty() || text == "-0" { "0" } else { text }.to_owned())
}

pub(super) fn incrbyfloat(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let text = match cx.keyspace.view(key(args), Access::Write).map(|view| view.value) {
        Some(Value::Str(string)) => sum(&string, args.at(2)),
        None => sum(b"0", args.at(2)),
    };
    let text = text.ok_or(Error::NOT_FLOAT)?;
    if text.contains(['N', 'n']) {
        return Err(Error::new("ERR increment would produce NaN or Infinity"));
    }
    put(cx, args, text.as_bytes())?;
    reply.bulk(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::sum;

    #[test]
    fn sums_are_what_people_expect() {
        for (a, b, expected) in [
            ("0.1", "0.2", "0.3"),
            ("9223372036854775807", "1", "9223372036854775808"),
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("-0.5", "0.5", "0"),
            ("1", "-1.25", "-0.25"),
            ("3", "1.1", "4.1"),
            ("100", "0", "100"),
            ("1e20", "0", "100000000000000000000"),
        ] {
            assert_eq!(sum(a.as_bytes(), b.as_bytes()).as_deref(), Some(expected), "{a} + {b}");
        }
        assert_eq!(sum(b"x", b"1"), None);
        assert!(sum(b"1e308", b"1.7e308").unwrap().contains("inf"));
    }
}
