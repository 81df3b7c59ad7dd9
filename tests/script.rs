//! The language of conversations: who is who, what options become, and what is said of a line that cannot be read.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use mpgate::rules::RuleSet;
use mpgate::script::play::{Played, outcome, play};
use mpgate::script::{Line, Script, Step};
use mpgate::time::Timestamp;
use mpgate::wire::Packet;
use mpgate::wire::edit::ChecksumState;
use proptest::prelude::*;

fn played(text: &str) -> Vec<Played> {
    play(Script::parse(text).unwrap_or_else(|errors| panic!("{errors:#?}")), |_| RuleSet::default())
}

/// Every line gets what stands behind its `=`.
fn check(text: &str) {
    let lines = played(text);
    let got: Vec<_> = lines.iter().map(|played| outcome(&played.decision)).collect();
    let wanted: Vec<_> = lines.iter().map(|played| played.line.wanted.clone().unwrap()).collect();
    assert_eq!(got, wanted, "{text}");
}

fn lines(text: &str) -> Vec<Line> {
    played(text).into_iter().map(|played| played.line).collect()
}

fn errors(text: &str) -> Vec<String> {
    Script::parse(text).unwrap_err().iter().map(ToString::to_string).collect()
}

const OPENED: &str = "
from 10.0.1.2:4000 to 10.0.3.2:443  syn mp_capable v1  = accept default new_connection
from 10.0.3.2:443 to 10.0.1.2:4000  syn_ack mp_capable = accept decided known_connection
from 10.0.1.2:4000 to 10.0.3.2:443  ack mp_capable     = accept decided known_connection
";

fn check_behind_opened(text: &str) {
    check(&format!("{OPENED}{text}"));
}

#[test]
fn the_first_sender_joins_from_a_second_address() {
    check_behind_opened(
        "from 10.0.2.2:5000 to 10.0.3.2:443  syn mp_join     = accept default join_known
         from 10.0.3.2:443 to 10.0.2.2:5000  syn_ack mp_join = accept decided join_answered
         from 10.0.2.2:5000 to 10.0.3.2:443  ack mp_join     = accept decided join_verified",
    );
}

#[test]
fn the_first_receiver_joins_from_a_second_address() {
    check_behind_opened(
        "from 10.0.4.2:6000 to 10.0.1.2:4000 syn mp_join     = accept default join_known
         from 10.0.1.2:4000 to 10.0.4.2:6000 syn_ack mp_join = accept decided join_answered
         from 10.0.4.2:6000 to 10.0.1.2:4000 ack mp_join     = accept decided join_verified",
    );
}

#[test]
fn a_join_between_two_new_addresses_says_whose_they_are() {
    check_behind_opened(
        "from 10.0.2.2:5000 of a to 10.0.4.2:443 syn mp_join = accept default join_known
         from 10.0.4.2:443 to 10.0.2.2:5000  syn_ack mp_join = accept decided join_answered
         from 10.0.2.2:5000 to 10.0.4.2:443  ack mp_join     = accept decided join_verified
         from 10.0.6.2:5000 to 10.0.5.2:443 of A syn mp_join = accept default join_known",
    );
}

#[test]
fn a_third_host_knows_no_keys_of_the_others() {
    check_behind_opened(
        "from 10.0.9.9:5000 of x to 10.0.3.2:443 syn mp_join token b = accept default join_known
         from 10.0.3.2:443 to 10.0.9.9:5000 syn_ack mp_join hmac bad = reject forged_join join_forged_answer
         from 10.0.3.2:5000 to 10.0.9.9:443 syn mp_join              = reject unknown_join join_unknown",
    );
}

