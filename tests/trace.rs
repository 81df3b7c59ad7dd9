//! `mpgate trace` as a user meets it: what it tells of a packet, floor by floor, and of what is no packet.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use mpgate::script::{Script, Step};
use serde_json::Value;

/// A connection that both hosts know.
const OPENED: &str = "c>s syn mp_capable; s>c syn_ack mp_capable; c>s ack mp_capable; ";

/// `mpgate trace` with a file of rules; without one where they are empty.
fn trace(rules: &str, words: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("rules.toml"), rules).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mpgate"));
    command.arg("trace").args(words).current_dir(directory.path());
    if !rules.is_empty() {
        command.args(["--rules", "rules.toml"]);
    }
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What is said of the last packet of a conversation.
fn last(rules: &str, conversation: &str) -> String {
    let output = trace(rules, &["--last", conversation]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    let said = text(&output.stdout);
    let too_wide = said.lines().find(|line| line.chars().count() > 110);
    assert_eq!(too_wide, None);
    said
}

fn last_json(rules: &str, conversation: &str) -> Value {
    let output = trace(rules, &["--last", "--json", conversation]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn opened(then: &str) -> String {
    format!("{OPENED}{then}")
}

const STRICT: &str = r#"[[rule]]
name = "office"
from = "10.0.1.0/24"
option = "mp_capable"
version = 1
action = "accept"

[[rule]]
name = "no-v0"
option = "mp_capable"
version = 0
action = "strip"

[[rule]]
name = "joins-only-from-campus"
option = "mp_join"
from_not = ["10.0.0.0/24", "10.0.1.0/24"] # the campus
action = "reject"

[[rule]]
name = "quiet"
option = "mp_prio"
action = "strip"
"#;

#[test]
fn a_syn_is_accepted() {
    insta::assert_snapshot!(last(STRICT, "from 10.0.1.2:4000 to 10.0.3.2:443 syn mss + mp_capable v1"));
}

#[test]
fn a_syn_is_stripped() {
    insta::assert_snapshot!(last(STRICT, "c>s syn mss + mp_capable v0 + window_scale"));
}

#[test]
fn a_join_is_rejected_by_a_rule() {
    insta::assert_snapshot!(last(STRICT, &opened("c2>s syn mp_join")));
}

#[test]
fn a_law_narrows_a_rule() {
    insta::assert_snapshot!(last(STRICT, "c>s2 syn mp_capable; s2>c syn_ack mp_capable"));
}

#[test]
fn a_stripped_connection_stays_stripped() {
    insta::assert_snapshot!(last(STRICT, "c>s2 syn mp_capable v0; s2>c syn_ack mp_capable v0"));
}

#[test]
fn a_law_turns_a_strip_into_a_reset() {
    let rules = "[[rule]]\nname = \"clean\"\naction = \"strip\"\n";
    let conversation = opened("c2>s syn mp_join");
    // The rules of the file are there at the SYN too, which would be stripped: the join comes to a connection from before.
    let script = format!("{conversation}\n").replace("; ", "\n");
    let script = script.replace("c2>s", &format!("rules\n{rules}end\nc2>s"));
    insta::assert_snapshot!(last("", &script));
}

#[test]
fn an_unknown_join_is_rejected_by_policy() {
    insta::assert_snapshot!(last("", "x>s syn mp_join token 0xdeadbeef"));
}

#[test]
fn a_forged_proof_is_rejected_to_both_sides() {
    let joining = opened("c2>s syn mp_join; s>c2 syn_ack mp_join; c2>s ack mp_join hmac bad");
    insta::assert_snapshot!(last("", &joining));
}

#[test]
fn an_announcement_is_lost() {
    let rules = "[[rule]]\nname = \"no-addresses\"\noption = \"add_addr\"\naction = \"drop\"\n";
    insta::assert_snapshot!(last(rules, &opened("s>c ack add_addr 3 10.0.9.115")));
}

#[test]
fn a_single_path_was_decided_at_the_syn() {
    let rules = "[[rule]]\nname = \"alone\"\noption = \"mp_capable\"\naction = \"single_path\"\n";
    insta::assert_snapshot!(last(rules, &opened("c2>s syn mp_join")));
}

#[test]
fn a_limit_is_reached() {
    let rules = "[limits]\nsubflows = 2\n";
    let joined = opened("c2>s syn mp_join; c3>s syn mp_join; c4>s syn mp_join");
    insta::assert_snapshot!(last(rules, &joined));
}

#[test]
fn a_cookie_is_normalized_away() {
    let rules = "[normalize]\nallow = [\"mss\", \"window_scale\", \"sack_permitted\", \"timestamps\", \"md5\", \"ao\"]\n";
    insta::assert_snapshot!(last(rules, "c>s syn mss + fast_open 0102030405060708 + mp_capable"));
}

#[test]
fn what_is_malformed_is_lost() {
    insta::assert_snapshot!(last(STRICT, &opened("c>s ack raw 1e0550ffff")));
}

#[test]
fn what_is_no_tcp_is_told() {
    insta::assert_snapshot!(last(STRICT, "bytes 4500001c0000000040110000c0000201c000020200010002000800 00"));
}

#[test]
fn sets_negation_and_rates() {
    let rules = r#"[sets]
erp = ["192.0.2.10", "2001:db8::10"]

[[rule]]
name = "erp"
to = "@erp"
option = "mp_capable"
action = "strip"

[[rule]]
name = "odd-ports"
port_not = ["1-1023"]
option = "mp_capable"
action = "strip"

[[rule]]
name = "few"
option = "mp_capable"
rate = "1/s"
action = "accept"

[[rule]]
name = "watch"
option = "mp_capable"
observe = true
action = "strip"

[policy]
default = "strip"
"#;
    insta::assert_snapshot!(last(rules, "c>s syn mp_capable; d>s syn mp_capable"));
}

#[test]
fn an_engine_that_observes_says_what_it_would_do() {
    insta::assert_snapshot!(last("", "observe; x>s syn mp_join token 0xdeadbeef"));
}

#[test]
fn ipv6() {
    let open = "from [2001:db8:1::2]:4000 to [2001:db8:3::2]:443 ";
    let back = "from [2001:db8:3::2]:443 to [2001:db8:1::2]:4000 ";
    let join = "from [2001:db8:2::2]:4001 to [2001:db8:3::2]:443 syn mp_join";
    let talk = format!("{open}syn mp_capable; {back}syn_ack mp_capable; {open}ack mp_capable; {join}");
    insta::assert_snapshot!(last(STRICT, &talk));
}

#[test]
fn of_many_rules_the_first_and_the_last_are_shown() {
    let rule = |number: usize| {
        format!(
            "[[rule]]\nname = \"r{number}\"\nto = \"192.0.2.{number}\"\noption = \"mp_capable\"\naction = \"strip\"\n"
        )
    };
    let mut rules: String = (1..=60).map(rule).collect();
    rules.push_str("[[rule]]\nname = \"last\"\noption = \"mp_capable\"\naction = \"accept\"\n");
    let said = last(&rules, "c>s syn mp_capable");
    assert!(said.contains("(35 rules left out; --all-rules shows them)"), "{said}");
    for (name, shown) in [("r20", true), ("r21", false), ("r55", false), ("r56", true), ("last", true)] {
        assert_eq!(said.contains(&format!(" {name} ")), shown, "{name}\n{said}");
    }
    let output = trace(&rules, &["--all-rules", "c>s syn mp_capable"]);
    assert_eq!((1..=60).find(|number| !text(&output.stdout).contains(&format!(" r{number} "))), None);
}

fn capture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures").join(name)
}

#[test]
fn a_frame_is_traced_with_all_before_it_known() {
    let path = capture("join-refused.pcap");
    let rules = "[[rule]]\nname = \"no-joins\"\noption = \"mp_join\"\naction = \"reject\"\n";
    let output = trace(rules, &["--capture", path.to_str().unwrap(), "--frame", "8"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    insta::assert_snapshot!(text(&output.stdout));
}

/// One rule that insists, the words that it acts on, and what both hosts do then: weight, sender, receiver.
const BREACHES: [(&str, &str, [&str; 3]); 14] = [
    (
        "option = \"mp_join\"\naction = \"strip\"",
        "c2>s syn mp_join",
        ["wasteful", "gets a SYN/ACK without MP_JOIN", "takes it for a new plain TCP connection"],
    ),
    (
        "option = \"mp_capable\"\nfrom = \"10.0.7.0/24\"\naction = \"drop\"",
        "c7>s syn mp_capable",
        [
            "breaks",
            "sends it three times, a second apart, then connects without MPTCP",
            "sees nothing until a SYN without",
        ],
    ),
    (
        "option = \"mp_capable\"\nfrom = \"10.0.7.0/24\"\naction = \"reject\"",
        "c7>s syn mp_capable",
        ["breaks", "tells its application that the connection was refused", "sees nothing"],
    ),
    (
        "option = \"add_addr\"\naction = \"strip\"",
        "s>c ack add_addr 3 10.0.9.115",
        ["breaks", "is answered without DSS and falls back", "gets an ACK without DSS before any DATA_ACK"],
    ),
    (
        "option = \"dss\"\naction = \"strip\"",
        "c>s data dss ack map",
        ["wasteful", "falls back to plain TCP", "falls back to plain TCP"],
    ),
    (
        "option = \"dss\"\naction = \"strip\"",
        "c2>s syn mp_join; s>c2 syn_ack mp_join; c2>s ack mp_join; c>s data dss ack map",
        ["breaks", "cannot fall back once a subflow has joined", "resets each subflow"],
    ),
    (
        "option = \"dss\"\nsegment = \"data\"\naction = \"strip\"",
        "s>c ack dss ack; c>s ack dss ack; c>s data dss ack map",
        [
            "breaks",
            "falls back to plain TCP once data comes back",
            "falls back to plain TCP at once; what is sent",
        ],
    ),
    (
        "option = \"dss\"\naction = \"strip\"",
        "c2>s syn mp_join; s>c2 syn_ack mp_join; c2>s ack mp_join; s>c ack dss ack",
        ["breaks", "does not learn that its DATA_ACKs are not heard", "takes its data for lost and sends it"],
    ),
    (
        "option = \"dss\"\nsegment = \"ack\"\nto = \"10.0.1.99\"\naction = \"strip\"",
        "s>c data dss ack map; c>s ack dss ack; s>c ack dss ack fin",
        ["breaks", "sends its DATA_FIN again and again", "is not told that the data has ended"],
    ),
    (
        "option = \"mp_capable\"\nsegment = \"ack\"\naction = \"strip\"",
        "",
        ["wasteful", "believes to speak MPTCP until", "falls back to plain TCP"],
    ),
    (
        "option = \"mp_join\"\naction = \"drop\"",
        "c2>s syn mp_join",
        ["wasteful", "sends the SYN six times", "sees nothing"],
    ),
    (
        "option = \"mp_fail\"\naction = \"strip\"",
        "c>s ack mp_fail",
        ["breaks", "takes the data behind the failed checksum", "never learns that a checksum failed"],
    ),
    (
        "option = \"mp_fastclose\"\naction = \"strip\"",
        "c>s ack mp_fastclose",
        ["breaks", "has closed the connection", "sees one subflow end"],
    ),
    (
        "option = \"remove_addr\"\naction = \"strip\"",
        "c>s data dss ack map + remove_addr 2",
        ["safe", "does not learn that it was not heard", "goes on as before"],
    ),
];

#[test]
fn what_breaks_a_law_says_what_both_hosts_do() {
    for (rule, words, [weight, sender, receiver]) in BREACHES {
        let rules = format!("[[rule]]\nname = \"lab\"\n{rule}\nbreak_connections = true\n");
        let told = last_json(&rules, &opened(words));
        assert_eq!(told["rule"], "lab", "{told}");
        let [peer] = told["peers"].as_array().unwrap().as_slice() else { unreachable!("{told}") };
        assert_eq!(peer["weight"], weight, "{peer}");
        assert!(peer["sender"].as_str().unwrap().starts_with(sender), "{peer}");
        assert!(peer["receiver"].as_str().unwrap().starts_with(receiver), "{peer}");
        let said = last(&rules, &opened(words)).replace("\n             ", " ");
        assert!(said.contains(&format!("{weight}: ")) && said.contains(sender), "{said}");
    }
}

#[test]
fn each_script_gets_the_decisions_that_it_wants() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/decisions");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let script = Script::parse(&fs::read_to_string(&path).unwrap()).unwrap();
        let lines: Vec<_> = script
            .cases
            .into_iter()
            .flat_map(|case| case.steps)
            .filter_map(|step| if let Step::Packet(line) = step { Some(line) } else { None })
            .collect();
        let output = trace("", &["--json", "--script", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let told: Vec<Value> =
            text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(told.len(), lines.len());
        for (told, line) in told.iter().zip(&lines) {
            assert_eq!(told["line"], line.number);
            if let Some(wanted) = &line.wanted {
                assert_eq!(outcome(told), *wanted, "{}:{}", path.display(), line.number);
            }
        }
    }
}

/// A decision in a script's words.
fn outcome(told: &Value) -> String {
    let word = |name: &str| told[name].as_str().map(str::to_owned);
    let standing = word("standing").unwrap_or_else(|| "none".to_owned());
    let rule = word("rule").map_or(String::new(), |rule| format!(" {rule}"));
    let observed = word("observed").map_or(String::new(), |verdict| format!(" would {verdict}"));
    format!("{} {} {standing}{rule}{observed}", word("verdict").unwrap(), word("reason").unwrap())
}

#[test]
fn no_key_is_told() {
    let talk = ["c>s syn mp_capable v0", "s>c syn_ack mp_capable v0", "c>s ack mp_capable v0"];
    let rules = "[[rule]]\nname = \"lab\"\noption = [\"mp_capable\", \"mp_fastclose\"]\nsegment = [\"ack\", \"data\"]\n\
         action = \"strip\"\nbreak_connections = true\n";
    // 0x11…11 times the code of the letter.
    let keys = ["a311111111111110", "9a11111111111109"].map(str::to_owned);
    let keys = [99_u64, 115]
        .map(|code| 0x1111_1111_1111_1111_u64.wrapping_mul(code))
        .map(|key| format!("{key:016x}"))
        .into_iter()
        .chain(keys);
    let said: Vec<String> = [vec![], vec!["--json"]]
        .into_iter()
        .map(|flags| {
            let fastclose = "c>s ack mp_fastclose";
            let words: Vec<_> = flags.into_iter().chain(talk).chain([fastclose]).collect();
            text(&trace(rules, &words).stdout).replace(' ', "")
        })
        .collect();
    for key in keys {
        for said in &said {
            assert!(!said.contains(&key) && !said.contains(&key[..8]), "{key} in {said}");
        }
    }
    assert!(said[0].contains("··"), "{}", said[0]);
}

fn refused(rules: &str, words: &[&str]) -> (Option<i32>, String) {
    let output = trace(rules, words);
    assert_eq!(text(&output.stdout), "");
    (output.status.code(), text(&output.stderr))
}

#[test]
fn help_has_examples_and_the_fields() {
    let said = text(&trace("", &["--help"]).stdout);
    for part in ["mpgate trace --rules rules/ --capture office.pcapng --frame 12", "`weight`", "Exit codes"] {
        assert!(said.contains(part), "{part} is missing in\n{said}");
    }
}

#[test]
fn what_cannot_be_traced_says_where_and_what_would_be_right() {
    let words = refused("", &["c>s syn mp_capable; c>s syn mp_jion"]);
    let right = "line 2: \"mp_jion\" is no option; did you mean \"mp_join\"? right would be mp_capable, mp_join, dss, \
                 add_addr, remove_addr, mp_prio, mp_fail, mp_fastclose, mp_tcprst, mss, window_scale, sack_permitted, \
                 timestamps, fast_open, md5, ao, user_timeout, exp, raw or seq\n";
    assert_eq!(words, (Some(1), right.to_owned()));
    let nothing = "there is no packet to trace; write one such as `c>s syn mp_capable`; `mpgate trace --help` has the words\n";
    assert_eq!(refused("", &["# nothing"]), (Some(1), nothing.to_owned()));

    let path = capture("fallback.pcap");
    let name = path.to_str().unwrap();
    let (code, said) = refused("", &["--capture", name, "--frame", "9999"]);
    assert_eq!(code, Some(1));
    assert!(
        said.starts_with(&format!("{name}: there is no frame 9999; the capture ends with frame ")),
        "{said}"
    );

    let missing = "mpgate: nowhere: No such file or directory (os error 2)\n";
    assert_eq!(refused("", &["--script", "nowhere"]), (Some(2), missing.to_owned()));
    assert_eq!(refused("", &["--capture", "nowhere", "--frame", "1"]), (Some(2), missing.to_owned()));
    let (code, said) = refused("[policy]\nx = 1\n", &["c>s syn mp_capable"]);
    assert_eq!(code, Some(2));
    assert!(said.starts_with("mpgate: 1 error in the rules\n"), "{said}");
}

#[test]
fn a_frame_without_tcp_says_what_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("arp.pcap");
    let mut bytes = 0xa1b2_c3d4_u32.to_le_bytes().to_vec();
    bytes.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0]);
    bytes.extend([0, 0, 0, 0, 0, 0, 0, 0, 14, 0, 0, 0, 14, 0, 0, 0]);
    bytes.extend([0; 12]);
    bytes.extend([8, 6]);
    fs::write(&path, bytes).unwrap();
    let name = path.to_str().unwrap();
    let (code, said) = refused("", &["--capture", name, "--frame", "1"]);
    let right = format!(
        "{name}: frame 1 is no TCP segment (not IP); `mpgate replay --all {name}` lists those that are\n"
    );
    assert_eq!((code, said), (Some(1), right));
}

#[test]
fn wrong_rules_in_a_script_are_told_at_their_line() {
    let (code, said) =
        refused("", &["# one\nrules\n[policy]\ndefault = \"nothing\"\nend\nc>s syn mp_capable"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("words:4:11"), "{said}");
}

#[test]
fn a_script_comes_by_standard_input_and_a_reader_may_go() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mpgate"))
        .args(["trace", "--script", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let script = "c>s syn mp_capable\n".repeat(2000);
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}
