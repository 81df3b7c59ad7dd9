//! Options of kind 30 from their bytes, and to the same bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arrayvec::ArrayVec;

use crate::mptcp::option::{
    AddAddr, Announced, Capable, CapableData, CapableFlags, DataNumber, Dss, Join, Malformed, Mapping,
    MptcpOption, Prio, Proof, ResetReason, Subtype, Tcprst,
};
use crate::mptcp::{Key, Nonce, Token};
use crate::wire::Segment;
use crate::wire::options::{AREA_MAX, MPTCP};

/// The bytes of one option.
pub type OptionBytes = ArrayVec<u8, AREA_MAX>;

/// What stands between the bytes of an option and its value: the parts that every form has.
#[derive(Clone, Copy)]
struct Head {
    subtype: Subtype,
    nibble: u8,
    len: u8,
    segment: Segment,
}

impl Head {
    const fn wrong_length(self, right: &'static str) -> Malformed {
        Malformed::Length { subtype: self.subtype, len: self.len, right }
    }

    const fn wrong_segment(self) -> Malformed {
        Malformed::Segment { subtype: self.subtype, len: self.len, segment: self.segment }
    }

    const fn in_handshake(self) -> bool {
        matches!(self.segment, Segment::Syn | Segment::SynAck)
    }
}

/// Takes numbers off the front of a body; `None` is a body that ended too early.
struct Body<'b>(&'b [u8]);

impl Body<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }
    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }
    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }
    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }
    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
    fn key(&mut self) -> Option<Key> {
        self.array().map(Key)
    }
    fn data_number(&mut self, long: bool) -> Option<DataNumber> {
        if long { self.u64().map(DataNumber::Long) } else { self.u32().map(DataNumber::Short) }
    }
}

/// Reads one whole option, kind and length included, as it stands in a segment of that kind.
///
/// Reserved bits are ignored, as receivers have to (RFC 8684 3).
///
/// # Errors
/// When no stack may send it there.
pub fn parse(bytes: &[u8], segment: Segment) -> Result<MptcpOption, Malformed> {
    let len = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
    let Some((&[_kind, _len, third], rest)) = bytes.split_first_chunk() else {
        return Err(Malformed::Length { subtype: Subtype::Unassigned, len, right: "3 and more" });
    };
    let subtype = Subtype::from_number(third >> 4);
    let head = Head { subtype, nibble: third & 0x0f, len, segment };
    let body = Body(rest);
    match subtype {
        Subtype::MpCapable => capable(head, body).map(MptcpOption::Capable),
        Subtype::MpJoin => join(head, body).map(MptcpOption::Join),
        Subtype::Unassigned => Ok(MptcpOption::Unassigned { number: third >> 4 }),
        // RFC 8684 3: the SYNs carry MP_CAPABLE or MP_JOIN alone; Linux ignores the others there.
        _ if head.in_handshake() => Err(head.wrong_segment()),
        Subtype::Dss => dss(head, body).map(MptcpOption::Dss),
        Subtype::AddAddr => add_addr(head, body).map(MptcpOption::AddAddr),
        Subtype::RemoveAddr => match ArrayVec::try_from(rest) {
            Ok(ids) if !rest.is_empty() => Ok(MptcpOption::RemoveAddr(ids)),
            _ => Err(head.wrong_length("4 and more")),
        },
        Subtype::MpPrio => prio(head, body).map(MptcpOption::Prio),
        Subtype::MpFail => match (len, sequel(body)) {
            (12, Some(number)) => Ok(MptcpOption::Fail(number)),
            _ => Err(head.wrong_length("12")),
        },
        Subtype::MpFastclose => match (len, sequel(body)) {
            (12, Some(number)) => Ok(MptcpOption::Fastclose(Key(number.to_be_bytes()))),
            _ => Err(head.wrong_length("12")),
        },
        Subtype::MpTcprst => tcprst(head, body).map(MptcpOption::Tcprst),
    }
}

/// Eight bytes behind one that is reserved, as in MP_FAIL and MP_FASTCLOSE.
fn sequel(mut body: Body<'_>) -> Option<u64> {
    body.u8()?;
    body.u64()
}

