//! One thread, one queue: receive what waits, decide it, answer all of it at once.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrayvec::ArrayVec;
use nfq::Queue;
use rustix::io::Errno;

use crate::clock;
use crate::engine::{Decider, Decision, Egress, Engine, Fate, Ingress, Verdict, enforce};
use crate::evidence::Collector;
use crate::metrics::QueueMetrics;
use crate::priority::Patience;
use crate::queue::inbox::{Inbox, Message, Wait};
use crate::queue::interfaces::Interfaces;
use crate::queue::passage::passage;
use crate::queue::report::Report;
use crate::queue::resets::ResetSockets;
use crate::queue::verdicts::{Answer, GROUP_MAX, Verdicts, send_one};
use crate::queue::whole::{Awaited, HEAD_BYTES, WHOLE_BYTES, whole_queue};
use crate::queue::{QueueError, QueueOptions, kernel_queues, socket};
use crate::time::Timestamp;
use crate::wire::reset::Reset;

/// How long a worker that stops goes on answering what waits; a full queue takes a few milliseconds.
const DRAIN_MAX: Duration = Duration::from_secs(1);

/// A packet that waited is received within a microsecond; one that did not takes a wake-up, of five at least.
const AT_ONCE: Duration = Duration::from_micros(3);

/// Serves one queue.
pub struct Worker {
    number: u16,
    queue: Queue,
    socket: OwnedFd,
    resets: ResetSockets,
    interfaces: Interfaces,
    report: Report,
    evidence: Option<Collector>,
    patience: Option<Patience>,
    verdicts: Verdicts,
    awaited: Awaited,
    /// Packets that are answered together, at most.
    group: usize,
    /// The first packet of the last burst waited already.
    at_once: bool,
    /// The packet that was received last.
    last_id: u32,
    /// Packets may wait in the kernel that nobody received: those queued while the queue was configured, or behind an error.
    missing: bool,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Worker {
    /// Binds and configures a queue in the calling thread's network namespace, and opens the sockets for resets.
    /// Kernel rules go in afterwards, so that no packet meets a queue that is half set up.
    ///
    /// # Errors
    /// When the queue is somebody else's, a capability is missing, or the kernel cannot queue.
    pub fn bind(options: QueueOptions) -> Result<Self, QueueError> {
        let number = options.number;
        let resets = ResetSockets::open()?;
        let (mut queue, socket) = socket::open().map_err(|source| QueueError::unopened(number, source))?;
        socket::tune(&socket).map_err(|source| QueueError::Setup {
            number,
            step: "socket options",
            source,
        })?;
        // What is to be rewritten never goes on as it is.
        let whole = QueueOptions {
            number: whole_queue(number),
            fail_open: false,
            copy_bytes: WHOLE_BYTES,
            ..options
        };
        for options in [options, whole] {
            configure(&mut queue, options)?;
        }
        Ok(Self {
            number,
            queue,
            socket,
            resets,
            interfaces: Interfaces::default(),
            report: Report::new(),
            evidence: None,
            patience: None,
            verdicts: Verdicts::new(number),
            awaited: Awaited::default(),
            group: 1,
            at_once: false,
            last_id: 0,
            missing: true,
        })
    }

    /// From now on what is not accepted is put down there too.
    pub fn gather(&mut self, evidence: Collector) {
        self.evidence = Some(evidence);
    }

    /// From now on the calling thread, which has a real-time priority, lets others finish while it has bulk data, or many packets.
    pub fn wait_for_senders(&mut self, patience: Patience) {
        self.patience = Some(patience);
    }

    /// Receives, decides and answers until `stop` is set, which it notices within a tenth of a second; then answers what
    /// waits, for a second at most, and gives the queue up. No error ends it.
    ///
    /// Take the kernel rules out first: what comes after the queue is given up is lost where they do not say `bypass`.
    pub fn run(mut self, engine: &Engine, metrics: &QueueMetrics, stop: &AtomicBool) {
        let mut inbox = Inbox::new();
        while !stop.load(Ordering::Relaxed) {
            self.burst(engine, metrics, (&mut inbox, Wait::Yes));
        }
        let until = clock::now().after(DRAIN_MAX);
        while self.burst(engine, metrics, (&mut inbox, Wait::No)) && clock::now() < until {}
        for number in [self.number, whole_queue(self.number)] {
            if let Err(error) = self.queue.unbind(number) {
                self.report.error(clock::now(), "unbinding the queue", &error);
            }
        }
    }

    /// Answers the packets that wait, up to a group of them: false when there was none. The verdicts leave once no packet is
    /// left, so none waits for a packet that is still to come.
    fn burst(&mut self, engine: &Engine, metrics: &QueueMetrics, (inbox, wait): (&mut Inbox, Wait)) -> bool {
        let asked = clock::now();
        // Where a patient worker finds one there are others behind it: they come with the same call.
        let most = if self.is_patient() { GROUP_MAX } else { 1 };
        let mut received = self.receive(metrics, inbox, (most, wait));
        if received > 0 {
            let now = clock::now();
            self.pace(now.since(asked));
            let decider = engine.decider();
            self.answer_all(&decider, metrics, inbox, now);
            let more = self.group.saturating_sub(most);
            if more > 0 {
                received += self.receive(metrics, inbox, (more, Wait::No));
                self.answer_all(&decider, metrics, inbox, clock::now());
            }
        }
        self.send_verdicts(metrics);
        if let Some(patience) = &mut self.patience {
            patience.answered(!self.at_once);
        }
        received > 0
    }

    /// Receives so many messages at most: how many came. An error counts as one, and ends nothing.
    fn receive(&mut self, metrics: &QueueMetrics, inbox: &mut Inbox, (most, wait): (usize, Wait)) -> usize {
        match inbox.receive(&self.socket, most, wait) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 1,
            Err(error) => {
                // A full buffer.
                self.missing = true;
                self.survive(metrics, "receiving from the queue", &error);
                1
            }
        }
    }

