//! Where a worker puts frames down, and the recorder collects them: bounded, and without a wait for the worker.

use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::Thread;

use prometheus::IntCounter;

use crate::clock;
use crate::engine::{Decision, Ingress, Verdict};
use crate::time::Timestamp;
use crate::wire::InterfaceName;

/// Frames that may lie in a tray: with the recorder's tenth of a second, 40 000 a second before any is lost.
pub(super) const FRAMES_MAX: usize = 4096;

/// Bytes of packets that may lie in a tray: as many frames as above, at the usual snap length.
pub(super) const BYTES_MAX: usize = 1 << 20;

/// Frames of one worker, in their order.
#[derive(Debug)]
pub(super) struct Tray {
    frames: Vec<Caught>,
    bytes: Vec<u8>,
}

/// A packet that was not accepted.
#[derive(Debug)]
pub(super) struct Caught {
    /// Since the Unix epoch.
    pub(super) at: Timestamp,
    pub(super) interface: Option<InterfaceName>,
    pub(super) decision: Decision,
    pub(super) original_len: usize,
    /// So many of the tray's bytes are its.
    kept: usize,
}

/// What a worker puts frames down by.
///
/// A channel of the standard library would not do: who sends waits for a receiver that was interrupted while it took a frame
/// out, and a worker of real-time priority would wait in vain for a thread of the lowest one on its processor.
#[derive(Debug)]
pub struct Collector {
    pub(super) tray: Arc<Mutex<Tray>>,
    pub(super) snap_bytes: usize,
    pub(super) observed: bool,
    pub(super) lost: IntCounter,
    pub(super) recorder: Thread,
}

impl Tray {
    /// With all the room that it will ever have, so that no worker waits for memory.
    pub(super) fn new() -> Self {
        Self { frames: Vec::with_capacity(FRAMES_MAX), bytes: Vec::with_capacity(BYTES_MAX) }
    }

