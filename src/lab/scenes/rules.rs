//! What operators write rules for: one path, few subflows, private addresses, marks, and options beside MPTCP.

use std::net::SocketAddr;

use crate::lab::LabError;
use crate::lab::capture::Capture;
use crate::lab::counters::{Events, connection_marks};
use crate::lab::gate::Mode;
use crate::lab::report::Check;
use crate::lab::scenes::checks::{
    join_prohibited, joins_taken, no_fallback, on_both_links, on_first_link, whole,
};
use crate::lab::stage::Act;
use crate::lab::traffic::{Server, fast_open as open_fast};
use crate::lab::world::LINKS;
use crate::mptcp::option::Tcprst;
use crate::mptcp::{ResetReason, Subtype};
use crate::wire::Segment;

const SINGLE_PATH: &str = r#"
[[rule]]
name   = "one-path"
option = "mp_capable"
action = "single_path"
"#;

const ONE_SUBFLOW: &str = r#"
[limits]
subflows = 1
"#;

const NO_PRIVATE_ADDRESSES: &str = r#"
[[rule]]
name      = "private-addresses-stay-inside"
announces = "private"
action    = "drop"
"#;

const MARKED: &str = r#"
[[rule]]
name     = "marked"
option   = "mp_capable"
action   = "accept"
set_mark = "0x2a/0xff"

[[rule]]
name         = "joins-like-their-first-subflow"
option       = "mp_join"
action       = "accept"
inherit_mark = "0xff"
"#;

/// What the rule sets, and its mask.
const MARK: u32 = 0x2a;
const MARK_MASK: u32 = 0xff;

/// As an operator saves the marks of packets to their connections.
const SAVE_MARK: &str = "-w 5 -t mangle -A POSTROUTING -m mark ! --mark 0/0xff \
                         -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff";

const NO_FAST_OPEN: &str = r#"
[[rule]]
name   = "no-fast-open"
kind   = ["fast_open", "exp_fast_open"]
action = "strip"
"#;

/// Whether a connection opens fast does not depend on how much it carries.
pub(super) const FAST_OPEN_BYTES: u64 = 1_000_000;

/// Listens with Fast Open; the lab's own server began before the setting.
const FAST_OPEN_PORT: u16 = 5002;

/// Client, server, and every listener without asking (`net.ipv4.tcp_fastopen`).
const FAST_OPEN_ALWAYS: &str = "1027";

pub(super) fn single_path(act: &Act<'_>, checks: &mut Vec<Check>) -> Result<(), LabError> {
    act.world.announce_private()?;
    let gate = act.gate(SINGLE_PATH)?;
    let capture = Capture::whole(&act.world.client)?;
    let carried = act.transfer()?.finish()?;
    checks.push(whole(&carried));
    checks.extend(on_first_link(&carried));
    let (client, server) = (Events::read(&act.world.client)?, Events::read(&act.world.server)?);
    checks.push(Check::exactly("the server's MPTCP connections", 1, server.of("MPCapableACKRX")));
    let data = |with| capture.count(|seen| seen.segment == Segment::Data && seen.has(Subtype::Dss) == with);
    checks.push(Check::some("data with DSS at the client", data(true)));
    checks.push(no_fallback(act)?);
    checks.extend(join_prohibited(act, &capture));
    checks.push(Check::some("the server's announcements", server.of("AddAddrTx")));
    checks.push(Check::exactly("of them at the client", 0, client.of("AddAddr")));
    checks.push(act.end(gate)?);
    Ok(())
}

pub(super) fn one_subflow(act: &Act<'_>, checks: &mut Vec<Check>) -> Result<(), LabError> {
    let [_, second] = LINKS;
    let joiners = [act.world.client_addr(&second), act.world.join_from(&second)?];
    let gate = act.gate(ONE_SUBFLOW)?;
    let capture = Capture::start(&act.world.client)?;
    let carried = act.transfer()?.finish()?;
    checks.push(whole(&carried));
    checks.extend(on_both_links(&carried));
    let syns = joiners
        .map(|joiner| capture.count(|seen| seen.segment == Segment::Syn && seen.flow.src.addr == joiner));
    let [first, other] = syns;
    let measured = format!("{first} and {other}");
    checks.push(Check::that("SYNs of two joins: 1 each", measured, syns == [1, 1]));
    let taken = Events::read(&act.world.server)?.of("MPJoinAckRx");
    checks.push(Check::exactly("joins at the server", 1, taken));
    let refused = capture.count(|seen| {
        let refused = |tcprst: Tcprst| tcprst.reason == ResetReason::NO_RESOURCES && tcprst.transient;
        joiners.contains(&seen.flow.dst.addr) && seen.tcprst().is_some_and(refused)
    });
    checks.push(Check::exactly("MP_TCPRST 0x02, T = 1, to the client", 1, refused));
    checks.push(no_fallback(act)?);
    checks.push(act.end(gate)?);
    Ok(())
}

