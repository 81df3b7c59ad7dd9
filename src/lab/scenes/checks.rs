//! Checks that many scenes make.

use std::time::Duration;

use bytesize::ByteSize;

use crate::lab::LabError;
use crate::lab::capture::Capture;
use crate::lab::counters::Events;
use crate::lab::report::{Check, Rate};
use crate::lab::stage::{Act, Carried};
use crate::lab::world::{LINKS, Link};
use crate::mptcp::ResetReason;
use crate::wire::Segment;

/// A link that works carries at least so much of the data; by their rates it would be a third and two thirds.
const CARRIES_PERCENT_MIN: u64 = 10;

/// What a connection may take longer because of the gate; a lost SYN would cost 1 s.
pub(super) const CONNECT_EXTRA_MAX: Duration = Duration::from_millis(50);

/// The client got a good part of the data by each link.
pub(super) fn on_both_links(carried: &Carried) -> Vec<Check> {
    let links = LINKS.iter().zip(carried.links).map(|(link, bytes)| {
        let expected = format!("{} carries ≥ {CARRIES_PERCENT_MIN} %", link.name);
        Check::that(expected, portion(carried, bytes), percent(carried, bytes) >= CARRIES_PERCENT_MIN)
    });
    links.collect()
}

/// The client got all of the data by its first link.
pub(super) fn on_first_link(carried: &Carried) -> Vec<Check> {
    let [Link { name: first, .. }, Link { name: second, .. }] = LINKS;
    let [by_first, by_second] = carried.links;
    vec![
        Check::that(format!("{first} carries all"), portion(carried, by_first), by_first >= carried.bytes),
        Check::that(
            format!("{second} carries < 1 %"),
            portion(carried, by_second),
            percent(carried, by_second) < 1,
        ),
    ]
}

/// That a transfer came to its end says that every byte was compared.
pub(super) fn whole(carried: &Carried) -> Check {
    let size = ByteSize(carried.bytes).display().si();
    let measured = format!("{size} in {}.{} s", carried.took.as_secs(), carried.took.subsec_millis() / 100);
    Check::that("every byte arrives as it was sent", measured, carried.bytes > 0)
}

fn percent(carried: &Carried, bytes: u64) -> u64 {
    bytes.saturating_mul(100) / carried.links.iter().sum::<u64>().max(1)
}

fn portion(carried: &Carried, bytes: u64) -> String {
    format!("{} %, {}", percent(carried, bytes), Rate::of(bytes, carried.took))
}

/// As checks show a time.
pub(super) fn millis(span: Duration) -> String {
    format!("{}.{} ms", span.as_millis(), span.subsec_micros() % 1000 / 100)
}

/// Nothing keeps connections from being opened.
pub(super) fn opens_at_once(act: &Act<'_>) -> Result<Check, LabError> {
    let took = act.connect_time()?;
    let expected = format!("connections open in ≤ {} ms", CONNECT_EXTRA_MAX.as_millis());
    Ok(Check::that(expected, millis(took), took <= CONNECT_EXTRA_MAX))
}

/// The server took joins.
pub(super) fn joins_taken(act: &Act<'_>) -> Result<Check, LabError> {
    let joins = Events::read(&act.world.server)?.of("MPJoinAckRx");
    Ok(Check::some("joins at the server", joins))
}

/// Neither host fell back to plain TCP.
pub(super) fn no_fallback(act: &Act<'_>) -> Result<Check, LabError> {
    let [client, server] = [&act.world.client, &act.world.server].map(Events::read);
    Ok(Check::exactly("fallbacks to TCP", 0, client?.fallbacks() + server?.fallbacks()))
}

/// The client tried once to join by its second link, and was refused by policy.
pub(super) fn join_prohibited(act: &Act<'_>, client: &Capture) -> [Check; 2] {
    let [_, second] = LINKS;
    let joiner = act.world.client_addr(&second);
    let syns = client.count(|seen| seen.segment == Segment::Syn && seen.flow.src.addr == joiner);
    let resets = client
        .count(|seen| seen.flow.dst.addr == joiner && seen.reset_reason() == Some(ResetReason::PROHIBITED));
    [
        Check::exactly(&format!("SYNs on {}", second.name), 1, syns),
        Check::exactly(&format!("MP_TCPRST 0x03 on {}", second.name), 1, resets),
    ]
}
