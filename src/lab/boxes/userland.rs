//! Boxes that no kernel has: a thread reads a queue of the middle router, and changes what passes.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use nfq::{Queue, Verdict};

use crate::lab::boxes::mirror::Mirror;
use crate::lab::boxes::rewrite;
use crate::lab::world::World;
use crate::lab::{LabError, doing};

/// Any number will do: no other program has queues in this namespace.
const QUEUE: u16 = 7;

/// How long a packet can wait unseen, at most: `nfq` waits for ever, or not at all, and a thread that waits for ever does
/// not end. It is little next to what links take.
const LOOK_EVERY: Duration = Duration::from_micros(300);

/// Packets between two looks whether the thread shall end: as many as the kernel queues.
const BURST_MAX: usize = 1024;

/// What a box does with the packets that it sees.
#[derive(Debug)]
pub(super) enum Deed {
    /// Copies options of SYNs into the SYN/ACKs.
    Mirror(Mirror),
    /// Rewrites addresses in the payload.
    Rewrite,
}

impl Deed {
    /// Which TCP segments it wants to see.
    const fn sees(&self) -> &'static str {
        match self {
            Self::Mirror(_) => "--tcp-flags SYN SYN",
            Self::Rewrite => "",
        }
    }

    fn pass(&mut self, bytes: &mut [u8]) {
        match self {
            Self::Mirror(mirror) => mirror.pass(bytes),
            Self::Rewrite => rewrite::pass(bytes),
        }
    }
}

/// A box in the middle of the way; first its rule goes, then its thread.
#[derive(Debug)]
pub(super) struct Userland<'w> {
    world: &'w World,
    rule: Vec<String>,
    thread: Option<(SyncSender<()>, JoinHandle<()>)>,
}

impl<'w> Userland<'w> {
    /// Binds the queue, and only then sends packets there.
    pub(super) fn start(world: &'w World, deed: Deed) -> Result<Self, LabError> {
        let queue = world.router.inside(|| open().map_err(doing("opening a queue for the box")))?;
        let words = format!("FORWARD -p tcp {} -j NFQUEUE --queue-num {QUEUE}", deed.sees());
        let rule = words.split_whitespace().map(str::to_owned).collect();
        let (stop, stopped) = sync_channel(1);
        let thread = world.router.spawn("box", move || serve(queue, deed, &stopped))?;
        let standing = Self { world, rule, thread: Some((stop, thread)) };
        standing.iptables("-A")?;
        Ok(standing)
    }

    fn iptables(&self, how: &str) -> Result<(), LabError> {
        let head = ["-w", "5", "-t", "mangle", how];
        let args: Vec<_> = head.into_iter().chain(self.rule.iter().map(String::as_str)).collect();
        self.world.router.tool(self.world.family.iptables(), &args, "").map(drop)
    }
}

impl Drop for Userland<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.iptables("-D") {
            tracing::warn!("the box's rule stays: {error}");
        }
        if let Some((stop, thread)) = self.thread.take() {
            drop(stop);
            // One that panicked has ended too.
            thread.join().ok();
        }
    }
}

/// Whole packets, as they are on a wire: large ones are cut up, and checksums complete, before a thread sees them.
fn open() -> io::Result<Queue> {
    let mut queue = Queue::open()?;
    queue.bind(QUEUE)?;
    queue.set_copy_range(QUEUE, u16::MAX)?;
    queue.set_recv_gso(QUEUE, false)?;
    queue.set_nonblocking(true);
    Ok(queue)
}

fn serve(mut queue: Queue, mut deed: Deed, stopped: &Receiver<()>) {
    while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        for _ in 0..BURST_MAX {
            match queue.recv() {
                Ok(mut message) => {
                    deed.pass(message.get_payload_mut());
                    message.set_verdict(Verdict::Accept);
                    // A packet that the kernel did not want back is lost, as on any way.
                    queue.verdict(message).ok();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // A verdict that was refused: the packets behind it come none the less.
                Err(_refused) => {}
            }
        }
    }
}
