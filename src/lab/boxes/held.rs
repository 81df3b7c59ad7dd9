//! A box that is kept standing, so that other programs can be tried on it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::lab::boxes::Place;
use crate::lab::boxes::catalogue::Kind;

/// Where everything is.
#[derive(Clone, Debug)]
pub struct Held {
    kind: &'static Kind,
    client: String,
    addrs: Vec<(&'static str, IpAddr)>,
    hops: Vec<String>,
    server: (String, SocketAddr),
}

impl Place {
    pub(super) fn held(&self, kind: &'static Kind) -> Held {
        let world = &self.world;
        Held {
            kind,
            client: world.client.name.clone(),
            addrs: world.links.iter().map(|link| (link.name, world.client_addr(link))).collect(),
            hops: world.routers().into_iter().map(|router| router.name.clone()).collect(),
            server: (world.server.name.clone(), self.server),
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, client, addrs, hops, server: (host, addr) } = self;
        writeln!(f, "{kind} {} between client and server; each is a network namespace:", kind.does)?;
        let links = addrs.iter().map(|(link, addr)| format!("{link} {addr}")).collect::<Vec<_>>().join(", ");
        writeln!(f, "  client  {client}  {links}")?;
        for (at, (name, what)) in hops.iter().zip(["router", "the box", "router"]).enumerate() {
            writeln!(f, "  hop {}   {name}  {what}", at + 1)?;
        }
        writeln!(f, "  server  {host}  {addr}, MPTCP: sends noise to who asks with 16 bytes")?;
        let at_client = format!("ip netns exec {client}");
        writeln!(f, "try       {at_client} mpgate probe {addr}")?;
        writeln!(
            f,
            "          {at_client} mptcpize run curl --http0.9 --max-time 9 http://{addr}/ -o /dev/null"
        )?;
        write!(f, "and ^C here takes it all away")
    }
}
