//! What holds for any bytes: nothing panics, and a strip changes option bytes and the checksum alone.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use mpgate::engine::{Engine, Ingress, Mode, enforce};
use mpgate::mptcp;
use mpgate::rules::{self, RuleSet, Source};
use mpgate::script::Script;
use mpgate::script::packet::Draft;
use mpgate::script::play::play;
use mpgate::time::Timestamp;
use mpgate::track::{Counts, Limits};
use mpgate::wire::edit::{ChecksumState, blank};
use mpgate::wire::options::NOP;
use mpgate::wire::{Endpoint, Flow, OptionMask, Packet, Segment, checksum};
use proptest::prelude::*;

fn flows() -> impl Strategy<Value = Flow> {
    let ports = (1_u16.., 1_u16..);
    let v4 = (any::<[u8; 4]>(), any::<[u8; 4]>()).prop_map(|(src, dst)| (src.into(), dst.into()));
    let v6 = (any::<[u8; 16]>(), any::<[u8; 16]>()).prop_map(|(src, dst)| (src.into(), dst.into()));
    (prop_oneof![v4, v6], ports).prop_map(|((src, dst), (from, to))| Flow {
        src: Endpoint { addr: src, port: from },
        dst: Endpoint { addr: dst, port: to },
    })
}

fn segments() -> impl Strategy<Value = Segment> {
    proptest::sample::select(Segment::ALL.to_vec())
}

/// Option areas that look like some: kinds that exist, lengths that are mostly right, bodies of chance.
fn areas() -> impl Strategy<Value = Vec<u8>> {
    let option =
        (prop_oneof![Just(30_u8), any::<u8>()], proptest::collection::vec(any::<u8>(), 0..24), -1_i8..2);
    proptest::collection::vec(option, 0..6).prop_map(|options| {
        let mut area = Vec::new();
        for (kind, body, lie) in options {
            let len = u8::try_from(body.len() + 2).unwrap();
            area.extend([kind, len.saturating_add_signed(if lie == 1 { 1 } else { 0 })]);
            area.extend(body);
        }
        area.truncate(40);
        area
    })
}

fn packets() -> impl Strategy<Value = Vec<u8>> {
    (flows(), segments(), areas(), proptest::collection::vec(any::<u8>(), 0..200), any::<u32>()).prop_map(
        |(flow, segment, options, payload, seq)| {
            Draft { options, payload, seq, ..Draft::new(flow, segment) }.build().unwrap()
        },
    )
}

/// Lines of a decision script: a whole handshake, or something that some host may or may not say then.
fn lines() -> impl Strategy<Value = String> {
    let hosts = proptest::sample::select(vec![
        "c>s", "s>c", "c2>s", "s>c2", "s2>c", "c>s2", "d>s", "s>d", "d2>s", "s>d2",
    ]);
    let said = proptest::sample::select(vec![
        "syn mp_capable",
        "syn mp_capable v0",
        "syn_ack mp_capable",
        "syn_ack",
        "ack mp_capable",
        "data mp_capable",
        "ack",
        "data dss ack map",
        "ack dss ack fin",
        "fin dss ack",
        "rst",
        "rst mp_fastclose",
        "syn mp_join token s",
        "syn mp_join token c",
        "syn_ack mp_join",
        "ack mp_join",
        "ack mp_join hmac bad",
        "ack add_addr 3 10.0.9.1",
        "data dss ack + remove_addr 3",
    ]);
    let waits = proptest::sample::select(vec![1, 3, 11, 61, 432_001]);
    let whole = proptest::sample::select(vec![("c", "s"), ("d", "s"), ("c", "s2")]);
    let open = |(c, s): (&str, &str)| {
        format!("{c}>{s} syn mp_capable\n{s}>{c} syn_ack mp_capable\n{c}>{s} ack mp_capable")
    };
    let join = |(c, s): (&str, &str)| {
        format!("{c}2>{s} syn mp_join token s\n{s}>{c}2 syn_ack mp_join\n{c}2>{s} ack mp_join")
    };
    prop_oneof![
        1 => whole.clone().prop_map(open),
        1 => whole.prop_map(join),
        9 => (hosts, said).prop_map(|(hosts, said)| format!("{hosts} {said}")),
        1 => waits.prop_map(|secs| format!("wait {secs}")),
    ]
}

/// What rules ask, of segments that are routine and of others.
const ASKS: [&str; 10] = [
    "option = \"dss\"",
    "option = \"mp_join\"",
    "option = [\"mp_capable\", \"remove_addr\"]",
    "standing = \"plain\"",
    "standing = [\"known_connection\", \"fallback\"]",
    "standing = \"unknown_connection\"",
    "standing = \"join_verified\"",
    "segment = \"data\"",
    "option_not = \"dss\"",
    "version = 1",
];

fn engine() -> Engine {
    Engine::new(RuleSet::default(), Limits::default(), Mode::Enforce)
}

