//! A real connection by MPTCP, in lines that a web server waits for to the end: what the path does to it is seen as it goes.

use std::time::Duration;

use crate::clock;
use crate::mptcp::hmac::JoinSide;
use crate::mptcp::option::{AddAddr, Announced, Join, Proof};
use crate::mptcp::{Key, MptcpOption, Nonce, Subtype, Version, hmac};
use crate::probe::observed::{Joining, Observed, Talked, Took, quoting};
use crate::probe::page::Page;
use crate::probe::place::{self, Part};
use crate::probe::questions::{Questions, random};
use crate::probe::shot::Fate;
use crate::probe::speech::{PORT_LINE, Speech};
use crate::probe::survey::{distance, reaches_all};
use crate::probe::talk::{Talk, Unopened, newest};
use crate::probe::tap::Seen;
use crate::probe::{ProbeError, Via};
use crate::wire::{Flow, Segment};

/// Each piece takes a round trip; a satellite's are 600 ms.
const PIECES_TIME_MAX: Duration = Duration::from_secs(3);

/// What is taken of an answer: enough for boxes that count packets, little next to any page.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Our id of an address that is announced, and never used.
const ANNOUNCED_ID: u8 = 212;

/// Where a connection stands: sequence and acknowledgment number of our next segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub(super) flow: Flow,
    pub(super) seq: u32,
    pub(super) ack: u32,
}

/// Speaks on a connection of its own, and asks of it what can be asked.
pub(super) fn converse(
    questions: &mut Questions,
    via: Option<&Via>,
    seen: &mut Observed,
) -> Result<(), ProbeError> {
    questions.line.afford()?;
    let speech = Speech::for_port(questions.target.port())?;
    let mut talk = match Talk::open(&mut questions.line, questions.source, questions.target) {
        Ok(talk) => talk,
        Err(Unopened::NoMptcp(error)) => {
            seen.talk = Talked::NoKernel(error.to_string());
            return Ok(());
        }
        Err(Unopened::Failed(error)) => {
            seen.talk = Talked::Unopened(error.to_string());
            return Ok(());
        }
    };
    let mut stuck = false;
    let since = clock::now();
    for piece in &speech.pieces {
        stuck = !talk.say(&mut questions.line, piece)?;
        if stuck || clock::now().since(since) > PIECES_TIME_MAX {
            break;
        }
    }
    let before = talk.course(&mut questions.line)?;
    let alive = before.keys_arrived() && before.is_alive() && !before.fell_back() && !stuck;
    let keys = before.keys.filter(|_| alive);
    seen.talk = Talked::Took(Box::new(Took { before: before.clone(), course: before, stuck }));
    if let Some(keys) = keys {
        let mut joining = join(questions, via, keys, seen)?;
        joining.alive = talk.course(&mut questions.line)?.is_alive();
        seen.join = Some(joining);
        announce(questions, talk.flow, keys, seen)?;
    }
    finish(questions, &mut talk, speech.end, seen)?;
    locate(questions, talk.flow, seen)
}

/// Says the rest, and takes what comes.
fn finish(
    questions: &mut Questions,
    talk: &mut Talk,
    end: Option<&[u8]>,
    seen: &mut Observed,
) -> Result<(), ProbeError> {
    let Talked::Took(took) = &mut seen.talk else { return Ok(()) };
    let wait = questions.line.wait();
    took.stuck = took.stuck || !talk.say(&mut questions.line, PORT_LINE)?;
    if let Some(end) = end.filter(|_| !took.stuck)
        && talk.say(&mut questions.line, end)?
    {
        seen.page = Page::read(&talk.listen(ANSWER_BYTES_MAX, wait));
    }
    took.course = talk.course(&mut questions.line)?;
    Ok(())
}

/// Sends again, hop by hop, what shows where something happened.
fn locate(questions: &mut Questions, flow: Flow, seen: &mut Observed) -> Result<(), ProbeError> {
    let Some(course) = seen.talk.course() else { return Ok(()) };
    let ended_early = matches!(&seen.talk, Talked::Took(took) if took.stuck);
    let mut vanished = course.fell_back() || !course.keys_arrived() || ended_early;
    let said =
        |is: &dyn Fn(&Seen) -> bool| newest(questions.line.sights(), flow, is).map(|seen| seen.bytes.clone());
    let line = said(&|seen: &Seen| seen.bytes.ends_with(PORT_LINE));
    let mapped = said(&|seen: &Seen| seen.payload_len > 0 && seen.has(Subtype::Dss));
    let mapped = mapped.or_else(|| said(&|seen: &Seen| seen.speaks()));
    if let (Some(line), Some(last)) = (line, seen.last_hop()) {
        seen.lines = questions.trace_again(&line, &[last])?;
        vanished |= place::changed(&seen.lines, Part::Options).is_some();
        if place::changed(&seen.lines, Part::Payload).is_some() {
            seen.lines = questions.trace_again(&line, &seen.quoting())?;
        }
    }
    if let Some(mapped) = mapped.filter(|_| vanished) {
        seen.later = questions.trace_again(&mapped, &seen.quoting())?;
    }
    Ok(())
}

