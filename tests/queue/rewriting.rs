//! Segments with data that are rewritten: tens of kilobytes at a time, of which the gate sees the first bytes alone.

use std::time::Duration;

use mpgate::attach::{Hook, QueueMode};
use socket2::Protocol;

use crate::netns::inside;
use crate::world::{BULK, Gate, Listener, QUEUE, SERVER, World, connect, plan, send};

/// Timestamps are taken out of each segment of connections that agreed on them before the gate came; Linux takes such
/// segments.
#[test]
fn data_loses_options_and_no_byte() {
    const NO_TIMESTAMPS: &str = "[normalize]\nallow = [\"mss\", \"md5\", \"ao\"]\n";
    let Some(world) = World::new() else { return };
    let ns = world.router();
    for family in SERVER {
        for (protocol, name) in [(Protocol::TCP, "TCP"), (Protocol::MPTCP, "MPTCP")] {
            let listener = Listener::start(&world.server(), family, protocol);
            let client = connect(&world.client(), listener.addr, protocol, Duration::from_secs(3)).unwrap();
            let gate = Gate::with_rules(&ns, QUEUE, NO_TIMESTAMPS);
            let attached = inside(&ns, || plan(Hook::Forward, QueueMode::All).install()).unwrap();
            assert_eq!(send(client, BULK).unwrap(), BULK, "{family} {name}");
            let stripped = gate.counted("mpgate_verdicts_total{reason=\"normalized\",verdict=\"strip\"}");
            assert!(stripped > 100.0, "{family} {name}: {stripped} segments were rewritten");
            assert_eq!(gate.counted("mpgate_queue_errors_total"), 0.0, "{family} {name}");
            inside(&ns, || attached.detach()).unwrap();
        }
    }
}
