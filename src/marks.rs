//! The four bits by which the kernel's rules and the gate speak of packets and connections.
//!
//! All rules look at these bits alone and leave the other 28 as they are. They are high bits because marks are mostly
//! small numbers, or the low halves that container networks take.

/// On a connection (connmark): the gate watches it. The kernel queues its SYN/ACK, FIN and RST too, which may carry no MPTCP.
pub const WATCHED: u32 = 0x1000_0000;

/// On a watched connection: no handshake of its flow is under way any more. Until then mode `control` queues the packets of
/// the flow that have no MPTCP option, or have room for an MP_JOIN behind their first one, which is the one that the kernel's
/// matching sees.
pub const DECIDED: u32 = 0x0800_0000;

/// What is on connections. On a packet to the gate these bits are those of its connection; on one that comes back they are what
/// its connection is to have.
pub const SAVED: u32 = WATCHED | DECIDED;

/// On a packet: the rules hand it to the gate, and know what to do when it comes back. In mode `control` of iptables, it is
/// what nftables chose for iptables to queue.
pub const ASKED: u32 = 0x4000_0000;

/// On a packet: the gate has spoken, and it skips the queue. Alone it is on the resets that the gate sends itself. With
/// [`ASKED`] it is on a packet that the gate had go through the rules again (`NF_REPEAT`), for them to save what is on
/// its connection: so no other packet has to pass by a rule that saves.
pub const ANSWERED: u32 = 0x2000_0000;

/// All of them: not for rules.
pub const OWN: u32 = SAVED | ASKED | ANSWERED;
