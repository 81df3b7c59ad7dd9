//! Values that are lists of addresses, ports or names, and what may stand in a set.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::{IpNet, IpSubnets, Ipv4Subnets, Ipv6Subnets};
use toml::de::DeValue;

use crate::rules::InterfaceName;
use crate::rules::codes::Code;
use crate::rules::ranges::{Addresses, Prefixes, Ranges};
use crate::rules::report::{Finding, Located, quote};
use crate::rules::sets::Holds;
use crate::rules::values::{Reader, Value};

/// Names are labels of metrics and logs: long ones are cut off nowhere and paid for everywhere.
pub(super) const NAME_CHARS_MAX: usize = 64;

/// Addresses that no route on the public internet leads to, but private ones do (RFC 1918, 6598, 3927, 4193, 4291 2.5.6).
const PRIVATE: [&str; 7] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
];

/// Groups (RFC 5771, RFC 4291 2.7).
const MULTICAST: [&str; 2] = ["224.0.0.0/4", "ff00::/8"];

/// Other addresses that no public host has (the special-purpose registries of RFC 6890).
const RESERVED: [&str; 13] = [
    "0.0.0.0/8",
    "127.0.0.0/8",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
    "::/127",
    "::ffff:0:0/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001:db8::/32",
];

/// Words for addresses, and those that they mean.
const WORDS: [(&str, &[&[&str]]); 3] =
    [("private", &[&PRIVATE]), ("multicast", &[&MULTICAST]), ("bogon", &[&PRIVATE, &MULTICAST, &RESERVED])];

/// Something that a list or a set can have.
pub(super) enum Member {
    /// Addresses.
    Nets(Vec<IpNet>),
    /// A range of ports.
    Ports(u16, u16),
    /// A name.
    Name(String),
    /// What a set has.
    Set(String),
    /// Addresses in a file.
    File(String),
}

impl Reader<'_, '_> {
    pub(super) fn addresses(&mut self, value: &Value<'_>) -> Addresses {
        let (mut nets, mut parts) = (Vec::new(), Vec::new());
        for member in self.each(value, Self::located_address) {
            match member.value {
                Member::Nets(some) => nets.extend(some),
                Member::Set(name) => {
                    parts.extend(self.set(&Located { value: name, at: member.at }, Holds::Addresses))
                }
                Member::Ports(..) | Member::Name(_) | Member::File(_) => {}
            }
        }
        let mut parts: Vec<_> = parts.into_iter().map(|set| set.prefixes).collect();
        if !nets.is_empty() {
            parts.push(Arc::new(Prefixes::union(&nets, &[])));
        }
        Addresses(parts.into())
    }

    pub(super) fn ports(&mut self, value: &Value<'_>) -> Ranges<u16> {
        let mut ranges = Vec::new();
        for member in self.each(value, Self::located_port) {
            match member.value {
                Member::Ports(first, last) => ranges.push((first, last)),
                Member::Set(name) => {
                    let set = self.set(&Located { value: name, at: member.at }, Holds::Ports);
                    ranges.extend(set.into_iter().flat_map(|set| set.ports.iter().collect::<Vec<_>>()));
                }
                Member::Nets(_) | Member::Name(_) | Member::File(_) => {}
            }
        }
        Ranges::union(ranges, |last| last.checked_add(1))
    }

    pub(super) fn interfaces(&mut self, value: &Value<'_>) -> Box<[InterfaceName]> {
        let names = self.names(value);
        names
            .into_iter()
            .filter_map(|name| {
                let interface = interface(&name.value);
                if interface.is_none() {
                    let message = format!("{} is no name of an interface", quote(&name.value));
                    let remedy = "a name has 1 to 15 bytes, without spaces and slashes";
                    self.add(Finding::error(Code::BadValue, name.at, message).remedy(remedy));
                }
                interface
            })
            .collect()
    }

    /// Names, of interfaces or rules, and those of sets.
    pub(super) fn names(&mut self, value: &Value<'_>) -> Vec<Located<String>> {
        let mut names = Vec::new();
        let members = self.each(value, |reader, item| {
            Some(Located { value: reader.text(item)?.to_owned(), at: reader.at(item.span()) })
        });
        for Located { value: text, at } in members {
            match text.strip_prefix('@') {
                Some(set) => {
                    let set = self.set(&Located { value: set.to_owned(), at }, Holds::Names);
                    names.extend(set.into_iter().flat_map(|set| set.names.to_vec()));
                }
                None => names.push(Located { value: text, at }),
            }
        }
        names
    }

