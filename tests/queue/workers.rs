//! Workers that start, end and are killed.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use mpgate::attach::{Hook, QueueMode};
use mpgate::queue::{QueueError, Worker, kernel_queues};
use socket2::{Domain, Protocol, Socket, Type};

use crate::joins::join_syn;
use crate::netns::{inside, wait};
use crate::world::{BULK, Gate, QUEUE, SERVER, World, options, plan, queued};

/// In the environment of a worker that is a process of its own: its namespace and queue.
const WORKER_PROCESS: &str = "MPGATE_TESTS_WORKER";

#[test]
fn a_queue_number_in_use_is_told_of_and_harms_nobody() {
    let Some(world) = World::new() else { return };
    let ns = world.router();
    let _gate = Gate::start(&ns, QUEUE);
    let error = inside(&ns, || Worker::bind(options(QUEUE))).unwrap_err();
    assert!(matches!(error, QueueError::InUse { number: QUEUE, port } if port > 0), "{error}");
    assert_eq!(inside(&ns, kernel_queues).unwrap().len(), 2, "one for heads, one for whole packets");
    let _another = Gate::start(&ns, QUEUE + 1);
    assert_eq!(inside(&ns, kernel_queues).unwrap().len(), 4);
}

/// The worker of the tests that kill one; alone it does nothing.
#[test]
fn worker_process() {
    let Ok(ns) = std::env::var(WORKER_PROCESS) else { return };
    let _gate = Gate::start(&ns, QUEUE);
    wait(Duration::from_secs(60));
}

/// A worker that can be killed, and is at the latest with this value.
struct WorkerProcess(Child);

impl WorkerProcess {
    fn start(ns: &str) -> Self {
        let worker = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "workers::worker_process"])
            .env(WORKER_PROCESS, ns)
            .stdout(Stdio::null())
            .spawn();
        let worker = Self(worker.unwrap());
        let bound = (0..100).any(|_| {
            wait(Duration::from_millis(50));
            !inside(ns, kernel_queues).unwrap().is_empty()
        });
        assert!(bound, "the worker did not bind its queue");
        worker
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_killed_worker_leaves_no_packet_stuck_and_the_next_one_takes_over() {
    let Some(world) = World::new() else { return };
    let ns = world.router();
    let attached = inside(&ns, || plan(Hook::Forward, QueueMode::All).install()).unwrap();
    for family in SERVER {
        let worker = WorkerProcess::start(&ns);
        thread::scope(|scope| {
            let transfer = scope.spawn(|| world.transfer(family, Protocol::MPTCP, 64 << 20));
            wait(Duration::from_millis(60));
            drop(worker);
            assert_eq!(transfer.join().unwrap().unwrap(), 64 << 20, "{family}");
        });
        assert_eq!(inside(&ns, kernel_queues).unwrap(), [], "the kernel gave the queue up");
        let _gate = Gate::start(&ns, QUEUE);
        assert_eq!(world.transfer(family, Protocol::MPTCP, BULK).unwrap(), BULK);
        assert!(all_answered(&ns), "{} packets wait for ever", queued(&ns).1);
    }
    inside(&ns, || attached.detach()).unwrap();
}

#[test]
fn a_worker_that_starts_under_load_leaves_no_packet_stuck() {
    let Some(world) = World::new() else { return };
    let ns = world.router();
    let attached = inside(&ns, || plan(Hook::Forward, QueueMode::All).install()).unwrap();
    for _ in 0..20 {
        let stop = AtomicBool::new(false);
        let _gate = thread::scope(|scope| {
            scope.spawn(|| flood(&world.client(), &stop));
            wait(Duration::from_millis(30));
            let gate = Gate::start(&ns, QUEUE);
            wait(Duration::from_millis(30));
            stop.store(true, Ordering::Relaxed);
            gate
        });
        let answered = all_answered(&ns);
        let (all, waiting) = queued(&ns);
        assert!(answered, "{waiting} of {all} packets wait for ever");
        assert!(all > 0, "nothing was queued");
    }
    inside(&ns, || attached.detach()).unwrap();
}

/// Whether no packet waits any more, within two seconds.
pub(crate) fn all_answered(ns: &str) -> bool {
    (0..100).any(|_| {
        wait(Duration::from_millis(20));
        queued(ns).1 == 0
    })
}

