//! Packets come first: which threads get the processor before others, and which stay out of their way.

mod patience;

use std::io;

pub use patience::{Guard, Patience};
use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use thread_priority::unix::{NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadSchedulePolicy};
use thread_priority::{
    Error, ThreadId, ThreadPriority, ThreadPriorityOsValue, set_thread_priority_and_policy, thread_native_id,
};

/// The lowest priority of an ordinary thread.
const NICEST: i32 = 19;

/// When packets get the processor, next to what else wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precedence {
    /// Before every ordinary program, as if the kernel decided them itself: an ordinary thread that wakes up often waits for
    /// others' turns of some milliseconds, on a busy machine of some ten. Bulk data wait for their sender ([`Patience`]).
    Realtime,
    /// In turn with the others.
    Ordinary,
}

/// Gives the calling thread a real-time priority, where the system lets us.
///
/// # Errors
/// When it does not.
pub fn come_first() -> Result<(), Error> {
    realtime(thread_native_id())
}

/// The lowest of the real-time priorities: what somebody made real-time on purpose still comes first. A worker that never
/// sleeps leaves ordinary programs the twentieth part of its processor, which Linux keeps for them.
fn realtime(thread: ThreadId) -> Result<(), Error> {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin);
    set_thread_priority_and_policy(thread, ThreadPriority::Min, policy)
}

/// Makes the calling thread an ordinary one that takes the processor from nobody when it wakes up. Its niceness is 0.
fn batch() -> Result<(), Error> {
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);
    let niceness = ThreadPriority::Os(ThreadPriorityOsValue::default());
    set_thread_priority_and_policy(thread_native_id(), niceness, policy)
}

/// Keeps this thread on one of the processors that it may run on: the nth, round and round.
///
/// # Errors
/// When the system does not say which, or does not let us.
pub fn pin(nth: usize) -> io::Result<()> {
    let allowed = sched_getaffinity(None)?;
    let processors = (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor));
    let count = processors.clone().count().max(1);
    let mut own = CpuSet::new();
    processors.skip(nth % count).take(1).for_each(|processor| own.set(processor));
    Ok(sched_setaffinity(None, &own)?)
}

/// Gives this thread the lowest priority: a worker that has a packet takes the processor from it at once, so that packets
/// wait for no rule and no file, on a machine with one processor too. The other way round these come some milliseconds later.
pub fn yield_to_workers() {
    // To Linux a thread is a process here: it is only this thread's priority.
    if let Err(error) = setpriority_process(None, NICEST) {
        tracing::warn!("a thread for rules or files has the priority of the workers: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_runs_on_one_processor_and_they_take_turns() {
        let count = usize::try_from(sched_getaffinity(None).unwrap().count()).unwrap();
        let own = |nth| {
            let pinned = move || {
                pin(nth).unwrap();
                sched_getaffinity(None).unwrap()
            };
            std::thread::spawn(pinned).join().unwrap()
        };
        assert!((0..count).all(|nth| own(nth).count() == 1));
        assert!(own(0) == own(count));
        assert!(count < 2 || own(0) != own(1));
    }
}