    /// What a set may have, each with its place.
    pub(super) fn set_members(&mut self, value: &Value<'_>) -> Vec<Located<Member>> {
        self.each(value, |reader, item| {
            let member = match item.get_ref() {
                DeValue::Integer(_) => reader.port(item),
                DeValue::Table(table) => {
                    let file = table.get("file").and_then(|file| file.get_ref().as_str());
                    if file.is_none() || table.len() > 1 {
                        reader.bad_value(item, "a table in a set names a file: { file = \"list.txt\" }");
                    }
                    file.map(|file| Member::File(file.to_owned()))
                }
                DeValue::String(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_) => reader.text(item).and_then(|text| reader.said(item, text)),
            };
            Some(Located { value: member?, at: reader.at(item.span()) })
        })
    }

    fn said(&mut self, value: &Value<'_>, text: &str) -> Option<Member> {
        let ports = || range(text).map(|(first, last)| Member::Ports(first, last));
        let name = || (!looks_like_address(text) && is_name(text)).then(|| Member::Name(text.to_owned()));
        match text.strip_prefix('@') {
            Some(set) => Some(Member::Set(set.to_owned())),
            None => match ports().or_else(|| nets(text).map(Member::Nets)).or_else(name) {
                Some(Member::Nets(_)) => self.address(value),
                Some(member) => Some(member),
                None => {
                    self.bad_value(value, &format!("{} is neither an address nor a prefix", quote(text)));
                    None
                }
            },
        }
    }

    fn located_address(&mut self, value: &Value<'_>) -> Option<Located<Member>> {
        Some(Located { value: self.address(value)?, at: self.at(value.span()) })
    }

    fn address(&mut self, value: &Value<'_>) -> Option<Member> {
        let text = self.text(value)?;
        if let Some(name) = text.strip_prefix('@') {
            return Some(Member::Set(name.to_owned()));
        }
        let Some(nets) = nets(text) else {
            self.bad_value(value, &format!("{} is neither an address nor a prefix", quote(text)));
            return None;
        };
        if let [net] = nets.as_slice()
            && text.contains('/')
            && *net != net.trunc()
        {
            let message = format!("{} has bits behind the prefix, which say nothing", quote(text));
            let remedy = format!("write \"{}\", or \"{}\" for the host alone", net.trunc(), net.addr());
            self.add(Finding::warning(Code::BadValue, self.at(value.span()), message).remedy(remedy));
        }
        Some(Member::Nets(nets))
    }

    fn located_port(&mut self, value: &Value<'_>) -> Option<Located<Member>> {
        Some(Located { value: self.port(value)?, at: self.at(value.span()) })
    }

    fn port(&mut self, value: &Value<'_>) -> Option<Member> {
        let Some(text) = value.get_ref().as_str() else {
            let port = u16::try_from(self.number(value, u16::MAX.into())?).ok()?;
            return Some(Member::Ports(port, port));
        };
        if let Some(name) = text.strip_prefix('@') {
            return Some(Member::Set(name.to_owned()));
        }
        let range = range(text);
        if range.is_none() {
            self.bad_value(value, &format!("{} is no range of ports", quote(text)));
        }
        range.map(|(first, last)| Member::Ports(first, last))
    }
}

/// The prefixes that an address, a prefix, a range of addresses or a word means.
pub(super) fn nets(text: &str) -> Option<Vec<IpNet>> {
    if let Some((_, lists)) = WORDS.iter().find(|(word, _)| *word == text) {
        return Some(lists.iter().flat_map(|list| list.iter()).filter_map(|net| net.parse().ok()).collect());
    }
    if let Ok(net) = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
        return Some(vec![net]);
    }
    let (first, last) = text.split_once('-')?;
    let subnets = match (first.trim().parse().ok()?, last.trim().parse().ok()?) {
        (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
            IpSubnets::V4(Ipv4Subnets::new(first, last, 0))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
            IpSubnets::V6(Ipv6Subnets::new(first, last, 0))
        }
        _ => return None,
    };
    Some(subnets.collect())
}

/// A port, or a range of ports.
fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = first.trim().parse().ok().zip(last.trim().parse().ok());
    range.filter(|(first, last)| first <= last)
}

fn interface(name: &str) -> Option<InterfaceName> {
    let sound = !name.contains(|letter: char| letter.is_whitespace() || letter == '/' || letter == '\0');
    InterfaceName::new(name).filter(|_| sound)
}

/// Whether it can name a rule; an interface's name can.
pub(super) fn is_name(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= NAME_CHARS_MAX && !text.contains(char::is_control)
}

/// Whoever writes this meant an address.
fn looks_like_address(text: &str) -> bool {
    text.contains(['.', ':'])
        && text.chars().all(|letter| letter.is_ascii_hexdigit() || matches!(letter, '.' | ':' | '/' | '-'))
}
