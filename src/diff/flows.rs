//! Which conversation of AFTER is which of BEFORE: by endpoints, else by what a NAT leaves as it is.

use std::collections::{HashMap, HashSet};

use crate::diff::sight::Digest;
use crate::diff::taken::{Conversation, Taken};
use crate::diff::{Direction, Side};
use crate::mptcp::option::{Capable, Join};
use crate::mptcp::{MptcpOption, codec};
use crate::time::Timestamp;
use crate::wire::options::MPTCP;
use crate::wire::{Endpoint, Segment};

/// Conversations that have a mark in common are compared one by one, but no more of them than this for each.
const CANDIDATES_MAX: usize = 64;

/// Fewer bytes of payload are the same in many conversations.
const PAYLOAD_MIN: usize = 16;

/// A conversation that passes the box begins on both sides within this, where the clocks agree.
const START_MAX_NANOS: u64 = 1_000_000_000;

/// Two conversations that are one, seen from both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowPair {
    /// Index in BEFORE.
    pub before: usize,
    /// Index in AFTER.
    pub after: usize,
    /// How sure that is, in percent.
    pub percent: u8,
    /// Why.
    pub why: Vec<Evidence>,
}

/// How sure a pair is, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// 99 percent and more.
    Certain,
    /// 80 percent and more.
    Likely,
    /// Less.
    Guess,
}

/// What two conversations have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Evidence {
    /// Both addresses and ports.
    Endpoints,
    /// A nonce of MP_JOIN beside its token, or a key of MP_CAPABLE.
    Secret,
    /// The client's initial sequence number.
    ClientIsn,
    /// The server's.
    ServerIsn,
    /// The SYN's TSval.
    Stamp,
    /// The SYN's IP identification.
    IpId,
    /// What the client said first.
    ClientPayload,
    /// What the server said first.
    ServerPayload,
    /// The server's address and port.
    Server,
    /// The client's address and port.
    Client,
    /// The client's port alone.
    ClientPort,
    /// Other options of the SYN.
    SynOptions,
    /// They began at the same time.
    Start,
}

impl Certainty {
    /// The word.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Likely => "likely",
            Self::Guess => "guess",
        }
    }
}

impl Evidence {
    /// In words.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Endpoints => "same addresses",
            Self::Secret => "same MPTCP nonce or key",
            Self::ClientIsn => "same ISN of the client",
            Self::ServerIsn => "same ISN of the server",
            Self::Stamp => "same timestamp in the SYN",
            Self::IpId => "same IP id of the SYN",
            Self::ClientPayload => "same first payload of the client",
            Self::ServerPayload => "same first payload of the server",
            Self::Server => "same server",
            Self::Client => "same client",
            Self::ClientPort => "same client port",
            Self::SynOptions => "same options in the SYN",
            Self::Start => "same start",
        }
    }

    /// How often two strange conversations have it in common: by the width of random numbers, else a guess on the
    /// safe side.
    const fn doubt(self) -> f64 {
        match self {
            Self::Endpoints | Self::Secret => 1e-9,
            Self::ClientIsn | Self::ServerIsn => 1e-8,
            Self::Stamp | Self::IpId => 1e-3,
            Self::ClientPayload | Self::ServerPayload => 0.05,
            Self::ClientPort => 0.1,
            Self::Server | Self::Client | Self::Start => 0.3,
            Self::SynOptions => 0.5,
        }
    }
}

impl FlowPair {
    /// How sure it is, in a word.
    pub const fn certainty(&self) -> Certainty {
        match self.percent {
            99.. => Certainty::Certain,
            80..=98 => Certainty::Likely,
            _ => Certainty::Guess,
        }
    }
}

/// Pairs the conversations of two captures, in the order of BEFORE.
pub fn pair(before: &Taken, after: &Taken) -> Vec<FlowPair> {
    let mut pairs = by_endpoints(before, after);
    let known = |side: fn(&FlowPair) -> usize| pairs.iter().map(side).collect::<HashSet<_>>();
    let free_before = free(before, &known(|pair| pair.before));
    let free_after = free(after, &known(|pair| pair.after));
    pairs.extend(by_marks(&free_before, &free_after));
    pairs.sort_by_key(|pair| pair.before);
    pairs
}

/// The conversations of a capture that `pairs` leaves out.
pub fn alone(taken: &Taken, pairs: &[FlowPair], side: Side) -> Vec<usize> {
    let paired: HashSet<usize> = pairs
        .iter()
        .map(|pair| match side {
            Side::Before => pair.before,
            Side::After => pair.after,
        })
        .collect();
    (0..taken.conversations.len()).filter(|at| !paired.contains(at)).collect()
}

