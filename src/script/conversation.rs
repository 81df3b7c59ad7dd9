//! Decision scripts: conversations in lines of words, each with the decision that it must get.
//!
//! ```text
//! case a join is tied to its connection
//! c>s   syn      mp_capable          = accept default new_connection
//! s>c   syn_ack  mp_capable          = accept decided known_connection
//! c>s   ack      mp_capable          = accept decided known_connection
//! c2>s  syn      mp_join token s     = accept default join_known
//! s>c2  syn_ack  mp_join             = accept decided join_answered
//! c2>s  ack      mp_join hmac bad    = reject forged_join join_forged_proof
//! ```
//!
//! A host is a letter, and a digit for its further addresses; keys belong to letters. Lines between `rules` and `end`
//! are a rule file; later ones are loaded under the live connections. `wait SECS`, `observe`, `ipv6`,
//! `limits CONNECTIONS HANDSHAKES`, `input NAME` and `bytes HEX` say what they are called. A segment may have a length (`data:100`), and
//! several options are joined by `+`.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::engine::{Decision, Engine, Ingress, Mode};
use crate::mptcp::hmac::{self, JoinSide};
use crate::mptcp::option::{
    AddAddr, Announced, Capable, CapableData, CapableFlags, DataNumber, Dss, Join, Mapping, Prio, Proof,
    Tcprst,
};
use crate::mptcp::{Key, MptcpOption, Nonce, ResetReason, Token, Version};
use crate::rules::{InterfaceName, RuleSet};
use crate::script::packet::Draft;
use crate::time::Timestamp;
use crate::track::{Counts, Limits};
use crate::wire::{Endpoint, Flow, Pair, Segment};

/// One line of a conversation, played.
#[derive(Debug)]
pub struct Played {
    /// Case and line, to say where.
    pub place: String,
    /// What the line wants, if it wants something: verdict, reason, standing, and the rule's name where one spoke.
    pub wanted: Option<String>,
    /// The same of the decision.
    pub got: String,
    /// The packet.
    pub bytes: Vec<u8>,
    /// The decision.
    pub decision: Decision,
    /// What is remembered then.
    pub counts: Counts,
}

/// Plays all cases of a script. `compile` makes rules of a rule file's text.
///
/// # Panics
/// When a line cannot be read.
pub fn play(text: &str, compile: impl Fn(&str) -> RuleSet) -> Vec<Played> {
    let mut played = Vec::new();
    let mut world = World::default();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match word {
            "" => {}
            "case" => world = World { case: rest.to_owned(), ..World::default() },
            "rules" => {
                let file: Vec<_> =
                    lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "end").collect();
                world.load(compile(&file.join("\n")));
            }
            "observe" => world.mode = Mode::Observe,
            "ipv6" => world.ipv6 = true,
            "input" => world.ingress.input = InterfaceName::new(rest),
            "limits" => {
                let mut numbers = rest.split_whitespace().map(|number| number.parse().expect("a number"));
                world.limits.connections_max = numbers.next().expect("connections");
                world.limits.handshakes_max = numbers.next().expect("handshakes");
            }
            "wait" => world.wait(rest.trim().parse().expect("seconds")),
            "bytes" => played.push(world.raw_line(number + 1, rest)),
            _ => played.push(world.line(number + 1, line)),
        }
    }
    played
}

#[derive(Default)]
struct World {
    case: String,
    ipv6: bool,
    mode: Mode,
    limits: Limits,
    rules: RuleSet,
    engine: Option<Engine>,
    ingress: Ingress,
    now: Timestamp,
    joins: HashMap<Pair, Joining>,
    version: u8,
}

#[derive(Clone, Copy, Default)]
struct Joining {
    initiator: char,
    acceptor: char,
    initiator_nonce: u32,
    acceptor_nonce: u32,
}

/// Which nonce the host of that letter uses.
fn nonce(host: char) -> u32 {
    0x0101_0101 * u32::from(host)
}

/// The key of a host, from its letter.
pub fn key(host: char) -> Key {
    Key((0x1111_1111_1111_1111_u64.wrapping_mul(u64::from(host))).to_be_bytes())
}

impl World {
    fn engine(&mut self) -> &Engine {
        let rules = &mut self.rules;
        let (limits, mode) = (self.limits, self.mode);
        self.engine.get_or_insert_with(|| Engine::new(std::mem::take(rules), limits, mode))
    }

    fn load(&mut self, rules: RuleSet) {
        match &self.engine {
            Some(engine) => engine.swap_rules(rules),
            None => self.rules = rules,
        }
    }

    fn wait(&mut self, secs: u64) {
        self.now = self.now.after(Duration::from_secs(secs));
        let now = self.now;
        self.engine().expire(now);
    }

