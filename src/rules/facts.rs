//! What a rule can ask about a segment.

use crate::mptcp::SubtypeSet;
use crate::track::Standing;
use crate::wire::{Flow, Segment};

/// A network interface's name, as long as Linux lets it be (IFNAMSIZ less the closing zero).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InterfaceName([u8; 15]);

impl InterfaceName {
    /// That name; `None` when it is empty or longer than 15 bytes.
    pub fn new(name: &str) -> Option<Self> {
        let mut bytes = [0; 15];
        bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        (!name.is_empty()).then_some(Self(bytes))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        let text = std::str::from_utf8(&self.0).unwrap_or_default();
        text.trim_end_matches('\0')
    }
}

/// What a rule can ask about a segment.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Who sent it to whom.
    pub flow: Flow,
    /// By which interface it came, where it did not start here.
    pub input: Option<InterfaceName>,
    /// By which interface it leaves, where it does not end here.
    pub output: Option<InterfaceName>,
    /// What kind of segment it is.
    pub segment: Segment,
    /// The MPTCP options that it carries.
    pub subtypes: SubtypeSet,
    /// The version in its MP_CAPABLE, else that of its connection.
    pub version: Option<u8>,
    /// How it stands to what is remembered.
    pub standing: Standing,
}