/// Endpoints can be used again: then equal sequence numbers come first, the order second.
fn by_endpoints(before: &Taken, after: &Taken) -> Vec<FlowPair> {
    let mut known: HashMap<_, Vec<usize>> = HashMap::new();
    for (at, conversation) in after.conversations.iter().enumerate() {
        known.entry(conversation.pair().0).or_default().push(at);
    }
    let mut pairs = Vec::new();
    let mut done = HashSet::new();
    for same_isn in [true, false] {
        for (at, conversation) in before.conversations.iter().enumerate() {
            if done.contains(&at) {
                continue;
            }
            let Some(others) = known.get_mut(&conversation.pair().0) else { continue };
            let isn = conversation.isn(Direction::ToServer);
            let fits = |&other: &usize| {
                !same_isn
                    || after
                        .conversations
                        .get(other)
                        .is_some_and(|other| other.isn(Direction::ToServer) == isn)
            };
            let Some(place) = others.iter().position(fits) else { continue };
            let other = others.remove(place);
            done.insert(at);
            pairs.push(FlowPair { before: at, after: other, percent: 100, why: vec![Evidence::Endpoints] });
        }
    }
    pairs
}

/// What is compared of a conversation.
#[derive(Clone, Debug)]
struct Print {
    at: usize,
    client: Endpoint,
    server: Endpoint,
    isns: [Option<u32>; 2],
    stamp: Option<u32>,
    ip_id: Option<u16>,
    syn_options: Option<Vec<u8>>,
    secrets: Vec<[u8; 8]>,
    payloads: [Option<Digest>; 2],
    start: Timestamp,
}

/// By what candidates are found.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Mark {
    Secret([u8; 8]),
    Isn(Direction, u32),
    Stamp(u32),
    Payload(Direction, Digest),
    Server(Endpoint),
    Client(Endpoint),
}

fn free(taken: &Taken, known: &HashSet<usize>) -> Vec<Print> {
    let free = taken.conversations.iter().enumerate().filter(|(at, _)| !known.contains(at));
    free.map(|(at, conversation)| Print::of(at, conversation)).collect()
}

impl Print {
    fn of(at: usize, conversation: &Conversation) -> Self {
        let syn = conversation.sights.opener.iter().find(|sight| sight.segment == Segment::Syn);
        let payload = |direction: Direction| {
            let sights = conversation.sights.at(direction.sender()).iter();
            let first = sights.filter(|sight| sight.len > 0).find_map(|sight| sight.payload);
            first.filter(|digest| digest.len() >= PAYLOAD_MIN)
        };
        Self {
            at,
            client: conversation.client,
            server: conversation.server,
            isns: Direction::BOTH.map(|direction| conversation.isn(direction)),
            stamp: syn.and_then(|syn| syn.stamps).map(|(value, _)| value),
            ip_id: syn.map(|syn| syn.ip_id).filter(|id| *id != 0),
            syn_options: syn.map(|syn| {
                let lasting = syn.options().filter(|option| !matches!(option.kind, 8 | MPTCP));
                lasting.flat_map(|option| option.bytes.iter().copied()).collect()
            }),
            secrets: secrets(conversation),
            payloads: Direction::BOTH.map(payload),
            start: conversation.start(),
        }
    }

    fn marks(&self) -> Vec<Mark> {
        let mut marks: Vec<_> = self.secrets.iter().copied().map(Mark::Secret).collect();
        for (direction, isn) in Direction::BOTH.into_iter().zip(self.isns) {
            marks.extend(isn.map(|isn| Mark::Isn(direction, isn)));
        }
        marks.extend(self.stamp.map(Mark::Stamp));
        for (direction, payload) in Direction::BOTH.into_iter().zip(self.payloads) {
            marks.extend(payload.map(|payload| Mark::Payload(direction, payload)));
        }
        marks.extend([Mark::Server(self.server), Mark::Client(self.client)]);
        marks
    }