    fn end(&self, name: &str) -> Endpoint {
        let host = name.chars().next().expect("a host");
        let at: u8 = name[host.len_utf8()..].parse().unwrap_or(1);
        let low = u8::try_from(u32::from(host)).expect("an ASCII letter");
        let addr = if self.ipv6 {
            IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, u16::from(at), 0, 0, 0, 0, u16::from(low)))
        } else {
            IpAddr::V4(Ipv4Addr::new(10, 0, at, low))
        };
        let port = if host >= 's' { 443 } else { 40_000 };
        Endpoint { addr, port }
    }

    fn line(&mut self, number: usize, line: &str) -> Played {
        let place = format!("{}, line {number}: {line}", self.case);
        let (said, wanted) = match line.split_once('=') {
            Some((said, wanted)) => (said, Some(wanted.split_whitespace().collect::<Vec<_>>().join(" "))),
            None => (line, None),
        };
        let mut words = said.split_whitespace();
        let (from, to) =
            words.next().and_then(|way| way.split_once('>')).unwrap_or_else(|| panic!("{place}: who?"));
        let hosts = [from, to].map(|name| name.chars().next().unwrap_or_else(|| panic!("{place}: who?")));
        let kind = words.next().unwrap_or_else(|| panic!("{place}: what?"));
        let (kind, len) = kind.split_once(':').map_or((kind, None), |(kind, len)| (kind, len.parse().ok()));
        let segment = Segment::ALL.into_iter().find(|segment| segment.label() == kind);
        let segment = segment.unwrap_or_else(|| panic!("{place}: {kind} is no segment"));

        let flow = Flow { src: self.end(from), dst: self.end(to) };
        let mut draft = Draft::new(flow, segment);
        if let Some(len) = len {
            draft = draft.with_payload(len);
        }
        let words: Vec<_> = words.collect();
        for option in words.split(|word| *word == "+").filter(|option| !option.is_empty()) {
            draft = match option {
                ["raw", hex] => draft.with_raw(&unhex(hex)),
                ["seq", seq] => draft.with_seq(seq.parse().expect("a number")),
                option => {
                    let option =
                        self.option(option, hosts, &draft).unwrap_or_else(|| panic!("{place}: {option:?}?"));
                    draft.with(&option)
                }
            };
        }
        self.decide(place, wanted, draft.build())
    }

    fn raw_line(&mut self, number: usize, line: &str) -> Played {
        let (hex, wanted) = line.split_once('=').unwrap_or_else(|| panic!("line {number}: a decision?"));
        let wanted = wanted.split_whitespace().collect::<Vec<_>>().join(" ");
        self.decide(format!("{}, line {number}", self.case), Some(wanted), unhex(hex.trim()))
    }

    fn decide(&mut self, place: String, wanted: Option<String>, bytes: Vec<u8>) -> Played {
        self.now = self.now.after(Duration::from_millis(1));
        let (now, ingress) = (self.now, self.ingress);
        let decision = self.engine().decide(now, &ingress, &bytes);
        let counts = self.engine().counts();
        Played { place, wanted, got: summary(&decision), bytes, decision, counts }
    }

    fn option(&mut self, words: &[&str], hosts: [char; 2], draft: &Draft) -> Option<MptcpOption> {
        let (name, words) = words.split_first()?;
        let has = |word: &str| words.contains(&word);
        let value = |word: &str| words.iter().skip_while(|known| **known != word).nth(1).copied();
        Some(match *name {
            "mp_capable" => MptcpOption::Capable(self.capable(words, hosts, draft)),
            "mp_join" => MptcpOption::Join(self.join(words, hosts, draft)),
            "dss" => MptcpOption::Dss(Dss {
                data_fin: has("fin"),
                data_ack: has("ack").then_some(DataNumber::Short(7)),
                mapping: (has("map") || has("infinite")).then_some(Mapping {
                    dsn: DataNumber::Long(9),
                    ssn: u32::from(has("map")),
                    len: u16::from(has("map")),
                    checksum: None,
                }),
            }),
            "add_addr" => MptcpOption::AddAddr(add_addr(words, hosts)?),
            "remove_addr" => {
                MptcpOption::RemoveAddr(words.iter().map(|id| id.parse().expect("an address id")).collect())
            }
            "mp_prio" => MptcpOption::Prio(Prio { backup: true, address_id: None }),
            "mp_fail" => MptcpOption::Fail(9),
            "mp_fastclose" if has("bad") => MptcpOption::Fastclose(Key([9; 8])),
            "mp_fastclose" => MptcpOption::Fastclose(key(hosts[1])),
            "mp_tcprst" => MptcpOption::Tcprst(Tcprst {
                reserved: 0,
                transient: has("transient"),
                reason: ResetReason(value("reason").map_or(0, |reason| reason.parse().expect("a reason"))),
            }),
            _ => return None,
        })
    }

    fn capable(&mut self, words: &[&str], hosts: [char; 2], draft: &Draft) -> Capable {
        let has = |word: &str| words.contains(&word);
        if let Some(version) = (0..=9_u8).find(|version| has(&format!("v{version}"))) {
            self.version = version;
        } else if draft.segment == Segment::Syn {
            self.version = 1;
        }
        let sender = match () {
            () if has("otherkey") => Key([7; 8]),
            () if has("mirrored") => key(hosts[1]),
            () => key(hosts[0]),
        };
        let later = !matches!(draft.segment, Segment::Syn | Segment::SynAck);
        let with_key = self.version == 0 || (draft.segment != Segment::Syn && !has("mirrored"));
        let len = u16::try_from(draft.payload.len()).unwrap_or(u16::MAX);
        Capable {
            version: self.version,
            flags: CapableFlags(if has("b_flag") { 0x41 } else { 0x01 }),
            sender_key: with_key.then_some(sender),
            receiver_key: later.then_some(if has("otherpeer") { Key([8; 8]) } else { key(hosts[1]) }),
            data: (later && len > 0 && self.version == 1).then_some(CapableData { len, checksum: None }),
        }
    }

    fn join(&mut self, words: &[&str], hosts: [char; 2], draft: &Draft) -> Join {
        let version = Version::from_number(self.version).unwrap_or(Version::V1);
        let value = |word: &str| words.iter().skip_while(|known| **known != word).nth(1).copied();
        let joining = self.joins.entry(draft.flow.pair().0).or_default();
        let side = |host, nonce| JoinSide { key: key(host), nonce: Nonce(nonce) };
        let spoil =
            |proof: [u8; 20]| if value("hmac") == Some("bad") { proof.map(|byte| !byte) } else { proof };
        let address_id = 2;
        match draft.segment {
            Segment::Syn => {
                let token = match value("token").expect("a token") {
                    hex if hex.starts_with("0x") => {
                        Token(u32::from_str_radix(&hex[2..], 16).expect("a number"))
                    }
                    host => key(host.chars().next().expect("a host")).token(version),
                };
                *joining = Joining {
                    initiator: hosts[0],
                    acceptor: hosts[1],
                    initiator_nonce: nonce(hosts[0]),
                    acceptor_nonce: nonce(hosts[1]),
                };
                Join::Syn { backup: false, address_id, token, nonce: Nonce(joining.initiator_nonce) }
            }
            Segment::SynAck => {
                let proof = spoil(hmac::join(
                    version,
                    side(joining.acceptor, joining.acceptor_nonce),
                    side(joining.initiator, joining.initiator_nonce),
                ));
                let hmac = *proof.first_chunk().expect("it is longer");
                Join::SynAck { backup: false, address_id, hmac, nonce: Nonce(joining.acceptor_nonce) }
            }
            Segment::Ack | Segment::Data | Segment::Fin | Segment::Rst => Join::Ack {
                hmac: spoil(hmac::join(
                    version,
                    side(joining.initiator, joining.initiator_nonce),
                    side(joining.acceptor, joining.acceptor_nonce),
                )),
            },
        }
    }
}

