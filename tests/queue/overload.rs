//! More packets than a gate can decide.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use mpgate::attach::{Hook, QueueMode};
use mpgate::queue::{QueueOptions, kernel_queues};
use socket2::Protocol;

use crate::netns::{inside, wait};
use crate::workers::{all_answered, flood};
use crate::world::{BULK, Gate, Listener, QUEUE, SERVER, World, connect, options, plan, queued, send};

/// The kernel's memory for packets is not in it.
fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A flood of forged joins that finds the queue full most of the time.
fn overload<T>(world: &World, meanwhile: impl FnOnce() -> T) -> (u64, T) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let floods = [(); 2].map(|()| scope.spawn(|| flood(&world.client(), &stop)));
        wait(Duration::from_millis(300));
        let done = meanwhile();
        stop.store(true, Ordering::Relaxed);
        (floods.map(|flood| flood.join().unwrap()).iter().sum(), done)
    })
}

fn gate(ns: &str, fail_open: bool) -> Gate {
    // Short, so that it is full in no time.
    Gate::with_options(ns, &[QueueOptions { fail_open, packets_max: 16, ..options(QUEUE) }], "")
}

#[test]
fn an_overloaded_gate_that_fails_open_keeps_transfers_going_and_recovers() {
    let Some(world) = World::new() else { return };
    let ns = world.router();
    let _gate = gate(&ns, true);
    let attached = inside(&ns, || plan(Hook::Forward, QueueMode::All).install()).unwrap();
    let listener = Listener::start(&world.server(), SERVER[0], Protocol::MPTCP);
    let client = connect(&world.client(), listener.addr, Protocol::MPTCP, Duration::from_secs(3)).unwrap();
    let before = resident_kib();
    let (offered, sent) = overload(&world, || send(client, BULK));
    assert_eq!(sent.unwrap(), BULK);
    let decided = queued(&ns).0;
    assert!(decided < offered, "{offered} packets were no overload: {decided} decided");
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 16 << 10, "{grown} KiB more");

    wait(Duration::from_secs(1));
    assert!(all_answered(&ns));
    let before = queued(&ns).0;
    assert_eq!(world.transfer(SERVER[0], Protocol::MPTCP, BULK).unwrap(), BULK);
    assert!(queued(&ns).0 > before, "and it is decided again");
    inside(&ns, || attached.detach()).unwrap();
}

#[test]
fn what_an_overloaded_gate_that_fails_closed_loses_is_counted_and_it_recovers() {
    let Some(world) = World::new() else { return };
    let ns = world.router();
    let _gate = gate(&ns, false);
    let attached = inside(&ns, || plan(Hook::Forward, QueueMode::All).install()).unwrap();
    let (offered, ()) = overload(&world, || wait(Duration::from_millis(500)));
    let queues = inside(&ns, kernel_queues).unwrap();
    let queue = queues.into_iter().find(|queue| queue.number == QUEUE).unwrap();
    let lost = queue.dropped_full + queue.dropped_user;
    assert!(lost > 0, "{offered} packets were no overload");

    wait(Duration::from_secs(1));
    assert!(all_answered(&ns));
    assert_eq!(world.transfer(SERVER[0], Protocol::MPTCP, BULK).unwrap(), BULK);
    inside(&ns, || attached.detach()).unwrap();
}
