//! What a rule or a policy does.

use crate::mptcp::ResetReason;
use crate::track::Parent;

/// What happens to a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It goes on as it is.
    Accept,
    /// It goes on without the options that matched.
    Strip,
    /// It is lost, and its sender (of later segments both sides) gets a RST with MP_TCPRST.
    Reject(Refusal),
    /// It is lost.
    Drop,
    /// The connection is accepted; its joins and announcements will be refused.
    SinglePath,
}

/// What a RST with MP_TCPRST says (RFC 8684 3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: ResetReason,
    /// T: trying again later may help.
    pub transient: bool,
}

impl Refusal {
    /// With the T flag that suits the reason: what is lacking now may be there later.
    pub const fn because(reason: ResetReason) -> Self {
        Self { reason, transient: reason.0 == ResetReason::NO_RESOURCES.0 }
    }
}

impl Action {
    /// A matter of policy.
    pub const PROHIBIT: Self = Self::Reject(Refusal::because(ResetReason::PROHIBITED));
    /// A bad HMAC or token.
    pub const DISBELIEVE: Self = Self::Reject(Refusal::because(ResetReason::MPTCP_ERROR));

    /// The one spelling in rules, metrics, replay and docs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Strip => "strip",
            Self::Reject(_) => "reject",
            Self::Drop => "drop",
            Self::SinglePath => "single_path",
        }
    }

    /// Whether the segment goes on as it is.
    pub const fn lets_pass(self) -> bool {
        match self {
            Self::Accept | Self::SinglePath => true,
            Self::Strip | Self::Reject(_) | Self::Drop => false,
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
    /// ADD_ADDR of version 0, which has no HMAC.
    pub unproven_announcement: Action,
    /// A third ACK that names other keys than the handshake did.
    pub key_changed: Action,
    /// ADD_ADDR that gives a known id another address.
    pub id_conflict: Action,
    /// The bits of the first subflow's mark that joins take, where their rule does not say.
    pub inherit_mark: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            default: Action::Accept,
            unknown_join: Action::DISBELIEVE,
            forged_join: Action::DISBELIEVE,
            malformed: Action::Drop,
            forged_announcement: Action::Drop,
            unproven_announcement: Action::Drop,
            key_changed: Action::DISBELIEVE,
            id_conflict: Action::Accept,
            inherit_mark: 0,
        }
    }
}

/// `[limits]`: how much one connection may have, whatever the rules accept. What goes beyond is refused as a lack of
/// resources, to be tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// Subflows beside the first, open or about to be, as `ip mptcp limits` counts them.
    pub subflows: Option<u16>,
    /// Joins under way at once.
    pub pending_joins: Option<u16>,
    /// Addresses that one host has announced.
    pub announced_addresses: Option<u16>,
}

impl Caps {
    /// The key that forbids one more join to that connection, and what it allows.
    pub fn forbids_join(&self, parent: &Parent) -> Option<(&'static str, u16)> {
        let joined = parent.subflows.saturating_add(parent.pending_joins);
        let subflows = self.subflows.filter(|&cap| joined >= cap).map(|cap| ("subflows", cap));
        let pending = || self.pending_joins.filter(|&cap| parent.pending_joins >= cap);
        subflows.or_else(|| pending().map(|cap| ("pending_joins", cap)))
    }

    /// The key that forbids its sender one more address, and what it allows.
    pub fn forbids_address(&self, parent: &Parent) -> Option<(&'static str, u16)> {
        let cap = self.announced_addresses.filter(|&cap| parent.announced >= cap);
        cap.map(|cap| ("announced_addresses", cap))
    }
}