#[test]
fn addresses_may_be_of_ipv6() {
    check(
        "from [2001:db8:1::2]:4000 to [2001:db8:3::2]:443 syn mp_capable     = accept default new_connection
         from [2001:db8:3::2]:443 to [2001:db8:1::2]:4000 syn_ack mp_capable = accept decided known_connection
         from [2001:db8:1::2]:4000 to [2001:db8:3::2]:443 ack mp_capable     = accept decided known_connection
         from [2001:db8:2::2]:4000 to [2001:db8:3::2]:443 syn mp_join        = accept default join_known
         from [2001:db8:3::2]:443 to [2001:db8:2::2]:4000 syn_ack mp_join    = accept decided join_answered
         from [2001:db8:2::2]:4000 to [2001:db8:3::2]:443 ack mp_join        = accept decided join_verified",
    );
}

#[test]
fn hosts_at_one_address_are_told_apart_by_name_alone() {
    check(
        "from 127.0.0.1:4000 of a to 127.0.0.1:443 syn mp_capable     = accept default new_connection
         from 127.0.0.1:443 of b to 127.0.0.1:4000 syn_ack mp_capable = accept decided known_connection
         from 127.0.0.1:4000 of a to 127.0.0.1:443 ack mp_capable     = accept decided known_connection",
    );
}

#[test]
fn a_join_of_letters_needs_no_token_either() {
    check(
        "c>s  syn     mp_capable v0 = accept default new_connection
         s>c  syn_ack mp_capable    = accept decided known_connection
         c>s  ack     mp_capable    = accept decided known_connection
         c2>s syn     mp_join       = accept default join_known
         s>c2 syn_ack mp_join       = accept decided join_answered
         c2>s ack     mp_join       = accept decided join_verified",
    );
}

#[test]
fn options_of_tcp_are_well_formed() {
    for (written, bytes) in [
        ("mss 1400", vec![2, 4, 5, 0x78]),
        ("mss", vec![2, 4, 5, 0xb4]),
        ("window_scale 9", vec![3, 3, 9]),
        ("sack_permitted", vec![4, 2]),
        ("timestamps", vec![8, 10, 0, 0, 0, 1, 0, 0, 0, 0]),
        ("md5", [&[19, 18][..], &[0x6d; 16]].concat()),
        ("user_timeout 0x8001", vec![28, 4, 0x80, 1]),
        ("ao", [&[29, 16, 0, 0][..], &[0x6d; 12]].concat()),
        ("fast_open", vec![34, 2]),
        ("fast_open 0102 0304", vec![34, 6, 1, 2, 3, 4]),
        ("exp 0xF989", vec![254, 4, 0xf9, 0x89]),
        ("exp 0x00348348 ff", vec![254, 7, 0, 0x34, 0x83, 0x48, 0xff]),
    ] {
        let [line] = &lines(&format!("c>s syn {written} + mp_capable"))[..] else { panic!("{written}") };
        let packet = Packet::parse(&line.bytes).unwrap();
        let found: Vec<_> = packet.options().map(|option| option.bytes.to_vec()).collect();
        assert_eq!(found, [bytes, vec![30, 4, 1, 1]], "{written}");
    }
}

#[test]
fn a_line_knows_its_door_and_its_time() {
    let text =
        "c>s syn\ninput wan0\noutput lan0\nmark 0x100\npartial\nwait 2\ns>c syn_ack\ncase next\nc>s syn";
    let [first, second, third] = <[Line; 3]>::try_from(lines(text)).unwrap();
    assert_eq!((first.number, first.now, first.ingress.mark), (1, Timestamp::from_nanos(1_000_000), 0));
    assert_eq!(
        (second.number, second.now, second.ingress.mark),
        (7, Timestamp::from_nanos(2_002_000_000), 0x100)
    );
    assert_eq!(second.ingress.input.unwrap().as_str(), "wan0");
    assert_eq!(second.ingress.output.unwrap().as_str(), "lan0");
    assert_eq!(second.ingress.checksum, ChecksumState::Partial);
    assert_eq!((third.now, third.ingress.mark, third.ingress.input), (first.now, 0, None));
}

