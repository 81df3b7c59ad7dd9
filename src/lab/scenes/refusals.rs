//! What both hosts do when an option is refused as no rule should: the table of `mptcp::refusal`, tried on this kernel.

use std::fmt;
use std::time::Duration;

use crate::clock;
use crate::lab::LabError;
use crate::lab::capture::{Capture, Seen};
use crate::lab::counters::Events;
use crate::lab::gate::Mode;
use crate::lab::report::Check;
use crate::lab::scenes::checks::{CONNECT_EXTRA_MAX, millis, on_both_links, on_first_link, whole};
use crate::lab::stage::{ANSWER_LIMIT, Act};
use crate::lab::world::LINKS;
use crate::mptcp::refusal::{Circumstances, Deed, consequence};
use crate::mptcp::{ResetReason, Subtype};
use crate::wire::Segment;

const STRIP_JOIN: &str = r#"
[[rule]]
name              = "joins-stripped"
option            = "mp_join"
segment           = "syn"
action            = "strip"
break_connections = true
"#;

const DROP_CAPABLE: &str = r#"
[[rule]]
name              = "mptcp-dropped"
option            = "mp_capable"
segment           = "syn"
action            = "drop"
break_connections = true
"#;

const STRIP_ANNOUNCEMENT: &str = r#"
[[rule]]
name              = "announcements-stripped"
option            = "add_addr"
action            = "strip"
break_connections = true
"#;

const STRIP_DSS: &str = r#"
[[rule]]
name              = "dss-stripped"
option            = "dss"
action            = "strip"
break_connections = true
"#;

/// Rules that do nothing yet.
const ACCEPT: &str = "[policy]\ndefault = \"accept\"\n";

/// Three SYNs, a second apart, go unheard before one without MP_CAPABLE.
const LATE_MIN: Duration = Duration::from_millis(2900);
const LATE_MAX: Duration = Duration::from_secs(5);

/// As long as Linux turns MPTCP off by default (`net.mptcp.blackhole_timeout`).
const OFF_SECS: &str = "3600";

/// Minutes: nobody waits for the end of this transfer.
pub(super) const ENDLESS: u64 = 2_000_000_000;

/// Rules in a rewritten file take effect within a second; both subflows carry data all the time.
const DEATH_LIMIT: Duration = Duration::from_secs(10);

/// A retransmission of a subflow that lives would bring something within so much.
const STANDS_STILL: Duration = Duration::from_secs(1);

/// The early segments of a connection: nothing joined, no data acknowledged.
const fn early(segment: Segment) -> Circumstances {
    Circumstances {
        segment,
        joined: false,
        both_acked: false,
        beside_dss: false,
        data_fin: false,
        heard_elsewhere: false,
    }
}

/// A sentence of the table about `host`, beside what was measured of it.
fn says(host: &str, sentence: &str, measured: impl fmt::Display, passed: bool) -> Check {
    Check::that(format!("the {host} {sentence}"), measured, passed)
}

pub(super) fn join_stripped(act: &Act<'_>, checks: &mut Vec<Check>) -> Result<(), LabError> {
    let [_, second] = LINKS;
    let joiner = act.world.client_addr(&second);
    let table = consequence(Deed::Strip, Subtype::MpJoin, early(Segment::Syn));
    let gate = act.gate(STRIP_JOIN)?;
    let capture = Capture::whole(&act.world.server)?;
    let carried = act.transfer()?.finish()?;
    checks.push(whole(&carried));
    checks.extend(on_first_link(&carried));
    let sent = |is: fn(&Seen) -> bool| capture.count(|seen| seen.flow.src.addr == joiner && is(seen));
    let plain = sent(|seen| seen.segment == Segment::Syn && seen.signals.list.is_empty());
    let resets = sent(|seen| seen.segment == Segment::Rst);
    let answers = capture.count(|seen| seen.segment == Segment::SynAck && seen.flow.dst.addr == joiner);
    let all = sent(|_| true);
    let joins = Events::read(&act.world.server)?.of("MPJoinSynRx");
    let measured = format!("{answers} SYN/ACKs, then {resets} RSTs");
    checks.push(says("client", table.sender, measured, answers > 0 && resets > 0));
    let measured = format!("{plain} plain SYNs, {resets} RSTs, {} else, {joins} joins", all - plain - resets);
    let half_open = plain > 0 && resets > 0 && all == plain + resets && joins == 0;
    checks.push(says("server", table.receiver, measured, half_open));
    checks.push(act.end(gate)?);
    Ok(())
}

