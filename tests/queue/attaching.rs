//! The kernel's rules: in, out, and in again.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use mpgate::attach::{AttachError, Backend, Hook, Plan, QueueMode};
use mpgate::marks;
use socket2::Protocol;

use crate::netns::{inside, run_in};
use crate::world::{BULK, QUEUE, SERVER, World, plan};

/// The rules of all tables, without counters and dates.
fn rules(ns: &str) -> Vec<String> {
    let all = ["iptables-save", "ip6tables-save"].map(|save| run_in(ns, save)).concat();
    let rules =
        all.lines().filter(|line| line.starts_with('-') || (line.starts_with(':') && line.contains(" - ")));
    let tables = run_in(ns, "nft list tables");
    let others = tables.lines().filter(|table| !table.starts_with("table ip"));
    rules.map(str::to_owned).chain(others.map(str::to_owned)).collect()
}

#[test]
fn attaching_twice_leaves_one_copy_and_detaching_leaves_what_was_there() {
    let Some(world) = World::new() else { return };
    let ns = world.router();
    for family in ["iptables", "ip6tables"] {
        run_in(&ns, &format!("{family} -t mangle -N MINE"));
        run_in(&ns, &format!("{family} -t mangle -A FORWARD -p tcp --syn -j MINE"));
        run_in(&ns, &format!("{family} -A INPUT -p tcp --dport 22 -j ACCEPT"));
    }
    let before = rules(&ns);
    for mode in [QueueMode::Control, QueueMode::Strict, QueueMode::All] {
        for hook in [Hook::Forward, Hook::Input, Hook::Output, Hook::Host] {
            let plan = plan(hook, mode);
            let first = inside(&ns, || plan.install()).unwrap();
            let once = rules(&ns);
            assert!(once.len() > before.len());
            first.keep();
            let second = inside(&ns, || plan.install()).unwrap();
            assert_eq!(rules(&ns), once, "{hook:?} {mode:?} twice");
            inside(&ns, || drop(second));
            assert_eq!(rules(&ns), before, "{hook:?} {mode:?}");
        }
    }
}

#[test]
fn another_plan_replaces_the_leftovers_of_a_killed_gate() {
    let Some(world) = World::new() else { return };
    let ns = world.router();
    let before = rules(&ns);
    inside(&ns, || plan(Hook::Host, QueueMode::Control).install()).unwrap().keep();
    let fresh = inside(&ns, || plan(Hook::Forward, QueueMode::Strict).install()).unwrap();
    let text = rules(&ns).join("\n");
    assert!(!text.contains(" INPUT ") && !text.contains("table inet mpgate"), "{text}");
    inside(&ns, || fresh.detach()).unwrap();
    assert_eq!(rules(&ns), before);
}

#[test]
fn the_printed_script_loads_to_the_same_rules_however_often() {
    let Some(world) = World::new() else { return };
    let ns = world.router();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.sh");
    for mode in [QueueMode::Control, QueueMode::Strict, QueueMode::All] {
        let plan = Plan { last_queue: QUEUE + 3, fanout: true, ..plan(Hook::Host, mode) };
        let attached = inside(&ns, || plan.install()).unwrap();
        let installed = rules(&ns);
        inside(&ns, || attached.detach()).unwrap();
        fs::write(&file, plan.script(Backend::Iptables)).unwrap();
        for _ in 0..2 {
            run_in(&ns, &format!("sh {}", file.display()));
            assert_eq!(rules(&ns), installed, "{mode:?}");
        }
        inside(&ns, || plan.remove()).unwrap();
    }
}

#[test]
fn what_lies_in_deploy_is_what_attach_prints() {
    for (name, mode) in
        [("control", QueueMode::Control), ("strict", QueueMode::Strict), ("all", QueueMode::All)]
    {
        let plan = Plan { first_queue: 0, last_queue: 0, ..plan(Hook::Forward, mode) };
        for (file, backend) in [
            (format!("iptables-{name}.sh"), Backend::Iptables),
            (format!("nftables-{name}.nft"), Backend::Nft),
        ] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(&file);
            if std::env::var_os("MPGATE_WRITE_DEPLOY").is_some() {
                fs::write(&path, plan.script(backend)).unwrap();
            }
            assert_eq!(fs::read_to_string(&path).unwrap(), plan.script(backend), "deploy/{file}");
        }
    }
}

