//! MPTCP sockets in network namespaces, and captures of what they say.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use socket2::{Domain, Protocol, Socket, Type};

use crate::netns::inside;

/// Listens for MPTCP.
pub(crate) fn listen(ns: &str, addr: SocketAddr) -> Socket {
    inside(ns, || {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::MPTCP)).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&addr.into()).unwrap();
        socket.listen(8).unwrap();
        socket
    })
}

pub(crate) fn connect(ns: &str, addr: SocketAddr, protocol: Protocol) -> std::io::Result<TcpStream> {
    let socket = inside(ns, || Socket::new(Domain::for_address(addr), Type::STREAM, Some(protocol)))?;
    socket.connect_timeout(&addr.into(), Duration::from_secs(20))?;
    Ok(socket.into())
}

/// A capture in the making.
pub(crate) struct Tcpdump(Child);

impl Tcpdump {
    /// `link` can be `any`.
    pub(crate) fn start(ns: &str, link: &str, path: &Path) -> Self {
        let words =
            format!("netns exec {ns} tcpdump -Z root -n --immediate-mode -s 65535 -B 65536 -U -i {link} -w");
        let mut command = Command::new("ip");
        let mut child =
            command.args(words.split(' ')).arg(path).arg("tcp").stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains("listening on")), "tcpdump at {link}");
        thread::spawn(move || lines.for_each(drop));
        Self(child)
    }

    /// All at once: what came by between the end of one and that of the next would be seen by one alone.
    pub(crate) fn stop<const N: usize>(mut captures: [Self; N]) {
        for Self(child) in &captures {
            kill_process(Pid::from_child(child), Signal::INT).unwrap();
        }
        assert!(captures.iter_mut().all(|Self(child)| child.wait().unwrap().success()));
    }
}
