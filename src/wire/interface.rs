//! The network interfaces that a packet passes.

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
