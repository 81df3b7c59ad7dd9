//! How threads that packets do not need stay out of their way.

use rustix::process::setpriority_process;

/// The lowest priority of an ordinary thread.
const NICEST: i32 = 19;

/// Gives this thread the lowest priority: a worker that has a packet takes the processor from it at once, so that packets
/// wait for no rule and no file, on a machine with one processor too. The other way round these come some milliseconds later.
pub fn yield_to_workers() {
    // To Linux a thread is a process here: it is only this thread's priority.
    if let Err(error) = setpriority_process(None, NICEST) {
        tracing::warn!("a thread for rules or files has the priority of the workers: {error}");
    }
}
