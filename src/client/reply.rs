//! A reply of either protocol. The scalars are decoded by the `redis-protocol` crate; what holds
//! others is walked here, because the crate keeps maps and sets as hash tables: they would lose
//! their order, and the sets of maps in the reply to `COMMAND` are refused.

use anyhow::{Context, Result, anyhow, bail};
use bytes::{Bytes, BytesMut};
use redis_protocol::error::RedisProtocolError;
use redis_protocol::{resp2, resp3};

/// Deeper nesting than any command's; it bounds the recursion.
const MAX_DEPTH: usize = 64;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reply {
    Status(Bytes),
    Error(Bytes),
    Integer(i64),
    /// As the server wrote it: no digit is lost or made up.
    Double(Bytes),
    Boolean(bool),
    Nil,
    Bulk(Bytes),
    BigNumber(Bytes),
    Verbatim(Bytes),
    Array(Vec<Reply>),
    Map(Vec<(Reply, Reply)>),
    Set(Vec<Reply>),
    Push(Vec<Reply>),
}

impl Reply {
    pub(super) fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_))
    }

    /// The text of a string reply of any kind.
    pub(super) fn text(&self) -> Option<&[u8]> {
        match self {
            Reply::Status(text)
            | Reply::Error(text)
            | Reply::Double(text)
            | Reply::Bulk(text)
            | Reply::BigNumber(text)
            | Reply::Verbatim(text) => Some(text),
            _ => None,
        }
    }
}

/// Takes the first reply off the buffer, if it is there as a whole.
pub(super) fn take(buffer: &mut BytesMut) -> Result<Option<Reply>> {
    if let Some(kind) = buffer.first()
        && !b"+-:$*_#,(=!~%>|".contains(kind)
    {
        bail!("the server does not speak the Redis protocol");
    }
    // Decoding starts from the beginning each time. As a reply ends with CRLF, there is no need to
    // try while more is sure to come; a long reply is then looked at once or twice.
    if !buffer.ends_with(b"\r\n") {
        return Ok(None);
    }
    let data = buffer.split().freeze();
    let mut walk = Walk { data: &data, at: 0 };
    let reply = walk.reply(0)?;
    // What is not used up goes back; that is nearly always nothing or all of an unfinished reply.
    let used = if reply.is_some() { walk.at } else { 0 };
    if used < data.len() {
        buffer.extend_from_slice(&data[used..]);
    }
    Ok(reply)
}

struct Walk<'a> {
    data: &'a Bytes,
    at: usize,
}