fn capable(head: Head, mut body: Body<'_>) -> Result<Capable, Malformed> {
    const RIGHT: &str = "4 or 12 in a SYN, 12 in a SYN/ACK, 20, 22 or 24 later";
    let (version, len) = (head.nibble, head.len);
    let right_length = matches!(len, 4 | 12 | 20 | 22 | 24) || version > 1;
    if !right_length {
        return Err(head.wrong_length(RIGHT));
    }
    let right_segment = match head.segment {
        Segment::Syn | Segment::SynAck => version > 1 || len <= 12,
        Segment::Ack | Segment::Data | Segment::Fin => version > 1 || len >= 20,
        Segment::Rst => false,
    };
    if !right_segment {
        return Err(head.wrong_segment());
    }
    // In a SYN/ACK, 4 bytes are the mirrored option of a SYN: well-formed, and told apart by the tracker.
    let right_version = match (version, head.segment) {
        (0, Segment::Syn | Segment::SynAck) => len == 12,
        (0, _) => len == 20,
        (1, Segment::Syn) => len == 4,
        (1, _) => true,
        (_, Segment::Syn | Segment::SynAck) => len == 4,
        (_, _) => false,
    };
    if !right_version {
        return Err(Malformed::Version { version, len });
    }
    let mut read = || {
        Some(Capable {
            version,
            flags: CapableFlags(body.u8()?),
            sender_key: if len >= 12 { Some(body.key()?) } else { None },
            receiver_key: if len >= 20 { Some(body.key()?) } else { None },
            data: match len {
                22 => Some(CapableData { len: body.u16()?, checksum: None }),
                24 => Some(CapableData { len: body.u16()?, checksum: Some(body.u16()?) }),
                _ => None,
            },
        })
    };
    let capable = read().ok_or_else(|| head.wrong_length(RIGHT))?;
    match capable.flags {
        // RFC 8684 3.1: with B set, or without an algorithm that it knows, the receiver ignores the option.
        flags if version <= 1 && flags.extension() => {
            Err(Malformed::Flag { flags: flags.0, wrong: "B is set, which no version defines" })
        }
        flags if version <= 1 && !flags.hmac_sha() => {
            Err(Malformed::Flag { flags: flags.0, wrong: "H is not set, and there is no other algorithm" })
        }
        _ => Ok(capable),
    }
}

fn join(head: Head, mut body: Body<'_>) -> Result<Join, Malformed> {
    const RIGHT: &str = "12 in a SYN, 16 in a SYN/ACK, 24 in an ACK";
    let backup = head.nibble & 1 == 1;
    let second = body.u8();
    let mut read = || match (head.len, head.segment) {
        (12, Segment::Syn) => Some(Join::Syn {
            backup,
            address_id: second?,
            token: Token(body.u32()?),
            nonce: Nonce(body.u32()?),
        }),
        (16, Segment::SynAck) => {
            Some(Join::SynAck { backup, address_id: second?, hmac: body.array()?, nonce: Nonce(body.u32()?) })
        }
        (24, Segment::Ack | Segment::Data | Segment::Fin) => Some(Join::Ack { hmac: body.array()? }),
        _ => None,
    };
    match (read(), head.len) {
        (Some(join), _) => Ok(join),
        (None, 12 | 16 | 24) => Err(head.wrong_segment()),
        (None, _) => Err(head.wrong_length(RIGHT)),
    }
}

fn dss(head: Head, mut body: Body<'_>) -> Result<Dss, Malformed> {
    let mut read = || {
        let flags = body.u8()?;
        let data_ack = if flags & 0x01 != 0 { Some(body.data_number(flags & 0x02 != 0)?) } else { None };
        let mapping = if flags & 0x04 != 0 {
            Some(Mapping {
                dsn: body.data_number(flags & 0x08 != 0)?,
                ssn: body.u32()?,
                len: body.u16()?,
                checksum: if body.0.is_empty() { None } else { Some(body.u16()?) },
            })
        } else {
            None
        };
        body.0.is_empty().then_some(Dss { data_fin: flags & 0x10 != 0, data_ack, mapping })
    };
    read().ok_or_else(|| head.wrong_length("4 and the fields that its flags name"))
}