    /// Its frames with their bytes.
    pub(super) fn frames(&self) -> impl Iterator<Item = (&Caught, &[u8])> {
        let mut rest = self.bytes.as_slice();
        self.frames.iter().map(move |caught| {
            let (bytes, behind) = rest.split_at_checked(caught.kept).unwrap_or_default();
            rest = behind;
            (caught, bytes)
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.frames.clear();
        self.bytes.clear();
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.frames.len() < FRAMES_MAX && bytes <= BYTES_MAX - self.bytes.len()
    }

    /// Whether it is worth collecting before its time.
    fn is_half_full(&self) -> bool {
        self.frames.len() >= FRAMES_MAX / 2 || self.bytes.len() >= BYTES_MAX / 2
    }
}

impl Collector {
    /// Takes a copy of a packet that was not accepted, as it came: before the decision is carried out on its bytes.
    /// `original_len` is how long it was before anybody cut it.
    pub fn offer(&self, decision: &Decision, ingress: &Ingress, bytes: &[u8], original_len: usize) {
        if self.wants(decision) && !self.put(decision, ingress, bytes, original_len) {
            self.lost.inc();
        }
    }

    fn wants(&self, decision: &Decision) -> bool {
        let trial = decision.trial.as_ref().map(|trial| trial.verdict);
        let mut would = decision.observed.into_iter().chain(trial);
        decision.verdict != Verdict::Accept
            || self.observed && would.any(|verdict| verdict != Verdict::Accept)
    }

    /// Whether there was room. The recorder holds a tray for as long as it takes to put an empty one in its place.
    fn put(&self, decision: &Decision, ingress: &Ingress, bytes: &[u8], original_len: usize) -> bool {
        let mut tray = match self.tray.try_lock() {
            Ok(tray) => tray,
            Err(TryLockError::Poisoned(tray)) => tray.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        let bytes = bytes.get(..self.snap_bytes).unwrap_or(bytes);
        if !tray.has_room(bytes.len()) {
            return false;
        }
        let was_half_full = tray.is_half_full();
        tray.bytes.extend_from_slice(bytes);
        tray.frames.push(Caught {
            at: clock::unix(),
            interface: ingress.input.or(ingress.output),
            decision: decision.clone(),
            original_len,
            kept: bytes.len(),
        });
        let wakes = !was_half_full && tray.is_half_full();
        drop(tray);
        if wakes {
            self.recorder.unpark();
        }
        true
    }
}

/// Puts the frames of `tray` into `empty`, and leaves it empty.
pub(super) fn collect(tray: &Mutex<Tray>, empty: &mut Tray) {
    let mut tray = tray.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::swap(&mut *tray, empty);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::evidence::tests::{collector, decisions};

    #[test]
    fn a_full_tray_keeps_nobody_waiting_and_what_finds_no_room_is_counted() {
        let (decision, bytes) = decisions("c>s syn mp_join token 0x1").remove(0);
        let collector = collector(256, true);
        let began = clock::now();
        for _ in 0..100_000 {
            collector.offer(&decision, &Ingress::default(), &bytes, bytes.len());
        }
        assert!(clock::now().since(began).as_secs() < 1, "nobody collects, and nobody waits");
        assert_eq!(collector.lost.get(), 100_000 - as_u64(FRAMES_MAX));
        let mut tray = Tray::new();
        collect(&collector.tray, &mut tray);
        assert_eq!(tray.frames().count(), FRAMES_MAX);
        collector.offer(&decision, &Ingress::default(), &bytes, bytes.len());
        assert_eq!(collector.lost.get(), 100_000 - as_u64(FRAMES_MAX), "there is room again");
    }

    #[test]
    fn the_bytes_in_a_tray_are_bounded_too() {
        let (decision, _) = decisions("c>s syn mp_join token 0x1").remove(0);
        let collector = collector(usize::MAX, true);
        let huge = vec![0x45; 65_000];
        for _ in 0..100 {
            collector.offer(&decision, &Ingress::default(), &huge, huge.len());
        }
        let tray = collector.tray.lock().unwrap();
        assert!(tray.bytes.len() <= BYTES_MAX && tray.bytes.capacity() == BYTES_MAX);
        assert_eq!(collector.lost.get(), 100 - as_u64(tray.frames.len()));
    }

    #[test]
    fn a_tray_that_is_being_collected_costs_a_frame_and_no_time() {
        let (decision, bytes) = decisions("c>s syn mp_join token 0x1").remove(0);
        let collector = collector(256, true);
        let held = collector.tray.lock().unwrap();
        collector.offer(&decision, &Ingress::default(), &bytes, bytes.len());
        drop(held);
        assert_eq!(collector.lost.get(), 1);
    }

    #[test]
    fn a_packet_is_cut_before_it_is_copied() {
        let (decision, bytes) = decisions("c>s syn mp_join token 0x1").remove(0);
        let collector = collector(40, true);
        collector.offer(&decision, &Ingress::default(), &bytes, 1500);
        let tray = collector.tray.lock().unwrap();
        let (caught, kept) = tray.frames().next().unwrap();
        assert_eq!((kept, caught.original_len), (&bytes[..40], 1500));
    }

    #[test]
    fn what_is_accepted_is_left_alone_and_what_is_observed_is_as_one_likes() {
        let script = "case open\nc>s syn mp_capable\ncase observed\nobserve\nc>s syn mp_join token 0x1\n";
        for (observed, wanted) in [(true, 1), (false, 0)] {
            let collector = collector(256, observed);
            for (decision, bytes) in decisions(script) {
                collector.offer(&decision, &Ingress::default(), &bytes, bytes.len());
            }
            assert_eq!(collector.tray.lock().unwrap().frames.len(), wanted);
        }
    }

    fn as_u64(count: usize) -> u64 {
        u64::try_from(count).unwrap()
    }
}
