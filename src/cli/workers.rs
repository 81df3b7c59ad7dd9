//! One thread a queue: started together, stopped together, missed when one ends by itself.

use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::engine::Engine;
use crate::metrics::Metrics;
use crate::priority::{Guard, Patience, Precedence, come_first, pin};
use crate::queue::Worker;

/// When the workers get a processor, and which.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) precedence: Precedence,
    /// Each has its own, in turn.
    pub(super) pinned: bool,
}

/// The threads of all queues.
#[derive(Debug)]
pub(super) struct Workers {
    stop: Arc<AtomicBool>,
    ended: Receiver<u16>,
    running: usize,
}

/// Tells that a thread ends, however it ends.
struct Farewell {
    queue: u16,
    ended: Sender<u16>,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        // There is a place for each thread, so this fails only when nobody asks any more.
        self.ended.try_send(self.queue).ok();
    }
}

impl Workers {
    /// Starts a thread for each of `workers`, which are bound to `queues` in that order.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub(super) fn start(
        queues: RangeInclusive<u16>,
        workers: Vec<Worker>,
        engine: &Arc<Engine>,
        metrics: &Metrics,
        place: Place,
    ) -> io::Result<Self> {
        let running = workers.len();
        let stop = Arc::new(AtomicBool::new(false));
        let (tell, ended) = mpsc::channel(running.max(1));
        let guard = match place.precedence {
            Precedence::Realtime => Some(Arc::new(Guard::start()?)),
            Precedence::Ordinary => None,
        };
        for ((queue, mut worker), nth) in queues.zip(workers).zip(0..) {
            let farewell = Farewell { queue, ended: tell.clone() };
            let (engine, metrics, stop) = (Arc::clone(engine), metrics.queue(queue), Arc::clone(&stop));
            let guard = guard.clone();
            thread::Builder::new().name(format!("mpgate-q{queue}")).spawn(move || {
                let _farewell = farewell;
                if place.pinned
                    && let Err(error) = pin(nth)
                {
                    tracing::warn!(queue, "a worker is not pinned to its processor: {error}");
                }
                if let Some(guard) = guard {
                    match come_first() {
                        Ok(()) => worker.wait_for_senders(Patience::new(guard, place.pinned)),
                        Err(error) => tracing::info!(
                            queue,
                            "packets wait for other programs, since this one may not have a real-time priority ({error}): \
                             CAP_SYS_NICE or LimitRTPRIO=1 lets it"
                        ),
                    }
                }
                worker.run(&engine, &metrics, &stop);
            })?;
        }
        Ok(Self { stop, ended, running })
    }

    /// Waits until a worker ends; before [`Self::stop`] none should.
    pub(super) async fn ended(&mut self) -> u16 {
        match self.ended.recv().await {
            Some(queue) => {
                self.running = self.running.saturating_sub(1);
                queue
            }
            None => std::future::pending().await,
        }
    }

    /// Has them answer what waits and end; returns when the last one has.
    pub(super) async fn stop(mut self) {
        self.stop.store(true, Ordering::Release);
        while self.running > 0 {
            self.ended().await;
        }
    }
}
