//! The words of a line, taken one by one.

use crate::script::error::{Thing, Wrong};

/// What is left of a line, or of one option in it.
pub(super) struct Words<'w, 't> {
    behind: &'t str,
    rest: &'w [&'t str],
}

impl<'w, 't> Words<'w, 't> {
    /// Those behind the word `behind`.
    pub(super) const fn new(behind: &'t str, rest: &'w [&'t str]) -> Self {
        Self { behind, rest }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn next(&mut self) -> Option<&'t str> {
        let (word, rest) = self.rest.split_first()?;
        self.behind = word;
        self.rest = rest;
        Some(word)
    }

    /// The next word, if it is that one.
    pub(super) fn take(&mut self, word: &str) -> bool {
        let found = self.rest.first() == Some(&word);
        if found {
            self.next();
        }
        found
    }

    pub(super) fn need(&mut self, what: Thing, right: &'static str) -> Result<&'t str, Wrong> {
        let behind = self.behind;
        self.next().ok_or_else(|| Wrong::Missing { behind: behind.to_owned(), what, right })
    }

    /// The next word as a number; `right` says up to which.
    pub(super) fn number<T: TryFrom<u64>>(&mut self, right: &'static str) -> Result<T, Wrong> {
        let word = self.need(Thing::Number, right)?;
        number(word).ok_or_else(|| Wrong::value(word, Thing::Number, right))
    }

    /// The same, where the number may be left out.
    pub(super) fn number_or<T: TryFrom<u64>>(&mut self, default: T, right: &'static str) -> Result<T, Wrong> {
        if self.is_empty() { Ok(default) } else { self.number(right) }
    }

    /// All that is left, as bytes; blanks may stand anywhere between the digits.
    pub(super) fn hex(&mut self) -> Result<Vec<u8>, Wrong> {
        let right = "something like 1e03f0";
        if self.is_empty() {
            self.need(Thing::Hex, right)?;
        }
        let text = self.rest.concat();
        self.rest = &[];
        hex(&text).ok_or_else(|| Wrong::value(&text, Thing::Hex, right))
    }

    /// The same, where all may be left out.
    pub(super) fn hex_or_nothing(&mut self) -> Result<Vec<u8>, Wrong> {
        if self.is_empty() { Ok(Vec::new()) } else { self.hex() }
    }

    /// Nothing may be left behind what `of` names.
    pub(super) fn end(&mut self, of: &str) -> Result<(), Wrong> {
        match self.next() {
            Some(word) => Err(Wrong::too_much(word, of)),
            None => Ok(()),
        }
    }
}

/// A number in decimal, or in hexadecimal behind `0x`.
pub(super) fn number<T: TryFrom<u64>>(word: &str) -> Option<T> {
    let number = match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => word.parse(),
    };
    T::try_from(number.ok()?).ok()
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<_>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let (pairs, []) = digits.as_deref()?.as_chunks() else { return None };
    pairs.iter().map(|[high, low]| u8::try_from(high << 4 | low).ok()).collect()
}