impl Walk<'_> {
    /// The reply that begins here; `None` when its end is not there yet.
    fn reply(&mut self, depth: usize) -> Result<Option<Reply>> {
        if depth > MAX_DEPTH {
            bail!("the server does not speak the Redis protocol: a reply is nested too deeply");
        }
        let Some(&kind) = self.data.get(self.at) else {
            return Ok(None);
        };
        if !b"*~%>|".contains(&kind) {
            return self.scalar(kind);
        }
        let Some(count) = self.count()? else {
            return Ok(None);
        };
        let Ok(count) = usize::try_from(count) else {
            return Ok(Some(Reply::Nil));
        };
        if kind == b'%' || kind == b'|' {
            let Some(items) = self.items(count.saturating_mul(2), depth)? else {
                return Ok(None);
            };
            // An attribute is a remark on the reply that follows it.
            return if kind == b'|' {
                self.reply(depth + 1)
            } else {
                Ok(Some(Reply::Map(pairs(items))))
            };
        }
        let kind = match kind {
            b'~' => Reply::Set,
            b'>' => Reply::Push,
            _ => Reply::Array,
        };
        Ok(self.items(count, depth)?.map(kind))
    }

    fn items(&mut self, count: usize, depth: usize) -> Result<Option<Vec<Reply>>> {
        // The count alone must not take memory: a server may claim anything.
        let mut items = Vec::with_capacity(count.min(1024));
        for _ in 0..count {
            let Some(item) = self.reply(depth + 1)? else {
                return Ok(None);
            };
            items.push(item);
        }
        Ok(Some(items))
    }

    /// The number in a line such as `*3`.
    fn count(&mut self) -> Result<Option<i64>> {
        let rest = &self.data[self.at + 1..];
        let Some(length) = rest.windows(2).position(|pair| pair == b"\r\n") else {
            return Ok(None);
        };
        let count = std::str::from_utf8(&rest[..length]).ok().and_then(|text| text.parse().ok());
        self.at += length + 3;
        count
            .context("the server does not speak the Redis protocol: a length is no number")
            .map(Some)
    }

    fn scalar(&mut self, kind: u8) -> Result<Option<Reply>> {
        // These look the same in both protocols, and RESP2's decoder also knows the old nulls.
        let both = b"+-:$".contains(&kind);
        let start = self.at;
        let rest = &self.data[start..];
        if !both {
            let decoded = resp3::decode::complete::decode_range(rest).map_err(not_understood)?;
            let Some((frame, length)) = decoded else {
                return Ok(None);
            };
            self.at += length;
            return self.resp3_scalar(frame, start).map(Some);
        }
        let decoded = resp2::decode::decode_range(rest).map_err(not_understood)?;
        let Some((frame, length)) = decoded else {
            return Ok(None);
        };
        self.at += length;
        self.resp2_scalar(frame, start).map(Some)
    }

    fn resp2_scalar(&self, frame: resp2::types::RangeFrame, start: usize) -> Result<Reply> {
        use resp2::types::RangeFrame as Frame;
        Ok(match frame {
            Frame::SimpleString(range) => Reply::Status(self.part(start, range)?),
            Frame::Error(range) => Reply::Error(self.part(start, range)?),
            Frame::Integer(number) => Reply::Integer(number),
            Frame::BulkString(range) => Reply::Bulk(self.part(start, range)?),
            Frame::Null => Reply::Nil,
            Frame::Array(_) => bail!("an array is no scalar"),
        })
    }

    fn resp3_scalar(&self, frame: resp3::types::RangeFrame, start: usize) -> Result<Reply> {
        use resp3::types::RangeFrame as Frame;
        Ok(match frame {
            Frame::SimpleString { data, .. } => Reply::Status(self.part(start, data)?),
            Frame::SimpleError { data, .. } | Frame::BlobError { data, .. } => {
                Reply::Error(self.part(start, data)?)
            }
            Frame::BlobString { data, .. } => Reply::Bulk(self.part(start, data)?),
            Frame::BigNumber { data, .. } => Reply::BigNumber(self.part(start, data)?),
            Frame::VerbatimString { data, .. } => Reply::Verbatim(self.part(start, data)?),
            Frame::Boolean { data, .. } => Reply::Boolean(data),
            Frame::Number { data, .. } => Reply::Integer(data),
            Frame::Double { .. } => {
                Reply::Double(self.part(start, (1, self.at.saturating_sub(start + 2)))?)
            }
            Frame::Null => Reply::Nil,
            other => bail!("the server sent a {:?}, which no command answers", other.kind()),
        })
    }

    fn part(&self, start: usize, range: (usize, usize)) -> Result<Bytes> {
        let (from, to) = (start + range.0, start + range.1);
        let good = from <= to && to <= self.data.len();
        good.then(|| self.data.slice(from..to)).context("a reply ends too early")
    }
}

fn pairs(items: Vec<Reply>) -> Vec<(Reply, Reply)> {
    let mut items = items.into_iter();
    std::iter::from_fn(|| Some((items.next()?, items.next()?))).collect()
}

fn not_understood(error: RedisProtocolError) -> anyhow::Error {
    anyhow!("the server does not speak the Redis protocol: {}", error.details())
}

#[cfg(test)]
mod tests;
