//! What a user has of a way: how long connections take to open, how fast a download is, and what becomes of it.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde::Serialize;

use crate::clock;
use crate::lab::LabError;
use crate::lab::counters::{Events, LinkBytes, link_bytes};
use crate::lab::display::Display;
use crate::lab::interrupt::Interrupt;
use crate::lab::traffic::{self, Download};
use crate::lab::world::World;

/// Connections that are opened one after the other; the download's own is one more.
pub(super) const CONNECTS: usize = 5;

/// How often a download is looked at, and what lies between two connections.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A download to which nothing is added for so long is given up: hosts that still can repeat what was lost within a
/// second or two.
pub(super) const STALL_LIMIT: Duration = Duration::from_secs(5);

/// A download that goes on, however slowly, is given up too, after three times what one link alone would take and this.
const EXTRA_LIMIT: Duration = Duration::from_secs(10);
const LINK_TIMES_MAX: u64 = 3;

/// How an application fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything came, as it was sent.
    Whole,
    /// No connection opened: somebody answered with a RST.
    Refused,
    /// No connection opened: nobody answered.
    Unanswered,
    /// The connection was reset.
    Reset,
    /// The connection was closed too early.
    Closed,
    /// Nothing came any more, and the connection stayed open.
    Stalled,
    /// It went on so slowly that it was given up.
    Slow,
    /// Data came that was never sent.
    Differs,
    /// The system said something else.
    Failed,
}

/// Connections that were opened.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Connects {
    /// How many were tried.
    pub tried: usize,
    /// How many were not opened.
    pub failed: usize,
    /// Microseconds that the middle one of those that opened took.
    pub median_micros: Option<u64>,
    /// Microseconds that the longest of them took.
    pub worst_micros: Option<u64>,
}

/// A download.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Transfer {
    /// Bytes that came and were right.
    pub received: u64,
    /// Until all had come, or it was given up.
    pub millis: u64,
    /// By each link, headers and all.
    pub by_link: LinkBytes,
}

/// What the kernels of both hosts counted.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Counts {
    /// SYNs with MP_CAPABLE that the client sent.
    pub capable_syns: u64,
    /// Connections that were MPTCP to the server, too.
    pub connections: u64,
    /// Joins that the client tried.
    pub joins_tried: u64,
    /// Joins that the server took.
    pub joins: u64,
    /// Connections of either host that fell back to plain TCP.
    pub fallbacks: u64,
    /// Data of which the checksum of the DSS option was wrong.
    pub checksum_errors: u64,
    /// MP_FAIL that a host sent.
    pub fails: u64,
    /// Subflows that a host reset.
    pub subflow_resets: u64,
    /// How often the client's host turned MPTCP off.
    pub turned_off: u64,
}

/// All that was measured of one way.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// How connections opened.
    pub connects: Connects,
    /// How the application fared.
    pub outcome: Outcome,
    /// What it downloaded.
    pub transfer: Transfer,
    /// What the hosts counted meanwhile.
    pub mptcp: Counts,
}

/// Where to measure, and how much.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way<'w> {
    pub(super) world: &'w World,
    pub(super) server: SocketAddr,
    pub(super) bytes: u64,
    pub(super) interrupt: &'w Interrupt,
    pub(super) display: &'w Display,
}

/// Opens some connections, and downloads over one more.
pub(super) fn measure(way: Way<'_>) -> Result<Measured, LabError> {
    let (mut took, mut failed) = (Vec::new(), None);
    let mut last = None;
    for _ in 0..=CONNECTS {
        way.interrupt.pause(LOOK_EVERY)?;
        match traffic::connect(&way.world.client, way.server) {
            Ok((stream, time)) => {
                took.push(micros(time));
                last = Some(stream);
            }
            Err(error) => {
                failed = Some(Outcome::of(&error));
                last = None;
            }
        }
    }
    took.sort_unstable();
    let tried = CONNECTS + 1;
    let connects = Connects {
        tried,
        failed: tried - took.len(),
        median_micros: took.get(took.len() / 2).copied(),
        worst_micros: took.last().copied(),
    };
    let (outcome, transfer) = match last {
        Some(stream) => download(way, stream)?,
        None => (failed.unwrap_or(Outcome::Failed), Transfer::default()),
    };
    Ok(Measured { connects, outcome, transfer, mptcp: Counts::read(way.world)? })
}