#[test]
fn a_rule_file_keeps_its_place() {
    let script =
        Script::parse("c>s syn\nrules # of today\n[policy]\n\ndefault = \"strip\" # all\nend\n").unwrap();
    let [_, Step::Rules(rules)] = &script.cases[0].steps[..] else { panic!("{script:?}") };
    assert_eq!((rules.number, rules.text.as_str()), (3, "[policy]\n\ndefault = \"strip\" # all"));
}

const OPTIONS: &str = "mp_capable, mp_join, dss, add_addr, remove_addr, mp_prio, mp_fail, mp_fastclose, mp_tcprst, \
    mss, window_scale, sack_permitted, timestamps, fast_open, md5, ao, user_timeout, exp, raw or seq";

const LINES: &str =
    "c>s, from, case, rules, observe, limits, wait, input, output, mark, partial, ipv6 or bytes";

#[test]
fn a_word_that_nobody_knows_is_told_what_it_could_have_been() {
    for (line, error) in [
        ("c>s syn mp_capabel", format!(r#""mp_capabel" is no option; did you mean "mp_capable"? right would be {OPTIONS}"#)),
        ("c>s syn mss + zzz", format!(r#""zzz" is no option; right would be {OPTIONS}"#)),
        ("form 10.0.0.1:1", format!(r#""form" is no beginning of a line; did you mean "from"? right would be {LINES}"#)),
        (
            "c>s sny",
            r#""sny" is no segment; did you mean "syn"? right would be syn, syn_ack, ack, data, fin or rst"#.into(),
        ),
        (
            "c>s syn mp_capable b_falg",
            r#""b_falg" is no word of mp_capable; did you mean "b_flag"? right would be v0, v1, otherkey, otherpeer, mirrored or b_flag"#.into(),
        ),
        ("c>s ack mp_join tokn", r#""tokn" is no word of mp_join; did you mean "token"? right would be token or hmac"#.into()),
        ("c>s ack mp_join hmac good", r#""good" is no word of hmac; right would be bad"#.into()),
        ("c>s ack dss ak", r#""ak" is no word of dss; did you mean "ack"? right would be ack, map, infinite or fin"#.into()),
        ("c>s ack add_addr 3 10.0.0.1 worse", r#""worse" is no word of add_addr; right would be bad, echo or v0"#.into()),
        ("s>c rst mp_tcprst reason 1 for now", r#""for" is no word of mp_tcprst; right would be transient or reason"#.into()),
        (
            "from 10.0.1.2:1 ot 10.0.3.2:443 syn",
            r#""ot" is no word between two addresses; did you mean "of"? right would be to or of"#.into(),
        ),
    ] {
        assert_eq!(errors(&format!("c>s syn # before\n{line}")), [format!("line 2: {error}")]);
    }
}

/// Lines, and what is said of them.
const UNREADABLE: [(&str, &str); 37] = [
    (
        "=",
        r#"no decision stands behind "="; right would be verdict, reason and standing, such as accept default new_connection"#,
    ),
    (
        "c>",
        r#""c>" is no way; right would be something like c>s or c2>s, with a letter for each host and a number up to 255 for its further addresses"#,
    ),
    ("c>s", r#"no segment stands behind "c>s"; right would be something like syn, or data:100"#),
    (
        "c999>s syn",
        r#""c999>s" is no way; right would be something like c>s or c2>s, with a letter for each host and a number up to 255 for its further addresses"#,
    ),
    (
        "c>s data:70000",
        r#""70000" is no length of a payload; right would be the bytes of payload, 0 to 65495"#,
    ),
    ("c>s data:65496", "65496 bytes of payload are too many for one packet"),
    (
        "c>s syn mp_capable + + mss",
        r#"no option stands behind "+"; right would be something like mp_capable, or mss 1460"#,
    ),
    ("c>s syn mss 65536", r#""65536" is no fitting number; right would be 0 to 65535"#),
    ("c>s syn mss 1 2", r#""2" is too much; "mss" ends before it"#),
    (
        "c>s syn raw",
        r#"no even number of hexadecimal digits stands behind "raw"; right would be something like 1e03f0"#,
    ),
    (
        "c>s syn raw 1e0",
        r#""1e0" is no even number of hexadecimal digits; right would be something like 1e03f0"#,
    ),
    (
        "bytes 4500 xy",
        r#""4500xy" is no even number of hexadecimal digits; right would be something like 1e03f0"#,
    ),
    (
        "c>s syn fast_open 010203",
        r#""3 bytes" is no cookie; right would be nothing, or 4 to 16 bytes, an even number"#,
    ),
    ("c>s syn exp", r#"no fitting number stands behind "exp"; right would be an ExID such as 0xF989"#),
    (
        "c>s syn mp_join token",
        r#"no token stands behind "token"; right would be a number such as 0xdeadbeef, or the letter of a host"#,
    ),
    (
        "c>s syn mp_join token two",
        r#""two" is no token; right would be a number such as 0xdeadbeef, or the letter of a host"#,
    ),
    (
        "c>s ack add_addr 3",
        r#"no address stands behind "3"; right would be something like 10.0.9.115, 2001:db8::9 or 10.0.9.115:443"#,
    ),
    (
        "c>s ack add_addr 3 10.0.0",
        r#""10.0.0" is no address; right would be something like 10.0.9.115, 2001:db8::9 or 10.0.9.115:443"#,
    ),
    (
        "c>s ack remove_addr",
        r#"no fitting number stands behind "remove_addr"; right would be address ids, 0 to 255"#,
    ),
    ("c>s ack remove_addr 1 all", r#""all" is no fitting number; right would be address ids, 0 to 255"#),
    ("c>s rst mp_tcprst reason 256", r#""256" is no fitting number; right would be 0 to 255"#),
    (
        "c>s syn =",
        r#"no decision stands behind "="; right would be verdict, reason and standing, such as accept default new_connection"#,
    ),
    ("c>s syn md5 + ao + mss + mp_capable", "options of 44 bytes; a TCP header has room for 40"),
    (
        "from",
        r#"no address with a port stands behind "from"; right would be something like 10.0.1.2:4000 or [2001:db8::1]:443"#,
    ),
    (
        "from 10.0.1.2 to 10.0.3.2:443 syn",
        r#""10.0.1.2" is no address with a port; right would be something like 10.0.1.2:4000 or [2001:db8::1]:443"#,
    ),
    (
        "from 10.0.1.2:1 of to 10.0.3.2:443 syn",
        r#""to" is no host; right would be a letter, such as a for the first line's sender or b for its receiver"#,
    ),
    ("from 10.0.1.2:1 to [::1]:443 syn", "one end is IPv4, the other IPv6"),
    (
        "from 127.0.0.1:1 to 127.0.0.1:2 syn",
        r#""127.0.0.1:1" belongs to no known host; right would be "of a" behind it, or another letter"#,
    ),
    (
        "from 10.0.9.9:1 of x to 10.0.3.2:443 syn",
        r#""10.0.3.2:443" belongs to no known host; right would be "of a" behind it, or another letter"#,
    ),
    (
        "input an-interface-of-many-letters",
        r#""an-interface-of-many-letters" is no name of an interface; right would be 1 to 15 bytes, such as eth0"#,
    ),
    ("mark -1", r#""-1" is no fitting number; right would be a mark of 32 bits, such as 0x1"#),
    (
        "limits 5",
        r#"no fitting number stands behind "5"; right would be how many connections are remembered, and how many handshakes"#,
    ),
    ("wait soon", r#""soon" is no fitting number; right would be seconds"#),
    ("observe = x", r#""=" is too much; "observe" ends before it"#),
    ("observe + x", r#""+" is too much; "observe" ends before it"#),
    ("ipv6 now", r#""now" is too much; "ipv6" ends before it"#),
    ("rules now", r#""now" is too much; "rules" ends before it"#),
];

#[test]
fn a_word_that_cannot_be_read_is_told_what_would_be_right() {
    for (line, error) in UNREADABLE {
        assert_eq!(errors(&format!("input eth0\n{line}")), [format!("line 2: {error}")]);
    }
}

#[test]
fn what_comes_at_the_wrong_place_is_told_the_right_one() {
    let late =
        r#"line 2: "observe" comes too late; right would be before the first segment or wait of its case"#;
    assert_eq!(errors("c>s syn\nobserve"), [late]);
    assert!(Script::parse("rules\nend\nlimits 5 5\nobserve\nc>s syn\ncase next\nobserve").is_ok());
    let endless = r#"line 2: "rules" has no end; right would be a line "end" behind the rule file"#;
    assert_eq!(errors("c>s syn\nrules\n[policy]"), [endless]);
}

#[test]
fn a_long_word_is_quoted_in_part_and_many_errors_are_told_in_part() {
    let long = "mp_capable".repeat(1000);
    let quoted = format!("line 1: \"{}…\" is no option; right would be {OPTIONS}", "mp_capable".repeat(6));
    assert_eq!(errors(&format!("c>s syn {long}")), [quoted]);
    assert_eq!(errors(&"?\n".repeat(1000)).len(), 100);
}

#[test]
fn packets_that_would_fill_the_memory_are_refused() {
    let line = "c>s data:65000\n";
    assert!(Script::parse(&line.repeat(1000)).is_ok());
    let all = errors(&line.repeat(1032));
    assert_eq!(all, ["line 1032: the packets up to here take more than 67108864 bytes"]);
}

/// Text of a script, or what looks like it: known words and any others, in any order.
fn texts() -> impl Strategy<Value = String> {
    const WORDS: &str = "c>s s>c c2>s c999>s >s c> from to of a b x 10.0.1.2:4000 10.0.3.2:443 [2001:db8::1]:443 \
        10.0.9.9:65536 syn syn_ack ack data data:100 data:65535 data:65536 fin rst rst:0 mp_capable v0 v1 v16 otherkey \
        otherpeer mirrored b_flag mp_join token 0xdeadbeef 0x s hmac bad dss map infinite add_addr 3 256 10.0.9.1 \
        2001:db8::9 echo remove_addr mp_prio mp_fail mp_fastclose mp_tcprst transient reason mss window_scale \
        sack_permitted timestamps fast_open 01020304 md5 ao user_timeout exp 0xF989 raw 1e03f0 1e0 seq + = # case \
        rules end observe limits wait 18446744073709551615 input output eth0 0123456789abcdef mark partial ipv6 bytes \
        4500001c000000004006 accept default new_connection";
    let known =
        proptest::sample::select(WORDS.split_whitespace().collect::<Vec<_>>()).prop_map(str::to_owned);
    let begin = proptest::sample::select(vec![
        "",
        "c>s syn ",
        "from 10.0.1.2:4000 to 10.0.3.2:443 ack ",
        "s>c data ",
    ]);
    let line = (begin, proptest::collection::vec(prop_oneof![9 => known, 1 => any::<String>()], 0..8))
        .prop_map(|(begin, words)| format!("{begin}{}", words.join(" ")));
    prop_oneof![1 => any::<String>(), 9 => proptest::collection::vec(line, 0..8).prop_map(|lines| lines.join("\n"))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_a_script_or_says_at_which_line_it_is_none(text in texts()) {
        match Script::parse(&text) {
            Ok(script) => drop(play(script, |_| RuleSet::default())),
            Err(errors) => {
                prop_assert!(!errors.is_empty());
                for error in errors {
                    prop_assert!((1..=text.lines().count()).contains(&error.line), "{}", error);
                }
            }
        }
    }
}
