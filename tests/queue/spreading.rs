//! Packets of one flow that land on different workers, in turn: worse than any hash or fan-out of the kernel.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use socket2::Protocol;

use crate::netns::{run, run_in, wait};
use crate::world::{Gate, Listener, QUEUE, World, connect, mptcp_counter};

const CONNECTIONS: u32 = 40;

#[test]
fn joins_are_verified_whichever_worker_meets_their_packets() {
    let Some(world) = World::new() else { return };
    let (client, router, server) = (world.client(), world.router(), world.server());
    run(&format!("ip -n {client} addr add 10.0.1.3/24 dev c0"));
    run(&format!("ip -n {client} mptcp endpoint add 10.0.1.3 dev c0 subflow"));
    for ns in [&client, &server] {
        run(&format!("ip -n {ns} mptcp limits set subflow 2 add_addr_accepted 2"));
    }
    let gate = Gate::with_queues(&router, &[QUEUE, QUEUE + 1], "");
    for family in ["iptables", "ip6tables"] {
        let queued = "-t mangle -A FORWARD -p tcp";
        let each_other = "-m statistic --mode nth --every 2 --packet 0";
        run_in(&router, &format!("{family} {queued} {each_other} -j NFQUEUE --queue-num {QUEUE}"));
        run_in(&router, &format!("{family} {queued} -j NFQUEUE --queue-num {}", QUEUE + 1));
    }
    let listener = Listener::start(&server, "10.0.2.2", Protocol::MPTCP);
    for _ in 0..CONNECTIONS {
        let mut stream: TcpStream =
            connect(&client, listener.addr, Protocol::MPTCP, Duration::from_secs(3)).unwrap();
        // The client joins once data was acknowledged.
        for _ in 0..4 {
            stream.write_all(&[7; 4000]).unwrap();
            wait(Duration::from_millis(2));
        }
        wait(Duration::from_millis(20));
    }
    let connections = u64::from(CONNECTIONS);
    assert_eq!(mptcp_counter(&server, "MPJoinAckRx"), connections, "joins at the server");
    assert_eq!(gate.counted("mpgate_joins_total{result=\"verified\"}"), f64::from(CONNECTIONS));
    for verdict in ["reject", "drop", "strip"] {
        let text = gate.metrics.render().unwrap();
        let of = |line: &&str| {
            line.starts_with("mpgate_verdicts_total") && line.contains(&format!("\"{verdict}\""))
        };
        assert!(text.lines().filter(of).all(|line| line.ends_with(" 0")), "{verdict}: {text}");
    }
    let each =
        [QUEUE, QUEUE + 1].map(|queue| gate.counted(&format!("mpgate_packets_total{{queue=\"{queue}\"}}")));
    assert!(each.iter().all(|packets| *packets > 400.0), "{each:?}");
}
