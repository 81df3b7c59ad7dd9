//! MPTCP options in JSON, by the names of Wireshark's fields `tcp.options.mptcp.*`. Keys are secrets and have none; their
//! tokens, which joins name on the wire, have `expected_token`, after Wireshark's `mptcp.expected_token`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arrayvec::ArrayVec;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::mptcp::option::{AddAddr, Capable, DataNumber, Dss, Join, Mapping, Prio, Proof, Tcprst};
use crate::mptcp::signals::Signal;
use crate::mptcp::{MptcpOption, Nonce, Token, Version};

/// One option; the fields that it does not have are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Fields {
    subtype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    malformed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u8>,
    #[serde(rename = "checksumreq.flags", skip_serializing_if = "Option::is_none")]
    checksum_required: Option<bool>,
    #[serde(rename = "extensibility.flag", skip_serializing_if = "Option::is_none")]
    extensibility: Option<bool>,
    #[serde(rename = "nomoresubflows.flag", skip_serializing_if = "Option::is_none")]
    no_more_subflows: Option<bool>,
    #[serde(rename = "sha1.flag", skip_serializing_if = "Option::is_none")]
    sha1: Option<bool>,
    #[serde(rename = "sha256.flag", skip_serializing_if = "Option::is_none")]
    sha256: Option<bool>,
    #[serde(rename = "backup.flag", skip_serializing_if = "Option::is_none")]
    backup: Option<bool>,
    #[serde(rename = "datafin.flag", skip_serializing_if = "Option::is_none")]
    data_fin: Option<bool>,
    #[serde(rename = "dseqn8.flag", skip_serializing_if = "Option::is_none")]
    dsn_long: Option<bool>,
    #[serde(rename = "dseqnpresent.flag", skip_serializing_if = "Option::is_none")]
    dsn_present: Option<bool>,
    #[serde(rename = "dataack8.flag", skip_serializing_if = "Option::is_none")]
    data_ack_long: Option<bool>,
    #[serde(rename = "dataackpresent.flag", skip_serializing_if = "Option::is_none")]
    data_ack_present: Option<bool>,
    #[serde(rename = "rawdataack", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    data_ack: Option<Number>,
    #[serde(rename = "rawdataseqno", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    dsn: Option<Number>,
    #[serde(rename = "subflowseqno", skip_serializing_if = "Option::is_none")]
    ssn: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    expected_token: Option<Hex<4>>,
    #[serde(rename = "datalvllen", skip_serializing_if = "Option::is_none")]
    data_len: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checksum: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipver: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    echo: Option<bool>,
    #[serde(rename = "addrid", skip_serializing_if = "Option::is_none")]
    address_id: Option<AddressIds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipv4: Option<Ipv4Addr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipv6: Option<Ipv6Addr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(rename = "addaddrtrunchmac", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    add_addr_hmac: Option<Hex<8>>,
    #[serde(rename = "recvtok", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    token: Option<Hex<4>>,
    #[serde(rename = "sendrand", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    nonce: Option<Hex<4>>,
    #[serde(rename = "sendtrunchmac", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    join_answer_hmac: Option<Hex<8>>,
    #[serde(rename = "sendhmac", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    join_hmac: Option<Hex<20>>,
    #[serde(rename = "flag_U.flag", skip_serializing_if = "Option::is_none")]
    reset_u: Option<bool>,
    #[serde(rename = "flag_V.flag", skip_serializing_if = "Option::is_none")]
    reset_v: Option<bool>,
    #[serde(rename = "flag_W.flag", skip_serializing_if = "Option::is_none")]
    reset_w: Option<bool>,
    #[serde(rename = "flag_T.flag", skip_serializing_if = "Option::is_none")]
    reset_transient: Option<bool>,
    #[serde(rename = "rst_reason", skip_serializing_if = "Option::is_none")]
    reset_reason: Option<u8>,
}

/// One option names one address; REMOVE_ADDR names a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
enum AddressIds {
    One(u8),
    List(Vec<u8>),
}

/// The bytes of a number as they stand on the wire; printed in hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hex<const N: usize>([u8; N]);

/// A data sequence number or a DATA_ACK, as wide as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Number {
    Short(Hex<4>),
    Long(Hex<8>),
}

/// How long the longest number is in digits: the HMAC of a third ACK, behind `0x`.
const DIGITS_MAX: usize = 42;

impl Fields {
    /// The fields of one option.
    pub fn of(signal: &Signal) -> Self {
        let fields = match &signal.option {
            Ok(option) => Self::of_option(option),
            Err(malformed) => Self { malformed: Some(malformed.to_string()), ..Self::default() },
        };
        Self { subtype: signal.subtype.label(), ..fields }
    }

    fn of_option(option: &MptcpOption) -> Self {
        match option {
            MptcpOption::Capable(capable) => Self::of_capable(capable),
            MptcpOption::Join(join) => Self::of_join(join),
            MptcpOption::Dss(dss) => Self::of_dss(dss),
            MptcpOption::AddAddr(add_addr) => Self::of_add_addr(add_addr),
            MptcpOption::RemoveAddr(ids) => {
                Self { address_id: Some(AddressIds::List(ids.to_vec())), ..Self::default() }
            }
            MptcpOption::Prio(Prio { backup, address_id }) => {
                Self { backup: Some(*backup), address_id: address_id.map(AddressIds::One), ..Self::default() }
            }
            MptcpOption::Fail(dsn) => {
                Self { dsn: Some(Number::Long(Hex(dsn.to_be_bytes()))), ..Self::default() }
            }
            MptcpOption::Tcprst(tcprst) => Self::of_tcprst(tcprst),
            MptcpOption::Fastclose(_) | MptcpOption::Unassigned { .. } => Self::default(),
        }
    }

