//! The four bits by which the kernel's rules and the gate speak of packets and connections.
//!
//! All rules look at these bits alone and leave the other 28 as they are. They are high bits because marks are mostly
//! small numbers, or the low halves that container networks take.

/// On a packet: the gate watches its connection. The rules save it to the connection (connmark), and from then on the
/// kernel queues the SYN/ACK, FIN and RST of that connection too, which carry no MPTCP once it fell back.
pub const WATCHED: u32 = 0x1000_0000;

/// On a packet of a watched connection: no handshake of its flow is under way any more. The rules save it too; until then
/// mode `control` queues all packets of the flow, since the kernel's matching sees the first MPTCP option of a segment alone,
/// and the MP_JOIN of a third ACK may stand behind another.
pub const DECIDED: u32 = 0x0800_0000;

/// On a packet: a reset that the gate sent itself; it skips the queue.
pub const RESET: u32 = 0x2000_0000;

/// On a packet: nftables chose it for iptables to queue; the gate takes the bit off again.
pub const PREFILTER: u32 = 0x4000_0000;

/// All of them: not for rules.
pub const OWN: u32 = WATCHED | DECIDED | RESET | PREFILTER;