/// Sends SYNs as fast as a core can, and says how many left.
pub(crate) fn flood(ns: &str, stop: &AtomicBool) -> u64 {
    let (src, dst) = ("10.0.1.2".parse().unwrap(), SERVER[0].parse().unwrap());
    let sender = inside(ns, || Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255)))).unwrap();
    let (packet, to) = (join_syn(src, dst), SocketAddr::new(dst, 0).into());
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        // A full device drops some; that is not what is tried here.
        sent += u64::from(sender.send_to(&packet, &to).is_ok());
    }
    sent
}

/// The policies of sched(7), as proc_pid_stat(5) has them.
const ROUND_ROBIN: &str = "2";
const BATCH: &str = "3";

/// A gate on the router that brings itself all packets.
struct Daemon(WorkerProcess);

impl Daemon {
    fn start(world: &World, more: &[&str]) -> Self {
        let gate = Command::new("ip")
            .args(["netns", "exec", &world.router(), env!("CARGO_BIN_EXE_mpgate"), "run"])
            .args(["--attach", "forward", "--mode", "all", "--listen", "none"])
            .args(more)
            .stderr(Stdio::null())
            .spawn();
        Self(WorkerProcess(gate.unwrap()))
    }

    /// What the thread of that name has in this file of proc(5).
    fn reads(&self, thread: &str, file: &str) -> Option<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0.0.id())).ok()?;
        let named = |task: &fs::DirEntry| {
            fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim_end() == thread)
        };
        let task = tasks.filter_map(Result::ok).find(named)?;
        fs::read_to_string(task.path().join(file)).ok()
    }

    fn policy(&self) -> Option<String> {
        let stat = self.reads("mpgate-q0", "stat")?;
        Some(stat.rsplit_once(") ")?.1.split(' ').nth(38)?.to_owned())
    }

    fn becomes(&self, wanted: &str) -> bool {
        (0..2000).any(|_| {
            wait(Duration::from_millis(1));
            self.policy().as_deref() == Some(wanted)
        })
    }
}

#[test]
fn a_worker_waits_for_the_sender_of_bulk_data_and_for_nobody_else() {
    let Some(world) = World::new() else { return };
    let gate = Daemon::start(&world, &[]);
    assert!(gate.becomes(ROUND_ROBIN));
    wait(Duration::from_millis(500));
    for family in SERVER {
        thread::scope(|scope| {
            let bulk = scope.spawn(|| world.transfer(family, Protocol::TCP, 20 * BULK).unwrap());
            assert!(gate.becomes(BATCH), "{family}: bulk data");
            bulk.join().unwrap();
        });
        // A worker that got no turn is real-time again while bulk data still counts with it; after a silence it does not.
        wait(Duration::from_millis(20));
        assert!(gate.becomes(ROUND_ROBIN), "{family}: silence");
        thread::scope(|scope| {
            let small =
                scope.spawn(|| (0..300).all(|_| world.transfer(family, Protocol::TCP, 1).unwrap() == 1));
            while !small.is_finished() {
                assert_eq!(gate.policy().as_deref(), Some(ROUND_ROBIN), "{family}: small packets");
                wait(Duration::from_millis(1));
            }
            assert!(small.join().unwrap());
        });
    }
}

#[test]
fn workers_on_processors_of_their_own_wait_for_the_sender_of_many_packets() {
    let Some(world) = World::new() else { return };
    let gate = Daemon::start(&world, &["--queue", "0-1", "--fanout", "--observe"]);
    assert!(gate.becomes(ROUND_ROBIN));
    wait(Duration::from_millis(500));
    let processors = ["mpgate-q0", "mpgate-q1"].map(|worker| {
        let status = gate.reads(worker, "status").unwrap();
        status.lines().find(|line| line.starts_with("Cpus_allowed_list")).unwrap().to_owned()
    });
    assert!(processors.iter().all(|list| !list.contains(['-', ','])), "{processors:?}");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let many = [(); 2].map(|()| scope.spawn(|| flood(&world.client(), &stop)));
        let waited = gate.becomes(BATCH);
        stop.store(true, Ordering::Relaxed);
        assert!(many.map(|many| many.join().unwrap()).iter().all(|&sent| sent > 0));
        assert!(waited, "many packets");
    });
    assert!(gate.becomes(ROUND_ROBIN), "silence");
}
