//! Sequence numbers on both sides of a box that may rewrite them, or make a payload longer or shorter.

/// How numbers of AFTER become those of BEFORE, for the sequence numbers of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// AFTER less BEFORE.
    pub offset: u32,
    /// Changes of a payload's length, by their place.
    shifts: Vec<Shift>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shift {
    /// The number, as in AFTER less `offset`, from which on it holds.
    from: u32,
    /// Bytes that AFTER has more, modulo 2^32.
    delta: u32,
}

impl Numbers {
    /// Those of a box that adds so much to each number.
    pub const fn with_offset(offset: u32) -> Self {
        Self { offset, shifts: Vec::new() }
    }

    /// What stands in BEFORE where `after` stands in AFTER.
    pub fn to_before(&self, after: u32) -> u32 {
        let plain = after.wrapping_sub(self.offset);
        let behind = |shift: &&Shift| plain.wrapping_sub(shift.from) < 1 << 31;
        self.shifts.iter().filter(behind).fold(plain, |number, shift| number.wrapping_sub(shift.delta))
    }

    /// From `after` on (a number of AFTER), AFTER has `delta` bytes more.
    pub fn shift(&mut self, after: u32, delta: u32) {
        self.shifts.push(Shift { from: after.wrapping_sub(self.offset), delta });
    }

    /// How many payloads changed their length.
    pub const fn shifts(&self) -> usize {
        self.shifts.len()
    }

    /// Numbers are the same on both sides.
    pub const fn is_same(&self) -> bool {
        self.offset == 0 && self.shifts.is_empty()
    }
}

/// Numbers go round: `one` is `other`, or comes behind it.
pub const fn is_at_least(one: u32, other: u32) -> bool {
    one.wrapping_sub(other) < 1 << 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_holds_from_its_place_on() {
        let mut numbers = Numbers::with_offset(u32::MAX - 9);
        numbers.shift(100, 5);
        assert_eq!(numbers.to_before(99), 109);
        assert_eq!(numbers.to_before(100), 105);
        assert_eq!(Numbers::with_offset(7).to_before(3), u32::MAX - 3);
    }
}
