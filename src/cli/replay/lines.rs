//! The segments' lines, formatted on a thread of their own: that takes as long as looking at the segments.

use std::io::{self, BufWriter, Write};
use std::mem;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use crate::replay::objects::write_segment;
use crate::replay::{self, Seen};

/// A handover costs a wake-up, some µs; so many segments take some hundred µs to format.
const BATCH_LEN: usize = 256;

/// Batches that wait, some MiB of segments; then reading waits.
const BATCHES_MAX: usize = 8;

/// A system call for each 8 KiB costs more than what it writes.
const OUT_BYTES: usize = 64 << 10;

/// Where lines go: standard output, or what gathers for it.
pub(super) type Out = Box<dyn Write + Send>;

/// In which form.
#[derive(Debug)]
pub(super) enum Form {
    Text(replay::Lines),
    Json,
}

/// How soon a line is to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Somebody watches.
    EachLine,
    /// When there is enough of it.
    Gathered,
}

/// The writing thread, and what it is to be given next.
pub(super) struct Lines {
    batch: Vec<Seen>,
    batch_len: usize,
    sender: SyncSender<Vec<Seen>>,
    thread: JoinHandle<io::Result<Out>>,
}

impl Lines {
    pub(super) fn start(form: Form, pace: Pace) -> io::Result<Self> {
        let (sender, batches) = sync_channel(BATCHES_MAX);
        let thread =
            Builder::new().name("lines".to_owned()).spawn(move || write(form, out(pace), &batches))?;
        let batch_len = if pace == Pace::EachLine { 1 } else { BATCH_LEN };
        Ok(Self { batch: Vec::with_capacity(batch_len), batch_len, sender, thread })
    }

    /// Whether the thread still writes; if not, [`finish`](Self::finish) says why.
    pub(super) fn push(&mut self, seen: Seen) -> bool {
        self.batch.push(seen);
        self.batch.len() < self.batch_len || self.hand_over()
    }

    fn hand_over(&mut self) -> bool {
        let batch = mem::replace(&mut self.batch, Vec::with_capacity(self.batch_len));
        self.sender.send(batch).is_ok()
    }

    /// Waits until all is written; what follows goes to the same place.
    pub(super) fn finish(mut self) -> io::Result<Out> {
        self.hand_over();
        drop(self.sender);
        self.thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// Standard output.
pub(super) fn out(pace: Pace) -> Out {
    match pace {
        Pace::EachLine => Box::new(io::stdout()),
        Pace::Gathered => Box::new(BufWriter::with_capacity(OUT_BYTES, io::stdout())),
    }
}

fn write(mut form: Form, mut out: Out, batches: &Receiver<Vec<Seen>>) -> io::Result<Out> {
    for seen in batches.iter().flatten() {
        match &mut form {
            Form::Text(lines) => lines.write(&mut out, &seen)?,
            Form::Json => write_segment(&mut out, &seen)?,
        }
    }
    Ok(out)
}