fn add_addr(head: Head, mut body: Body<'_>) -> Result<AddAddr, Malformed> {
    let echo = head.nibble & 1 == 1;
    let right = match (head.nibble, echo) {
        (4, _) => "8 or 10 in version 0",
        (6, _) => "20 or 22 in version 0",
        (_, true) => "8, 10, 20 or 22 with the E flag",
        (_, false) => "16, 18, 28 or 30",
    };
    let mut read = || {
        let address_id = body.u8()?;
        let v6 = match (head.nibble, head.len) {
            (4, 8 | 10) => false,
            (6, 20 | 22) => true,
            (4 | 6, _) => return None,
            (_, 8 | 10) if echo => false,
            (_, 20 | 22) if echo => true,
            (_, 16 | 18) if !echo => false,
            (_, 28 | 30) if !echo => true,
            _ => return None,
        };
        let addr = if v6 {
            IpAddr::V6(Ipv6Addr::from(body.array::<16>()?))
        } else {
            IpAddr::V4(Ipv4Addr::from(body.array::<4>()?))
        };
        let port = if body.0.len() % 8 == 2 { Some(body.u16()?) } else { None };
        let proof = match head.nibble {
            4 | 6 => Proof::None,
            _ if echo => Proof::Echo,
            _ => Proof::Hmac(body.array()?),
        };
        Some(AddAddr { announced: Announced { address_id, addr, port }, proof })
    };
    read().ok_or_else(|| head.wrong_length(right))
}

fn prio(head: Head, mut body: Body<'_>) -> Result<Prio, Malformed> {
    match head.len {
        3 | 4 => Ok(Prio { backup: head.nibble & 1 == 1, address_id: body.u8() }),
        _ => Err(head.wrong_length("3, or 4 in version 0")),
    }
}

fn tcprst(head: Head, mut body: Body<'_>) -> Result<Tcprst, Malformed> {
    match (head.len, head.segment, body.u8()) {
        (4, Segment::Rst, Some(reason)) => Ok(Tcprst {
            reserved: head.nibble >> 1,
            transient: head.nibble & 1 == 1,
            reason: ResetReason(reason),
        }),
        (4, _, _) => Err(head.wrong_segment()),
        (_, _, _) => Err(head.wrong_length("4")),
    }
}

impl MptcpOption {
    /// The option's bytes, kind and length included. An option that [`parse`] gave comes out as it came in, its reserved
    /// bits cleared; of an unassigned one only the head was kept.
    pub fn emit(&self) -> OptionBytes {
        let mut out = Emitter(OptionBytes::new());
        let number = if let Self::Unassigned { number } = self { *number } else { self.subtype().number() };
        out.put(&[MPTCP, 0, number << 4 | self.nibble()]);
        self.emit_body(&mut out);
        let len = u8::try_from(out.0.len()).unwrap_or(u8::MAX);
        if let Some(field) = out.0.get_mut(1) {
            *field = len;
        }
        out.0
    }

    /// The low half of the third byte.
    fn nibble(&self) -> u8 {
        match self {
            Self::Capable(capable) => capable.version & 0x0f,
            Self::Join(Join::Syn { backup, .. } | Join::SynAck { backup, .. }) => u8::from(*backup),
            Self::AddAddr(AddAddr { proof: Proof::None, announced }) => {
                if announced.addr.is_ipv4() {
                    4
                } else {
                    6
                }
            }
            Self::AddAddr(AddAddr { proof: Proof::Echo, .. }) => 1,
            Self::Prio(prio) => u8::from(prio.backup),
            Self::Tcprst(reset) => (reset.reserved & 0x07) << 1 | u8::from(reset.transient),
            Self::Join(Join::Ack { .. })
            | Self::Dss(_)
            | Self::AddAddr(AddAddr { proof: Proof::Hmac(_), .. })
            | Self::RemoveAddr(_)
            | Self::Fail(_)
            | Self::Fastclose(_)
            | Self::Unassigned { .. } => 0,
        }
    }

    fn emit_body(&self, out: &mut Emitter) {
        match self {
            Self::Capable(capable) => emit_capable(capable, out),
            Self::Join(Join::Syn { address_id, token, nonce, .. }) => {
                out.put(&[*address_id]).put(&token.0.to_be_bytes()).put(&nonce.0.to_be_bytes());
            }
            Self::Join(Join::SynAck { address_id, hmac, nonce, .. }) => {
                out.put(&[*address_id]).put(hmac).put(&nonce.0.to_be_bytes());
            }
            Self::Join(Join::Ack { hmac }) => {
                out.put(&[0]).put(hmac);
            }
            Self::Dss(dss) => emit_dss(dss, out),
            Self::AddAddr(add) => emit_add_addr(add, out),
            Self::RemoveAddr(ids) => {
                out.put(ids);
            }
            Self::Prio(prio) => {
                out.put(prio.address_id.as_slice());
            }
            Self::Fail(number) => {
                out.put(&[0]).put(&number.to_be_bytes());
            }
            Self::Fastclose(key) => {
                out.put(&[0]).put(&key.0);
            }
            Self::Tcprst(reset) => {
                out.put(&[reset.reason.0]);
            }
            Self::Unassigned { .. } => {}
        }
    }
}