/// Asks to join the connection from another port, and checks that who answers has both keys.
fn join(
    questions: &mut Questions,
    via: Option<&Via>,
    keys: (Key, Key),
    seen: &Observed,
) -> Result<Joining, ProbeError> {
    let Some(via) = via else {
        return join_from(questions, keys, None, seen);
    };
    let mut elsewhere = questions.elsewhere(via)?;
    let joining = join_from(&mut elsewhere, keys, Some(via), seen);
    questions.line.count(&elsewhere.line);
    joining
}

fn join_from(
    questions: &mut Questions,
    (ours, theirs): (Key, Key),
    via: Option<&Via>,
    seen: &Observed,
) -> Result<Joining, ProbeError> {
    let nonce = Nonce(u32::from_be_bytes(random()?));
    let asked = questions.join(theirs.token(Version::V1), nonce)?;
    let [fate] = questions.ask([&asked])?;
    let own = JoinSide { key: ours, nonce };
    let proven = proves(&fate, theirs, own);
    let via = via.map(ToString::to_string);
    let mut joining = Joining {
        via,
        fate,
        alive: true,
        proven,
        control: None,
        trace: Default::default(),
        plain: Default::default(),
    };
    if proven {
        return Ok(joining);
    }
    let plain = questions.plain()?;
    let [control] = questions.ask([&plain])?;
    joining.plain = match (&control, &joining.via) {
        // Another way has other hops.
        (Fate::Answered(reply), Some(_)) => {
            let plain = questions.plain()?;
            distance(questions, &plain, reply)?.0
        }
        (Fate::Answered(_) | Fate::Quoted(_) | Fate::Silent, _) => seen.plain.clone(),
    };
    joining.control = Some(control);
    let hops = quoting(&joining.plain);
    joining.trace = questions.trace(&asked, &hops)?;
    if joining.fate == Fate::Silent && reaches_all(&joining.trace, &hops) {
        // No router loses it: bad luck may have.
        [joining.fate] = questions.ask([&asked])?;
        joining.proven = proves(&joining.fate, theirs, own);
    }
    Ok(joining)
}

/// Whether it is a SYN/ACK from who has both keys.
fn proves(fate: &Fate, theirs: Key, ours: JoinSide) -> bool {
    let Fate::Answered(reply) = fate else { return false };
    match reply.read {
        Some(MptcpOption::Join(Join::SynAck { hmac: proof, nonce, .. }))
            if reply.segment == Segment::SynAck =>
        {
            hmac::equal(&proof, &hmac::join(Version::V1, JoinSide { key: theirs, nonce }, ours))
        }
        _ => false,
    }
}

/// An announcement of our own address, as far as the last hop before the target.
fn announce(
    questions: &mut Questions,
    flow: Flow,
    (ours, theirs): (Key, Key),
    seen: &mut Observed,
) -> Result<(), ProbeError> {
    let Some(last) = seen.last_hop() else { return Ok(()) };
    let Some(standing) = standing(questions, flow) else { return Ok(()) };
    let announced = Announced { address_id: ANNOUNCED_ID, addr: questions.source, port: None };
    let proof = Proof::Hmac(hmac::add_addr(ours, theirs, &announced));
    let asked = questions.later(standing, &MptcpOption::AddAddr(AddAddr { announced, proof }));
    seen.announced = questions.trace(&asked, &[last])?;
    if place::changed(&seen.announced, Part::Options).is_some() {
        seen.announced = questions.trace(&asked, &seen.quoting())?;
    }
    Ok(())
}

fn standing(questions: &Questions, flow: Flow) -> Option<Standing> {
    let last = newest(questions.line.sights(), flow, |_| true)?;
    Some(Standing { flow, seq: last.seq_end, ack: last.ack? })
}

/// Asks for the page at once, whether by MPTCP or not: where checkme answers, it tells what arrived of the SYN. Gives where
/// the connection stands, if there was one.
pub(super) fn ask_page(
    questions: &mut Questions,
    seen: &mut Observed,
) -> Result<Option<Standing>, ProbeError> {
    let opened = Talk::open(&mut questions.line, questions.source, questions.target);
    let Ok(mut talk) = opened else { return Ok(None) };
    talk.say(&mut questions.line, &Speech::request())?;
    let wait = questions.line.wait();
    seen.page = Page::read(&talk.listen(ANSWER_BYTES_MAX, wait));
    talk.course(&mut questions.line)?;
    Ok(standing(questions, talk.flow))
}
