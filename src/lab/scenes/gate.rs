//! What holds whatever the rules say: MPTCP works through the gate, forgers do not get in, and the gate may come and go.

use std::time::Duration;

use crate::clock;
use crate::lab::capture::{Capture, Seen};
use crate::lab::counters::Events;
use crate::lab::forge::Forger;
use crate::lab::gate::{self, Gate};
use crate::lab::report::Check;
use crate::lab::scenes::checks::{
    CONNECT_EXTRA_MAX, join_prohibited, joins_taken, millis, on_both_links, on_first_link, opens_at_once,
    whole,
};
use crate::lab::stage::{ANSWER_LIMIT, Act};
use crate::lab::{LabError, doing};
use crate::mptcp::option::Join;
use crate::mptcp::{MptcpOption, ResetReason, Token, Version};
use crate::wire::Flow;

/// As they ship.
const DEFAULT_RULES: &str = include_str!("../../../rules/default.toml");
const STRIP_ALL: &str = include_str!("../../../rules/strip-all.toml");

const STRIP_CAPABLE: &str = r#"
[[rule]]
name   = "plain-tcp"
option = "mp_capable"
action = "strip"
"#;

const REJECT_JOINS: &str = r#"
[[rule]]
name   = "no-joins"
option = "mp_join"
action = "reject"
"#;

/// Rules in a rewritten file take effect within so much.
const RELOAD_MAX: Duration = Duration::from_secs(1);

pub(super) fn no_gate(act: &Act<'_>, checks: &mut Vec<Check>) -> Result<(), LabError> {
    let carried = act.transfer()?.finish()?;
    checks.push(whole(&carried));
    checks.extend(on_both_links(&carried));
    checks.push(joins_taken(act)?);
    checks.push(opens_at_once(act)?);
    Ok(())
}

pub(super) fn default_rules(act: &Act<'_>, checks: &mut Vec<Check>) -> Result<(), LabError> {
    let gate = act.gate(DEFAULT_RULES)?;
    let carried = act.transfer()?.finish()?;
    checks.push(whole(&carried));
    checks.extend(on_both_links(&carried));
    checks.push(joins_taken(act)?);
    checks.push(Check::some("the gate's joins verified", joins(&gate, "verified")?));
    checks.push(act.end(gate)?);
    Ok(())
}

pub(super) fn capable_stripped(act: &Act<'_>, checks: &mut Vec<Check>) -> Result<(), LabError> {
    let without_gate = act.connect_time()?;
    let before = Events::read(&act.world.client)?.of("MPCapableFallbackSYNACK");
    let gate = act.gate(STRIP_CAPABLE)?;
    let carried = act.transfer()?.finish()?;
    checks.push(whole(&carried));
    checks.extend(on_first_link(&carried));
    let fallbacks = Events::read(&act.world.client)?.of("MPCapableFallbackSYNACK").saturating_sub(before);
    checks.push(Check::exactly("the client's fallbacks to TCP", 1, fallbacks));
    let connect = act.connect_time()?;
    let expected = format!("connections open ≤ {} ms later", CONNECT_EXTRA_MAX.as_millis());
    let measured = format!("{}, no gate {}", millis(connect), millis(without_gate));
    checks.push(Check::that(expected, measured, connect <= without_gate + CONNECT_EXTRA_MAX));
    checks.push(Check::some("the rule's hits", gate.metric("mpgate_rule_hits_total{rule=\"plain-tcp\"}")?));
    checks.push(act.end(gate)?);
    Ok(())
}

pub(super) fn joins_rejected(act: &Act<'_>, checks: &mut Vec<Check>) -> Result<(), LabError> {
    let gate = act.gate(REJECT_JOINS)?;
    let capture = Capture::start(&act.world.client)?;
    let carried = act.transfer()?.finish()?;
    checks.push(whole(&carried));
    checks.extend(on_first_link(&carried));
    checks.extend(join_prohibited(act, &capture));
    let opened = Events::read(&act.world.server)?.of("MPCapableACKRX");
    checks.push(Check::exactly("the server's MPTCP connections", 1, opened));
    checks.push(act.end(gate)?);
    Ok(())
}

