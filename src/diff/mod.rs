//! The door to two captures of the same traffic, taken before and after a box: what the box did to it, and what that
//! does to MPTCP.
//!
//! Captures are read into [`Taken`], their conversations paired ([`flows`]), the segments of each pair aligned
//! ([`align`]), and what differs is told ([`compare()`]). A segment travels from its upstream capture to its downstream
//! one; which is which is found out for each conversation, as both captures see both directions.

pub mod sight;
pub mod taken;
pub mod flows;
pub mod numbers;
pub mod align;
pub mod options;
pub mod position;
pub mod held;
pub mod span;
pub mod finding;
pub mod effect;
pub mod heard;
pub mod compare;
pub mod text;
pub mod json;

pub use compare::{Comparison, compare};
pub use json::write_json;
pub use taken::Taken;
pub use text::{Colour, write_text};

use crate::track;

/// One of the two captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// The first that was named.
    Before,
    /// The second.
    After,
}

impl Side {
    /// As it is written.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Before => "BEFORE",
            Self::After => "AFTER",
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Before => Self::After,
            Self::After => Self::Before,
        }
    }
}

/// Which way a segment goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// From the host that opened the flow.
    ToServer,
    /// To it.
    ToClient,
}

impl Direction {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::ToServer, Self::ToClient];

    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::ToServer => "client to server",
            Self::ToClient => "server to client",
        }
    }

    /// In JSON.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ToServer => "client_to_server",
            Self::ToClient => "server_to_client",
        }
    }

    /// Who sends that way.
    pub const fn sender(self) -> track::Side {
        match self {
            Self::ToServer => track::Side::Opener,
            Self::ToClient => track::Side::Acceptor,
        }
    }

    /// The way back.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }
}
