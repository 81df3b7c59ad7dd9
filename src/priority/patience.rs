//! Patience: a worker that has bulk data, or many packets, lets their sender finish, and finds several packets instead of one.
//!
//! A real-time worker is woken for each packet of a sender on its processor; an ordinary thread finds three at a time there,
//! and takes a quarter less of the processor for each. But an ordinary thread also waits for everybody else, by the ten
//! milliseconds on a busy machine. So it is one for bulk data alone, begins to be with nothing left that waits, and has a
//! [`Guard`]. Small packets of another connection beside bulk data went there and back within 3 ms in 99 of 100 cases (2 ms with
//! real-time workers, 4 with ordinary ones), beside two programs that never sleep too (2 and 13 ms).
//!
//! Where the worker has a processor of its own, on which its packets come, many small ones are as good a reason: a sixth more MPTCP
//! connections open while both processors are busy. A handshake takes 0.25 ms then instead of 0.07, and one in a hundred 0.6
//! instead of 0.2; beside two programs that never sleep no more open, and one in a hundred takes 2 ms.
//!
//! Tried instead: to be ordinary whenever a worker without a processor of its own is busy, whatever the packets are (small ones up
//! to 56 ms late at 50 000 a second, and a tenth fewer connections); niceness down to -20, or slices of 0.1 ms (up to 128 ms late,
//! since a thread that has to move to another processor waits for that long); to sleep for 10 to 200 µs (half the throughput, or
//! nothing saved).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;
use std::{io, mem};

use thread_priority::{ThreadId, thread_native_id};

use crate::clock;
use crate::priority::{batch, realtime};
use crate::time::Timestamp;

/// Packets after which a worker looks at their size again, one behind the other: a millisecond or two of bulk data.
const LOOK: u32 = 64;

/// Bytes of a packet in the mean, from which on they are bulk data: the kernel has put several segments into one (GSO, GRO), and
/// whoever sends these waits for no single one of them.
const BULK: u64 = 8192;

/// How long so many packets take at most where they are many: twenty thousand a second.
const MANY: Duration = Duration::from_micros(3200);

/// A patient worker that received nothing for so long has nothing to do, or waits in vain for a processor: it comes before the
/// others again. Packets that come less often cost little, one by one too.
const TURN: Duration = Duration::from_millis(2);

/// A worker that received something within so long gets its turns: its guard looks again after [`ROUND`] only.
const HEARD: Duration = Duration::from_micros(500);

/// The guard's turns take 4 % of what its worker takes with bulk TCP; with a look every [`TURN`] they took 7 %. What starves is
/// seen after 2 to 4.5 ms then, 2.8 in the mean.
const ROUND: Duration = Duration::from_millis(4);

/// What a worker sees of its packets, and how patient it is.
#[derive(Debug)]
pub struct Patience {
    turn: Arc<Turn>,
    guard: Arc<Guard>,
    /// The worker has a processor of its own.
    pinned: bool,
    /// Packets of this look, their bytes, and when the first one came.
    packets: u32,
    bytes: u64,
    began: Timestamp,
    /// When the last one came.
    last: Timestamp,
}

/// What a worker's guard sees of it.
#[derive(Debug)]
struct Turn {
    thread: ThreadId,
    patient: AtomicBool,
    /// When it received the last packet that it answered, in nanoseconds.
    received: AtomicU64,
}

/// A thread of real-time priority that looks after patient workers, and sleeps while there is none. It ends with this value.
#[derive(Debug)]
pub struct Guard {
    watched: Arc<Watched>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct Watched {
    /// One for each worker that runs: it takes its own out before its thread ends.
    turns: Mutex<Vec<Arc<Turn>>>,
    stop: AtomicBool,
}

impl Guard {
    /// Starts it.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn start() -> io::Result<Self> {
        let watched = Arc::new(Watched::default());
        let watching = Arc::clone(&watched);
        let thread = thread::Builder::new().name("mpgate-guard".into()).spawn(move || watching.watch())?;
        Ok(Self { watched, thread: thread.thread().clone() })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.watched.stop.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Patience {
    /// Patience of the calling thread, which has a real-time priority, and a processor of its own where it is `pinned`.
    pub fn new(guard: Arc<Guard>, pinned: bool) -> Self {
        let turn = Arc::new(Turn {
            thread: thread_native_id(),
            patient: AtomicBool::new(false),
            received: AtomicU64::new(0),
        });
        guard.watched.turns().push(Arc::clone(&turn));
        let (began, last) = (Timestamp::ZERO, Timestamp::ZERO);
        Self { turn, guard, pinned, packets: 0, bytes: 0, began, last }
    }

    /// The worker has bulk data or many packets, and lets their sender finish.
    pub fn waits(&self) -> bool {
        self.turn.patient.load(Ordering::Relaxed)
    }

    /// The worker received a packet of so many bytes.
    pub fn received(&mut self, now: Timestamp, bytes: usize) {
        if now.since(self.last) > TURN {
            (self.packets, self.bytes) = (0, 0);
        }
        if self.packets == 0 {
            self.began = now;
        }
        self.last = now;
        self.packets = self.packets.saturating_add(1);
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// The worker answered what it had received, of which nothing had waited where it came `alone`.
    pub fn answered(&mut self, alone: bool) {
        self.turn.received.store(self.last.nanos(), Ordering::Relaxed);
        if self.packets < LOOK {
            return;
        }
        let bulk = mem::take(&mut self.bytes) / u64::from(mem::take(&mut self.packets)) >= BULK;
        let worth_it = bulk || (self.pinned && self.last.since(self.began) < MANY);
        let patient = self.waits();
        if worth_it && !patient && alone {
            self.wait_for_others();
        } else if patient && !worth_it {
            self.turn.come_first();
        }
    }

    fn wait_for_others(&self) {
        if batch().is_ok() {
            self.turn.patient.store(true, Ordering::Release);
            self.guard.thread.unpark();
        } else {
            self.turn.come_first();
        }
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        self.guard.watched.turns().retain(|turn| !Arc::ptr_eq(turn, &self.turn));
    }
}

impl Turn {
    /// Also called by the guard. Its worker may be at it too: whichever is last, the thread that is not said to be patient has
    /// its real-time priority.
    fn come_first(&self) {
        self.patient.store(false, Ordering::Release);
        realtime(self.thread).ok();
    }

    /// When to look at it again; never where it is not patient, or no longer.
    fn look(&self, now: Timestamp) -> Option<Duration> {
        if !self.patient.load(Ordering::Acquire) {
            return None;
        }
        let silent = now.since(Timestamp::from_nanos(self.received.load(Ordering::Relaxed)));
        if silent >= TURN {
            self.come_first();
            return None;
        }
        Some(if silent < HEARD { ROUND } else { TURN.saturating_sub(silent) })
    }
}

impl Watched {
    fn turns(&self) -> MutexGuard<'_, Vec<Arc<Turn>>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self) {
        // Without it nobody is patient either.
        realtime(thread_native_id()).ok();
        while !self.stop.load(Ordering::Acquire) {
            let now = clock::now();
            let left = self.turns().iter().filter_map(|turn| turn.look(now)).min();
            match left {
                Some(left) => thread::park_timeout(left),
                None => thread::park(),
            }
        }
    }
}
