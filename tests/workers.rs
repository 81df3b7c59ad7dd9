//! Several workers share one engine: the segments of a flow may land on any of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::thread;
use std::time::Duration;

use mpgate::engine::{Engine, Ingress, Mode, Verdict};
use mpgate::mptcp::hmac::{self, JoinSide};
use mpgate::mptcp::option::{Capable, CapableFlags, Join};
use mpgate::mptcp::{Key, MptcpOption, Nonce, Version};
use mpgate::rules::RuleSet;
use mpgate::script::packet::Draft;
use mpgate::time::Timestamp;
use mpgate::track::{Counts, Limits, SubflowId};
use mpgate::wire::{Endpoint, Flow, Segment};

const CONNECTIONS: usize = 2000;
const WORKERS: usize = 4;

/// Steps of a life that open its two subflows; one to close each follows.
const OPENING: usize = 6;

/// The life of two subflows, step by step: what the hosts of connection `number` say.
fn life(number: usize) -> Vec<Vec<u8>> {
    let [a, b] = u16::try_from(number).unwrap().to_be_bytes();
    let key = |salt| Key([a, b, salt, 0, 0, 0, 0, 1]);
    let (client, server) = (key(1), key(2));
    let flow = |port| Flow {
        src: Endpoint { addr: [10, 0, a, b].into(), port },
        dst: Endpoint { addr: [192, 0, 2, 1].into(), port: 443 },
    };
    let capable = |segment, sender_key, receiver_key| {
        let capable = Capable { version: 1, flags: CapableFlags(1), sender_key, receiver_key, data: None };
        (flow(40_000), segment, Some(MptcpOption::Capable(capable)))
    };
    let join = |segment, join| (flow(50_000), segment, Some(MptcpOption::Join(join)));
    let (prover, verifier) =
        (JoinSide { key: client, nonce: Nonce(1) }, JoinSide { key: server, nonce: Nonce(2) });
    let answer = *hmac::join(Version::V1, verifier, prover).first_chunk().unwrap();
    let token = server.token(Version::V1);
    let (backup, address_id) = (false, 1);
    let steps = [
        capable(Segment::Syn, None, None),
        capable(Segment::SynAck, Some(server), None),
        capable(Segment::Ack, Some(client), Some(server)),
        join(Segment::Syn, Join::Syn { backup, address_id, token, nonce: Nonce(1) }),
        join(Segment::SynAck, Join::SynAck { backup, address_id, hmac: answer, nonce: Nonce(2) }),
        join(Segment::Ack, Join::Ack { hmac: hmac::join(Version::V1, prover, verifier) }),
        (flow(40_000), Segment::Rst, None),
        (flow(50_000), Segment::Rst, None),
    ];
    let draft = |(flow, segment, option): (Flow, _, Option<MptcpOption>)| {
        let flow = if segment == Segment::SynAck { flow.reversed() } else { flow };
        let draft = Draft::new(flow, segment);
        option.map_or(draft.clone(), |option| draft.with(&option)).build().unwrap()
    };
    steps.map(draft).into()
}

/// One worker's share of one step: each segment twice, and now and then what is due is forgotten.
fn work(engine: &Engine, lives: &[Vec<Vec<u8>>], worker: usize, step: usize) {
    let now = Timestamp::from_nanos(u64::try_from(step).unwrap());
    let mine = lives.iter().enumerate().filter(|(number, _)| (number + step) % WORKERS == worker);
    for (number, life) in mine {
        for _ in 0..2 {
            let decision = engine.decide(now, &Ingress::default(), life.get(step).unwrap());
            assert_eq!(decision.verdict, Verdict::Accept, "step {step} of {number}: {decision:?}");
        }
        if number % 100 == 0 {
            engine.expire(now);
        }
    }
}

/// All of one step, whoever else takes it too: what comes twice at once opens nothing twice.
fn work_on_all(engine: &Engine, lives: &[Vec<Vec<u8>>], _worker: usize, step: usize) {
    let subflow = step.checked_sub(OPENING).map(|number| SubflowId(u16::try_from(number).unwrap()));
    for (number, life) in lives.iter().enumerate() {
        let decision = engine.decide(Timestamp::ZERO, &Ingress::default(), life.get(step).unwrap());
        assert_eq!(decision.verdict, Verdict::Accept, "step {step} of {number}: {decision:?}");
        if subflow.is_some() {
            assert_eq!(decision.findings.unwrap().subflow, subflow, "step {step} of {number}");
        }
    }
}

/// All connections live, step by step, all workers at once.
fn live(share: impl Fn(&Engine, &[Vec<Vec<u8>>], usize, usize) + Sync) {
    let engine = Engine::new(RuleSet::default(), Limits::default(), Mode::Enforce);
    let lives: Vec<_> = (0..CONNECTIONS).map(life).collect();
    for step in 0..lives.first().unwrap().len() {
        if step == OPENING {
            let all = Counts { connections: CONNECTIONS, subflows: 2 * CONNECTIONS, handshakes: 0 };
            assert_eq!(engine.counts(), all);
        }
        thread::scope(|scope| {
            for worker in 0..WORKERS {
                let (engine, lives, share) = (&engine, &lives, &share);
                scope.spawn(move || share(engine, lives, worker, step));
            }
        });
    }
    assert_eq!(engine.counts(), Counts::default());
    let later = Timestamp::ZERO.after(Duration::from_secs(61));
    let forgotten = std::iter::repeat_with(|| engine.expire(later)).take_while(|&forgotten| forgotten > 0);
    assert_eq!(forgotten.sum::<usize>(), 2 * CONNECTIONS);
}

/// Each step is taken by another worker than the one before.
#[test]
fn no_worker_gets_in_the_way_of_another() {
    live(work);
}

#[test]
fn segments_that_all_workers_get_at_once_count_once() {
    live(work_on_all);
}