fn add_addr(words: &[&str], hosts: [char; 2]) -> Option<AddAddr> {
    let [id, addr, how @ ..] = words else { return None };
    let (addr, port) = match addr.parse::<SocketAddr>() {
        Ok(addr) => (addr.ip(), Some(addr.port())),
        Err(_no_port) => (addr.parse().ok()?, None),
    };
    let announced = Announced { address_id: id.parse().ok()?, addr, port };
    let hmac = hmac::add_addr(key(hosts[0]), key(hosts[1]), &announced);
    let proof = match how {
        [] => Proof::Hmac(hmac),
        ["bad"] => Proof::Hmac(hmac.map(|byte| !byte)),
        ["echo"] => Proof::Echo,
        ["v0"] => Proof::None,
        _ => return None,
    };
    Some(AddAddr { announced, proof })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.chars().filter(|digit| !digit.is_whitespace());
    let digits: Vec<_> = digits.map(|digit| digit.to_digit(16).expect("hexadecimal")).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("two digits")).collect()
}

/// Verdict, reason, standing, and the rule's name where one spoke.
fn summary(decision: &Decision) -> String {
    let standing = decision.findings.map_or("none", |findings| findings.standing.label());
    let rule = decision.rule.as_ref().map_or(String::new(), |rule| format!(" {}", rule.name));
    let observed = decision.observed.map_or(String::new(), |verdict| format!(" would {}", verdict.label()));
    format!("{} {} {standing}{rule}{observed}", decision.verdict.label(), decision.reason.label())
}