pub(super) fn private_addresses(act: &Act<'_>, checks: &mut Vec<Check>) -> Result<(), LabError> {
    let (private, public) = (act.world.announce_private()?, act.world.announce_public()?);
    let gate = act.gate(NO_PRIVATE_ADDRESSES)?;
    let (client, server) = (Capture::whole(&act.world.client)?, Capture::whole(&act.world.server)?);
    let carried = act.transfer()?.finish()?;
    checks.push(whole(&carried));
    checks.extend(on_both_links(&carried));
    let at = |capture: &Capture, addr| capture.count(|seen| seen.announced() == Some(addr));
    checks.push(Check::some("private address, announced at the server", at(&server, private)));
    checks.push(Check::exactly("private address, announced at the client", 0, at(&client, private)));
    checks.push(Check::some("public address, announced at the client", at(&client, public)));
    let tried = client.count(|seen| seen.flow.dst.addr == private);
    checks.push(Check::exactly("the client's segments to the private address", 0, tried));
    checks.push(joins_taken(act)?);
    checks.push(no_fallback(act)?);
    checks.push(act.end(gate)?);
    Ok(())
}

pub(super) fn marks(act: &Act<'_>, checks: &mut Vec<Check>) -> Result<(), LabError> {
    let save_mark: Vec<_> = SAVE_MARK.split_whitespace().collect();
    act.world.router.tool(act.world.family.iptables(), &save_mark, "")?;
    let gate = act.gate(MARKED)?;
    let carried = act.transfer()?.finish()?;
    checks.push(whole(&carried));
    checks.extend(on_both_links(&carried));
    checks.push(joins_taken(act)?);
    let tracked = connection_marks(&act.world.router, act.world.server_addr().port())?;
    for link in LINKS {
        let addr = act.world.client_addr(&link);
        let marks: Vec<_> = tracked.iter().filter(|(src, _)| *src == addr).map(|(_, mark)| mark).collect();
        let expected = format!("the connmark by {}: {MARK:#x}/{MARK_MASK:#x}", link.name);
        let passed = !marks.is_empty() && marks.iter().all(|mark| *mark & MARK_MASK == MARK);
        let measured = marks.iter().map(|mark| format!("{mark:#x}")).collect::<Vec<_>>().join(", ");
        checks.push(Check::that(expected, measured, passed));
    }
    checks.push(act.end(gate)?);
    Ok(())
}

pub(super) fn fast_open(act: &Act<'_>, checks: &mut Vec<Check>) -> Result<(), LabError> {
    for host in [&act.world.client, &act.world.server] {
        host.set("ipv4/tcp_fastopen", FAST_OPEN_ALWAYS)?;
    }
    let server = SocketAddr::new(act.world.server_addr().ip(), FAST_OPEN_PORT);
    let _server = Server::start(&act.world.server, server)?;
    let (at_client, at_server) = (Capture::start(&act.world.client)?, Capture::start(&act.world.server)?);
    let asked = |capture: &Capture| capture.count(|seen| seen.segment == Segment::Syn && seen.fast_open);
    let opened = || -> Result<_, LabError> {
        let (client, server) = (Events::read(&act.world.client)?, Events::read(&act.world.server)?);
        Ok([
            server.of("TCPFastOpenCookieReqd"),
            client.of("TCPFastOpenActive"),
            server.of("TCPFastOpenPassive"),
        ])
    };
    let twice = || (0..2).try_for_each(|_| open_fast(&act.world.client, server, FAST_OPEN_BYTES));

    let gate = act.gate_in(Mode::All, NO_FAST_OPEN)?;
    twice()?;
    checks.push(Check::exactly(
        "connections that ask for a cookie, and whose data is whole",
        2,
        asked(&at_client),
    ));
    checks.push(Check::exactly("of them at the server", 0, asked(&at_server)));
    let [cookies, active, passive] = opened()?;
    checks.push(Check::exactly("the server's cookies", 0, cookies));
    checks.push(Check::exactly("data in a SYN that counted", 0, active + passive));
    checks.push(act.end(gate)?);

    twice()?;
    let [cookies, active, passive] = opened()?;
    checks.push(Check::exactly("no gate: the server's cookies", 1, cookies));
    let measured = format!("{active} and {passive}");
    let expected = "no gate: data in a SYN that counted at client and server: 1";
    checks.push(Check::that(expected, measured, active == 1 && passive == 1));
    Ok(())
}
