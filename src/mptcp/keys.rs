//! Keys, and what they are hashed into: tokens and initial data sequence numbers.

use std::fmt;

use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A version of MPTCP that the gate can compute with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// RFC 6824, SHA-1.
    V0,
    /// RFC 8684, SHA-256.
    V1,
}

impl Version {
    /// The number in MP_CAPABLE.
    pub const fn number(self) -> u8 {
        match self {
            Self::V0 => 0,
            Self::V1 => 1,
        }
    }

    /// The version of that number; `None` for those yet to be written.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::V0),
            1 => Some(Self::V1),
            _ => None,
        }
    }
}

/// A host's key for one connection: a secret. It prints as nothing and compares in constant time.
#[derive(Clone, Copy)]
pub struct Key(pub [u8; 8]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Key {}

/// Names a connection at the host that chose it; MP_JOIN carries the receiver's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u32);

/// A random number that MP_JOIN adds to the HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nonce(pub u32);

/// The initial data sequence number of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Idsn(pub u64);

impl Key {
    /// The most significant 32 bits of the key's hash (RFC 8684 3.2, RFC 6824 3.2). About 60 ns.
    pub fn token(self, version: Version) -> Token {
        let [a, b, c, d, ..] = self.hash(version);
        Token(u32::from_be_bytes([a, b, c, d]))
    }

    /// The least significant 64 bits of the key's hash (RFC 8684 3.1, RFC 6824 3.1). About 60 ns.
    pub fn idsn(self, version: Version) -> Idsn {
        let [.., a, b, c, d, e, f, g, h] = self.hash(version);
        Idsn(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }

    /// The first 8 and the last 8 bytes of the hash, which is all that anyone needs of it.
    fn hash(self, version: Version) -> [u8; 16] {
        match version {
            Version::V0 => {
                let digest: [u8; 20] = Sha1::digest(self.0).into();
                ends(&digest)
            }
            Version::V1 => {
                let digest: [u8; 32] = Sha256::digest(self.0).into();
                ends(&digest)
            }
        }
    }
}

fn ends(digest: &[u8]) -> [u8; 16] {
    let first = digest.first_chunk::<8>().copied().unwrap_or_default();
    let last = digest.last_chunk::<8>().copied().unwrap_or_default();
    let mut both = [0; 16];
    for (to, from) in both.iter_mut().zip(first.into_iter().chain(last)) {
        *to = from;
    }
    both
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn key(number: u64) -> Key {
        Key(number.to_be_bytes())
    }

    /// Key of the acceptor and token in the join to it, from real handshakes: multipath-tcp.org's Linux for version 0
    /// (tcpdump's test capture mptcp-v0), Linux 6.18 for version 1 (tests/captures/join-ipv4.pcap).
    #[test]
    fn tokens_are_those_of_real_stacks() {
        assert_eq!(key(0x967d_2770_b696_0552).token(Version::V0), Token(0xe47f_0142));
        assert_eq!(key(15_924_019_003_844_117_930).token(Version::V1), Token(1_687_269_814));
    }

    /// Computed with Python's hashlib.
    #[test]
    fn both_ends_of_the_hash_are_taken() {
        assert_eq!(key(0x9c9e_abd1_e46a_33b2).token(Version::V0), Token(0xaf97_06eb));
        assert_eq!(key(0x9c9e_abd1_e46a_33b2).idsn(Version::V0), Idsn(0x9851_b565_d52a_bec9));
        assert_eq!(key(1).token(Version::V1), Token(0xcd26_6215));
        assert_eq!(key(1).idsn(Version::V1), Idsn(0x19ec_5090_83d0_0a50));
    }

    #[test]
    fn a_key_prints_as_nothing() {
        assert_eq!(format!("{:?}", key(0x1234_5678_9abc_def0)), "Key(…)");
    }
}