pub(super) fn capable_dropped(act: &Act<'_>, checks: &mut Vec<Check>) -> Result<(), LabError> {
    let table = consequence(Deed::Drop, Subtype::MpCapable, early(Segment::Syn));
    act.world.client.set("mptcp/blackhole_timeout", OFF_SECS)?;
    let gate = act.gate(DROP_CAPABLE)?;
    let (client, server) = (Capture::start(&act.world.client)?, Capture::start(&act.world.server)?);
    let syns = |capture: &Capture, capable| {
        capture.count(|seen| seen.segment == Segment::Syn && seen.has(Subtype::MpCapable) == capable)
    };
    let late = act.connect()?;
    let (sent, plain) = (syns(&client, true), syns(&client, false));
    let blackholes = Events::read(&act.world.client)?.of("Blackhole");
    let measured = format!(
        "{}, {sent} SYNs with MP_CAPABLE, then {plain} without; Blackhole {blackholes}",
        millis(late)
    );
    let passed = (LATE_MIN..=LATE_MAX).contains(&late) && plain == 1 && blackholes >= 1;
    checks.push(says("client", table.sender, measured, passed));
    let (heard, plain) = (syns(&server, true), syns(&server, false));
    let measured = format!("{heard} SYNs with MP_CAPABLE, {plain} without");
    checks.push(says("server", table.receiver, measured, heard == 0 && plain == 1));

    let took = act.connect()?;
    let expected = format!("the next connection opens in ≤ {} ms", CONNECT_EXTRA_MAX.as_millis());
    checks.push(Check::that(expected, millis(took), took <= CONNECT_EXTRA_MAX));
    let carried = act.transfer()?.finish()?;
    checks.push(whole(&carried));
    checks.extend(on_first_link(&carried));
    checks.push(Check::exactly("SYNs with MP_CAPABLE since", 0, syns(&client, true) - sent));
    checks.push(act.end(gate)?);
    Ok(())
}

pub(super) fn announcement_stripped(act: &Act<'_>, checks: &mut Vec<Check>) -> Result<(), LabError> {
    let table = consequence(Deed::Strip, Subtype::AddAddr, early(Segment::Ack));
    act.world.announce_private()?;
    let gate = act.gate(STRIP_ANNOUNCEMENT)?;
    let capture = Capture::whole(&act.world.client)?;
    let server = act.world.server_addr().ip();
    let bare = |seen: &Seen| {
        let bare = seen.segment == Segment::Ack && seen.signals.list.is_empty();
        (bare && seen.flow.src.addr == server).then_some(())
    };
    // Once data is under way, which host falls back depends on which segment is first.
    let transfer = act.transfer_once("the stripped announcement", || Ok(capture.find(bare)))?;
    let carried = transfer.finish()?;
    checks.push(whole(&carried));
    checks.extend(on_first_link(&carried));
    let data = |from_server, mptcp| {
        capture.count(|seen| {
            seen.segment == Segment::Data
                && (seen.flow.src.addr == server) == from_server
                && seen.signals.list.is_empty() != mptcp
        })
    };
    for (host, sentence, is_server) in [("server", table.sender, true), ("client", table.receiver, false)] {
        let (plain, mptcp) = (data(is_server, false), data(is_server, true));
        let measured = format!("its data without DSS {plain}, with MPTCP {mptcp}");
        checks.push(says(host, sentence, measured, plain > 0 && mptcp == 0));
    }
    let joins = capture.count(|seen| seen.segment == Segment::Syn && seen.has(Subtype::MpJoin));
    checks.push(Check::exactly("joins", 0, joins));
    checks.push(act.end(gate)?);
    Ok(())
}

pub(super) fn dss_stripped(act: &Act<'_>, checks: &mut Vec<Check>) -> Result<(), LabError> {
    let at = Circumstances { joined: true, both_acked: true, ..early(Segment::Data) };
    let table = consequence(Deed::Strip, Subtype::Dss, at);
    let gate = act.gate_in(Mode::All, ACCEPT)?;
    let (client, server) = (Capture::start(&act.world.client)?, Capture::start(&act.world.server)?);
    let mut transfer = act.transfer_of(ENDLESS)?;
    let joined = || Ok((Events::read(&act.world.server)?.of("MPJoinAckRx") > 0).then_some(()));
    act.wait_for("a join", ANSWER_LIMIT, joined)?;
    transfer.watch(1)?;
    checks.extend(on_both_links(&transfer.carried()?));

    gate.rewrite_rules(STRIP_DSS)?;
    let rewritten = clock::now();
    let resets = |capture: &Capture| {
        LINKS.map(|link| {
            let addr = act.world.client_addr(&link);
            capture.count(|seen| {
                seen.flow.src.addr == addr && seen.reset_reason() == Some(ResetReason::MIDDLEBOX)
            })
        })
    };
    let everywhere = |capture: &Capture| resets(capture).iter().all(|count| *count > 0);
    let reset = || Ok((everywhere(&client) && everywhere(&server)).then(clock::now));
    let took = act.wait_for("a RST with MP_TCPRST 0x06 by each link", DEATH_LIMIT, reset)?.since(rewritten);
    act.pause(STANDS_STILL)?;
    let before = transfer.carried()?.bytes;
    act.pause(STANDS_STILL)?;
    let (after, told) = (transfer.carried()?.bytes, transfer.failure());
    let [first, second] = resets(&server);
    let measured = format!("MP_TCPRST 0x06 by each link after {}: {first}, {second}", millis(took));
    checks.push(says("server", table.sender, measured, everywhere(&server)));
    let told = told.map_or("its application is told nothing".to_owned(), |error| error.to_string());
    let measured = format!("{} bytes in {} s more; {told}", after - before, STANDS_STILL.as_secs());
    checks.push(says("client", table.receiver, measured, everywhere(&client) && after == before));
    drop(transfer);
    checks.push(act.end(gate)?);
    Ok(())
}
