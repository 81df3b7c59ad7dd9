//! Which hop sends options back: boxes that do so remember the SYN of a flow, and can be made to remember another one.

use std::collections::BTreeMap;

use crate::probe::ProbeError;
use crate::probe::questions::{Questions, WITH_CHECKSUMS};
use crate::probe::shot::{ALL_THE_WAY, Fate, Reply};

/// Where the flags stand in MP_CAPABLE.
const FLAGS_AT: usize = 3;

/// For each number of hops, whether an answer of the target's brings back what never went farther than that.
pub(super) type Echoes = BTreeMap<u8, bool>;

/// Sends, for each of `hops`, two SYNs of one flow, one behind the other: one goes all the way, and one that asks for checksums as
/// far as that hop. Some boxes remember the first SYN of a flow, some the newest, so there is a pair in either order. The newest
/// has to pass the box before the answer does; where that is a matter of luck, it is worth asking again.
pub(super) fn echoes(questions: &mut Questions, hops: &[u8]) -> Result<Echoes, ProbeError> {
    let mut shots = Vec::new();
    let mut owners = Vec::new();
    for &hop in hops {
        let [early, late] = [questions.offer()?, questions.offer()?];
        let pairs = [
            [questions.with_checksums(&early).shot_numbered(hop, 0), early.shot_numbered(ALL_THE_WAY, 0)],
            [late.shot_numbered(ALL_THE_WAY, 0), questions.with_checksums(&late).shot_numbered(hop, 0)],
        ];
        for shot in pairs.into_iter().flatten().flatten() {
            shots.push(shot);
            owners.push(hop);
        }
    }
    let mut echoes = Echoes::new();
    for (hop, fate) in owners.into_iter().zip(questions.line.fire(&shots)?) {
        let echoed = matches!(fate, Fate::Answered(reply) if asks_for_checksums(&reply));
        *echoes.entry(hop).or_insert(false) |= echoed;
    }
    Ok(echoes)
}

fn asks_for_checksums(reply: &Reply) -> bool {
    let flags = reply.option.as_ref().and_then(|option| option.get(FLAGS_AT));
    reply.mirrors() && flags.is_some_and(|flags| flags & WITH_CHECKSUMS != 0)
}
