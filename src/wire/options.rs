//! The one walker over a TCP option area (RFC 9293 3.2), and sets of bytes in it.

/// The longest option area: a data offset of 15 words less the 20 bytes of the fixed header.
pub const AREA_MAX: usize = 40;

/// End of Option List.
pub const END: u8 = 0;
/// No-Operation.
pub const NOP: u8 = 1;
/// Multipath TCP (RFC 8684 8.1).
pub const MPTCP: u8 = 30;

/// One option as it stands in the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawOption<'p> {
    /// The option's kind.
    pub kind: u8,
    /// Offset of the kind byte from the start of the option area.
    pub at: usize,
    /// The option with kind and length, as long as its length field says; the rest of the area where that is `broken`.
    pub bytes: &'p [u8],
    /// The length field is below two or reaches out of the area; receivers stop reading here.
    pub broken: bool,
}

/// Iterator over options: skips NOPs, stops at End of Option List and behind a broken option, never at an unknown kind.
#[derive(Clone, Debug)]
pub struct Options<'p> {
    area: &'p [u8],
    at: usize,
}

impl<'p> Options<'p> {
    /// Walks `area`, the bytes between the fixed TCP header and the payload.
    pub const fn new(area: &'p [u8]) -> Self {
        Self { area, at: 0 }
    }
}

impl<'p> Iterator for Options<'p> {
    type Item = RawOption<'p>;

    fn next(&mut self) -> Option<RawOption<'p>> {
        loop {
            let rest = self.area.get(self.at..)?;
            let (&kind, behind) = rest.split_first()?;
            match kind {
                END => {
                    self.at = self.area.len();
                    return None;
                }
                NOP => self.at += 1,
                _ => {
                    let at = self.at;
                    let len = usize::from(behind.first().copied().unwrap_or(0));
                    let whole = if len < 2 { None } else { rest.get(..len) };
                    self.at = whole.map_or(self.area.len(), |bytes| at + bytes.len());
                    return Some(RawOption {
                        kind,
                        at,
                        bytes: whole.unwrap_or(rest),
                        broken: whole.is_none(),
                    });
                }
            }
        }
    }
}

/// A set of bytes of the option area: bit *i* is byte *i*. The area has at most 40 bytes, so 64 bits do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OptionMask(u64);

impl OptionMask {
    /// No byte.
    pub const EMPTY: Self = Self(0);

    /// The bytes that `option` takes.
    pub const fn of(option: &RawOption<'_>) -> Self {
        Self::span(option.at, option.bytes.len())
    }

    /// `len` bytes from offset `at`; what lies beyond byte 63 is left out.
    pub const fn span(at: usize, len: usize) -> Self {
        let ones = if len >= 64 { u64::MAX } else { (1_u64 << len) - 1 };
        Self(if at >= 64 { 0 } else { ones << at })
    }

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the two have a byte in common.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether byte `at` is in the set.
    pub const fn contains(self, at: usize) -> bool {
        at < 64 && self.0 >> at & 1 == 1
    }

    /// Whether no byte is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(area: &[u8]) -> Vec<(u8, usize, usize, bool)> {
        Options::new(area).map(|option| (option.kind, option.at, option.bytes.len(), option.broken)).collect()
    }

    #[test]
    fn unknown_kinds_are_walked_over() {
        assert_eq!(
            kinds(&[99, 3, 0, 30, 2, 1, 30, 3, 0x50]),
            [(99, 0, 3, false), (30, 3, 2, false), (30, 6, 3, false)]
        );
    }

    #[test]
    fn nothing_is_read_behind_the_end_of_the_list() {
        assert_eq!(kinds(&[2, 4, 5, 180, 0, 30, 3, 0x50]), [(2, 0, 4, false)]);
    }

    #[test]
    fn a_length_that_cannot_be_true_ends_the_walk() {
        assert_eq!(kinds(&[1, 30, 0, 1, 1]), [(30, 1, 4, true)]);
        assert_eq!(kinds(&[1, 30, 9, 1, 1]), [(30, 1, 4, true)]);
        assert_eq!(kinds(&[1, 1, 30]), [(30, 2, 1, true)]);
    }

    #[test]
    fn a_mask_covers_its_span_and_no_more() {
        let mask = OptionMask::span(4, 3).and(OptionMask::span(39, 1));
        let covered: Vec<_> = (0..70).filter(|&at| mask.contains(at)).collect();
        assert_eq!(covered, [4, 5, 6, 39]);
        assert!(OptionMask::span(64, 4).is_empty());
    }
}
