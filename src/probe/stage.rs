//! The stages of a connection's life, and how each of them went.

use serde::Serialize;

/// What is tried, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// A plain SYN is answered.
    Tcp,
    /// MP_CAPABLE in SYN and SYN/ACK.
    MpCapable,
    /// Both keys in the third segment.
    ThirdAck,
    /// MP_JOIN in SYN and SYN/ACK.
    Join,
    /// ADD_ADDR in a pure ACK.
    AddAddr,
    /// DSS behind the handshake, both ways.
    Dss,
    /// Data arrives as it was sent.
    Payload,
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Unharmed.
    Passed,
    /// It arrives otherwise.
    Changed,
    /// The option is gone.
    Removed,
    /// The segment is gone.
    Dropped,
    /// A RST comes back.
    Reset,
    /// Our own option comes back.
    Mirrored,
    /// A RST comes back that says why.
    Refused,
    /// There was no point in it, or no way.
    NotTried,
}

/// One stage, as it went.
#[derive(Clone, Debug, Serialize)]
pub struct StageReport {
    /// Which one.
    pub stage: Stage,
    /// How it went.
    pub result: Outcome,
    /// What was seen.
    pub detail: String,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Tcp, Self::MpCapable, Self::ThirdAck, Self::Join, Self::AddAddr, Self::Dss, Self::Payload];

    /// The one spelling.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::MpCapable => "mp_capable",
            Self::ThirdAck => "third_ack",
            Self::Join => "join",
            Self::AddAddr => "add_addr",
            Self::Dss => "dss",
            Self::Payload => "payload",
        }
    }
}

impl Outcome {
    /// The one spelling.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Dropped => "dropped",
            Self::Reset => "reset",
            Self::Mirrored => "mirrored",
            Self::Refused => "refused",
            Self::NotTried => "not_tried",
        }
    }
}