fn download(way: Way<'_>, stream: TcpStream) -> Result<(Outcome, Transfer), LabError> {
    let before = link_bytes(way.world)?;
    let began = clock::now();
    let download = match Download::start(&way.world.client, stream, way.bytes) {
        Ok(download) => download,
        Err(error) => return Ok((Outcome::of(&error), Transfer::default())),
    };
    let mut shown = way.display.transfer(began, way.bytes, &way.world.links, before);
    let limit = way.limit();
    let (mut received, mut news) = (0, began);
    let (outcome, ended) = loop {
        let (now, came) = (clock::now(), download.received());
        shown.show(now, came, link_bytes(way.world)?);
        if came > received {
            (received, news) = (came, now);
        }
        if received == way.bytes {
            break (Outcome::Whole, now);
        }
        if let Some(error) = download.failure() {
            break (Outcome::of(&error), now);
        }
        if now.since(news) > STALL_LIMIT {
            break (Outcome::Stalled, now);
        }
        if now.since(began) > limit {
            break (Outcome::Slow, now);
        }
        way.interrupt.pause(LOOK_EVERY)?;
    };
    let mut by_link = link_bytes(way.world)?;
    by_link.iter_mut().zip(before).for_each(|(now, before)| *now = now.saturating_sub(before));
    Ok((outcome, Transfer { received, millis: millis(ended.since(began)), by_link }))
}

impl Way<'_> {
    fn limit(&self) -> Duration {
        let [first, _] = self.world.links;
        let millis = self.bytes.saturating_mul(8 * LINK_TIMES_MAX) / (u64::from(first.mbit.max(1)) * 1000);
        EXTRA_LIMIT + Duration::from_millis(millis)
    }
}

impl Outcome {
    fn of(error: &LabError) -> Self {
        let LabError::Io { error, .. } = error else {
            return if matches!(error, LabError::DataDiffers { .. }) { Self::Differs } else { Self::Failed };
        };
        let kinds: [(ErrorKind, Self); 7] = [
            (ErrorKind::ConnectionRefused, Self::Refused),
            (ErrorKind::TimedOut, Self::Unanswered),
            (ErrorKind::ConnectionReset, Self::Reset),
            (ErrorKind::ConnectionAborted, Self::Reset),
            (ErrorKind::BrokenPipe, Self::Reset),
            (ErrorKind::UnexpectedEof, Self::Closed),
            (ErrorKind::WouldBlock, Self::Stalled),
        ];
        let known = kinds.into_iter().find(|(kind, _)| *kind == error.kind());
        known.map_or(Self::Failed, |(_, outcome)| outcome)
    }

    /// As a user would tell it.
    pub(super) fn told(self) -> String {
        match self {
            Self::Whole => "whole".to_owned(),
            Self::Refused => "refused".to_owned(),
            Self::Unanswered => "no answer".to_owned(),
            Self::Reset => "reset".to_owned(),
            Self::Closed => "closed too early".to_owned(),
            Self::Stalled => format!("stalled, given up after {} s", STALL_LIMIT.as_secs()),
            Self::Slow => "too slow, given up".to_owned(),
            Self::Differs => "data differs".to_owned(),
            Self::Failed => "failed".to_owned(),
        }
    }
}

impl Counts {
    fn read(world: &World) -> Result<Self, LabError> {
        let (client, server) = (Events::read(&world.client)?, Events::read(&world.server)?);
        let both = |event| client.of(event) + server.of(event);
        Ok(Self {
            capable_syns: client.of("MPCapableSYNTX"),
            connections: server.of("MPCapableACKRX"),
            joins_tried: client.of("MPJoinSynTx"),
            joins: server.of("MPJoinAckRx"),
            fallbacks: client.fallbacks() + server.fallbacks(),
            checksum_errors: both("DataCsumErr"),
            fails: both("MPFailTx"),
            subflow_resets: both("MPRstTx"),
            turned_off: client.of("Blackhole"),
        })
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
