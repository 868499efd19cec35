//! Strings as bits, the most significant bit of each byte first.

use super::Context;
use super::options::{check_len, int, key, range, room_to_grow};
use crate::resp::{Args, Error, Reply, parse_int};
use crate::store::Value;

/// A bit's place in a string that may be as long as `proto-max-bulk-len`.
fn offset(cx: &Context<'_, '_>, arg: &[u8]) -> Result<usize, Error> {
    const OUT_OF_RANGE: Error = Error::new("ERR bit offset is not an integer or out of range");
    let offset = parse_int(arg).and_then(|offset| usize::try_from(offset).ok());
    let offset = offset.ok_or(OUT_OF_RANGE)?;
    check_len(cx, offset / 8 + 1).map_err(|_| OUT_OF_RANGE)?;
    Ok(offset)
}

pub(super) fn setbit(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let offset = offset(cx, args.at(2))?;
    let on = match args.at(3) {
        b"0" => false,
        b"1" => true,
        _ => return Err(Error::new("ERR bit is not an integer or out of range")),
    };
    let (byte, mask) = (offset / 8, 0x80 >> (offset % 8));
    let len = room_to_grow(cx, key(args), |len| len.max(byte + 1))?;
    let old = cx.keyspace.modify(key(args), len, |bytes| {
        bytes.resize(len, 0);
        let old = bytes[byte] & mask != 0;
        if on {
            bytes[byte] |= mask;
        } else {
            bytes[byte] &= !mask;
        }
        old
    })?;
    reply.int(i64::from(old));
    Ok(())
}

pub(super) fn getbit(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let offset = offset(cx, args.at(2))?;
    let byte = match cx.keyspace.get(key(args)) {
        Some(Value::Str(bytes)) => bytes.get(offset / 8).copied().unwrap_or(0),
        None => 0,
    };
    reply.int(i64::from(byte & (0x80 >> (offset % 8)) != 0));
    Ok(())
}

pub(super) fn bitcount(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let (start, end, by_bit) = match args.len() {
        2 => (0, -1, false),
        4 | 5 => {
            let (start, end) = (int(args.at(2))?, int(args.at(3))?);
            let by_bit = match args.get(4) {
                None => false,
                Some(_) if args.is(4, "BIT") => true,
                Some(_) if args.is(4, "BYTE") => false,
                Some(_) => return Err(Error::SYNTAX),
            };
            (start, end, by_bit)
        }
        _ => return Err(Error::SYNTAX),
    };
    let count = match cx.keyspace.get(key(args)) {
        None => 0,
        Some(Value::Str(bytes)) if by_bit => match range(start, end, bytes.len() * 8) {
            None => 0,
            Some(bits) => {
                let (first, last) = (bits.start() / 8, bits.end() / 8);
                let before = (bytes[first] as u32) & !(0xffu32 >> (bits.start() % 8));
                let after = (bytes[last] as u32) & (0x7fu32 >> (bits.end() % 8));
                ones(&bytes[first..=last]) - i64::from(before.count_ones() + after.count_ones())
            }
        },
        Some(Value::Str(bytes)) => range(start, end, bytes.len()).map_or(0, |r| ones(&bytes[r])),
    };
    reply.int(count);
    Ok(())
}

fn ones(bytes: &[u8]) -> i64 {
    bytes.iter().map(|byte| i64::from(byte.count_ones())).sum()
}
