//! Looks whether workers still answer: fail-open covers a worker that died, not one that hangs.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

use crate::queue::kernel_queues;
use crate::serve::Site;

/// How often the queues are looked at; systemd's `WatchdogSec` must be longer.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// So many looks in a row without an answer are a hang: a worker answers within microseconds, and a machine that is
/// short of processors still gives it a turn within a second.
const LOOKS_MAX: u32 = 3;

/// What a queue showed at the last look.
#[derive(Clone, Copy, Debug, Default)]
struct Look {
    packets: u64,
    in_vain: u32,
}

/// Keeps [`Site::healthy`], and tells systemd as long as all is well.
pub(super) async fn watch(site: &Site, queues: RangeInclusive<u16>) -> Infallible {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = BTreeMap::new();
    loop {
        ticks.tick().await;
        let kernel = kernel_queues().unwrap_or_default();
        let ours = kernel.iter().filter(|queue| queues.contains(&queue.number));
        let mut hung = Vec::new();
        for queue in ours {
            let look: &mut Look = looks.entry(queue.number).or_default();
            if look.again(site.metrics.packets(queue.number), queue.waiting) {
                hung.push(queue.number);
            }
        }
        let healthy = hung.is_empty();
        if site.healthy.swap(healthy, Ordering::AcqRel) && !healthy {
            tracing::error!(?hung, "packets wait in these queues, and their workers answer none");
        }
        if healthy && sd_notify::watchdog_enabled().is_some() {
            super::run::tell(&[NotifyState::Watchdog]);
        }
    }
}

impl Look {
    /// Whether a worker hangs that has decided so many packets by now, while so many wait.
    const fn again(&mut self, packets: u64, waiting: u64) -> bool {
        let answered = packets != self.packets || waiting == 0;
        self.packets = packets;
        self.in_vain = if answered { 0 } else { self.in_vain.saturating_add(1) };
        self.in_vain >= LOOKS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_hangs_when_packets_wait_and_none_is_answered_for_three_looks() {
        let mut look = Look::default();
        assert!(!look.again(10, 5) && !look.again(10, 5) && !look.again(10, 5));
        assert!(look.again(10, 5));
        assert!(!look.again(11, 1024), "a busy worker does not hang");
        assert!(!look.again(11, 5) && !look.again(11, 5));
        assert!(!look.again(11, 0), "an idle one neither");
    }
}
