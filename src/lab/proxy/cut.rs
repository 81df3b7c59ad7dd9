//! A link that is cut, and put back, with what a network manager does then.

use crate::lab::LabError;
use crate::lab::world::{Link, World};

/// Which of the client's links is cut in the middle of the download.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cut {
    /// None.
    Never,
    /// The first one, over which the connection was opened.
    Eth0,
    /// The second one, which joined.
    #[default]
    Wlan0,
}

impl Cut {
    pub(super) fn link(self, world: &World) -> Option<&Link> {
        let [first, second] = &world.links;
        match self {
            Self::Never => None,
            Self::Eth0 => Some(first),
            Self::Wlan0 => Some(second),
        }
    }
}

/// Takes `link` down. Routes by it go with it, and addresses of IPv6; the kernel's MPTCP is told that its address is
/// gone, else the other side learns from lost segments alone that nothing arrives there.
pub(super) fn cut(world: &World, link: &Link) -> Result<(), LabError> {
    let gone = match world.endpoint(link)? {
        Some(id) => format!("mptcp endpoint delete id {id}\n"),
        // The address of the first subflow has this number in every connection (RFC 8684 3.4.2).
        None => format!("mptcp endpoint delete id 0 {}\n", world.client_addr(link)),
    };
    world.ip(&world.client, &format!("link set {} down\n{gone}", link.name))
}

/// Brings it up again, with its address, routes and endpoint; connections join from it at once.
pub(super) fn put_back(world: &World, link: &Link) -> Result<(), LabError> {
    let lines = format!("link set {} up\n", link.name) + &world.link_up_lines(link);
    world.ip(&world.client, &(lines + &world.endpoint_line(link)))
}