pub(super) fn joins_forged(act: &Act<'_>, checks: &mut Vec<Check>) -> Result<(), LabError> {
    let gate = act.gate(DEFAULT_RULES)?;
    let (client, server) = (Capture::start(&act.world.client)?, Capture::start(&act.world.server)?);
    let mut transfer = act.transfer()?;
    transfer.watch(20)?;

    let stranger = Forger::enter(&act.world, 40_001)?;
    let token = getrandom::u32().map_err(|error| doing("making a token up")(std::io::Error::other(error)))?;
    stranger.syn(Token(token))?;
    let back = stranger.flow.reversed();
    let reason = refusal(act, &client, back, "a made-up token")?;
    checks.push(Check::that("made-up token: MP_TCPRST 0x01", reason, reason == ResetReason::MPTCP_ERROR));

    let thief = Forger::enter(&act.world, 40_002)?;
    thief.syn(act.wait_for("the server's key", ANSWER_LIMIT, || Ok(client.find(server_token)))?)?;
    let back = thief.flow.reversed();
    let answer = |seen: &Seen| (seen.flow == back && is_join_answer(seen)).then(|| seen.clone());
    let syn_ack = act.wait_for("a SYN/ACK for the right token", ANSWER_LIMIT, || Ok(client.find(answer)))?;
    thief.ack(&syn_ack)?;
    for (side, capture, flow) in [("client", &client, back), ("server", &server, thief.flow)] {
        let reason = refusal(act, capture, flow, &format!("a wrong HMAC, to the {side}"))?;
        let expected = format!("wrong HMAC: MP_TCPRST 0x01 to {side}");
        checks.push(Check::that(expected, reason, reason == ResetReason::MPTCP_ERROR));
    }

    let carried = transfer.finish()?;
    checks.push(whole(&carried));
    checks.extend(on_both_links(&carried));
    let server = Events::read(&act.world.server)?;
    let reached = server.of("MPJoinNoTokenFound") + server.of("MPJoinAckHMacFailure");
    checks.push(Check::exactly("forged joins at the server", 0, reached));
    checks.push(Check::exactly("the gate's joins unknown", 1, joins(&gate, "unknown")?));
    checks.push(Check::exactly("the gate's joins forged_proof", 1, joins(&gate, "forged_proof")?));
    checks.push(act.end(gate)?);
    Ok(())
}

pub(super) fn rules_reloaded(act: &Act<'_>, checks: &mut Vec<Check>) -> Result<(), LabError> {
    const RELOADS: &str = "mpgate_rules_reloads_total{result=\"ok\"}";
    let gate = act.gate(DEFAULT_RULES)?;
    let mut transfer = act.transfer()?;
    transfer.watch(33)?;

    let reloads = gate.metric(RELOADS)?;
    let rewritten = clock::now();
    gate.rewrite_rules(STRIP_ALL)?;
    let reloaded = || Ok((gate.metric(RELOADS)? > reloads).then(clock::now));
    let took = act.wait_for("the rules to be reloaded", ANSWER_LIMIT, reloaded)?.since(rewritten);
    let expected = format!("new rules in ≤ {} ms", RELOAD_MAX.as_millis());
    checks.push(Check::that(expected, millis(took), took <= RELOAD_MAX));
    let then = transfer.carried()?;

    checks.push(next_is_plain(act)?);
    let carried = transfer.finish()?;
    checks.push(whole(&carried));
    checks.extend(on_both_links(&carried.since(&then)));
    let lost = ["kernel_full", "user"]
        .map(|place| gate.metric(&format!("mpgate_queue_dropped_total{{queue=\"0\",where=\"{place}\"}}")));
    let lost = lost.into_iter().sum::<Result<u64, _>>()?;
    checks.push(Check::exactly("packets lost in the queue", 0, lost));
    checks.push(act.end(gate)?);
    Ok(())
}

pub(super) fn gate_killed(act: &Act<'_>, checks: &mut Vec<Check>) -> Result<(), LabError> {
    let gate = act.gate(DEFAULT_RULES)?;
    let mut transfer = act.transfer()?;
    transfer.watch(33)?;
    gate.kill()?;
    let then = transfer.carried()?;
    let carried = transfer.finish()?;
    checks.push(whole(&carried));
    checks.extend(on_both_links(&carried.since(&then)));
    checks.push(opens_at_once(act)?);
    let stay = gate::queue_rules(&act.world)?;
    checks.push(Check::some("kernel rules that stay", u64::try_from(stay).unwrap_or(u64::MAX)));
    gate::detach(&act.world)?;
    let left = gate::queue_rules(&act.world)?;
    checks.push(Check::exactly("of them after `mpgate detach`", 0, u64::try_from(left).unwrap_or(u64::MAX)));
    Ok(())
}

fn joins(gate: &Gate<'_>, result: &str) -> Result<u64, LabError> {
    gate.metric(&format!("mpgate_joins_total{{result=\"{result}\"}}"))
}

fn next_is_plain(act: &Act<'_>) -> Result<Check, LabError> {
    let fallbacks = || Ok(Events::read(&act.world.client)?.of("MPCapableFallbackSYNACK"));
    let before = fallbacks()?;
    act.connect()?;
    Ok(Check::exactly("the next connection's fallbacks to TCP", 1, fallbacks()?.saturating_sub(before)))
}

/// Waits for a RST of `flow`, and says its reason.
fn refusal(act: &Act<'_>, capture: &Capture, flow: Flow, of: &str) -> Result<ResetReason, LabError> {
    let reset = |seen: &Seen| if seen.flow == flow { seen.reset_reason() } else { None };
    act.wait_for(&format!("a RST with MP_TCPRST that refuses {of}"), ANSWER_LIMIT, || Ok(capture.find(reset)))
}

/// The token that the server's key names; of the segments that a capture keeps, only a SYN/ACK carries one.
fn server_token(seen: &Seen) -> Option<Token> {
    let key = |option: &MptcpOption| {
        if let MptcpOption::Capable(capable) = option { capable.sender_key } else { None }
    };
    seen.option(key).map(|key| key.token(Version::V1))
}

fn is_join_answer(seen: &Seen) -> bool {
    seen.option(|option| matches!(option, MptcpOption::Join(Join::SynAck { .. })).then_some(())).is_some()
}
