//! The language in which conversations of MPTCP hosts are written, and the packets that it makes.
//!
//! ```text
//! case a join is tied to its connection
//! c>s   syn      mp_capable          = accept default new_connection
//! s>c   syn_ack  mp_capable          = accept decided known_connection
//! c>s   ack      mp_capable          = accept decided known_connection
//! c2>s  syn      mp_join             = accept default join_known
//! s>c2  syn_ack  mp_join             = accept decided join_answered
//! c2>s  ack      mp_join hmac bad    = reject forged_join join_forged_proof
//! ```
//!
//! A segment is a line: who says it to whom, its kind (`syn`, `syn_ack`, `ack`, `data`, `fin`, `rst`) with a length of
//! payload where one is wanted (`data:100`), its options joined by `+`, and behind `=` the decision that it shall get.
//! What follows a `#` is a comment. Each segment comes a millisecond after the last.
//!
//! # Who
//! A host is a letter, `c>s`; a number names its further addresses, `c2>s`. They are made of both: `c2` is 10.0.2.99, as
//! 99 is the code of `c`, or 2001:db8:2::63; the port is 443 from `s` on, else 40000. Or both ends are addresses:
//!
//! ```text
//! from 10.0.1.2:4000      to 10.0.3.2:443            syn mp_capable
//! from 10.0.2.2:5000      to 10.0.3.2:443            syn mp_join
//! from 10.0.9.9:6000 of x to 10.0.3.2:443            syn mp_join token b
//! from [2001:db8:5::2]:1  of a to [2001:db8:6::2]:443 of b syn mp_join
//! ```
//!
//! The first line's sender is then host `a`, its receiver host `b`. A new address belongs to `a` where the other end is
//! `b`'s, and to `b` where the other end is `a`'s. `of` and a letter behind an address say otherwise, from that line on;
//! they must stand where both addresses are new, or the other end belongs to a third host.
//!
//! Keys and nonces follow from the letter alone, so tokens and proofs are right by themselves, in each direction, and
//! the same in each run.
//!
//! # Options
//! | option | words behind it |
//! |---|---|
//! | `mp_capable` | `v0`, `v1` (what follows speaks that version too); `otherkey`, `otherpeer` (a key that is not the sender's, the receiver's), `mirrored` (the peer's own option), `b_flag` |
//! | `mp_join` | `token 0x…`, `token s` (of that host; without it, of the receiver), `hmac bad` |
//! | `dss` | `ack`, `map`, `infinite`, `fin` |
//! | `add_addr ID ADDR` | `bad` (its HMAC), `echo`, `v0` |
//! | `remove_addr ID…` | |
//! | `mp_prio`, `mp_fail` | |
//! | `mp_fastclose` | `bad` (its key) |
//! | `mp_tcprst` | `transient`, `reason N` |
//! | `mss`, `window_scale`, `user_timeout` | a number |
//! | `sack_permitted`, `timestamps`, `md5`, `ao` | |
//! | `fast_open` | a cookie in hexadecimal |
//! | `exp EXID` | bytes in hexadecimal |
//! | `raw HEX` | bytes of the option area as they are |
//! | `seq N` | no option: the segment's sequence number |
//!
//! # Other lines
//! | line | |
//! |---|---|
//! | `case NAME` | all is new: engine, hosts, clock, and what the lines below have set |
//! | `rules` … `end` | between them stands a rule file; a later one is loaded under the live connections |
//! | `observe` | the case's engine only observes |
//! | `limits CONNECTIONS HANDSHAKES` | of the case's engine |
//! | `wait SECS` | time passes, and what is due is forgotten |
//! | `input NAME`, `output NAME` | the interfaces of the segments from here on |
//! | `mark N` | the packet mark of the segments from here on |
//! | `partial` | from here on the kernel has yet to fill checksums in |
//! | `ipv6` | from here on letters have addresses of IPv6 |
//! | `bytes HEX` | a packet as it is, and its decision behind `=` |

pub mod packet;
pub mod error;
mod words;
mod hosts;
mod mptcp_options;
mod tcp_options;
mod read;
pub mod play;

use crate::engine::{Engine, Ingress, Mode};
use crate::rules::RuleSet;
use crate::time::Timestamp;
use crate::track::Limits;
pub use error::ScriptError;

/// Conversations, each with an engine of its own.
#[derive(Clone, Debug)]
pub struct Script {
    /// At least one, and all have steps unless the script has none.
    pub cases: Vec<Case>,
}

/// One conversation, from an engine that knows nothing to its last step.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// What its line says; empty where no line does.
    pub name: String,
    /// Whether the engine enforces.
    pub mode: Mode,
    /// What the engine remembers at most.
    pub limits: Limits,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// What happens next in a conversation.
#[derive(Clone, Debug)]
pub enum Step {
    /// A rule file is loaded.
    Rules(RuleText),
    /// It is that late, and what is due is forgotten: [`Engine::expire`].
    Wait(Timestamp),
    /// A packet comes.
    Packet(Line),
}

/// A rule file inside a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleText {
    /// The line of the script that is the file's first.
    pub number: usize,
    /// The file.
    pub text: String,
}

/// A packet, and all that [`Engine::decide`] wants to know of it.
#[derive(Clone, Debug)]
pub struct Line {
    /// Where it stands in the script, counted from 1.
    pub number: usize,
    /// The line, without its comment.
    pub text: String,
    /// When it comes, since the case began.
    pub now: Timestamp,
    /// By which door.
    pub ingress: Ingress,
    /// The packet.
    pub bytes: Vec<u8>,
    /// The decision that it shall get, as [`play::outcome`] tells it.
    pub wanted: Option<String>,
}

impl Case {
    /// The engine that it begins with.
    pub fn engine(&self, rules: RuleSet) -> Engine {
        Engine::new(rules, self.limits, self.mode)
    }
}