    /// What it has in common with another.
    fn common(&self, other: &Self) -> Vec<Evidence> {
        let same = |one: &Option<u32>, other: &Option<u32>| one.is_some() && one == other;
        let [client_isn, server_isn] = &self.isns;
        let [other_client_isn, other_server_isn] = &other.isns;
        let [client_payload, server_payload] = &self.payloads;
        let [other_client_payload, other_server_payload] = &other.payloads;
        let apart = self.start.since(other.start).max(other.start.since(self.start));
        let found = [
            (Evidence::Secret, self.secrets.iter().any(|secret| other.secrets.contains(secret))),
            (Evidence::ClientIsn, same(client_isn, other_client_isn)),
            (Evidence::ServerIsn, same(server_isn, other_server_isn)),
            (Evidence::Stamp, same(&self.stamp, &other.stamp)),
            (Evidence::IpId, self.ip_id.is_some() && self.ip_id == other.ip_id),
            (Evidence::ClientPayload, client_payload.is_some() && client_payload == other_client_payload),
            (Evidence::ServerPayload, server_payload.is_some() && server_payload == other_server_payload),
            (Evidence::Server, self.server == other.server),
            (Evidence::Client, self.client == other.client),
            (Evidence::ClientPort, self.client != other.client && self.client.port == other.client.port),
            (Evidence::SynOptions, self.syn_options.is_some() && self.syn_options == other.syn_options),
            (Evidence::Start, apart.as_nanos() < u128::from(START_MAX_NANOS)),
        ];
        found.into_iter().filter(|(_, holds)| *holds).map(|(evidence, _)| evidence).collect()
    }
}

/// Nonces with the tokens beside them, and keys: they are compared, and go nowhere.
fn secrets(conversation: &Conversation) -> Vec<[u8; 8]> {
    let mut secrets = Vec::new();
    for direction in Direction::BOTH {
        for sight in conversation.sights.at(direction.sender()).iter().take(CANDIDATES_MAX) {
            for option in sight.options().filter(|option| option.kind == MPTCP && !option.broken) {
                match codec::parse(option.bytes, sight.segment) {
                    Ok(MptcpOption::Join(Join::Syn { token, nonce, .. })) => {
                        let whole = u64::from(token.0) << 32 | u64::from(nonce.0);
                        secrets.push(whole.to_be_bytes());
                    }
                    Ok(MptcpOption::Join(Join::SynAck { hmac, .. })) => secrets.push(hmac),
                    Ok(MptcpOption::Capable(Capable { sender_key, receiver_key, .. })) => {
                        secrets.extend([sender_key, receiver_key].into_iter().flatten().map(|key| key.0));
                    }
                    _ => {}
                }
            }
        }
    }
    secrets.sort_unstable();
    secrets.dedup();
    secrets
}

/// The best pairs first; a pair competes with all others that one of its halves could be in.
fn by_marks(before: &[Print], after: &[Print]) -> Vec<FlowPair> {
    let mut index: HashMap<Mark, Vec<usize>> = HashMap::new();
    for (place, print) in after.iter().enumerate() {
        for mark in print.marks() {
            let places = index.entry(mark).or_default();
            if places.len() < CANDIDATES_MAX {
                places.push(place);
            }
        }
    }
    let mut found = Vec::new();
    for (place, print) in before.iter().enumerate() {
        let mut others: Vec<_> = print.marks().iter().filter_map(|mark| index.get(mark)).flatten().collect();
        others.sort_unstable();
        others.dedup();
        found.extend(others.into_iter().filter_map(|&other| {
            let why = print.common(after.get(other)?);
            let odds = 1.0 / why.iter().map(|evidence| evidence.doubt()).product::<f64>();
            Some((odds, place, other, why))
        }));
    }
    // All odds of a conversation, on either side.
    let mut rivals = [vec![0.0; before.len()], vec![0.0; after.len()]];
    let [of_before, of_after] = &mut rivals;
    for (odds, place, other, _) in &found {
        for sum in [of_before.get_mut(*place), of_after.get_mut(*other)].into_iter().flatten() {
            *sum += odds;
        }
    }
    found.sort_by(|one, other| other.0.total_cmp(&one.0).then((one.1, one.2).cmp(&(other.1, other.2))));
    let (mut used_before, mut used_after) = (HashSet::new(), HashSet::new());
    let mut pairs = Vec::new();
    for (odds, place, other, why) in found {
        let (Some(one), Some(two)) = (before.get(place), after.get(other)) else { continue };
        if used_before.contains(&place) || used_after.contains(&other) {
            continue;
        }
        let sums = [of_before.get(place), of_after.get(other)];
        let rivals = sums.into_iter().flatten().fold(odds, |most, sum| sum.max(most));
        let Some(percent) = percent(odds / (1.0 + rivals)) else { continue };
        used_before.insert(place);
        used_after.insert(other);
        pairs.push(FlowPair { before: one.at, after: two.at, percent, why });
    }
    pairs
}

/// In whole percent, 99 at most; `None` where nothing speaks for it rather than against it.
fn percent(chance: f64) -> Option<u8> {
    (50..=99_u8).rev().find(|&percent| chance * 100.0 >= f64::from(percent))
}