    fn answer_all(
        &mut self,
        decider: &Decider<'_>,
        metrics: &QueueMetrics,
        inbox: &mut Inbox,
        mut now: Timestamp,
    ) {
        while let Some(queued) = inbox.next() {
            match queued {
                Ok(queued) => {
                    if let Some(patience) = &mut self.patience {
                        patience.received(now, queued.original_len);
                    }
                    now = self.answer(decider, metrics, queued, now);
                }
                Err(error) => {
                    // A verdict that the kernel refused.
                    self.missing = true;
                    self.survive(metrics, "receiving from the queue", &error);
                    now = clock::now();
                }
            }
        }
    }

    /// Looking for a packet that is not there costs a system call, and the verdict waits for it meanwhile. So packets that
    /// come one by one are answered one by one, and so is the one behind each, which the verdict itself may have brought, as
    /// that on data brings the acknowledgement. Groups grow as long as more wait already. A patient worker finds five where
    /// it is woken, and takes them together from the first one on: a fifth less of the processor for a packet of bulk data.
    fn pace(&mut self, waited: Duration) {
        let at_once = waited < AT_ONCE;
        self.group = if self.is_patient() {
            GROUP_MAX
        } else if at_once && self.at_once {
            (self.group * 2).min(GROUP_MAX)
        } else {
            1
        };
        self.at_once = at_once;
    }

    fn is_patient(&self) -> bool {
        self.patience.as_ref().is_some_and(Patience::waits)
    }

    /// Gives the time when the next one can begin: a clock is read once for each packet that is let through.
    fn answer(
        &mut self,
        decider: &Decider<'_>,
        metrics: &QueueMetrics,
        mut message: Message<'_>,
        began: Timestamp,
    ) -> Timestamp {
        let first_look = message.queue == self.number;
        if first_look {
            self.recall(metrics, message.id);
        } else if let Some(decision) = self.awaited.take(message.payload) {
            self.settle(metrics, &decision, &mut message);
            return clock::now();
        }
        let ingress = Ingress {
            input: self.interfaces.name(began, &self.socket, message.input),
            output: self.interfaces.name(began, &self.socket, message.output),
            mark: message.mark,
            checksum: message.checksum,
        };
        let decision = decider.decide(began, &ingress, message.payload);
        let cut = first_look && is_cut(&message);
        if cut && decision.findings.is_none() {
            self.see_whole(metrics, &message);
            return clock::now();
        }
        let formed = clock::now();
        metrics.record(&decision, formed.since(began));
        if let Some(evidence) = &self.evidence {
            evidence.offer(&decision, &ingress, message.payload, message.original_len);
        }
        self.report.decision(began, &decision);
        if cut && matches!(decision.verdict, Verdict::Strip(_)) {
            self.awaited.push(message.payload, decision);
            self.see_whole(metrics, &message);
            return clock::now();
        }
        self.settle(metrics, &decision, &mut message);
        if decision.verdict == Verdict::Accept { formed } else { clock::now() }
    }

