//! Programs, files and waits in network namespaces.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Does `work` in a thread that has moved into the namespace.
pub(crate) fn inside<T: Send>(ns: &str, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let moved = scope.spawn(|| {
            let door = File::open(Path::new("/run/netns").join(ns)).expect("the namespace is there");
            move_into_link_name_space(door.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        });
        moved.join().unwrap()
    })
}

pub(crate) fn run(command: &str) -> String {
    let (program, args) = command.split_once(' ').unwrap();
    let output = Command::new(program).args(args.split(' ')).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn run_in(ns: &str, command: &str) -> String {
    run(&format!("ip netns exec {ns} {command}"))
}

pub(crate) fn sysctl(ns: &str, key: &str, value: &str) {
    inside(ns, || fs::write(Path::new("/proc/sys").join(key), value)).expect(key);
}

pub(crate) fn wait(span: Duration) {
    let (_held, never) = sync_channel::<()>(0);
    assert_eq!(never.recv_timeout(span), Err(RecvTimeoutError::Timeout));
}
