//! How frames wrap IP packets, by link type (<https://www.tcpdump.org/linktypes.html>).

use etherparse::EtherType;

/// IP packets without a link header (LINKTYPE_RAW).
pub const RAW_IP: u32 = 101;

const ETHERNET_LEN: usize = 14;
const COOKED_LEN: usize = 16;
const COOKED_V2_LEN: usize = 20;
const LOOPBACK_LEN: usize = 4;

/// A packet that this host sent, in Linux cooked headers.
const SENT_BY_US: u8 = 4;

/// The BSD address families of IPv4, and of IPv6 in Linux, NetBSD/OpenBSD, FreeBSD and macOS.
const ADDRESS_FAMILIES: [u32; 5] = [2, 10, 24, 28, 30];

/// A link type that replay reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Ethernet,
    Ip,
    Cooked,
    CookedV2,
    Loopback,
}

/// Who gets a packet that is added beside a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// The frame's sender.
    Sender,
    /// The frame's receiver.
    Receiver,
}

impl Link {
    /// The link type of libpcap's number.
    pub(super) const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 | 108 => Some(Self::Loopback),
            1 => Some(Self::Ethernet),
            12 | 14 | RAW_IP | 228 | 229 => Some(Self::Ip),
            113 => Some(Self::Cooked),
            276 => Some(Self::CookedV2),
            _ => None,
        }
    }

    /// Where the IP packet starts; `None` when the frame holds something else.
    pub(super) fn ip_at(self, frame: &[u8]) -> Option<usize> {
        match self {
            Self::Ip => Some(0),
            Self::Ethernet => behind_tags(frame, 12, ETHERNET_LEN),
            Self::Cooked => behind_tags(frame, 14, COOKED_LEN),
            Self::CookedV2 => behind_tags(frame, 0, COOKED_V2_LEN),
            Self::Loopback => {
                // NULL is in the byte order of the host that captured, LOOP in that of the network.
                let family = *frame.first_chunk()?;
                let either = [u32::from_be_bytes(family), u32::from_le_bytes(family)];
                either.iter().any(|family| ADDRESS_FAMILIES.contains(family)).then_some(LOOPBACK_LEN)
            }
        }
    }

    /// Turns the link header of a frame into that of a packet that is added beside it.
    pub(super) fn readdress(self, header: &mut [u8], to: Receiver) {
        match self {
            Self::Ethernet if to == Receiver::Sender => {
                if let Some((destination, rest)) = header.split_at_mut_checked(6)
                    && let Some(source) = rest.get_mut(..6)
                {
                    destination.swap_with_slice(source);
                }
            }
            Self::Cooked => set(header, 1, SENT_BY_US),
            Self::CookedV2 => set(header, 10, SENT_BY_US),
            Self::Ethernet | Self::Ip | Self::Loopback => {}
        }
    }
}

fn set(header: &mut [u8], at: usize, value: u8) {
    if let Some(byte) = header.get_mut(at) {
        *byte = value;
    }
}

/// Where IP starts behind any VLAN tags (802.1Q, 802.1ad), each of which holds the EtherType of what follows it.
fn behind_tags(frame: &[u8], ether_type_at: usize, payload_at: usize) -> Option<usize> {
    let mut payload_at = payload_at;
    let mut ether_type = ether_type(frame, ether_type_at)?;
    loop {
        match ether_type {
            EtherType::IPV4 | EtherType::IPV6 => return Some(payload_at),
            EtherType::VLAN_TAGGED_FRAME
            | EtherType::PROVIDER_BRIDGING
            | EtherType::VLAN_DOUBLE_TAGGED_FRAME => {
                ether_type = self::ether_type(frame, payload_at + 2)?;
                payload_at += 4;
            }
            _ => return None,
        }
    }
}

fn ether_type(frame: &[u8], at: usize) -> Option<EtherType> {
    frame.get(at..)?.first_chunk().map(|bytes| EtherType(u16::from_be_bytes(*bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ip_is_found_behind_each_header() {
        let ethernet = |types: &[u8]| [&[0; 12], types].concat();
        let cases: [(u32, Vec<u8>, Option<usize>); 14] = [
            (1, ethernet(&[8, 0]), Some(14)),
            (1, ethernet(&[0x86, 0xdd]), Some(14)),
            (1, ethernet(&[0x81, 0, 0, 5, 8, 0]), Some(18)),
            (1, ethernet(&[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 0x86, 0xdd]), Some(22)),
            (1, ethernet(&[8, 6]), None),
            (1, ethernet(&[0x81, 0, 0]), None),
            (101, vec![0x45], Some(0)),
            (113, [&[0; 14][..], &[8, 0]].concat(), Some(16)),
            (276, vec![0x86, 0xdd], Some(20)),
            (0, vec![2, 0, 0, 0], Some(4)),
            (0, vec![0, 0, 0, 30], Some(4)),
            (108, vec![0, 0, 0, 24], Some(4)),
            (108, vec![0, 0, 0, 7], None),
            (0, vec![2, 0], None),
        ];
        for (number, frame, ip_at) in cases {
            let link = Link::from_number(number).unwrap();
            assert_eq!(link.ip_at(&frame), ip_at, "link type {number}, {frame:02x?}");
        }
        assert_eq!(Link::from_number(105), None);
    }

    #[test]
    fn a_reset_to_the_sender_swaps_the_ethernet_addresses() {
        let mut header = *b"DDDDDDSSSSSS\x08\x00";
        Link::Ethernet.readdress(&mut header, Receiver::Receiver);
        assert_eq!(&header, b"DDDDDDSSSSSS\x08\x00");
        Link::Ethernet.readdress(&mut header, Receiver::Sender);
        assert_eq!(&header, b"SSSSSSDDDDDD\x08\x00");
    }
}
