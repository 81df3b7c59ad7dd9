//! What is asked, in which order: a question is only asked where an earlier answer leaves it open.

use crate::clock;
use crate::mptcp::option::{DataNumber, Dss};
use crate::mptcp::{MptcpOption, Nonce, Token};
use crate::probe::conversation::{ask_page, converse};
use crate::probe::echo::echoes;
use crate::probe::observed::Observed;
use crate::probe::place::{self, Part};
use crate::probe::questions::{Asked, Questions, Trace, random};
use crate::probe::shot::{Fate, Reply};
use crate::probe::{HOPS_MAX, ProbeError, Via};
use crate::wire::Segment;

/// Hop limits that hosts start at; what is left of one tells how far away they are, if both ways are equally long.
const STARTS: [u8; 3] = [64, 128, 255];

/// Each try takes four packets a hop; most succeed even where the answer takes no time at all.
const ECHO_TRIES: usize = 3;

/// Hops that are asked at once beyond where the target was supposed.
const FURTHER: u8 = 4;

/// Asks; what was seen until an error is kept.
pub(super) fn survey(
    questions: &mut Questions,
    via: Option<&Via>,
    seen: &mut Observed,
) -> Result<(), ProbeError> {
    let reply = knock(questions)?;
    let offer = questions.offer()?;
    let [fate] = questions.ask([&offer])?;
    seen.offer = Some(fate);
    measure(questions, &reply, seen)?;
    if !matches!(&seen.offer, Some(Fate::Answered(reply)) if reply.agrees()) {
        seen.offers = questions.trace(&offer, &seen.quoting())?;
    }
    if seen.offer == Some(Fate::Silent) && reaches_all(&seen.offers, &seen.quoting()) {
        // No router loses it: bad luck may have.
        let [fate] = questions.ask([&offer])?;
        seen.offer = Some(fate);
    }
    match &seen.offer {
        Some(Fate::Answered(reply)) if reply.agrees() => converse(questions, via, seen),
        Some(Fate::Answered(reply)) if reply.mirrors() => who_mirrors(questions, seen),
        Some(Fate::Answered(reply)) if reply.segment == Segment::SynAck => narrow(questions, seen),
        Some(Fate::Answered(_) | Fate::Quoted(_) | Fate::Silent) | None => Ok(()),
    }
}

/// A plain SYN; without an answer to it there is nothing to compare with.
fn knock(questions: &mut Questions) -> Result<Reply, ProbeError> {
    let plain = questions.plain()?;
    let since = clock::now();
    let [fate] = questions.ask([&plain])?;
    questions.line.took(clock::now().since(since));
    match fate {
        Fate::Answered(reply) if reply.segment == Segment::SynAck => Ok(reply),
        Fate::Answered(_) => Err(ProbeError::Refused(questions.target)),
        Fate::Quoted(quoted) => Err(ProbeError::Unreachable(questions.target, quoted.router)),
        Fate::Silent => Err(ProbeError::NoAnswer(questions.target)),
    }
}

/// How far the target is, and which hops quote.
fn measure(questions: &mut Questions, reply: &Reply, seen: &mut Observed) -> Result<(), ProbeError> {
    let plain = questions.plain()?;
    (seen.plain, seen.distance) = distance(questions, &plain, reply)?;
    Ok(())
}

/// Traces a plain SYN until the target answers.
pub(super) fn distance(
    questions: &mut Questions,
    plain: &Asked,
    reply: &Reply,
) -> Result<(Trace, Option<u8>), ProbeError> {
    let start = STARTS.into_iter().find(|start| *start >= reply.hop_limit).unwrap_or(u8::MAX);
    let mut trace = Trace::new();
    let mut until = (start - reply.hop_limit + 1).clamp(1, HOPS_MAX);
    let mut from = 1;
    loop {
        let hops: Vec<_> = (from..=until).collect();
        trace.extend(questions.trace(plain, &hops)?);
        let answers = |fate: &Fate| matches!(fate, Fate::Answered(_));
        let distance = trace.iter().find(|(_, fate)| answers(fate)).map(|(&hop, _)| hop);
        if distance.is_some() || until == HOPS_MAX {
            trace.retain(|hop, _| distance.is_none_or(|distance| *hop <= distance));
            return Ok((trace, distance));
        }
        from = until + 1;
        until = until.saturating_add(FURTHER).min(HOPS_MAX);
    }
}

/// Whether all hops that quote quoted that, too.
pub(super) fn reaches_all(trace: &Trace, hops: &[u8]) -> bool {
    hops.iter().all(|hop| matches!(trace.get(hop), Some(Fate::Quoted(_))))
}

/// The SYN/ACK has our own option: whose doing is that?
fn who_mirrors(questions: &mut Questions, seen: &mut Observed) -> Result<(), ProbeError> {
    for _ in 0..ECHO_TRIES {
        seen.echoes = echoes(questions, &seen.quoting())?;
        if seen.echoes.values().any(|echoed| *echoed) {
            return Ok(());
        }
    }
    let answer = questions.answer()?;
    seen.answers = questions.trace(&answer, &seen.quoting())?;
    Ok(())
}

/// The SYN/ACK came without MP_CAPABLE: from which segments is it taken, and does the server speak it at all?
fn narrow(questions: &mut Questions, seen: &mut Observed) -> Result<(), ProbeError> {
    let answer = questions.answer()?;
    let Some((place, _)) = place::changed(&seen.offers, Part::Options) else {
        seen.answers = questions.trace(&answer, &seen.quoting())?;
        let stranger =
            questions.join(Token(u32::from_be_bytes(random()?)), Nonce(u32::from_be_bytes(random()?)))?;
        let [fate] = questions.ask([&stranger])?;
        seen.stranger = Some(fate);
        return ask_page(questions, seen).map(drop);
    };
    let at = [place.by_hop.unwrap_or(1)];
    let decoy = questions.decoy()?;
    seen.decoys = questions.trace(&decoy, &at)?;
    seen.answers = questions.trace(&answer, &at)?;
    if let Some(standing) = ask_page(questions, seen)? {
        let ack =
            MptcpOption::Dss(Dss { data_fin: false, data_ack: Some(DataNumber::Short(1)), mapping: None });
        let later = questions.later(standing, &ack);
        seen.later = questions.trace(&later, &at)?;
    }
    Ok(())
}