/// Here the kernel may lack the statement itself; the text around it must load all the same.
#[test]
fn nft_rules_parse_and_a_kernel_without_queue_is_told_of() {
    let Some(world) = World::new() else { return };
    let ns = world.router();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.nft");
    for mode in [QueueMode::Control, QueueMode::Strict, QueueMode::All] {
        for (last_queue, fanout) in [(QUEUE, false), (QUEUE + 2, false), (QUEUE + 2, true)] {
            let plan = Plan { last_queue, fanout, backend: Some(Backend::Nft), ..plan(Hook::Host, mode) };
            let script = plan.script(Backend::Nft);
            fs::write(&file, &script).unwrap();
            let args = ["netns", "exec", &ns, "nft", "-c", "-f", file.to_str().unwrap()];
            let checked = Command::new("ip").args(args).output().unwrap();
            let said = String::from_utf8_lossy(&checked.stderr).into_owned();
            assert!(!said.contains("syntax error"), "{said}");
            let range = if last_queue == QUEUE { "5" } else { "5-7" };
            let flags = if fanout { "bypass,fanout" } else { "bypass" };
            let without = script.replace(&format!("queue flags {flags} to {range}"), "accept");
            assert_ne!(without, script);
            fs::write(&file, without).unwrap();
            run_in(&ns, &format!("nft -c -f {}", file.display()));
            match inside(&ns, || plan.install()) {
                Ok(attached) => inside(&ns, || attached.detach()).unwrap(),
                Err(AttachError::NoQueueStatement) => assert!(!checked.status.success()),
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn with_bypass_and_no_gate_traffic_passes_and_fail_closed_it_does_not() {
    let Some(world) = World::new() else { return };
    let ns = world.router();
    let open = plan(Hook::Forward, QueueMode::Control);
    let attached = inside(&ns, || open.install()).unwrap();
    for family in SERVER {
        assert_eq!(world.transfer(family, Protocol::MPTCP, BULK).unwrap(), BULK);
    }
    inside(&ns, || attached.detach()).unwrap();

    let attached = inside(&ns, || Plan { bypass: false, ..open }.install()).unwrap();
    for family in SERVER {
        let error = world.transfer(family, Protocol::MPTCP, 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{family}: {error}");
        assert_eq!(world.transfer(family, Protocol::TCP, BULK).unwrap(), BULK, "plain TCP is not touched");
    }
    inside(&ns, || attached.detach()).unwrap();
}

#[test]
fn without_the_capability_attach_ends_with_code_2_and_changes_nothing() {
    let Some(world) = World::new() else { return };
    let ns = world.router();
    let before = rules(&ns);
    let output = Command::new("ip")
        .args(["netns", "exec", &ns, "setpriv", "--bounding-set=-net_admin"])
        .args([env!("CARGO_BIN_EXE_mpgate"), "attach"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(rules(&ns), before);
}

/// Where the kernel lacks `queue`, packets come by as the gate sends them through the rules again.
#[test]
fn the_rules_of_nftables_save_what_the_gate_says_and_take_its_marks_off() {
    const OTHERS: u32 = 7;
    for said in [marks::WATCHED, marks::WATCHED | marks::DECIDED] {
        let Some(world) = World::new() else { return };
        let ns = world.router();
        let script = plan(Hook::Forward, QueueMode::Control).script(Backend::Nft);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rules.nft");
        fs::write(&file, script.replace(&format!("queue flags bypass to {QUEUE}"), "accept")).unwrap();
        run_in(&ns, &format!("nft -f {}", file.display()));
        let back = marks::ASKED | marks::ANSWERED | said | OTHERS;
        for family in ["iptables", "ip6tables"] {
            run_in(&ns, &format!("{family} -t raw -A PREROUTING -p tcp -j MARK --set-mark {back:#x}"));
            run_in(
                &ns,
                &format!("{family} -t mangle -A POSTROUTING -p tcp -m mark --mark {:#x}", said | OTHERS),
            );
            run_in(
                &ns,
                &format!("{family} -t mangle -A POSTROUTING -p tcp -m mark ! --mark {:#x}", said | OTHERS),
            );
        }
        for family in SERVER {
            assert_eq!(world.transfer(family, Protocol::TCP, 1000).unwrap(), 1000);
        }
        for save in ["iptables-save", "ip6tables-save"] {
            let saved = run_in(&ns, &format!("{save} -c -t mangle"));
            let counts = saved.lines().filter_map(|line| line.strip_prefix('[')?.split(':').next());
            let counts: Vec<u64> = counts.map(|count| count.parse().unwrap()).collect();
            assert!(matches!(counts[..], [passed, 0] if passed > 0), "{save}: {saved}");
        }
        let tracked = run_in(&ns, "cat /proc/net/nf_conntrack");
        let tcp: Vec<_> = tracked.lines().filter(|line| line.contains(" tcp ")).collect();
        assert!(
            tcp.len() >= 2 && tcp.iter().all(|line| line.contains(&format!("mark={said} "))),
            "{tracked}"
        );
    }
}
