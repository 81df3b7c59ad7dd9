//! A bounded view into a stream: as many bytes as asked for, and where in the stream they stand.

use std::io::{self, ErrorKind, Read};

/// What is read at once: small enough to show a live pipe as it flows, large enough to make system calls rare.
const CHUNK: usize = 64 << 10;

/// Bytes of a stream from its current place on.
///
/// Invariant: `start <= end <= bytes.len()`.
#[derive(Debug)]
pub(super) struct Window<R> {
    source: R,
    /// Read into again and again; it grows with the longest piece that was asked for.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    offset: u64,
}

impl<R: Read> Window<R> {
    pub(super) const fn new(source: R) -> Self {
        Self { source, bytes: Vec::new(), start: 0, end: 0, offset: 0 }
    }

    /// Where in the stream the current place is.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes from the current place on: at least `count`, fewer only where the stream ends before.
    pub(super) fn look(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.end - self.start < count && self.fill()? {}
        Ok(self.bytes.get(self.start..self.end).unwrap_or_default())
    }

    /// Moves the current place on; gives how far it could be moved.
    pub(super) fn skip(&mut self, count: usize) -> io::Result<usize> {
        let mut left = count;
        while left > 0 {
            let step = self.look(1)?.len().min(left);
            if step == 0 {
                break;
            }
            self.start += step;
            self.offset = self.offset.saturating_add(u64::try_from(step).unwrap_or(u64::MAX));
            left -= step;
        }
        Ok(count - left)
    }

    /// Reads once; whether the stream had anything left.
    fn fill(&mut self) -> io::Result<bool> {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.bytes.len() < self.end + CHUNK {
            self.bytes.resize(self.end + CHUNK, 0);
        }
        let read = loop {
            match self.source.read(self.bytes.get_mut(self.end..).unwrap_or_default()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.end += read;
        Ok(read > 0)
    }
}
