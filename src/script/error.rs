//! What can be wrong with a script, and what would be right.

use std::fmt;

use crate::script::packet::Unbuildable;

/// Text of a script that is quoted in a message; a word may be as long as the script.
const QUOTE_CHARS_MAX: usize = 60;

/// Longer words than this were not meant to be one of ours, and comparing costs the product of both lengths.
const WRITTEN_MAX: usize = 32;

/// A line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {wrong}")]
pub struct ScriptError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub wrong: Wrong,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// A word that nobody knows there.
    #[error("{} is no {what}; {}right would be {}", quote(word), guess(word, right), list(right))]
    Unknown {
        /// The word.
        word: String,
        /// What it should have been.
        what: Thing,
        /// The words that are known there.
        right: Box<[&'static str]>,
    },
    /// A word that cannot be read as what it should be.
    #[error("{} is no {what}; right would be {right}", quote(word))]
    Value {
        /// The word.
        word: String,
        /// What it should have been.
        what: Thing,
        /// Something that it could have been.
        right: &'static str,
    },
    /// The line ends, or the option, where a word should be.
    #[error("no {what} stands behind {}; right would be {right}", quote(behind))]
    Missing {
        /// The word before it.
        behind: String,
        /// What it should have been.
        what: Thing,
        /// Something that it could have been.
        right: &'static str,
    },
    /// A word behind what is complete.
    #[error("{} is too much; {} ends before it", quote(word), quote(of))]
    TooMuch {
        /// The word.
        word: String,
        /// What was complete.
        of: String,
    },
    /// An address of which nothing says whose it is.
    #[error("{} belongs to no known host; right would be \"of a\" behind it, or another letter", quote(word))]
    Whose {
        /// The address and its port.
        word: String,
    },
    /// What holds for a whole case came after its first segment.
    #[error("{} comes too late; right would be before the first segment or wait of its case", quote(word))]
    Late {
        /// The word.
        word: String,
    },
    /// A rule file without its end.
    #[error("\"rules\" has no end; right would be a line \"end\" behind the rule file")]
    NoEnd,
    /// It makes no packet.
    #[error(transparent)]
    Packet(#[from] Unbuildable),
    /// The packets of the script are too many to be kept.
    #[error("the packets up to here take more than {most} bytes")]
    TooLong {
        /// How many would do.
        most: usize,
    },
}

/// What a word can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// What a line begins with.
    Line,
    /// Who sends to whom.
    Way,
    /// An address with a port.
    Address,
    /// `to`, or `of` and a host.
    Between,
    /// The letter of a host.
    Host,
    /// The kind of a segment.
    Segment,
    /// The length of a payload.
    Length,
    /// An option's name.
    Option,
    /// A word that belongs to the option of that name.
    WordOf(&'static str),
    /// A token.
    Token,
    /// An address that is announced, with or without a port.
    Announced,
    /// A cookie of TCP Fast Open.
    Cookie,
    /// A number.
    Number,
    /// Bytes in hexadecimal.
    Hex,
    /// The name of an interface.
    Interface,
    /// The decision behind `=`.
    Decision,
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Line => "beginning of a line",
            Self::Way => "way",
            Self::Address => "address with a port",
            Self::Between => "word between two addresses",
            Self::Host => "host",
            Self::Segment => "segment",
            Self::Length => "length of a payload",
            Self::Option => "option",
            Self::WordOf(option) => return write!(f, "word of {option}"),
            Self::Token => "token",
            Self::Announced => "address",
            Self::Cookie => "cookie",
            Self::Number => "fitting number",
            Self::Hex => "even number of hexadecimal digits",
            Self::Interface => "name of an interface",
            Self::Decision => "decision",
        })
    }
}

impl Wrong {
    pub(super) fn unknown(word: &str, what: Thing, right: &[&'static str]) -> Self {
        Self::Unknown { word: word.to_owned(), what, right: right.into() }
    }

    pub(super) fn too_much(word: &str, of: &str) -> Self {
        Self::TooMuch { word: word.to_owned(), of: of.to_owned() }
    }

    pub(super) fn value(word: &str, what: Thing, right: &'static str) -> Self {
        Self::Value { word: word.to_owned(), what, right }
    }
}

fn quote(word: &str) -> String {
    let mut letters = word.chars();
    let begin: String = letters.by_ref().take(QUOTE_CHARS_MAX).collect();
    if letters.next().is_some() { format!("{:?}", begin + "…") } else { format!("{begin:?}") }
}

/// A question, if `word` is close to a known one: at most a third of its letters differ.
fn guess(word: &str, known: &[&'static str]) -> String {
    let letters = word.chars().count();
    if letters > WRITTEN_MAX {
        return String::new();
    }
    let word = word.to_lowercase();
    let nearest = known.iter().map(|known| (strsim::damerau_levenshtein(&word, known), known)).min();
    match nearest {
        Some((distance, known)) if distance <= letters.max(3) / 3 => format!("did you mean \"{known}\"? "),
        _ => String::new(),
    }
}

fn list(known: &[&'static str]) -> String {
    match known.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}