/// Appends to an option; what would not fit into an option area is left out, which no well-formed option reaches.
struct Emitter(OptionBytes);

impl Emitter {
    fn put(&mut self, bytes: &[u8]) -> &mut Self {
        let room = self.0.remaining_capacity();
        self.0.extend(bytes.iter().copied().take(room));
        self
    }

    fn put_number(&mut self, number: DataNumber) -> &mut Self {
        match number {
            DataNumber::Short(low) => self.put(&low.to_be_bytes()),
            DataNumber::Long(all) => self.put(&all.to_be_bytes()),
        }
    }
}

fn emit_capable(capable: &Capable, out: &mut Emitter) {
    out.put(&[capable.flags.0]);
    for key in [capable.sender_key, capable.receiver_key].into_iter().flatten() {
        out.put(&key.0);
    }
    if let Some(data) = capable.data {
        out.put(&data.len.to_be_bytes());
        if let Some(checksum) = data.checksum {
            out.put(&checksum.to_be_bytes());
        }
    }
}

fn emit_dss(dss: &Dss, out: &mut Emitter) {
    let long = |number| matches!(number, DataNumber::Long(_));
    let flags = u8::from(dss.data_ack.is_some())
        | u8::from(dss.data_ack.is_some_and(long)) << 1
        | u8::from(dss.mapping.is_some()) << 2
        | u8::from(dss.mapping.is_some_and(|mapping| long(mapping.dsn))) << 3
        | u8::from(dss.data_fin) << 4;
    out.put(&[flags]);
    if let Some(ack) = dss.data_ack {
        out.put_number(ack);
    }
    if let Some(mapping) = dss.mapping {
        out.put_number(mapping.dsn).put(&mapping.ssn.to_be_bytes()).put(&mapping.len.to_be_bytes());
        if let Some(checksum) = mapping.checksum {
            out.put(&checksum.to_be_bytes());
        }
    }
}

