//! What a rule can ask about a segment.

use std::net::IpAddr;

use arrayvec::ArrayVec;

use crate::mptcp::SubtypeSet;
use crate::track::{JoinTo, Parent, Standing};
use crate::wire::kinds::{Oddities, SeenKind};
use crate::wire::options::AREA_MAX;
use crate::wire::{Flow, InterfaceName, Segment};

/// Options that fit into a segment: the shortest takes two bytes.
pub const OPTIONS_MAX: usize = AREA_MAX / 2;

/// Announcements that fit: the shortest ADD_ADDR takes 8 bytes.
pub const ANNOUNCED_MAX: usize = AREA_MAX / 8;

/// What a rule can ask about a segment. What only some rules ask is found out only where one does: see
/// [`Needs`](crate::rules::Needs).
#[derive(Clone, Debug)]
pub struct Facts {
    /// Who sent it to whom.
    pub flow: Flow,
    /// By which interface it came, where it did not start here.
    pub input: Option<InterfaceName>,
    /// By which interface it leaves, where it does not end here.
    pub output: Option<InterfaceName>,
    /// The mark that it came with.
    pub mark: u32,
    /// What kind of segment it is.
    pub segment: Segment,
    /// The MPTCP options that it carries.
    pub subtypes: SubtypeSet,
    /// The version in its MP_CAPABLE, else that of its connection.
    pub version: Option<u8>,
    /// How it stands to what is remembered.
    pub standing: Standing,
    /// The addresses that it announces.
    pub announced: ArrayVec<IpAddr, ANNOUNCED_MAX>,
    /// Where it goes, if it asks to join.
    pub join_to: Option<JoinTo>,
    /// Its connection, or the one that it asks to join.
    pub parent: Option<Parent>,
    /// Connections that its sender has opened.
    pub source_connections: u32,
    /// All TCP options that it carries.
    pub kinds: ArrayVec<SeenKind, OPTIONS_MAX>,
    /// What is odd about its options.
    pub odd: Oddities,
    /// One of its MPTCP options is malformed: only rules that ask for such speak.
    pub unsound: bool,
}

impl Facts {
    /// A segment without options, of which nothing is known.
    pub fn of(flow: Flow, segment: Segment) -> Self {
        Self {
            flow,
            input: None,
            output: None,
            mark: 0,
            segment,
            subtypes: SubtypeSet::EMPTY,
            version: None,
            standing: Standing::Plain,
            announced: ArrayVec::new(),
            join_to: None,
            parent: None,
            source_connections: 0,
            kinds: ArrayVec::new(),
            odd: Oddities::default(),
            unsound: false,
        }
    }

    /// Whether it passes by the interface of its connection's first subflow, on the side of its sender; where that is this
    /// machine itself, on the other side.
    pub fn same_interface(&self) -> Option<bool> {
        let parent = self.parent.as_ref()?;
        match (self.input, parent.near) {
            (None, None) => Some(self.output == parent.far),
            (now, then) => Some(now == then),
        }
    }
}
