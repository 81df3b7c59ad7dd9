//! What happened on the way, and when.

use std::fmt;
use std::time::Duration;

use bytesize::ByteSize;
use serde::Serialize;

use crate::lab::counters::LinkBytes;

/// What can happen on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The gate verified a join.
    JoinAccepted,
    /// A link was cut.
    LinkCut,
    /// It was put back.
    LinkBack,
}

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
pub struct Moment {
    /// Since curl was started.
    pub millis: u64,
    /// What it was.
    pub what: What,
    /// To which link; the gate does not say by which one a join came.
    pub link: Option<&'static str>,
    /// Bytes of the file that had come.
    pub received: u64,
    #[serde(skip)]
    pub(super) links: LinkBytes,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let received = ByteSize(self.received).display().si();
        write!(f, "at {}, {received}: {}", seconds(self.millis), self.label())
    }
}

impl Moment {
    /// In a few words.
    pub(super) fn label(&self) -> String {
        let link = self.link.unwrap_or_default();
        match self.what {
            What::JoinAccepted => "the gate accepts a join".into(),
            What::LinkCut => format!("{link} is cut"),
            What::LinkBack => format!("{link} is back"),
        }
    }
}

/// A time for JSON.
pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A time for people.
pub(super) fn seconds(millis: u64) -> String {
    format!("{}.{} s", millis / 1000, millis % 1000 / 100)
}