fn emit_add_addr(add: &AddAddr, out: &mut Emitter) {
    out.put(&[add.announced.address_id]);
    match add.announced.addr {
        IpAddr::V4(v4) => out.put(&v4.octets()),
        IpAddr::V6(v6) => out.put(&v6.octets()),
    };
    if let Some(port) = add.announced.port {
        out.put(&port.to_be_bytes());
    }
    if let Proof::Hmac(hmac) = add.proof {
        out.put(&hmac);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each form of each option, with the segment that it stands in.
    const WELL_FORMED: [(&str, Segment); 34] = [
        ("1e040101", Segment::Syn),
        ("1e0402a1", Segment::Syn),
        ("1e0c00811111111111111111", Segment::Syn),
        ("1e0c01011111111111111111", Segment::SynAck),
        ("1e040101", Segment::SynAck),
        ("1e14010111111111111111112222222222222222", Segment::Ack),
        ("1e14000111111111111111112222222222222222", Segment::Data),
        ("1e160101111111111111111122222222222222220064", Segment::Data),
        ("1e18018111111111111111112222222222222222006405dc", Segment::Data),
        ("1e0c11020000000133333333", Segment::Syn),
        ("1e101000444444444444444433333333", Segment::SynAck),
        ("1e1810005555555555555555555555555555555555555555", Segment::Ack),
        ("1e042000", Segment::Ack),
        ("1e08200100000001", Segment::Ack),
        ("1e0c20030000000000000001", Segment::Ack),
        ("1e0e200400000002000000030064", Segment::Data),
        ("1e10200400000002000000030064abcd", Segment::Data),
        ("1e122005000000010000000200000003ffff", Segment::Data),
        ("1e1a200f000000000000000100000000000000020000000300 64", Segment::Data),
        ("1e1c201f00000000000000010000000000000002000000030001abcd", Segment::Fin),
        ("1e1030010a0000016666666666666666", Segment::Ack),
        ("1e1230010a0000011f906666666666666666", Segment::Ack),
        ("1e1c300120010db80000000000000000000000016666666666666666", Segment::Ack),
        ("1e1e300120010db80000000000000000000000011f906666666666666666", Segment::Ack),
        ("1e0831010a000001", Segment::Ack),
        ("1e0a31010a0000011f90", Segment::Ack),
        ("1e143101200 10db8000000000000000000000001", Segment::Ack),
        ("1e0834010a000001", Segment::Ack),
        ("1e16360120010db80000000000000000000000011f90", Segment::Ack),
        ("1e05400203", Segment::Ack),
        ("1e0351", Segment::Ack),
        ("1e045007", Segment::Ack),
        ("1e0c60000000000000000009", Segment::Rst),
        ("1e0c70007777777777777777", Segment::Rst),
    ];

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<_> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
        digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap()).collect()
    }

    fn refused(hex: &str, segment: Segment) -> String {
        parse(&bytes(hex), segment).unwrap_err().to_string()
    }

    #[test]
    fn every_form_comes_out_as_it_came_in() {
        for (hex, segment) in
            WELL_FORMED.into_iter().chain([("1e048103", Segment::Rst), ("1e03f0", Segment::Ack)])
        {
            let option = parse(&bytes(hex), segment).unwrap_or_else(|error| panic!("{hex}: {error}"));
            assert_eq!(option.emit().as_slice(), bytes(hex), "{option:?}");
            assert_eq!(parse(&option.emit(), segment), Ok(option));
        }
    }

    #[test]
    fn the_fields_are_where_the_rfc_puts_them() {
        let add = parse(&bytes("1e1230010a0000011f906666666666666666"), Segment::Ack);
        let announced = Announced { address_id: 1, addr: [10, 0, 0, 1].into(), port: Some(8080) };
        assert_eq!(add, Ok(MptcpOption::AddAddr(AddAddr { announced, proof: Proof::Hmac([0x66; 8]) })));
        let join = parse(&bytes("1e0c11020000000133333333"), Segment::Syn);
        let (token, nonce) = (Token(1), Nonce(0x3333_3333));
        assert_eq!(join, Ok(MptcpOption::Join(Join::Syn { backup: true, address_id: 2, token, nonce })));
        let dss = parse(&bytes("1e1c201f00000000000000010000000000000002000000030001abcd"), Segment::Data);
        let mapping = Mapping { dsn: DataNumber::Long(2), ssn: 3, len: 1, checksum: Some(0xabcd) };
        let wanted = Dss { data_fin: true, data_ack: Some(DataNumber::Long(1)), mapping: Some(mapping) };
        assert_eq!(dss, Ok(MptcpOption::Dss(wanted)));
    }

    #[test]
    fn a_malformed_option_says_what_is_wrong() {
        assert_eq!(refused("1e02", Segment::Ack), "unassigned of 2 bytes; right would be 3 and more");
        assert_eq!(
            refused("1e0b1000", Segment::Ack),
            "mp_join of 4 bytes; right would be 12 in a SYN, 16 in a SYN/ACK, 24 in an ACK"
        );
        assert_eq!(
            refused("1e0c10020000000133333333", Segment::Ack),
            "mp_join of 12 bytes in a segment of kind ack"
        );
        assert_eq!(refused("1e042000", Segment::Syn), "dss of 4 bytes in a segment of kind syn");
        assert_eq!(refused("1e048003", Segment::Ack), "mp_tcprst of 4 bytes in a segment of kind ack");
        assert_eq!(
            refused("1e0c01011111111111111111", Segment::Syn),
            "mp_capable of 12 bytes says version 1"
        );
        assert_eq!(refused("1e040001", Segment::Syn), "mp_capable of 4 bytes says version 0");
        assert_eq!(
            refused("1e040141", Segment::Syn),
            "mp_capable with flags 0x41: B is set, which no version defines"
        );
        assert_eq!(
            refused("1e040100", Segment::Syn),
            "mp_capable with flags 0x00: H is not set, and there is no other algorithm"
        );
        assert_eq!(
            refused("1e0630010a00", Segment::Ack),
            "add_addr of 6 bytes; right would be 16, 18, 28 or 30"
        );
        assert_eq!(
            refused("1e0834010a00", Segment::Ack),
            "add_addr of 6 bytes; right would be 8 or 10 in version 0"
        );
        assert_eq!(refused("1e0340", Segment::Ack), "remove_addr of 3 bytes; right would be 4 and more");
        assert_eq!(
            refused("1e052001ff", Segment::Ack),
            "dss of 5 bytes; right would be 4 and the fields that its flags name"
        );
        assert_eq!(
            refused("1e055000ff", Segment::Ack),
            "mp_prio of 5 bytes; right would be 3, or 4 in version 0"
        );
    }
}
