//! What goes on, on standard error: bars on a terminal, a line a second elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use bytesize::ByteSize;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::lab::counters::LinkBytes;
use crate::lab::family::Family;
use crate::lab::report::{Rate, SceneReport, verdict};
use crate::lab::world::Links;
use crate::time::Timestamp;

/// How often a line is written where bars cannot be drawn.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// How often bars move; often enough to look alive, rarely enough for a rate to be steady.
const BARS_EVERY: Duration = Duration::from_millis(250);

/// Shows what goes on.
#[derive(Debug)]
pub(super) struct Display {
    bars: Option<MultiProgress>,
}

/// Shows one transfer, until it is dropped.
#[derive(Debug)]
pub(super) struct TransferDisplay {
    bytes: u64,
    names: [&'static str; 2],
    last: Timestamp,
    last_links: LinkBytes,
    look: Look,
}

#[derive(Debug)]
enum Look {
    Bars { whole: ProgressBar, links: [ProgressBar; 2] },
    Lines { began: Timestamp },
}

impl Display {
    /// One that suits standard error.
    pub(super) fn new() -> Self {
        Self { bars: io::stderr().is_terminal().then(MultiProgress::new) }
    }

    /// The lab begins; `way` is what stands behind the client's links.
    pub(super) fn open(&self, family: Family, links: &Links, way: &str) {
        let kernel = rustix::system::uname();
        let links = links.map(|link| format!("{} ({} Mbit/s)", link.name, link.mbit)).join(" and ");
        let kernel = kernel.release().to_string_lossy();
        self.line(&format!("{} on Linux {kernel}: client, {links}, {way}", family.name()));
    }

    /// A scene begins.
    pub(super) fn begin(&self, scene: u8, title: &str) {
        self.line(&format!("scene {scene}: {title}"));
    }

    /// A scene is over.
    pub(super) fn end(&self, scene: &SceneReport) {
        for check in scene.checks.iter().filter(|check| !check.passed) {
            self.line(&format!("  expected {}, measured {}", check.expected, check.measured));
        }
        self.line(&format!(
            "  {} after {}.{} s",
            verdict(scene.passed),
            scene.millis / 1000,
            scene.millis % 1000 / 100
        ));
    }

    /// A transfer of `bytes` bytes begins.
    pub(super) fn transfer(
        &self,
        now: Timestamp,
        bytes: u64,
        links: &Links,
        before: LinkBytes,
    ) -> TransferDisplay {
        let look = match &self.bars {
            None => Look::Lines { began: now },
            Some(bars) => Look::Bars {
                whole: bars.add(bar(
                    bytes,
                    "  {prefix:8} {bar:40} {decimal_bytes} of {decimal_total_bytes}",
                    "data",
                )),
                links: links
                    .map(|link| bars.add(bar(link.mbit.into(), "  {prefix:8} {bar:40} {msg}", link.name))),
            },
        };
        TransferDisplay { bytes, names: links.map(|link| link.name), last: now, last_links: before, look }
    }

    /// Something happened.
    pub(super) fn line(&self, text: &str) {
        match &self.bars {
            // What cannot be shown does not change how a scene goes.
            Some(bars) => bars.println(text).ok(),
            None => writeln!(io::stderr(), "{text}").ok(),
        };
    }
}

fn bar(len: u64, template: &str, prefix: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(len).with_style(style.progress_chars("█▌░")).with_prefix(prefix)
}

impl TransferDisplay {
    /// So much came in all, and by each link.
    pub(super) fn show(&mut self, now: Timestamp, received: u64, links: LinkBytes) {
        let span = now.since(self.last);
        let every = match self.look {
            Look::Bars { .. } => BARS_EVERY,
            Look::Lines { .. } => LINE_EVERY,
        };
        if span < every {
            return;
        }
        let mut came = links;
        came.iter_mut().zip(self.last_links).for_each(|(now, before)| *now = now.saturating_sub(before));
        let rates = came.map(|came| Rate::of(came, span));
        match &self.look {
            Look::Bars { whole, links } => {
                whole.set_position(received);
                for (bar, rate) in links.iter().zip(rates) {
                    bar.set_position(rate.mbit());
                    bar.set_message(rate.to_string());
                }
            }
            Look::Lines { began } => {
                let rates = self.names.iter().zip(rates).map(|(name, rate)| format!("{name} {rate}"));
                let rates = rates.collect::<Vec<_>>().join(", ");
                let (received, bytes) =
                    (ByteSize(received).display().si(), ByteSize(self.bytes).display().si());
                let secs = now.since(*began).as_secs();
                writeln!(io::stderr(), "  {secs:2} s  {rates}  ({received} of {bytes})").ok();
            }
        }
        self.last = now;
        self.last_links = links;
    }
}

impl Drop for TransferDisplay {
    fn drop(&mut self) {
        if let Look::Bars { whole, links } = &self.look {
            whole.finish_and_clear();
            links.iter().for_each(ProgressBar::finish_and_clear);
        }
    }
}
