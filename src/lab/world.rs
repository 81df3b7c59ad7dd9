//! The topology: a client with two links, a router, a server.

use std::net::{IpAddr, SocketAddr};
use std::process;

use crate::lab::LabError;
use crate::lab::family::Family;
use crate::lab::netns::Netns;

/// The port of the lab's server.
const SERVER_PORT: u16 = 5001;

/// One of the client's links.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    /// The interface in the client's namespace.
    pub(super) name: &'static str,
    /// Its other end, in the router's.
    pub(super) router_end: &'static str,
    /// Its rate, in both directions.
    pub(super) mbit: u32,
    /// The number of its network.
    network: u8,
}

/// The client's links; the first one has its default route.
pub(super) type Links = [Link; 2];

/// Those of the scenes.
pub(super) const LINKS: Links = [
    Link { name: "link50", router_end: "to-link50", mbit: 50, network: 1 },
    Link { name: "link100", router_end: "to-link100", mbit: 100, network: 2 },
];

/// Those of a laptop, which are equally fast.
pub(super) const fn laptop_links(mbit: u32) -> Links {
    [
        Link { name: "eth0", router_end: "to-eth0", mbit, network: 1 },
        Link { name: "wlan0", router_end: "to-wlan0", mbit, network: 2 },
    ]
}

/// The number of the server's network.
pub(super) const SERVER_NETWORK: u8 = 3;
/// Those before and behind the middle router, where it has neighbours; the proxy's scene uses 4.
const BEFORE_NETWORK: u8 = 5;
const BEHIND_NETWORK: u8 = 6;

/// Host number of the router in each network.
pub(super) const ROUTER: u8 = 1;
/// Host number of the client or the server.
pub(super) const GUEST: u8 = 2;
/// Host number of one more address of theirs.
const GUEST_TOO: u8 = 3;

/// The hosts' namespaces and what connects them; they go when this value does.
#[derive(Debug)]
pub(super) struct World {
    /// Which IP version its addresses have.
    pub(super) family: Family,
    /// Of the client.
    pub(super) links: Links,
    /// Has two links.
    pub(super) client: Netns,
    /// Where the gate runs.
    pub(super) router: Netns,
    /// Has one link without a limit.
    pub(super) server: Netns,
    /// The routers around that one, where it is a hop by itself.
    neighbours: Option<Neighbours>,
}

/// What stands between the middle router and the hosts: each packet passes three hops, so that one can be told from
/// the others.
#[derive(Debug)]
struct Neighbours {
    /// Has the client's links.
    near: Netns,
    /// Has the server's.
    far: Netns,
}

impl World {
    /// Builds it; half of one is taken down again.
    pub(super) fn build(family: Family, links: Links) -> Result<Self, LabError> {
        Self::around(family, links, namespace('r')?, None)
    }

    /// Builds one in which the middle router has another one before and one behind it. Its own interfaces are `lan` and
    /// `wan`, as rules/border.toml calls the one to the internet.
    pub(super) fn build_with_neighbours(family: Family, links: Links) -> Result<Self, LabError> {
        let neighbours = Neighbours { near: namespace('n')?, far: namespace('f')? };
        Self::around(family, links, namespace('b')?, Some(neighbours))
    }

    fn around(
        family: Family,
        links: Links,
        router: Netns,
        neighbours: Option<Neighbours>,
    ) -> Result<Self, LabError> {
        let (client, server) = (namespace('c')?, namespace('s')?);
        let world = Self { family, links, client, router, server, neighbours };
        for host in [&world.client, &world.server] {
            settle(host)?;
        }
        for router in world.routers() {
            settle(router)?;
            router.set("ipv4/ip_forward", "1")?;
            router.set("ipv6/conf/all/forwarding", "1")?;
        }
        world.ip(world.near(), &world.near_lines())?;
        world.ip(world.far(), &world.far_lines())?;
        world.join_neighbours()?;
        world.ip(&world.client, &world.client_lines())?;
        world.ip(&world.server, &world.server_lines())?;
        for link in links {
            limit(&world.client, link.name, link.mbit)?;
            limit(world.near(), link.router_end, link.mbit)?;
        }
        Ok(world)
    }

