//! Floor 0: what the bytes of an IP packet say about TCP (RFC 9293, 791, 8200), and how to change them in place.

pub mod flow;
pub mod packet;
pub mod options;
pub mod kinds;
pub mod interface;
pub mod checksum;
pub mod edit;
pub mod reset;

pub use flow::{End, Endpoint, Flow, Pair};
pub use interface::InterfaceName;
pub use kinds::OptionKind;
pub use options::{OptionMask, RawOption};
pub use packet::{Packet, Segment, Unparsed};
