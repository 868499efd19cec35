//! The arguments of one request: slices of the read buffer, or owned where they must outlive it.

use bytes::{BufMut, Bytes, BytesMut};

/// The arguments of a request, command name first, as slices of the buffer they were read into.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    buf: &'a [u8],
    ranges: &'a [(u32, u32)],
    /// Whether `buf` is the request as it came, a RESP array that can be forwarded as it is.
    raw: bool,
    /// The buffer that `buf` is a part of, if that was made for this request.
    own: Option<&'a Bytes>,
}

impl<'a> Args<'a> {
    pub(super) fn new(buf: &'a [u8], ranges: &'a [(u32, u32)], raw: bool) -> Self {
        Args { buf, ranges, raw, own: None }
    }

    /// The same; `own` is the buffer that they were read into, if parts of that may be kept.
    pub fn within(self, own: Option<&'a Bytes>) -> Self {
        Args { own, ..self }
    }

    /// How many arguments there are, the command name included.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether the request has no arguments at all (an empty line or `*0`).
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The argument at `index`; the caller knows from the arity that it is there.
    ///
    /// # Panics
    /// If `index` is out of bounds.
    pub fn at(&self, index: usize) -> &'a [u8] {
        let (start, end) = self.ranges[index];
        &self.buf[start as usize..end as usize]
    }

    /// The argument at `index`, if there is one.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.ranges.get(index).map(|&(start, end)| &self.buf[start as usize..end as usize])
    }

    /// The argument at `index` to be kept in place of a copy: if it was read into a buffer that was made for it.
    ///
    /// # Panics
    /// If `index` is out of bounds.
    pub fn share(&self, index: usize) -> Option<Bytes> {
        let own = self.own.filter(|_| self.raw)?;
        let arg = self.at(index);
        // Others of the same request would keep all of it for a part.
        (arg.len() > own.len() / 2).then(|| own.slice_ref(arg))
    }

    /// The arguments from `index` on.
    pub fn from(&self, index: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a> {
        let buf = self.buf;
        let ranges = self.ranges.get(index..).unwrap_or_default();
        ranges.iter().map(move |&(start, end)| &buf[start as usize..end as usize])
    }

    /// Whether the argument at `index` is `word`, in any case.
    pub fn is(&self, index: usize, word: &str) -> bool {
        self.get(index).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// Bytes of all arguments together, without protocol overhead.
    pub fn payload_len(&self) -> usize {
        self.ranges.iter().map(|&(start, end)| (end - start) as usize).sum()
    }

    /// Appends the request to `out` as a RESP array: as it came where it came as one.
    pub fn encode_into(&self, out: &mut BytesMut) {
        if self.raw {
            out.extend_from_slice(self.buf);
        } else {
            encode(out, self.from(0));
        }
    }

    /// A copy that outlives the read buffer, for MULTI's queue.
    pub fn to_owned(self) -> ArgsBuf {
        let mut buf = BytesMut::with_capacity(self.buf.len());
        buf.extend_from_slice(self.buf);
        ArgsBuf { buf: buf.freeze(), ranges: self.ranges.into(), raw: self.raw }
    }
}

/// Appends a request to `out` as a RESP array of bulk strings.
pub(crate) fn encode<'a>(out: &mut BytesMut, args: impl ExactSizeIterator<Item = &'a [u8]>) {
    let mut digits = itoa::Buffer::new();
    out.put_u8(b'*');
    out.extend_from_slice(digits.format(args.len()).as_bytes());
    out.extend_from_slice(b"\r\n");
    for arg in args {
        out.put_u8(b'$');
        out.extend_from_slice(digits.format(arg.len()).as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

/// Arguments that own their bytes.
pub struct ArgsBuf {
    buf: Bytes,
    ranges: Box<[(u32, u32)]>,
    raw: bool,
}

impl ArgsBuf {
    /// Builds a request from its arguments.
    pub fn build(args: &[&[u8]]) -> Self {
        let mut buf = BytesMut::new();
        let ranges = args
            .iter()
            .map(|arg| {
                let start = buf.len() as u32;
                buf.extend_from_slice(arg);
                (start, buf.len() as u32)
            })
            .collect();
        ArgsBuf { buf: buf.freeze(), ranges, raw: false }
    }

    /// The arguments, borrowed.
    pub fn args(&self) -> Args<'_> {
        Args { buf: &self.buf, ranges: &self.ranges, raw: self.raw, own: None }
    }

    /// Bytes this holds.
    pub fn len(&self) -> usize {
        self.buf.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }
}
