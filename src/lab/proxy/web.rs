//! What is downloaded, and from whom: a file of noise, nginx that serves it, HAProxy in front.

use std::fs::{self, File};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{self, Command};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::lab::interrupt::Interrupt;
use crate::lab::netns::Netns;
use crate::lab::program::Program;
use crate::lab::world::{GUEST, ROUTER, World, namespace, settle};
use crate::lab::{LabError, doing, traffic};

/// What this scene calls beside the lab's own, and the packages that have it.
pub(super) const TOOLS: [(&str, &str); 4] =
    [("haproxy", "haproxy"), ("nginx", "nginx"), ("curl", "curl"), ("mptcpize", "mptcpize")];

/// The name of the file.
pub(super) const FILE: &str = "noise";

const HTTP: u16 = 80;

/// The number of the network between HAProxy and nginx.
const WEB_NETWORK: u8 = 4;

/// Both read a page of configuration and listen.
const LISTEN_LIMIT: Duration = Duration::from_secs(10);
/// A host answers itself and its neighbour within milliseconds.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// A web server behind a full proxy, with what they need; all of it goes when this value does.
#[derive(Debug)]
pub(super) struct Web {
    /// Where HAProxy listens.
    pub(super) addr: SocketAddr,
    /// Where nginx runs.
    pub(super) host: Netns,
    /// Of the file, in hexadecimal digits.
    pub(super) sha256: String,
    _programs: [Program; 2],
    _dir: TempDir,
}

impl Web {
    /// Makes a file of that many bytes, and serves it through the proxy.
    pub(super) fn start(world: &World, interrupt: &Interrupt, bytes: u64) -> Result<Self, LabError> {
        let host = namespace('w')?;
        settle(&host)?;
        let own = connect(world, &host)?;
        let prefix = format!("mpg{}-", process::id());
        let dir = tempfile::Builder::new().prefix(&prefix).tempdir().map_err(doing("making a directory"))?;
        let sha256 = make_file(dir.path(), interrupt, bytes)?;
        let addr = SocketAddr::new(world.family.proxy_addr(), HTTP);

        let path = write(dir.path(), "nginx.conf", &nginx_conf(own))?;
        let mut command = Command::new("nginx");
        command.args(["-e", "stderr", "-p"]).arg(dir.path()).arg("-c").arg(path);
        let mut nginx = Program::start(&host, "nginx", &mut command)?;
        listens(interrupt, &mut nginx, &host, own)?;

        let path = write(dir.path(), "haproxy.cfg", &haproxy_cfg(addr, own))?;
        let mut command = Command::new("mptcpize");
        command.args(["run", "haproxy", "-db", "-f"]).arg(path);
        let mut haproxy = Program::start(&world.server, "haproxy", &mut command)?;
        listens(interrupt, &mut haproxy, &world.server, addr)?;
        Ok(Self { addr, host, sha256, _programs: [haproxy, nginx], _dir: dir })
    }
}

/// Puts `host` behind the lab's server; says where its web server shall listen.
fn connect(world: &World, host: &Netns) -> Result<SocketAddr, LabError> {
    let family = world.family;
    world.add_server_addr(family.proxy_addr())?;
    let lines = format!("link add to-web type veth peer name uplink netns {}\n", host.name);
    world.ip(&world.server, &(lines + &family.add_addr(family.addr(WEB_NETWORK, ROUTER), "to-web")))?;
    let own = family.addr(WEB_NETWORK, GUEST);
    world.ip(host, &(String::from("link set lo up\n") + &family.add_addr(own, "uplink")))?;
    Ok(SocketAddr::new(own, HTTP))
}

/// Writes the noise to a file, so that it comes from a disk as files do; gives its SHA-256.
fn make_file(dir: &Path, interrupt: &Interrupt, bytes: u64) -> Result<String, LabError> {
    let path = dir.join("files").join(FILE);
    let making = || doing(format!("writing {bytes} bytes to {} (TMPDIR says where)", path.display()));
    fs::create_dir(dir.join("files")).map_err(making())?;
    let mut file = File::create(&path).map_err(making())?;
    let mut hash = Sha256::new();
    traffic::noise(bytes, |block| {
        interrupt.pause(Duration::ZERO)?;
        hash.update(block);
        file.write_all(block).map_err(making())
    })?;
    Ok(hex(&hash.finalize()))
}

/// As `sha256sum` shows it.
pub(super) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write(dir: &Path, name: &str, text: &str) -> Result<std::path::PathBuf, LabError> {
    let path = dir.join(name);
    fs::write(&path, text).map_err(doing(format!("writing {}", path.display())))?;
    Ok(path)
}

/// A plain web server: one process in the foreground, which writes nowhere but below its own directory.
fn nginx_conf(listen: SocketAddr) -> String {
    format!(
        "daemon off;
master_process off;
user root root;
pid nginx.pid;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path client_body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    sendfile on;
    server {{ listen {listen}; root files; }}
}}
"
    )
}

/// A full proxy, which ends each connection and opens another one.
fn haproxy_cfg(listen: SocketAddr, server: SocketAddr) -> String {
    format!(
        "global
    maxconn 64
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend proxy
    bind {listen}
    default_backend web
backend web
    server nginx {server}
"
    )
}

/// Waits until somebody answers there.
fn listens(
    interrupt: &Interrupt,
    program: &mut Program,
    host: &Netns,
    addr: SocketAddr,
) -> Result<(), LabError> {
    interrupt.until(&format!("an answer of {addr}"), LISTEN_LIMIT, || {
        program.still_runs()?;
        host.inside(|| Ok(TcpStream::connect_timeout(&addr, CONNECT_LIMIT).ok().map(drop)))
    })
}