    fn of_capable(capable: &Capable) -> Self {
        let flags = capable.flags;
        let sha = Some(flags.hmac_sha());
        let version = Version::from_number(capable.version);
        let is_v0 = version == Some(Version::V0);
        Self {
            version: Some(capable.version),
            checksum_required: Some(flags.checksum()),
            extensibility: Some(flags.extension()),
            // In version 0 that bit was kept for algorithms (RFC 6824 3.1).
            no_more_subflows: Some(flags.no_join()).filter(|_| !is_v0),
            sha1: sha.filter(|_| is_v0),
            sha256: sha.filter(|_| !is_v0),
            expected_token: capable
                .sender_key
                .zip(version)
                .map(|(key, version)| Hex::from(key.token(version))),
            data_len: capable.data.map(|data| data.len),
            checksum: capable.data.and_then(|data| data.checksum),
            ..Self::default()
        }
    }

    fn of_join(join: &Join) -> Self {
        match join {
            Join::Syn { backup, address_id, token, nonce } => Self {
                backup: Some(*backup),
                address_id: Some(AddressIds::One(*address_id)),
                token: Some((*token).into()),
                nonce: Some((*nonce).into()),
                ..Self::default()
            },
            Join::SynAck { backup, address_id, hmac, nonce } => Self {
                backup: Some(*backup),
                address_id: Some(AddressIds::One(*address_id)),
                join_answer_hmac: Some(Hex(*hmac)),
                nonce: Some((*nonce).into()),
                ..Self::default()
            },
            Join::Ack { hmac } => Self { join_hmac: Some(Hex(*hmac)), ..Self::default() },
        }
    }

    fn of_dss(dss: &Dss) -> Self {
        let mapping = dss.mapping.as_ref();
        let is_long = |number: Option<DataNumber>| Some(matches!(number, Some(DataNumber::Long(_))));
        Self {
            data_fin: Some(dss.data_fin),
            dsn_long: is_long(mapping.map(|mapping| mapping.dsn)),
            dsn_present: Some(mapping.is_some()),
            data_ack_long: is_long(dss.data_ack),
            data_ack_present: Some(dss.data_ack.is_some()),
            data_ack: dss.data_ack.map(Number::from),
            dsn: mapping.map(|mapping| mapping.dsn.into()),
            ssn: mapping.map(|mapping| mapping.ssn),
            data_len: mapping.map(|mapping| mapping.len),
            checksum: mapping.and_then(|Mapping { checksum, .. }| *checksum),
            ..Self::default()
        }
    }

    fn of_add_addr(AddAddr { announced, proof }: &AddAddr) -> Self {
        let fields = Self {
            address_id: Some(AddressIds::One(announced.address_id)),
            port: announced.port,
            ..Self::default()
        };
        let fields = match announced.addr {
            IpAddr::V4(addr) => Self { ipv4: Some(addr), ..fields },
            IpAddr::V6(addr) => Self { ipv6: Some(addr), ..fields },
        };
        match proof {
            Proof::None => Self { ipver: Some(if announced.addr.is_ipv4() { 4 } else { 6 }), ..fields },
            Proof::Hmac(hmac) => Self { echo: Some(false), add_addr_hmac: Some(Hex(*hmac)), ..fields },
            Proof::Echo => Self { echo: Some(true), ..fields },
        }
    }

    fn of_tcprst(Tcprst { reserved, transient, reason }: &Tcprst) -> Self {
        Self {
            reset_u: Some(reserved & 4 != 0),
            reset_v: Some(reserved & 2 != 0),
            reset_w: Some(reserved & 1 != 0),
            reset_transient: Some(*transient),
            reset_reason: Some(reason.0),
            ..Self::default()
        }
    }
}

impl From<Token> for Hex<4> {
    fn from(Token(token): Token) -> Self {
        Self(token.to_be_bytes())
    }
}

impl From<Nonce> for Hex<4> {
    fn from(Nonce(nonce): Nonce) -> Self {
        Self(nonce.to_be_bytes())
    }
}

impl From<DataNumber> for Number {
    fn from(number: DataNumber) -> Self {
        match number {
            DataNumber::Short(low) => Self::Short(Hex(low.to_be_bytes())),
            DataNumber::Long(whole) => Self::Long(Hex(whole.to_be_bytes())),
        }
    }
}

/// Made on the stack: there are several in most segments.
impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digits = self.0.iter().flat_map(|byte| [byte >> 4, byte & 0xf]).map(digit);
        let text: ArrayVec<u8, DIGITS_MAX> = (*b"0x").into_iter().chain(digits).take(DIGITS_MAX).collect();
        serializer.serialize_str(str::from_utf8(&text).unwrap_or_default())
    }
}

const fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' - 10 + value }
}