    /// Carries the decision out: what keeps its bytes is answered with the others, what was rewritten at once.
    fn settle(&mut self, metrics: &QueueMetrics, decision: &Decision, message: &mut Message<'_>) {
        let id = message.id;
        let first_look = message.queue == self.number;
        let (passing, mark) = passage(decision, message.mark);
        let egress = match decision.verdict {
            Verdict::Accept => Egress { fate: Fate::Unchanged, resets: ArrayVec::new() },
            // The kernel would take the part for the whole and lose the rest.
            Verdict::Strip(_) if is_cut(message) => Egress { fate: Fate::Lost, resets: ArrayVec::new() },
            Verdict::Strip(_) | Verdict::Reject(_) | Verdict::Drop => enforce(decision, message.payload),
        };
        match egress.fate {
            Fate::Unchanged if first_look => self.verdicts.give(id, passing, mark),
            Fate::Lost if first_look => self.verdicts.give(id, Answer::Drop, None),
            Fate::Unchanged => self.answer_alone(metrics, message, (passing, mark), None),
            Fate::Lost => self.answer_alone(metrics, message, (Answer::Drop, None), None),
            Fate::Rewritten => self.answer_alone(metrics, message, (passing, mark), Some(message.payload)),
        }
        self.reset(decision, &egress.resets, metrics);
    }

    fn see_whole(&mut self, metrics: &QueueMetrics, message: &Message<'_>) {
        self.answer_alone(metrics, message, (Answer::Queue(whole_queue(self.number)), None), None);
    }

    /// Answers one packet, behind those that came before it.
    fn answer_alone(
        &mut self,
        metrics: &QueueMetrics,
        message: &Message<'_>,
        answer: (Answer, Option<u32>),
        payload: Option<&[u8]>,
    ) {
        self.send_verdicts(metrics);
        if let Err(error) = send_one(&self.socket, (message.queue, message.id), answer, payload) {
            self.survive(metrics, "sending a verdict", &error);
        }
    }

    fn send_verdicts(&mut self, metrics: &QueueMetrics) {
        if let Err(error) = self.verdicts.send(&self.socket) {
            self.survive(metrics, "sending verdicts", &error);
        }
    }

    fn reset(&mut self, decision: &Decision, resets: &[Reset], metrics: &QueueMetrics) {
        let Verdict::Reject(plan) = decision.verdict else { return };
        let mut sent = 0;
        for reset in resets {
            match self.resets.send(reset) {
                Ok(()) => sent += 1,
                Err(error) => self.survive(metrics, "sending a reset", &error),
            }
        }
        metrics.resets_sent(plan.refusal.reason, sent);
    }

    /// Ids count on from 1 when a queue is bound, so one that is left out may be of a packet that nobody received: it meets
    /// the kernel's rules again, before a verdict on those that came later speaks on it too. Or else it was lost, or let
    /// through, for want of room; that is most of them, so it is asked only where something went wrong.
    fn recall(&mut self, metrics: &QueueMetrics, id: u32) {
        let expected = self.last_id.wrapping_add(1);
        self.last_id = id;
        if std::mem::take(&mut self.missing) && id != expected {
            self.send_verdicts(metrics);
            self.verdicts.repeat_up_to(id.wrapping_sub(1));
            self.send_verdicts(metrics);
        }
    }

    fn survive(&mut self, metrics: &QueueMetrics, step: &'static str, error: &io::Error) {
        metrics.queue_error();
        self.report.error(clock::now(), step, error);
    }
}

/// The kernel handed over a part of it.
fn is_cut(message: &Message<'_>) -> bool {
    message.original_len > message.payload.len()
}

fn configure(queue: &mut Queue, options: QueueOptions) -> Result<(), QueueError> {
    let QueueOptions { number, fail_open, packets_max, copy_bytes } = options;
    let setup = |step| move |source| QueueError::Setup { number, step, source };
    queue.bind(number).map_err(|source| QueueError::unbound(number, source))?;
    queue.set_copy_range(number, copy_bytes.max(HEAD_BYTES)).map_err(setup("copy range"))?;
    queue.set_recv_gso(number, true).map_err(setup("GSO"))?;
    queue.set_fail_open(number, fail_open).map_err(setup("fail-open"))?;
    queue.set_queue_max_len(number, packets_max).map_err(setup("queue length"))
}

impl QueueError {
    fn unopened(number: u16, source: io::Error) -> Self {
        match Errno::from_io_error(&source) {
            Some(Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT) => Self::NoKernelSupport { source },
            _ => Self::Setup { number, step: "opening its socket", source },
        }
    }

    /// The kernel says EPERM both to who may not configure and of a queue that another one holds.
    fn unbound(number: u16, source: io::Error) -> Self {
        let holder = || kernel_queues().ok()?.into_iter().find(|queue| queue.number == number);
        match Errno::from_io_error(&source) {
            Some(Errno::PERM | Errno::BUSY) => match holder() {
                Some(queue) => Self::InUse { number, port: queue.port },
                None => Self::NoNetAdmin { number },
            },
            Some(Errno::INVAL | Errno::OPNOTSUPP) => Self::NoKernelSupport { source },
            _ => Self::Setup { number, step: "binding", source },
        }
    }
}
