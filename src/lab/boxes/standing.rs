//! A box at its place on the way, for as long as this value is there.

use crate::lab::LabError;
use crate::lab::boxes::catalogue::{Kind, Means};
use crate::lab::boxes::mirror::Mirror;
use crate::lab::boxes::userland::{Deed, Userland};
use crate::lab::gate::{Gate, Mode};
use crate::lab::interrupt::Interrupt;
use crate::lab::world::World;

/// What stands there beside the rules of the kernel, which go with the namespace.
#[derive(Debug)]
pub(super) enum Standing<'w> {
    /// The kernel does it all.
    Kernel,
    /// A thread reads a queue, for as long as this is there.
    Userland { _reads: Userland<'w> },
    /// mpgate.
    Gate(Gate<'w>),
}

impl<'w> Standing<'w> {
    /// Puts a box of that kind into the middle of `world`.
    pub(super) fn put(kind: &Kind, world: &'w World, interrupt: &Interrupt) -> Result<Self, LabError> {
        let middle = &world.router;
        let userland = |reads| Self::Userland { _reads: reads };
        match kind.means {
            Means::Forward => Ok(Self::Kernel),
            Means::Iptables(rule) => {
                let args: Vec<_> = ["-w", "5"].into_iter().chain(rule.split_whitespace()).collect();
                middle.tool(world.family.iptables(), &args, "")?;
                Ok(Self::Kernel)
            }
            Means::Nft(statements) => {
                let table = format!(
                    "table inet box {{\n chain forward {{\n  type filter hook forward priority mangle;\n  \
                     {statements}\n }}\n}}\n"
                );
                middle.tool("nft", &["-f", "-"], &table)?;
                Ok(Self::Kernel)
            }
            Means::Mirror => Userland::start(world, Deed::Mirror(Mirror::default())).map(userland),
            Means::Rewrite => Userland::start(world, Deed::Rewrite).map(userland),
            Means::Gate(rules) => Gate::start(world, interrupt, Mode::Control, rules).map(Self::Gate),
        }
    }

    /// mpgate, where it is what stands there.
    pub(super) const fn gate(&self) -> Option<&Gate<'w>> {
        match self {
            Self::Gate(gate) => Some(gate),
            Self::Kernel | Self::Userland { .. } => None,
        }
    }
}
