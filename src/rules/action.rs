//! What a rule or a policy does.

use crate::mptcp::ResetReason;

/// What happens to a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It goes on as it is.
    Accept,
    /// It goes on without the MPTCP options that matched.
    Strip,
    /// It is lost, and its sender (of later segments both sides) gets a RST with MP_TCPRST.
    Reject {
        /// The reason in MP_TCPRST.
        reason: ResetReason,
    },
    /// It is lost.
    Drop,
}

impl Action {
    /// The one spelling in rules, metrics, replay and docs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Strip => "strip",
            Self::Reject { .. } => "reject",
            Self::Drop => "drop",
        }
    }
}

/// What is done where no rule speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Connections and joins: accept, or strip (joins are then rejected, law 3).
    pub default: Action,
    /// A join whose token was never seen here.
    pub unknown_join: Action,
    /// A join whose HMAC does not verify.
    pub forged_join: Action,
    /// Options that no stack may send, and packets that cannot be read: accept, strip or drop.
    pub malformed: Action,
    /// ADD_ADDR whose HMAC does not verify.
    pub forged_announcement: Action,
    /// A third ACK that names other keys than the handshake did.
    pub key_changed: Action,
    /// ADD_ADDR that gives a known id another address.
    pub id_conflict: Action,
}

impl Default for Policy {
    fn default() -> Self {
        let error = Action::Reject { reason: ResetReason::MPTCP_ERROR };
        Self {
            default: Action::Accept,
            unknown_join: error,
            forged_join: error,
            malformed: Action::Drop,
            forged_announcement: Action::Drop,
            key_changed: error,
            id_conflict: Action::Accept,
        }
    }
}
