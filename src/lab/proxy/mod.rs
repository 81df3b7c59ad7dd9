//! A laptop downloads over two links at once from a web server that knows nothing of MPTCP: a full proxy ends MPTCP in
//! front of it, behind the gate. In the middle of the download one link is cut, and put back.

mod web;
mod cut;
mod download;
mod moment;
mod course;
mod report;
mod picture;

use std::time::Duration;

use crate::clock;
use crate::lab::counters::{Events, link_bytes};
use crate::lab::display::Display;
use crate::lab::gate::{Gate, Mode};
use crate::lab::interrupt::Interrupt;
use crate::lab::report::Check;
use crate::lab::world::{World, laptop_links};
use crate::lab::{Family, LabError, netns};

pub use course::Digests;
pub use cut::Cut;
pub use moment::{Moment, What};
pub use picture::picture;
pub use report::{LinkReport, Report};

use course::Course;
use download::Download;
use web::Web;

/// As they ship: their example of a proxy is where ours listens.
const RULES: &str = include_str!("../../../rules/proxy-only.toml");

/// How often the download is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Links are as fast as lets both together bring everything in that time: long enough to see,
const SECS: u64 = 10;
/// but never so fast that a small machine is measured instead of its links,
const MBIT_MAX: u64 = 200;
/// nor so slow that the kernel's first bursts count.
const MBIT_MIN: u64 = 8;

/// A download may take so much longer than over one link at a fifth of its rate: it is slow then, but not stuck.
const EXTRA_LIMIT: Duration = Duration::from_secs(20);
const SLOWEST_PART: u64 = 5;

/// What to show.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of the file.
    pub bytes: u64,
    /// The IP version of all addresses.
    pub family: Family,
    /// Which link is cut on the way.
    pub cut: Cut,
}

impl Options {
    fn mbit(self) -> u64 {
        (self.bytes * 8 / 2 / SECS / 1_000_000).clamp(MBIT_MIN, MBIT_MAX)
    }

    fn limit(self) -> Duration {
        EXTRA_LIMIT + Duration::from_secs(self.bytes * 8 * SLOWEST_PART / (self.mbit() * 1_000_000))
    }
}

/// Downloads once, and says how it went. Standard error shows what goes on.
///
/// # Errors
/// When it cannot be set up here, or a signal ended it. What goes wrong with the download is in the report.
pub fn run(options: Options) -> Result<Report, LabError> {
    netns::preflight()?;
    netns::are_installed(&web::TOOLS)?;
    let (interrupt, display) = (Interrupt::watch()?, Display::new());
    let links = laptop_links(u32::try_from(options.mbit()).unwrap_or(u32::MAX));
    display.open(options.family, &links, "router, server");
    let world = World::build(options.family, links)?;
    let web = Web::start(&world, &interrupt, options.bytes)?;
    display.line("curl at the client, mpgate at the router, HAProxy at the server, nginx behind it");
    let gate = Gate::start(&world, &interrupt, Mode::Control, RULES)?;
    let mut course = Course::new(options.bytes);
    course.sha256.file.clone_from(&web.sha256);
    let run =
        Run { options, world: &world, web: &web, gate: &gate, interrupt: &interrupt, display: &display };
    let mut checks = Vec::new();
    match run.play(&mut course, &mut checks) {
        Ok(()) => (),
        Err(LabError::Interrupted) => return Err(LabError::Interrupted),
        Err(error) => checks.push(Check::that("the download comes to its end", error, false)),
    }
    checks.push(gate.end(&interrupt)?);
    Ok(Report::new(options, links, course, checks))
}

/// A download under way.
#[derive(Clone, Copy)]
struct Run<'r> {
    options: Options,
    world: &'r World,
    web: &'r Web,
    gate: &'r Gate<'r>,
    interrupt: &'r Interrupt,
    display: &'r Display,
}

impl Run<'_> {
    fn play(self, course: &mut Course, checks: &mut Vec<Check>) -> Result<(), LabError> {
        let before = link_bytes(self.world)?;
        let began = clock::now();
        let mut download = Download::start(&self.world.client, self.web.addr)?;
        let mut shown = self.display.transfer(began, self.options.bytes, &self.world.links, before);
        let cut = self.options.cut.link(self.world);
        let (cut_at, back_at) = (self.options.bytes / 10 * 4, self.options.bytes / 10 * 6);
        let (limit, mut joined) = (self.options.limit(), 0);
        let (took, links) = loop {
            let ended = download.ended()?;
            let (now, links) = (clock::now(), link_bytes(self.world)?);
            let (at, received) = (now.since(began), download.received());
            course.look(at, received, difference(links, before));
            shown.show(now, received, links);
            let joins = self.gate.metric("mpgate_joins_total{result=\"verified\"}")?;
            for _ in joined..joins {
                self.tell(&course.happened(What::JoinAccepted, None));
            }
            joined = joins;
            if ended {
                break (at, difference(links, before));
            }
            if at > limit {
                let what = format!("{} bytes; {received} came", self.options.bytes);
                return Err(LabError::Overdue { what, limit });
            }
            match cut {
                Some(link) if course.when(What::LinkCut).is_none() && received >= cut_at => {
                    self.tell(&course.happened(What::LinkCut, Some(link.name)));
                    cut::cut(self.world, link)?;
                }
                Some(link) if course.when(What::LinkBack).is_none() && received >= back_at => {
                    cut::put_back(self.world, link, self.interrupt)?;
                    self.tell(&course.happened(What::LinkBack, Some(link.name)));
                }
                _ => (),
            }
            self.interrupt.pause(LOOK_EVERY)?;
        };
        drop(shown);
        // What curl wrote last may still have been in the pipe.
        let (received, digest) = download.finish()?;
        course.look(took, received, links);
        course.sha256.received = Some(digest);
        checks.push(course.whole());
        checks.extend(course.judge(&self.world.links, cut));
        self.judge_mptcp(checks)
    }

    /// That it was MPTCP up to the proxy, and no further.
    fn judge_mptcp(self, checks: &mut Vec<Check>) -> Result<(), LabError> {
        let capable = "mpgate_options_total{subtype=\"mp_capable\",version=\"1\"}";
        checks.push(Check::some("MP_CAPABLE that the gate saw", self.gate.metric(capable)?));
        let fallbacks = Events::read(&self.world.client)?.fallbacks();
        checks.push(Check::exactly("the client's fallbacks to TCP", 0, fallbacks));
        let joins = Events::read(&self.world.server)?.of("MPJoinAckRx");
        checks.push(Check::some("joins at HAProxy", joins));
        let behind = Events::read(&self.web.host)?.of("MPCapableACKRX");
        checks.push(Check::exactly("MPTCP connections of nginx", 0, behind));
        Ok(())
    }

    fn tell(self, moment: &Moment) {
        self.display.line(&format!("  {moment}"));
    }
}

fn difference(mut links: [u64; 2], before: [u64; 2]) -> [u64; 2] {
    links.iter_mut().zip(before).for_each(|(now, before)| *now = now.saturating_sub(before));
    links
}
