//! MPTCP options as words, with keys, tokens and proofs that are right unless the words say otherwise.

use std::net::{IpAddr, SocketAddr};

use arrayvec::ArrayVec;

use crate::mptcp::hmac;
use crate::mptcp::option::{
    AddAddr, Announced, Capable, CapableData, CapableFlags, DataNumber, Dss, Join, Mapping, Prio, Proof,
    Tcprst,
};
use crate::mptcp::{Key, MptcpOption, ResetReason, Subtype, Token, Version};
use crate::script::error::{Thing, Wrong};
use crate::script::hosts::{Host, Way};
use crate::script::words::{self, Words};
use crate::wire::Segment;

/// Any id that is not 0, which is the first subflow's (RFC 8684 3.2).
const ADDRESS_ID: u8 = 2;

/// What an option depends on beside its words.
#[derive(Clone, Copy)]
pub(super) struct Said {
    pub(super) way: Way,
    pub(super) segment: Segment,
    pub(super) payload_len: u16,
    /// Of the MP_CAPABLE that was said last.
    pub(super) version: u8,
}

/// The options' names.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    Subtype::ALL.into_iter().filter(|subtype| *subtype != Subtype::Unassigned).map(Subtype::label)
}

/// Reads an option behind its name; `None` where the name is none of [`names`].
pub(super) fn read(name: &str, said: Said, words: &mut Words<'_, '_>) -> Result<Option<MptcpOption>, Wrong> {
    let Some(subtype) = Subtype::ALL.into_iter().find(|subtype| subtype.label() == name) else {
        return Ok(None);
    };
    let option = match subtype {
        Subtype::MpCapable => MptcpOption::Capable(capable(said, words)?),
        Subtype::MpJoin => MptcpOption::Join(join(said, words)?),
        Subtype::Dss => MptcpOption::Dss(dss(said, words)?),
        Subtype::AddAddr => MptcpOption::AddAddr(add_addr(said, words)?),
        Subtype::RemoveAddr => MptcpOption::RemoveAddr(address_ids(words)?),
        Subtype::MpPrio => MptcpOption::Prio(Prio { backup: true, address_id: None }),
        Subtype::MpFail => MptcpOption::Fail(9),
        Subtype::MpFastclose if words.take("bad") => MptcpOption::Fastclose(Key([9; 8])),
        Subtype::MpFastclose => MptcpOption::Fastclose(said.way.receiver.key()),
        Subtype::MpTcprst => MptcpOption::Tcprst(tcprst(words)?),
        Subtype::Unassigned => return Ok(None),
    };
    words.end(name)?;
    Ok(Some(option))
}

fn capable(said: Said, words: &mut Words<'_, '_>) -> Result<Capable, Wrong> {
    let (own, peer) = (said.way.sender.key(), said.way.receiver.key());
    let (mut sender, mut receiver, mut flags) = (own, peer, CapableFlags(0x01));
    let mut version = if said.segment == Segment::Syn { 1 } else { said.version };
    let mut mirrored = false;
    while let Some(word) = words.next() {
        match word {
            "otherkey" => sender = Key([7; 8]),
            "otherpeer" => receiver = Key([8; 8]),
            "mirrored" => {
                mirrored = true;
                sender = peer;
            }
            "b_flag" => flags = CapableFlags(0x41),
            _ => {
                version = version_number(word).ok_or_else(|| {
                    let right = ["v0", "v1", "otherkey", "otherpeer", "mirrored", "b_flag"];
                    Wrong::unknown(word, Thing::WordOf("mp_capable"), &right)
                })?
            }
        }
    }
    let later = !matches!(said.segment, Segment::Syn | Segment::SynAck);
    let with_key = version == 0 || (said.segment != Segment::Syn && !mirrored);
    let with_data = later && version == 1 && said.payload_len > 0;
    Ok(Capable {
        version,
        flags,
        sender_key: with_key.then_some(sender),
        receiver_key: later.then_some(receiver),
        data: with_data.then_some(CapableData { len: said.payload_len, checksum: None }),
    })
}

/// The field has four bits.
fn version_number(word: &str) -> Option<u8> {
    word.strip_prefix('v')?.parse().ok().filter(|&version| version < 16)
}