    /// The router that has the client's links.
    pub(super) fn near(&self) -> &Netns {
        self.neighbours.as_ref().map_or(&self.router, |around| &around.near)
    }

    /// The router that has the server's link.
    pub(super) fn far(&self) -> &Netns {
        self.neighbours.as_ref().map_or(&self.router, |around| &around.far)
    }

    /// As a packet from the client meets them.
    pub(super) fn routers(&self) -> Vec<&Netns> {
        match &self.neighbours {
            Some(Neighbours { near, far }) => vec![near, &self.router, far],
            None => vec![&self.router],
        }
    }

    /// Where the server listens.
    pub(super) fn server_addr(&self) -> SocketAddr {
        SocketAddr::new(self.family.addr(SERVER_NETWORK, GUEST), SERVER_PORT)
    }

    /// The client's address on `link`.
    pub(super) fn client_addr(&self, link: &Link) -> IpAddr {
        self.family.addr(link.network, GUEST)
    }

    /// Gives the client one more address on `link`, from which it joins.
    pub(super) fn join_from(&self, link: &Link) -> Result<IpAddr, LabError> {
        let addr = self.family.addr(link.network, GUEST_TOO);
        let mut lines = self.family.add_addr(addr, link.name);
        lines += &format!("rule add from {addr} table {}\n", link.network);
        lines += &format!("mptcp endpoint add {addr} dev {} subflow\n", link.name);
        self.ip(&self.client, &lines)?;
        Ok(addr)
    }

    /// Gives the server one more address in its network, which it announces.
    pub(super) fn announce_private(&self) -> Result<IpAddr, LabError> {
        self.announce(self.family.addr(SERVER_NETWORK, GUEST_TOO))
    }

    /// Gives the server a public address, which it announces.
    pub(super) fn announce_public(&self) -> Result<IpAddr, LabError> {
        self.announce(self.family.public_addr())
    }

    /// Gives the server one more address, which is in none of the lab's networks.
    pub(super) fn add_server_addr(&self, addr: IpAddr) -> Result<(), LabError> {
        let via = self.family.addr(SERVER_NETWORK, GUEST);
        self.ip(self.far(), &format!("route add {addr} via {via} dev to-server\n"))?;
        self.ip(&self.server, &self.family.add_host_addr(addr))
    }

    fn announce(&self, addr: IpAddr) -> Result<IpAddr, LabError> {
        self.ip(self.far(), &format!("route add {addr} dev to-server\n"))?;
        let mut lines = self.family.add_addr(addr, "uplink");
        lines += &format!("mptcp endpoint add {addr} dev uplink signal\n");
        self.ip(&self.server, &lines)?;
        Ok(addr)
    }

    /// Has `ip` do what the lines say.
    pub(super) fn ip(&self, namespace: &Netns, lines: &str) -> Result<(), LabError> {
        namespace.tool("ip", &[self.family.flag(), "-batch", "-"], lines).map(drop)
    }

    fn near_lines(&self) -> String {
        let client = &self.client.name;
        let mut lines = String::from("link set lo up\n");
        for Link { name, router_end, network, .. } in self.links {
            lines += &format!("link add {router_end} type veth peer name {name} netns {client}\n");
            lines += &self.family.add_addr(self.family.addr(network, ROUTER), router_end);
        }
        lines
    }

    fn far_lines(&self) -> String {
        let lines = format!("link add to-server type veth peer name uplink netns {}\n", self.server.name);
        lines + &self.family.add_addr(self.family.addr(SERVER_NETWORK, ROUTER), "to-server")
    }

