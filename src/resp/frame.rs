//! Finds where a reply ends, without parsing it: what the coordinator forwards is framed, not understood.

use super::parse_int;

/// A reply that is not RESP.
#[derive(Debug, PartialEq, Eq)]
pub struct BadReply;

/// Frames the replies that come over one link, RESP2 and RESP3 alike; resumes where it stopped.
#[derive(Default)]
pub struct Framer {
    /// How far the current reply is understood, relative to its start.
    pos: usize,
    /// Values still to come before the reply is whole, beyond the one at `pos`. Nesting needs no stack:
    /// an aggregate only adds its children to this count.
    open: u64,
}

impl Framer {
    /// The length of the reply at the start of `buf`, or `None` while some of it is missing. `buf` starts
    /// with the same reply as at the last call until that call has returned a length.
    pub fn frame(&mut self, buf: &[u8]) -> Result<Option<usize>, BadReply> {
        loop {
            let Some((children, next)) = value(buf, self.pos)? else { return Ok(None) };
            self.pos = next;
            self.open = self.open.checked_add(children).ok_or(BadReply)?;
            if self.open == 0 {
                self.pos = 0;
                return Ok(Some(next));
            }
            self.open -= 1;
        }
    }
}

/// The value at `pos`: how many values follow as its children, and where the next one begins.
fn value(buf: &[u8], pos: usize) -> Result<Option<(u64, usize)>, BadReply> {
    let rest = buf.get(pos..).unwrap_or_default();
    let Some(newline) = rest.iter().position(|&b| b == b'\n') else { return Ok(None) };
    if newline < 2 || rest[newline - 1] != b'\r' {
        return Err(BadReply);
    }
    let next = pos + newline + 1;
    let length = || parse_int(&rest[1..newline - 1]).filter(|&n| n >= -1).ok_or(BadReply);
    match rest[0] {
        b'+' | b'-' | b':' | b',' | b'#' | b'_' | b'(' => Ok(Some((0, next))),
        b'$' | b'=' | b'!' => match length()? {
            -1 => Ok(Some((0, next))),
            n => {
                let end = next.checked_add(n as usize + 2).ok_or(BadReply)?;
                Ok((buf.len() >= end).then_some((0, end)))
            }
        },
        b'*' | b'~' | b'>' => Ok(Some((length()?.max(0) as u64, next))),
        b'%' => Ok(Some((2 * length()?.max(0) as u64, next))),
        // An attribute stands before the value it describes.
        b'|' => Ok(Some((2 * length()?.max(0) as u64 + 1, next))),
        _ => Err(BadReply),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLIES: [&[u8]; 16] = [
        b"+OK\r\n",
        b"-ERR no\r\n",
        b":12\r\n",
        b"$3\r\nabc\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"*2\r\n$1\r\n\n\r\n:1\r\n",
        b"*2\r\n*2\r\n:1\r\n*0\r\n$-1\r\n",
        b"%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n_\r\n",
        b"~1\r\n,1.5\r\n",
        b"=7\r\ntxt:abc\r\n",
        b"#t\r\n",
        b"(123\r\n",
        b"|1\r\n+k\r\n+v\r\n*1\r\n:1\r\n",
        b">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n",
    ];

    #[test]
    fn finds_each_reply_in_a_stream_however_it_arrives() {
        let stream: Vec<u8> = REPLIES.concat();
        for step in [1, 2, 3, 7, stream.len()] {
            let (mut framer, mut buf, mut found) = (Framer::default(), Vec::new(), Vec::new());
            for piece in stream.chunks(step) {
                buf.extend_from_slice(piece);
                while let Some(length) = framer.frame(&buf).unwrap() {
                    found.push(buf.drain(..length).collect::<Vec<u8>>());
                }
            }
            assert_eq!(found, REPLIES, "in steps of {step}");
        }
    }

    #[test]
    fn refuses_what_is_not_resp() {
        for bad in ["HTTP/1.1 200 OK\r\n", "\r\n", "$x\r\n", "*-2\r\n", "+OK\n"] {
            assert_eq!(Framer::default().frame(bad.as_bytes()), Err(BadReply), "{bad:?}");
        }
    }
}
