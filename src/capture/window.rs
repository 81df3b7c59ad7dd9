//! A bounded view into a stream: as many bytes as asked for, and where in the stream they stand.

use std::io::{self, ErrorKind, Read};

/// What is read at once: small enough to show a live pipe as it flows, large enough to make system calls rare.
const CHUNK: usize = 64 << 10;

/// Bytes of a stream from its current place on.
#[derive(Debug)]
pub(super) struct Window<R> {
    source: R,
    bytes: Vec<u8>,
    start: usize,
    offset: u64,
}

impl<R: Read> Window<R> {
    pub(super) const fn new(source: R) -> Self {
        Self { source, bytes: Vec::new(), start: 0, offset: 0 }
    }

    /// Where in the stream the current place is.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes from the current place on: at least `count`, fewer only where the stream ends before.
    pub(super) fn look(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.bytes.len().saturating_sub(self.start) < count && self.fill()? {}
        Ok(self.bytes.get(self.start..).unwrap_or_default())
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
        self.bytes.drain(..self.start);
        self.start = 0;
        let kept = self.bytes.len();
        self.bytes.resize(kept + CHUNK, 0);
        let read = loop {
            match self.source.read(self.bytes.get_mut(kept..).unwrap_or_default()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.bytes.truncate(kept + read.as_ref().copied().unwrap_or(0));
        Ok(read? > 0)
    }
}
