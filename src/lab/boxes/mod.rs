//! Boxes that meddle with MPTCP, one after the other at the same place of the way, and mpgate among them: what a user
//! has of each.

mod catalogue;
mod patch;
mod mirror;
mod rewrite;
mod userland;
mod standing;
mod measure;
mod judge;
mod probed;
mod report;
mod matrix;
mod held;
mod page;

use std::net::SocketAddr;
use std::time::Duration;

use crate::lab::counters::Events;
use crate::lab::display::Display;
use crate::lab::gate::Gate;
use crate::lab::interrupt::Interrupt;
use crate::lab::report::Check;
use crate::lab::traffic::Server;
use crate::lab::world::{Links, World, laptop_links};
use crate::lab::{Family, LabError, netns};

pub use catalogue::{KINDS, Kind};
pub use held::Held;
pub use measure::{Connects, Counts, Measured, Outcome, Transfer};
pub use page::page;
pub use probed::{Finding, Placed, Probed};
pub use report::{Gated, Report, Row};

use catalogue::Means;
use measure::Way;
use report::Said;
use standing::Standing;

/// What this scene calls beside the lab's own, and the packages that have it.
const TOOLS: [(&str, &str); 1] = [("nft", "nftables")];

/// Both links together bring the default download in about two seconds.
const MBIT: u32 = 50;

/// The port of the server.
const PORT: u16 = 5001;

/// As long as Linux turns MPTCP off by default (`net.mptcp.blackhole_timeout`).
const OFF_SECS: &str = "3600";

/// Nobody tries anything on one box for longer than a day.
const HOLD_MAX: Duration = Duration::from_secs(24 * 3600);

/// What to show.
#[derive(Clone, Debug)]
pub struct Options {
    /// The boxes, in the order in which they are tried.
    pub kinds: Vec<&'static Kind>,
    /// Bytes of each download.
    pub bytes: u64,
    /// The IP version of all addresses.
    pub family: Family,
}

/// Puts each box on the way, each in a fresh world, and measures. Standard error shows what goes on.
///
/// # Errors
/// When a world or a box cannot be set up here, or a signal ended it. What goes wrong with connections is in the report.
pub fn run(options: &Options) -> Result<Report, LabError> {
    netns::preflight()?;
    netns::are_installed(&TOOLS)?;
    let (interrupt, display) = (Interrupt::watch()?, Display::new());
    let links = laptop_links(MBIT);
    display.open(options.family, &links, "router, box, router, server");
    let tries = Tries { options, links, interrupt: &interrupt, display: &display };
    let mut rows: Vec<Row> = Vec::with_capacity(options.kinds.len());
    for kind in &options.kinds {
        let undisturbed = rows.iter().find(|row| matches!(row.kind.means, Means::Forward));
        let undisturbed = undisturbed.and_then(|row| row.measured.connects.worst_micros);
        rows.push(tries.play(kind, undisturbed)?);
    }
    Ok(Report::new(options.family, options.bytes, &links, rows))
}

/// Lets a box stand until a signal comes, or a day is over; `tell` is given what to say of it.
///
/// # Errors
/// When it cannot be set up here; [`LabError::Interrupted`] once a signal came.
pub fn hold(
    kind: &'static Kind,
    family: Family,
    tell: impl FnOnce(&Held) -> Result<(), LabError>,
) -> Result<(), LabError> {
    netns::preflight()?;
    netns::are_installed(&TOOLS)?;
    let interrupt = Interrupt::watch()?;
    let place = Place::build(family, laptop_links(MBIT), kind)?;
    let _standing = Standing::put(kind, &place.world, &interrupt)?;
    tell(&place.held(kind))?;
    interrupt.pause(HOLD_MAX)
}

/// All boxes on their way.
#[derive(Clone, Copy)]
struct Tries<'t> {
    options: &'t Options,
    links: Links,
    interrupt: &'t Interrupt,
    display: &'t Display,
}

impl Tries<'_> {
    fn play(self, kind: &'static Kind, undisturbed: Option<u64>) -> Result<Row, LabError> {
        self.display.line(&format!("{kind}: {}", kind.does));
        let place = Place::build(self.options.family, self.links, kind)?;
        let standing = Standing::put(kind, &place.world, self.interrupt)?;
        let (world, server) = (&place.world, place.server);
        let (interrupt, display) = (self.interrupt, self.display);
        let measured =
            measure::measure(Way { world, server, bytes: self.options.bytes, interrupt, display })?;
        let mut checks = judge::judge(kind, &measured, undisturbed);
        let gate = standing.gate().map(Gated::read).transpose()?;
        let (probe, check) = self.probe(kind, &place)?;
        checks.push(check);
        if let Standing::Gate(gate) = standing {
            checks.push(gate.end(interrupt)?);
        }
        let row = Row::new(kind, measured, Said { gate, probe: Some(probe) }, checks);
        self.display.line(&format!("  {row}"));
        Ok(row)
    }

    /// Asks the probe, at a host that is as willing as one that never met the box.
    fn probe(self, kind: &Kind, place: &Place) -> Result<(Probed, Check), LabError> {
        let client = &place.world.client;
        // What is written here makes the kernel forget that it turned MPTCP off.
        client.set("mptcp/blackhole_timeout", OFF_SECS)?;
        let turned_off = || Events::read(client).map(|events| events.of("Blackhole"));
        let before = turned_off()?;
        let probed = Probed::ask(kind, client, place.server, self.interrupt)?;
        let times = turned_off()? - before;
        Ok((probed, Check::exactly("times that the probe makes its host turn MPTCP off", 0, times)))
    }
}

/// A world with a place for a box, in which a server listens.
#[derive(Debug)]
struct Place {
    server: SocketAddr,
    _listening: Server,
    world: World,
}

impl Place {
    /// The server has the address of the proxy in the shipped rules, so that these are tried as they are.
    fn build(family: Family, links: Links, kind: &Kind) -> Result<Self, LabError> {
        let world = World::build_with_neighbours(family, links)?;
        let server = SocketAddr::new(family.proxy_addr(), PORT);
        world.add_server_addr(server.ip())?;
        world.client.set("mptcp/blackhole_timeout", OFF_SECS)?;
        if matches!(kind.means, Means::Rewrite) {
            for host in [&world.client, &world.server] {
                host.set("mptcp/checksum_enabled", "1")?;
            }
        }
        let listening = Server::start(&world.server, server)?;
        Ok(Self { server, _listening: listening, world })
    }
}

impl Gated {
    fn read(gate: &Gate<'_>) -> Result<Self, LabError> {
        Ok(Self {
            capable: gate.metric("mpgate_options_total{subtype=\"mp_capable\",version=\"1\"}")?,
            joins_verified: gate.metric("mpgate_joins_total{result=\"verified\"}")?,
            stripped: gate.sum("mpgate_verdicts_total", "verdict=\"strip\"")?,
            resets: gate.sum("mpgate_resets_sent_total", "")?,
        })
    }
}
