//! What each mode queues, and what becomes of it.

use std::time::Duration;

use mpgate::attach::{Hook, QueueMode};
use mpgate::marks;
use socket2::Protocol;

use crate::netns::{inside, run_in};
use crate::world::{
    BULK, Gate, Listener, Place, QUEUE, SERVER, World, connect, mptcp_counter, plan, queued, queued_since,
    send,
};

fn check_mode(mode: QueueMode, tcp: impl Fn(u64) -> bool, mptcp: impl Fn(u64) -> bool) {
    let Some(world) = World::new() else { return };
    let router = world.router();
    let _gate = Gate::start(&router, QUEUE);
    let attached = inside(&router, || plan(Hook::Forward, mode).install()).unwrap();
    for family in SERVER {
        let before = queued(&router).0;
        assert_eq!(world.transfer(family, Protocol::TCP, BULK).unwrap(), BULK);
        let plain = queued(&router).0 - before;
        assert!(tcp(plain), "{mode:?} {family}: {plain} packets of plain TCP were queued");

        assert_eq!(world.transfer(family, Protocol::MPTCP, BULK).unwrap(), BULK);
        let multipath = queued(&router).0 - before - plain;
        assert!(mptcp(multipath), "{mode:?} {family}: {multipath} packets of MPTCP were queued");
    }
    assert_eq!(mptcp_counter(&world.client(), "MPCapableSYNACKRX"), 2, "MPTCP got through, in both families");
    inside(&router, || attached.detach()).unwrap();
}

#[test]
fn control_queues_a_handful_of_a_bulk_transfer_and_no_plain_tcp() {
    check_mode(QueueMode::Control, |tcp| tcp == 0, |mptcp| (3..=20).contains(&mptcp));
}

#[test]
fn strict_queues_all_mptcp_and_no_plain_tcp() {
    check_mode(QueueMode::Strict, |tcp| tcp == 0, |mptcp| mptcp > 100);
}

#[test]
fn all_queues_all_tcp() {
    check_mode(QueueMode::All, |tcp| tcp > 100, |mptcp| mptcp > 100);
}

#[test]
fn control_lets_the_data_of_a_connection_go_that_fell_back() {
    let Some(world) = World::new() else { return };
    let router = world.router();
    let _gate = Gate::start(&router, QUEUE);
    let attached = inside(&router, || plan(Hook::Forward, QueueMode::Control).install()).unwrap();
    for family in SERVER {
        let before = queued(&router).0;
        let listener = Listener::start(&world.server(), family, Protocol::TCP);
        let client =
            connect(&world.client(), listener.addr, Protocol::MPTCP, Duration::from_secs(3)).unwrap();
        assert_eq!(send(client, BULK).unwrap(), BULK);
        assert_eq!(queued_since(&router, before), 2, "{family}: SYN, SYN/ACK");
    }
    inside(&router, || attached.detach()).unwrap();
}

#[test]
fn a_host_that_guards_itself_is_reached_in_every_mode() {
    let Some(world) = World::new() else { return };
    let server = world.server();
    let _gate = Gate::start(&server, QUEUE);
    for hook in [Hook::Input, Hook::Output, Hook::Host] {
        for mode in [QueueMode::Control, QueueMode::Strict, QueueMode::All] {
            let attached = inside(&server, || plan(hook, mode).install()).unwrap();
            for family in SERVER {
                let before = queued(&server).0;
                assert_eq!(world.transfer(family, Protocol::MPTCP, 1 << 20).unwrap(), 1 << 20);
                assert!(queued(&server).0 > before, "{hook:?} {mode:?} {family} queued nothing");
            }
            inside(&server, || attached.detach()).unwrap();
        }
    }
    assert_eq!(mptcp_counter(&world.client(), "MPCapableSYNACKRX"), 18);
}

/// Connections that are marked as watched, and of which the gate knows nothing: those of another gate before it, say.
fn check_unknown(hook: Hook, watcher: impl Fn(&World) -> String) {
    let Some(world) = World::new() else { return };
    let ns = watcher(&world);
    let _gate = Gate::start(&ns, QUEUE);
    let attached = inside(&ns, || plan(hook, QueueMode::Control).install()).unwrap();
    let watched = format!("{:#x}/{0:#x}", marks::WATCHED);
    for family in ["iptables", "ip6tables"] {
        let rule = format!("-A PREROUTING -p tcp --syn -j CONNMARK --set-xmark {watched}");
        run_in(&ns, &format!("{family} -w 5 -t mangle {rule}"));
    }
    for family in SERVER {
        let before = queued(&ns).0;
        world.transfer(family, Protocol::TCP, 1 << 20).unwrap();
        assert_eq!(queued_since(&ns, before), 1, "{hook:?} {family}: the SYN");
    }
    inside(&ns, || attached.detach()).unwrap();
}

#[test]
fn what_is_marked_and_unknown_is_let_go_with_its_first_packet_on_a_router() {
    check_unknown(Hook::Forward, World::router);
}

#[test]
fn what_is_marked_and_unknown_is_let_go_with_its_first_packet_on_a_host() {
    check_unknown(Hook::Host, World::server);
}