fn tcp_checksum(bytes: &[u8]) -> u16 {
    let packet = Packet::parse(bytes).unwrap();
    checksum::tcp(packet.flow.src.addr, packet.flow.dst.addr, &bytes[packet.tcp_at..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_decided_and_enforced(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let decision = engine().decide(Timestamp::ZERO, &Ingress::default(), &bytes);
        let len = bytes.len();
        enforce(&decision, &mut bytes);
        prop_assert_eq!(bytes.len(), len);
    }

    #[test]
    fn nothing_is_left_once_all_is_silent(lines in proptest::collection::vec(lines(), 1..120)) {
        let script = format!("{}\nwait 432001\nwait 432001\nwait 61\nx>y syn", lines.join("\n"));
        let last = play(Script::parse(&script).unwrap(), |_| RuleSet::default()).pop().unwrap();
        prop_assert_eq!(last.counts, Counts::default());
    }

    /// Where no rule may speak on routine segments they are decided without asking; one that never speaks has them asked.
    #[test]
    fn routine_is_decided_as_if_rules_were_asked(
        lines in proptest::collection::vec(lines(), 1..120),
        asks in proptest::sample::subsequence(ASKS.to_vec(), 0..=3),
    ) {
        let rule = |name: usize, asks: &str| {
            format!("[[rule]]\nname = \"{name}\"\naction = \"accept\"\nlog = true\n{asks}")
        };
        let rules: Vec<_> = asks.iter().enumerate().map(|(name, asks)| rule(name, asks)).collect();
        let never = rule(asks.len(), "from = \"203.0.113.1\"");
        let decided = |more: &str| {
            let script = format!("rules\n{}\n{more}\nend\n{}", rules.join("\n"), lines.join("\n"));
            let compiled = |text: &str| rules::compile(&[Source { path: String::new(), text: text.into() }]).unwrap().0;
            let played = play(Script::parse(&script).unwrap(), compiled);
            played.iter().map(|played| format!("{:?} {:?}", played.decision, played.counts)).collect::<Vec<_>>()
        };
        prop_assert_eq!(decided(""), decided(&never));
    }

    #[test]
    fn damaged_packets_are_decided_and_enforced(
        mut bytes in packets(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        keep in any::<prop::sample::Index>(),
    ) {
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(keep.index(bytes.len()) + 1);
        let decision = engine().decide(Timestamp::ZERO, &Ingress::default(), &bytes);
        enforce(&decision, &mut bytes);
    }

    #[test]
    fn a_strip_leaves_the_length_and_a_right_checksum(bytes in packets(), mask in any::<u64>(), partial: bool) {
        let packet = Packet::parse(&bytes).unwrap();
        let (options_at, options_len, tcp_at) = (packet.options_at(), packet.options_len(), packet.tcp_at);
        prop_assert_eq!(tcp_checksum(&bytes), 0);
        let mask = (0..64).filter(|at| mask >> at & 1 == 1).fold(OptionMask::EMPTY, |all, at| all.and(OptionMask::span(at, 1)));

        let mut stripped = bytes.clone();
        let state = if partial { ChecksumState::Partial } else { ChecksumState::Complete };
        if partial {
            stripped[tcp_at + 16..tcp_at + 18].copy_from_slice(&[0x12, 0x34]);
        }
        blank(&mut stripped, mask, state).unwrap();

        prop_assert_eq!(stripped.len(), bytes.len());
        prop_assert_eq!(tcp_checksum(&stripped), 0);
        for at in 0..bytes.len() {
            let in_checksum = (tcp_at + 16..tcp_at + 18).contains(&at);
            let option = at.checked_sub(options_at).filter(|&option| option < options_len);
            match option {
                Some(option) if mask.contains(option) => prop_assert_eq!(stripped[at], NOP),
                _ if in_checksum => {}
                _ => prop_assert_eq!(stripped[at], bytes[at]),
            }
        }
    }

    #[test]
    fn a_checksum_that_was_wrong_stays_wrong(mut bytes in packets(), off in 1_u16..0xfffe) {
        let tcp_at = Packet::parse(&bytes).unwrap().tcp_at;
        let sum = u16::from_be_bytes([bytes[tcp_at + 16], bytes[tcp_at + 17]]);
        bytes[tcp_at + 16..tcp_at + 18].copy_from_slice(&sum.wrapping_add(off).to_be_bytes());
        let before = tcp_checksum(&bytes);
        blank(&mut bytes, OptionMask::span(0, 40), ChecksumState::Complete).unwrap();
        prop_assert_eq!(tcp_checksum(&bytes), before);
    }

    #[test]
    fn what_is_well_formed_is_emitted_as_it_was_read(bytes in packets()) {
        let packet = Packet::parse(&bytes).unwrap();
        for signal in mptcp::signals(&packet).list {
            if let Ok(option) = signal.option {
                let again = mptcp::codec::parse(&option.emit(), packet.segment);
                prop_assert_eq!(again, Ok(option));
            }
        }
    }

    #[test]
    fn a_reset_is_a_right_packet(bytes in packets()) {
        let packet = Packet::parse(&bytes).unwrap();
        let option = Some([30, 4, 0x80, 3]);
        for reset in [mpgate::wire::reset::Reset::to_sender(&packet, option), mpgate::wire::reset::Reset::to_receiver(&packet, option)] {
            let reset = reset.emit();
            let parsed = Packet::parse(&reset).unwrap();
            prop_assert_eq!(parsed.segment, Segment::Rst);
            prop_assert_eq!(tcp_checksum(&reset), 0);
            prop_assert_eq!(mptcp::signals(&parsed).malformed(), None);
        }
    }
}
