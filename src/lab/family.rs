//! An IP version, and addresses of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

/// An IP version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    #[default]
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// Its name in sentences.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }

    /// The program that shows and changes its packet filter.
    pub(super) const fn iptables(self) -> &'static str {
        match self {
            Self::Ipv4 => "iptables",
            Self::Ipv6 => "ip6tables",
        }
    }

    /// The option of `ip` for it.
    pub(super) const fn flag(self) -> &'static str {
        match self {
            Self::Ipv4 => "-4",
            Self::Ipv6 => "-6",
        }
    }

    /// The address of a host in one of the lab's networks.
    pub(super) fn addr(self, network: u8, host: u8) -> IpAddr {
        match self {
            Self::Ipv4 => Ipv4Addr::new(10, 0, network, host).into(),
            Self::Ipv6 => Ipv6Addr::new(0xfd00, 0, 0, network.into(), 0, 0, 0, host.into()).into(),
        }
    }

    /// One of the lab's networks, as routes name it.
    pub(super) fn network(self, network: u8) -> String {
        let bits = match self {
            Self::Ipv4 => 24,
            Self::Ipv6 => 64,
        };
        format!("{}/{bits}", self.addr(network, 0))
    }

    /// The first proxy of the shipped rules (RFC 5737, RFC 3849).
    pub(super) const fn proxy_addr(self) -> IpAddr {
        match self {
            Self::Ipv4 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)),
            Self::Ipv6 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0x10)),
        }
    }

    /// One that the public internet would route, were it not for documentation (RFC 5737, RFC 3849).
    pub(super) const fn public_addr(self) -> IpAddr {
        match self {
            Self::Ipv4 => IpAddr::V4(Ipv4Addr::new(198, 51, 100, 3)),
            Self::Ipv6 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 3)),
        }
    }

    /// An `ip address` that counts at once: the lab's networks have nobody to collide with.
    pub(super) fn add_addr(self, addr: IpAddr, interface: &str) -> String {
        match self {
            Self::Ipv4 => format!("address replace {addr}/24 dev {interface}\nlink set {interface} up\n"),
            Self::Ipv6 => {
                format!("address replace {addr}/64 dev {interface} nodad\nlink set {interface} up\n")
            }
        }
    }

    /// An address of the host itself, on no link; it counts at once, too.
    pub(super) fn add_host_addr(self, addr: IpAddr) -> String {
        match self {
            Self::Ipv4 => format!("address add {addr} dev lo\n"),
            Self::Ipv6 => format!("address add {addr} dev lo nodad\n"),
        }
    }
}