/// As one that routes over several lines, by marks.
#[test]
fn a_router_that_restores_and_saves_whole_marks_changes_nothing_of_what_is_queued() {
    let Some(world) = World::new() else { return };
    let ns = world.router();
    let _gate = Gate::start(&ns, QUEUE);
    for mode in [QueueMode::Control, QueueMode::Strict] {
        let attached = inside(&ns, || plan(Hook::Forward, mode).install()).unwrap();
        let transfers = || {
            SERVER.map(|family| {
                let before = queued(&ns).0;
                world.transfer(family, Protocol::MPTCP, 1000).unwrap();
                queued_since(&ns, before)
            })
        };
        let alone = transfers();
        let each = |how: &str| {
            for family in ["iptables", "ip6tables"] {
                let mangle = format!("{family} -w 5 -t mangle {how}");
                run_in(&ns, &format!("{mangle} PREROUTING -j CONNMARK --restore-mark"));
                run_in(&ns, &format!("{mangle} POSTROUTING -j CONNMARK --save-mark"));
            }
        };
        each("-A");
        let beside = transfers();
        each("-D");
        // Hosts may join two segments in one; without its mark a connection would lose both its FINs.
        let as_many = alone.iter().zip(beside).all(|(alone, beside)| alone.abs_diff(beside) <= 1);
        assert!(as_many, "{mode:?}: {alone:?} alone, {beside:?} beside");
        assert!(alone.iter().all(|&queued| queued >= 5), "{mode:?}: {alone:?}");
        inside(&ns, || attached.detach()).unwrap();
    }
}

/// A packet that goes by our rules again does not go by those of others again.
#[test]
fn rules_of_others_beside_ours_meet_each_packet_once() {
    let Some(world) = World::new() else { return };
    let ns = world.router();
    let _gate = Gate::start(&ns, QUEUE);
    for family in ["iptables", "ip6tables"] {
        run_in(&ns, &format!("{family} -t mangle -A FORWARD -p tcp -m comment --comment others"));
        run_in(&ns, &format!("{family} -t mangle -A POSTROUTING -p tcp -m comment --comment others"));
    }
    for mode in [QueueMode::Control, QueueMode::Strict, QueueMode::All] {
        let attached = inside(&ns, || plan(Hook::Forward, mode).install()).unwrap();
        for family in SERVER {
            let listener = Listener::start(&world.server(), family, Protocol::TCP);
            let client =
                connect(&world.client(), listener.addr, Protocol::MPTCP, Duration::from_secs(3)).unwrap();
            assert_eq!(send(client, 1000).unwrap(), 1000);
            assert_eq!(world.transfer(family, Protocol::MPTCP, 1000).unwrap(), 1000);
        }
        for save in ["iptables-save", "ip6tables-save"] {
            let saved = run_in(&ns, &format!("{save} -c -t mangle"));
            let counts: Vec<_> = saved
                .lines()
                .filter(|line| line.contains("--comment others"))
                .filter_map(|line| line.strip_prefix('[')?.split(':').next())
                .collect();
            assert_eq!(counts.len(), 2);
            assert!(counts[0] == counts[1] && counts[0] != "0", "{mode:?} {save}: {counts:?}");
        }
        inside(&ns, || attached.detach()).unwrap();
    }
}

/// A server that does not speak MPTCP: its plain SYN/ACK comes too, by the mark that the SYN left on the connection.
fn check_fallback(hook: Hook, watcher: impl Fn(&World) -> String) {
    let Some(world) = World::new() else { return };
    let ns = watcher(&world);
    let gate = Gate::start(&ns, QUEUE);
    let attached = inside(&ns, || plan(hook, QueueMode::Control).install()).unwrap();
    for (family, seen) in SERVER.into_iter().zip([1.0, 2.0]) {
        let before = queued(&ns).0;
        let listener = Listener::start(&world.server(), family, Protocol::TCP);
        let client =
            connect(&world.client(), listener.addr, Protocol::MPTCP, Duration::from_secs(3)).unwrap();
        assert_eq!(send(client, 1 << 20).unwrap(), 1 << 20);
        assert_eq!(queued_since(&ns, before), 2, "{hook:?} {family}: SYN, SYN/ACK");
        assert_eq!(gate.counted("mpgate_fallbacks_total{cause=\"plain_answer\"}"), seen, "{hook:?} {family}");
    }
    inside(&ns, || attached.detach()).unwrap();
}

#[test]
fn a_fallback_is_seen_on_a_router() {
    check_fallback(Hook::Forward, World::router);
}

#[test]
fn a_fallback_is_seen_on_a_server() {
    check_fallback(Hook::Host, World::server);
}

#[test]
fn a_fallback_is_seen_on_a_client() {
    check_fallback(Hook::Host, World::client);
}

/// The client's own packets leave without a checksum, which a rewrite has to fill in: wrong, and nothing connects.
#[test]
fn what_is_stripped_arrives_as_plain_tcp_wherever_the_gate_stands() {
    const STRIP_ALL: &str = "[[rule]]\nname = \"plain\"\noption = \"mp_capable\"\naction = \"strip\"\n";
    let places: [Place; 4] = [
        (Hook::Forward, World::router),
        (Hook::Output, World::client),
        (Hook::Input, World::server),
        (Hook::Host, World::server),
    ];
    for (hook, place) in places {
        let Some(world) = World::new() else { return };
        let ns = place(&world);
        let gate = Gate::with_rules(&ns, QUEUE, STRIP_ALL);
        let attached = inside(&ns, || plan(hook, QueueMode::Control).install()).unwrap();
        for family in SERVER {
            assert_eq!(world.transfer(family, Protocol::MPTCP, BULK).unwrap(), BULK, "{hook:?} {family}");
        }
        assert_eq!(gate.counted("mpgate_verdicts_total{reason=\"rule\",verdict=\"strip\"}"), 2.0, "{hook:?}");
        assert_eq!(mptcp_counter(&world.client(), "MPCapableSYNTX"), 2, "{hook:?}");
        assert_eq!(mptcp_counter(&world.client(), "MPCapableSYNACKRX"), 0, "{hook:?}");
        inside(&ns, || attached.detach()).unwrap();
    }
}
