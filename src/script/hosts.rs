//! Who is who: hosts with their keys and nonces, and whose an address is.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::mptcp::hmac::JoinSide;
use crate::mptcp::{Key, Nonce};
use crate::script::error::{Thing, Wrong};
use crate::script::words::Words;
use crate::wire::{Endpoint, Flow};

/// A host is a small letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Host(u8);

impl Host {
    const A: Self = Self(b'a');
    const B: Self = Self(b'b');

    pub(super) fn read(word: &str) -> Option<Self> {
        match word.as_bytes() {
            [letter] if letter.is_ascii_alphabetic() => Some(Self(letter.to_ascii_lowercase())),
            _ => None,
        }
    }

    /// The same in all its connections.
    pub(super) fn key(self) -> Key {
        Key(0x1111_1111_1111_1111_u64.wrapping_mul(u64::from(self.0)).to_be_bytes())
    }

    /// As a side of a join.
    pub(super) fn side(self) -> JoinSide {
        JoinSide { key: self.key(), nonce: Nonce(u32::from_be_bytes([self.0; 4])) }
    }

    /// Whom it talks to, where nothing else is said.
    const fn peer(self) -> Option<Self> {
        match self {
            Self::A => Some(Self::B),
            Self::B => Some(Self::A),
            Self(_) => None,
        }
    }
}

/// Who says a line to whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) flow: Flow,
    pub(super) sender: Host,
    pub(super) receiver: Host,
}

/// One end of a line, as it is written.
struct End<'t> {
    word: &'t str,
    at: Endpoint,
    host: Option<Host>,
}

/// Whose the addresses are that a case has named so far.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    owners: BTreeMap<IpAddr, Host>,
    /// Hosts that are written as letters have addresses of IPv6.
    pub(super) ipv6: bool,
}

impl Addresses {
    /// Reads `c2>s`, or what stands behind `from`.
    pub(super) fn way(&mut self, word: &str, words: &mut Words<'_, '_>) -> Result<Way, Wrong> {
        if word != "from" {
            let ends = word.split_once('>').and_then(|(from, to)| self.letter(from).zip(self.letter(to)));
            let right = "something like c>s or c2>s, with a letter for each host and a number up to 255 for its further addresses";
            let (src, dst) = ends.ok_or_else(|| Wrong::value(word, Thing::Way, right))?;
            return self.settle(&src, &dst);
        }
        let src = address(words)?;
        let to = words.need(Thing::Between, "to, and the receiver's address")?;
        if to != "to" {
            return Err(Wrong::unknown(to, Thing::Between, &["to", "of"]));
        }
        let dst = address(words)?;
        self.settle(&src, &dst)
    }

    fn letter<'t>(&self, word: &'t str) -> Option<End<'t>> {
        let (letter, number) = word.split_at_checked(1)?;
        let host = Host::read(letter)?;
        let number: u8 = if number.is_empty() { 1 } else { number.parse().ok()? };
        let addr = if self.ipv6 {
            IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, number.into(), 0, 0, 0, 0, host.0.into()))
        } else {
            IpAddr::V4(Ipv4Addr::new(10, 0, number, host.0))
        };
        let port = if host.0 >= b's' { 443 } else { 40_000 };
        Some(End { word, at: Endpoint { addr, port }, host: Some(host) })
    }

    /// Whose the two ends are, from now on. Two ends of one address are not told apart by it.
    fn settle(&mut self, src: &End<'_>, dst: &End<'_>) -> Result<Way, Wrong> {
        let apart = src.at.addr != dst.at.addr;
        let owner =
            |end: &End<'_>| end.host.or_else(|| self.owners.get(&end.at.addr).copied().filter(|_| apart));
        let peer =
            |host: Host, end: &End<'_>| host.peer().ok_or_else(|| Wrong::Whose { word: end.word.to_owned() });
        let (sender, receiver) = match (owner(src), owner(dst)) {
            (Some(sender), Some(receiver)) => (sender, receiver),
            (Some(sender), None) => (sender, peer(sender, dst)?),
            (None, Some(receiver)) => (peer(receiver, src)?, receiver),
            (None, None) if apart && self.owners.is_empty() => (Host::A, Host::B),
            (None, None) => return Err(Wrong::Whose { word: src.word.to_owned() }),
        };
        self.owners.insert(src.at.addr, sender);
        self.owners.insert(dst.at.addr, receiver);
        Ok(Way { flow: Flow { src: src.at, dst: dst.at }, sender, receiver })
    }
}

/// An address with a port, and whose it is where that is said.
fn address<'t>(words: &mut Words<'_, 't>) -> Result<End<'t>, Wrong> {
    let right = "something like 10.0.1.2:4000 or [2001:db8::1]:443";
    let word = words.need(Thing::Address, right)?;
    let at = word.parse::<SocketAddr>().map_err(|_no_addr| Wrong::value(word, Thing::Address, right))?;
    let host = if words.take("of") { Some(host(words)?) } else { None };
    Ok(End { word, at: at.into(), host })
}

fn host(words: &mut Words<'_, '_>) -> Result<Host, Wrong> {
    let right = "a letter, such as a for the first line's sender or b for its receiver";
    let word = words.need(Thing::Host, right)?;
    Host::read(word).ok_or_else(|| Wrong::value(word, Thing::Host, right))
}
