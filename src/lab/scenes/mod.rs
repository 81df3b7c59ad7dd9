//! The scenes: what is set up, what is moved, and what must be measured.

mod checks;
mod gate;
mod rules;
mod refusals;

use crate::lab::LabError;
use crate::lab::report::Check;
use crate::lab::stage::Act;

/// One scene.
#[derive(Debug)]
pub struct Scene {
    /// By which `--scene` calls it.
    pub number: u8,
    /// What it is about.
    pub title: &'static str,
    /// Bytes of its transfer, unless others are asked for.
    pub(super) bytes: u64,
    pub(super) play: fn(&Act<'_>, &mut Vec<Check>) -> Result<(), LabError>,
}

impl Scene {
    const fn new(
        number: u8,
        title: &'static str,
        bytes: u64,
        play: fn(&Act<'_>, &mut Vec<Check>) -> Result<(), LabError>,
    ) -> Self {
        Self { number, title, bytes, play }
    }
}

/// Six to eight seconds over both links.
const OVER_BOTH: u64 = 120_000_000;
/// Six to eight seconds over the slower link.
const OVER_ONE: u64 = 40_000_000;
/// One to two seconds over both links.
const LESS_OVER_BOTH: u64 = 20_000_000;
/// One to two seconds over the slower link.
const LESS_OVER_ONE: u64 = 10_000_000;

/// All scenes, by number.
pub const SCENES: [Scene; 16] = [
    Scene::new(1, "no gate", OVER_BOTH, gate::no_gate),
    Scene::new(2, "default rules", OVER_BOTH, gate::default_rules),
    Scene::new(3, "MP_CAPABLE stripped", OVER_ONE, gate::capable_stripped),
    Scene::new(4, "joins rejected", OVER_ONE, gate::joins_rejected),
    Scene::new(5, "joins forged", OVER_BOTH, gate::joins_forged),
    Scene::new(6, "rules reloaded", OVER_BOTH, gate::rules_reloaded),
    Scene::new(7, "gate killed", OVER_BOTH, gate::gate_killed),
    Scene::new(8, "a single path", LESS_OVER_ONE, rules::single_path),
    Scene::new(9, "one subflow more", LESS_OVER_BOTH, rules::one_subflow),
    Scene::new(10, "private addresses kept in", LESS_OVER_BOTH, rules::private_addresses),
    Scene::new(11, "joins inherit a mark", LESS_OVER_BOTH, rules::marks),
    Scene::new(12, "Fast Open stripped", rules::FAST_OPEN_BYTES, rules::fast_open),
    Scene::new(13, "MP_JOIN stripped", LESS_OVER_ONE, refusals::join_stripped),
    Scene::new(14, "MP_CAPABLE dropped", LESS_OVER_ONE, refusals::capable_dropped),
    Scene::new(15, "ADD_ADDR stripped early", LESS_OVER_ONE, refusals::announcement_stripped),
    Scene::new(16, "DSS stripped", refusals::ENDLESS, refusals::dss_stripped),
];