    /// Links the middle router to those around it, and tells each where the others are.
    fn join_neighbours(&self) -> Result<(), LabError> {
        let Some(Neighbours { near, far }) = &self.neighbours else { return Ok(()) };
        let (family, middle) = (self.family, &self.router);
        let mut lines = String::from("link set lo up\n");
        for (own, network, neighbour) in [("lan", BEFORE_NETWORK, near), ("wan", BEHIND_NETWORK, far)] {
            lines += &format!("link add {own} type veth peer name to-middle netns {}\n", neighbour.name);
            lines += &family.add_addr(family.addr(network, ROUTER), own);
        }
        self.ip(middle, &lines)?;
        for (network, neighbour) in [(BEFORE_NETWORK, near), (BEHIND_NETWORK, far)] {
            let mut lines = String::from("link set lo up\n");
            lines += &family.add_addr(family.addr(network, GUEST), "to-middle");
            lines += &format!("route add default via {} dev to-middle\n", family.addr(network, ROUTER));
            self.ip(neighbour, &lines)?;
        }
        let mut lines = String::new();
        for link in &self.links {
            let (to, via) = (family.network(link.network), family.addr(BEFORE_NETWORK, GUEST));
            lines += &format!("route add {to} via {via} dev lan\n");
        }
        lines += &format!("route add default via {} dev wan\n", family.addr(BEHIND_NETWORK, GUEST));
        self.ip(middle, &lines)
    }

    fn client_lines(&self) -> String {
        let mut lines = String::from("link set lo up\nmptcp limits set subflows 4 add_addr_accepted 4\n");
        for link in &self.links {
            lines += &format!("rule add from {} table {}\n", self.client_addr(link), link.network);
            lines += &self.link_up_lines(link);
        }
        let [_, second] = &self.links;
        lines + &self.endpoint_line(second)
    }

    /// What the client needs on `link`, and what of it a link that went down has lost: it is nothing new where it is
    /// still there.
    pub(super) fn link_up_lines(&self, link: &Link) -> String {
        let Link { name, network, .. } = link;
        let via = self.family.addr(*network, ROUTER);
        self.family.add_addr(self.client_addr(link), name)
            + &format!("route replace default via {via} dev {name} table {network}\n")
            + &format!("route replace default via {via} dev {name} metric {network}\n")
    }

    /// The number of the endpoint by which the client joins from `link`.
    pub(super) fn endpoint(&self, link: &Link) -> Result<Option<u8>, LabError> {
        let endpoints = self.client.tool("ip", &["mptcp", "endpoint", "show"], "")?;
        let own = self.client_addr(link).to_string();
        let line = endpoints.lines().find(|line| line.split_whitespace().next() == Some(own.as_str()));
        let number =
            |line: &str| line.split_whitespace().skip_while(|word| *word != "id").nth(1)?.parse().ok();
        Ok(line.and_then(number))
    }

    /// The client joins from `link`.
    pub(super) fn endpoint_line(&self, link: &Link) -> String {
        format!("mptcp endpoint add {} dev {} subflow\n", self.client_addr(link), link.name)
    }

    fn server_lines(&self) -> String {
        let via = self.family.addr(SERVER_NETWORK, ROUTER);
        let mut lines = String::from("link set lo up\nmptcp limits set subflows 4 add_addr_accepted 4\n");
        lines += &self.family.add_addr(self.family.addr(SERVER_NETWORK, GUEST), "uplink");
        lines + &format!("route add default via {via} dev uplink\n")
    }
}

/// A namespace for a host of this run.
pub(super) fn namespace(role: char) -> Result<Netns, LabError> {
    Netns::create(format!("mpg{}-{role}", process::id()))
}

/// Settings that the lab's judgement needs, whatever the machine's own are.
pub(super) fn settle(namespace: &Netns) -> Result<(), LabError> {
    let settings = [
        ("mptcp/enabled", "1"),
        // One scene's losses must not turn MPTCP off for the next one.
        ("mptcp/blackhole_timeout", "0"),
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        ("ipv6/conf/all/accept_dad", "0"),
        ("ipv6/conf/default/accept_dad", "0"),
        ("ipv6/conf/all/disable_ipv6", "0"),
        ("ipv6/conf/default/disable_ipv6", "0"),
    ];
    settings.iter().try_for_each(|(key, value)| namespace.set(key, value))
}

/// The rate of what leaves by `interface`; the burst lets a whole GSO packet through.
fn limit(namespace: &Netns, interface: &str, mbit: u32) -> Result<(), LabError> {
    let rate = format!("{mbit}mbit");
    let tbf = ["tbf", "rate", &rate, "burst", "128kb", "latency", "50ms"];
    let args: Vec<_> = ["qdisc", "add", "dev", interface, "root"].into_iter().chain(tbf).collect();
    namespace.tool("tc", &args, "").map(drop)
}