fn join(said: Said, words: &mut Words<'_, '_>) -> Result<Join, Wrong> {
    let version = Version::from_number(said.version).unwrap_or(Version::V1);
    let (prover, verifier) = (said.way.sender.side(), said.way.receiver.side());
    let mut token = verifier.key.token(version);
    let mut hmac = hmac::join(version, prover, verifier);
    while let Some(word) = words.next() {
        match word {
            "token" => token = read_token(version, words)?,
            "hmac" => {
                let how = words.need(Thing::WordOf("hmac"), "bad")?;
                if how != "bad" {
                    return Err(Wrong::unknown(how, Thing::WordOf("hmac"), &["bad"]));
                }
                hmac = hmac.map(|byte| !byte);
            }
            _ => return Err(Wrong::unknown(word, Thing::WordOf("mp_join"), &["token", "hmac"])),
        }
    }
    let (backup, address_id, nonce) = (false, ADDRESS_ID, prover.nonce);
    Ok(match said.segment {
        Segment::Syn => Join::Syn { backup, address_id, token, nonce },
        Segment::SynAck => {
            let hmac = hmac.first_chunk().copied().unwrap_or_default();
            Join::SynAck { backup, address_id, hmac, nonce }
        }
        Segment::Ack | Segment::Data | Segment::Fin | Segment::Rst => Join::Ack { hmac },
    })
}

fn read_token(version: Version, words: &mut Words<'_, '_>) -> Result<Token, Wrong> {
    let right = "a number such as 0xdeadbeef, or the letter of a host";
    let word = words.need(Thing::Token, right)?;
    let host = || Host::read(word).map(|host| host.key().token(version));
    words::number(word).map(Token).or_else(host).ok_or_else(|| Wrong::value(word, Thing::Token, right))
}

fn dss(said: Said, words: &mut Words<'_, '_>) -> Result<Dss, Wrong> {
    let mapping = |ssn, len| Some(Mapping { dsn: DataNumber::Long(9), ssn, len, checksum: None });
    let mut dss = Dss { data_fin: false, data_ack: None, mapping: None };
    while let Some(word) = words.next() {
        match word {
            "ack" => dss.data_ack = Some(DataNumber::Short(7)),
            "map" => dss.mapping = mapping(1, said.payload_len.max(1)),
            "infinite" => dss.mapping = mapping(0, 0),
            "fin" => dss.data_fin = true,
            _ => return Err(Wrong::unknown(word, Thing::WordOf("dss"), &["ack", "map", "infinite", "fin"])),
        }
    }
    Ok(dss)
}

fn add_addr(said: Said, words: &mut Words<'_, '_>) -> Result<AddAddr, Wrong> {
    let address_id = words.number("an address id, 0 to 255, and the address")?;
    let right = "something like 10.0.9.115, 2001:db8::9 or 10.0.9.115:443";
    let word = words.need(Thing::Announced, right)?;
    let with_port = word.parse::<SocketAddr>().map(|addr| (addr.ip(), Some(addr.port())));
    let (addr, port) = with_port
        .or_else(|_no_port| word.parse::<IpAddr>().map(|addr| (addr, None)))
        .map_err(|_no_addr| Wrong::value(word, Thing::Announced, right))?;
    let announced = Announced { address_id, addr, port };
    let hmac = hmac::add_addr(said.way.sender.key(), said.way.receiver.key(), &announced);
    let proof = match words.next() {
        None => Proof::Hmac(hmac),
        Some("bad") => Proof::Hmac(hmac.map(|byte| !byte)),
        Some("echo") => Proof::Echo,
        Some("v0") => Proof::None,
        Some(word) => {
            return Err(Wrong::unknown(word, Thing::WordOf("add_addr"), &["bad", "echo", "v0"]));
        }
    };
    Ok(AddAddr { announced, proof })
}

fn address_ids<const MAX: usize>(words: &mut Words<'_, '_>) -> Result<ArrayVec<u8, MAX>, Wrong> {
    let right = "address ids, 0 to 255";
    let mut ids = ArrayVec::from_iter([words.number(right)?]);
    while !words.is_empty() && !ids.is_full() {
        ids.push(words.number(right)?);
    }
    Ok(ids)
}

fn tcprst(words: &mut Words<'_, '_>) -> Result<Tcprst, Wrong> {
    let mut reset = Tcprst { reserved: 0, transient: false, reason: ResetReason::UNSPECIFIED };
    while let Some(word) = words.next() {
        match word {
            "transient" => reset.transient = true,
            "reason" => reset.reason = ResetReason(words.number("0 to 255")?),
            _ => return Err(Wrong::unknown(word, Thing::WordOf("mp_tcprst"), &["transient", "reason"])),
        }
    }
    Ok(reset)
}
