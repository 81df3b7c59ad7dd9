//! What packets cost the heap: nothing, but those that open connections and joins.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use mpgate::engine::{Engine, Ingress, Mode};
use mpgate::rules::RuleSet;
use mpgate::script::{Script, Step};
use mpgate::time::Timestamp;
use mpgate::track::Limits;
use mpgate::wire::InterfaceName;

/// The handshakes of a connection and of a join to it, then what is said on both.
const SCRIPT: &str = "\
c>s syn mp_capable
s>c syn_ack mp_capable
c>s ack mp_capable
c2>s syn mp_join token s
s>c2 syn_ack mp_join
c2>s ack mp_join
";

/// After the handshakes, and beside them.
const FREE: &str = "\
c>s data dss ack map
s>c data dss ack map
c2>s data dss ack map
s>c2 ack dss ack
c>s ack
c2>s data mp_prio
x>s syn
s>x syn_ack
x>s data
x>s data dss ack map
x>s syn mp_join token 0x12345678
";

/// Whole packets of a script, as they come from the kernel.
fn packets(script: &str) -> Vec<Vec<u8>> {
    let steps = Script::parse(&format!("case all\n{script}")).unwrap().cases.pop().unwrap().steps;
    let packet = |step| match step {
        Step::Packet(line) => Some(line.bytes),
        Step::Rules(_) | Step::Wait(_) => None,
    };
    steps.into_iter().filter_map(packet).collect()
}

#[test]
fn packets_of_known_connections_and_plain_ones_and_ticks_allocate_nothing() {
    let engine = Engine::new(RuleSet::default(), Limits::default(), Mode::Enforce);
    let ingress = Ingress {
        input: InterfaceName::new("lan0"),
        output: InterfaceName::new("wan0"),
        ..Ingress::default()
    };
    let all = packets(&format!("{SCRIPT}{FREE}"));
    let (opening, later) = all.split_at(SCRIPT.lines().count());
    let mut now = Timestamp::ZERO;
    let opened = allocation_counter::measure(|| {
        for packet in opening {
            engine.decide(now, &ingress, packet);
        }
    });
    assert!(opened.count_total > 0, "nothing is counted");
    assert_eq!((engine.counts().connections, engine.counts().subflows), (1, 2));

    for round in 0..4 {
        for packet in later {
            let decided = allocation_counter::measure(|| drop(engine.decide(now, &ingress, packet)));
            assert_eq!(decided.count_total, 0, "round {round}: {packet:x?}");
        }
        let tick = allocation_counter::measure(|| assert_eq!(engine.expire(now), 0));
        assert_eq!(tick.count_total, 0, "a tick that forgets nothing");
        now = now.after(Duration::from_millis(700));
    }

    let silent = now.after(Duration::from_secs(6 * 24 * 3600));
    let tick = allocation_counter::measure(|| assert_eq!(engine.expire(silent), 2));
    assert_eq!((tick.count_total, engine.counts().connections), (0, 0), "a tick that forgets all");
}
