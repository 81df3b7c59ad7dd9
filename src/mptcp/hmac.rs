//! The proofs of MP_JOIN and ADD_ADDR (RFC 8684 3.2, 3.4.1; RFC 6824 3.2). Comparisons take constant time.

use std::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::mptcp::option::Announced;
use crate::mptcp::{Key, Nonce, Version};

/// One side of a join: its key and the nonce that it sent.
#[derive(Clone, Copy, Debug)]
pub struct JoinSide {
    /// The key of this side for the connection.
    pub key: Key,
    /// The nonce that this side put into its MP_JOIN.
    pub nonce: Nonce,
}

/// The leftmost 160 bits of the HMAC by which `prover` shows `verifier` that it knows both keys:
/// HMAC(key-P ‖ key-V, nonce-P ‖ nonce-V). SYN/ACKs carry its first 64 bits. About 200 ns in version 1.
pub fn join(version: Version, prover: JoinSide, verifier: JoinSide) -> [u8; 20] {
    let key = padded(prover.key, verifier.key);
    let message = (u64::from(prover.nonce.0) << 32 | u64::from(verifier.nonce.0)).to_be_bytes();
    match version {
        Version::V0 => Hmac::<Sha1>::new(&key.into()).chain_update(message).finalize().into_bytes().into(),
        Version::V1 => {
            let full: [u8; 32] =
                Hmac::<Sha256>::new(&key.into()).chain_update(message).finalize().into_bytes().into();
            full.first_chunk().copied().unwrap_or_default()
        }
    }
}

/// The rightmost 64 bits of the HMAC over an announced address (RFC 8684 3.4.1; version 0 has none). `sender`
/// announces, `receiver` is told.
pub fn add_addr(sender: Key, receiver: Key, announced: &Announced) -> [u8; 8] {
    let mac = Hmac::<Sha256>::new(&padded(sender, receiver).into()).chain_update([announced.address_id]);
    let mac = match announced.addr {
        IpAddr::V4(v4) => mac.chain_update(v4.octets()),
        IpAddr::V6(v6) => mac.chain_update(v6.octets()),
    };
    let port = announced.port.unwrap_or(0).to_be_bytes();
    let full: [u8; 32] = mac.chain_update(port).finalize().into_bytes().into();
    full.last_chunk().copied().unwrap_or_default()
}

/// Whether a received proof equals the computed one, or the leftmost part of it; an empty one never does.
pub fn equal(received: &[u8], computed: &[u8]) -> bool {
    !received.is_empty()
        && computed.get(..received.len()).is_some_and(|computed| received.ct_eq(computed).into())
}

/// Both keys as the key of a HMAC, filled up with zeros to the block of 64 bytes that SHA-1 and SHA-256 share (RFC 2104).
fn padded(first: Key, second: Key) -> [u8; 64] {
    let mut block = [0; 64];
    for (to, from) in block.iter_mut().zip(first.0.into_iter().chain(second.0)) {
        *to = from;
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn side(key: u64, nonce: u32) -> JoinSide {
        JoinSide { key: Key(key.to_be_bytes()), nonce: Nonce(nonce) }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// From tcpdump's test capture mptcp-v0, and computed with Python's hmac.
    #[test]
    fn joins_of_version_0_prove_what_a_real_stack_proved() {
        let initiator = side(0x9c9e_abd1_e46a_33b2, 0x1b66_5a18);
        let acceptor = side(0x967d_2770_b696_0552, 0x33ab_e9d5);
        assert_eq!(hex(&join(Version::V0, acceptor, initiator)), "5ab680c7884af03d5834f6a6f4b59072ea18842f");
        assert_eq!(hex(&join(Version::V0, initiator, acceptor)), "cb7b87f5e5f0502f43b535fb70ef6607df2e6c7a");
    }

    /// From tests/captures/join-ipv4.pcap.
    #[test]
    fn joins_of_version_1_prove_what_linux_proved() {
        let initiator = side(7_320_261_324_744_292_909, 336_518_963);
        let acceptor = side(15_924_019_003_844_117_930, 3_076_280_500);
        let answer = join(Version::V1, acceptor, initiator);
        assert!(equal(&7_072_440_222_373_618_913_u64.to_be_bytes(), &answer));
        assert_eq!(hex(&join(Version::V1, initiator, acceptor)), "73f3a6c0fae5edec85eebb0378d5b356e3784594");
    }

    /// From tests/captures/add-addr-ipv4.pcap and add-addr-port-ipv6.pcap.
    #[test]
    fn announcements_prove_what_linux_proved() {
        let key = |number: u64| Key(number.to_be_bytes());
        let v4 = Announced { address_id: 1, addr: [10, 0, 3, 3].into(), port: None };
        let proof = add_addr(key(12_871_387_377_680_362_803), key(7_321_047_154_527_173_967), &v4);
        assert_eq!(u64::from_be_bytes(proof), 4_800_874_641_268_282_405);

        let v6 = Announced { address_id: 1, addr: "fd00:3::3".parse().unwrap(), port: Some(8443) };
        let proof = add_addr(key(11_795_630_324_337_422_695), key(2_294_839_346_893_133_463), &v6);
        assert_eq!(u64::from_be_bytes(proof), 1_239_868_682_449_013_620);
    }

    #[test]
    fn an_empty_or_longer_proof_is_never_equal() {
        assert!(equal(&[1, 2], &[1, 2, 3]));
        assert!(!equal(&[], &[1, 2, 3]));
        assert!(!equal(&[1, 2, 3, 4], &[1, 2, 3]));
        assert!(!equal(&[1, 3], &[1, 2, 3]));
    }
}
