//! One direction of a connection at the data level: which bytes were seen, on whatever subflow, and what was acknowledged.

use std::ops::Range;

use crate::analysis::ranges::Ranges;
use crate::mptcp::option::DataNumber;

/// The data that one host sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// The data sequence number of the first byte: known from the key, or else the first one that was seen.
    base: Option<u64>,
    /// Only its low 32 bits are known.
    base_is_low: bool,
    seen: Ranges,
    /// Behind the highest byte that the other host acknowledged.
    acked: u64,
    /// DATA_FIN was sent, and counts as this number.
    fin: Option<u64>,
    told_unseen: bool,
}

impl Stream {
    /// Bytes of data that were seen, each once.
    pub fn bytes(&self) -> u64 {
        self.seen.end() - self.seen.missing_below(self.seen.end())
    }

    /// Bytes below the highest one that were neither seen nor acknowledged.
    pub fn gap(&self) -> u64 {
        let end = self.seen.end();
        let unacked = self.seen.missing_below(end) - self.seen.missing_below(self.acked.min(end));
        unacked.min(end)
    }

    /// Bytes that were acknowledged and never seen.
    pub fn unseen(&self) -> u64 {
        self.seen.missing_below(self.acked_bytes())
    }

    /// The end of what the other host acknowledged.
    pub const fn acked(&self) -> u64 {
        self.acked
    }

    /// The bytes that are missing between others, without those that were given up.
    pub fn holes(&self) -> impl Iterator<Item = Range<u64>> {
        self.seen.holes()
    }

    /// DATA_FIN was sent.
    pub const fn is_finished(&self) -> bool {
        self.fin.is_some()
    }

    /// The first byte has this number.
    pub(super) const fn starts_at(&mut self, base: u64) {
        self.base = Some(base);
    }

    /// The whole number of a place in the stream; `None` while its high half is unknown.
    pub(super) fn whole(&self, at: u64) -> Option<u64> {
        self.base.filter(|_| !self.base_is_low).map(|base| base.wrapping_add(at))
    }

    /// Where in the stream a number stands; `None` when it stands before its first byte.
    pub(super) fn place(&mut self, number: DataNumber) -> Option<u64> {
        let near = self.seen.end().max(self.acked);
        let (base, at) = match (number, self.base) {
            (DataNumber::Long(whole), Some(base)) => (base, whole.wrapping_sub(base)),
            (DataNumber::Long(whole), None) => (whole, 0),
            (DataNumber::Short(low), None) => {
                self.base_is_low = true;
                (u64::from(low), 0)
            }
            (DataNumber::Short(low), Some(base)) => {
                let expected = base.wrapping_add(near);
                let [.., a, b, c, d] = expected.to_be_bytes();
                let ahead = low.wrapping_sub(u32::from_be_bytes([a, b, c, d])).cast_signed();
                (base, near.wrapping_add_signed(i64::from(ahead)))
            }
        };
        self.base = Some(base);
        (at.cast_signed() >= 0).then_some(at)
    }

    /// Takes bytes in. Gives how many of them had been seen before.
    pub(super) fn hear(&mut self, bytes: Range<u64>) -> u64 {
        self.seen.insert(bytes)
    }

    /// DATA_FIN stands at that place.
    pub(super) fn finish(&mut self, at: u64) {
        self.fin.get_or_insert(at);
    }

    /// The other host acknowledges all below `number`. Gives how many bytes of it were never seen, the first time that some
    /// were not.
    pub(super) fn acknowledge(&mut self, number: DataNumber) -> Option<u64> {
        // Without a beginning, an acknowledgment tells nothing.
        self.base?;
        let upto = self.place(number)?;
        self.acked = self.acked.max(upto);
        let unseen = self.unseen();
        let told = self.told_unseen;
        self.told_unseen |= unseen > 0;
        (unseen > 0 && !told).then_some(unseen)
    }

    /// Behind the highest byte that was acknowledged: DATA_FIN takes a number and is none, and where it was not seen it may
    /// be the one above the bytes.
    fn acked_bytes(&self) -> u64 {
        match self.fin {
            Some(fin) => self.acked.min(fin),
            None if self.acked == self.seen.end() + 1 => self.seen.end(),
            None => self.acked,
        }
    }
}
