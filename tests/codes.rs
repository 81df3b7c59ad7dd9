//! The catalogue of codes: each bad file has its code and no other, each good one has none; and the branches of each code.

use std::collections::BTreeMap;

use mpgate::rules::codes::{CATALOGUE, Code};
use mpgate::rules::diagnostic::{Look, render};
use mpgate::rules::{Diagnostic, Severity, Source, compile_with};

fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

/// All that is said of some rule files, and of lists beside them.
fn said(files: &[Source], lists: &[(&str, &str)]) -> Vec<Diagnostic> {
    let lists: BTreeMap<_, _> = lists.iter().copied().collect();
    let mut read = |named: &str, _: &Source| match lists.get(named) {
        Some(text) => Ok(source(named, text)),
        None => Err("cannot be read: No such file or directory (os error 2)".to_owned()),
    };
    compile_with(files, &mut read).map_or_else(|errors| errors, |(_, warnings)| warnings)
}

/// The codes that a file has, each with its line.
fn codes(text: &str) -> Vec<String> {
    let said = said(&[source("rules.toml", text)], &[]);
    said.iter().map(|said| format!("{}:{}", said.code.id(), said.place.line)).collect()
}

/// The codes of rules that are written as their conditions, one a line or a `;`; what says no action accepts.
fn codes_of(rules: &[&str]) -> Vec<&'static str> {
    let said = said(&[source("rules.toml", &written(rules))], &[]);
    said.iter().map(|said| said.code.id()).collect()
}

fn written(rules: &[&str]) -> String {
    let rules = rules.iter().enumerate().map(|(place, rule)| {
        let action = if rule.contains("action") { "" } else { "action = \"accept\"\n" };
        format!("[[rule]]\nname = \"{place}\"\n{}\n{action}", rule.replace("; ", "\n"))
    });
    rules.collect()
}

fn explained() -> impl Iterator<Item = &'static mpgate::rules::codes::Explained> {
    CATALOGUE.iter().filter(|explained| explained.code != Code::TooMany)
}

#[test]
fn each_bad_file_has_its_code_and_no_other() {
    let mut reports = String::new();
    for explained in explained() {
        let said = said(&[source("bad.toml", explained.bad)], &[]);
        assert!(!said.is_empty(), "{} is not found", explained.id);
        for said in &said {
            assert_eq!(said.code, explained.code, "{}: {said:?}", explained.id);
        }
        reports += &format!("{} {}\n\n{}\n", explained.id, explained.name, render(&said, Look::Plain));
    }
    insta::assert_snapshot!(reports);
}

#[test]
fn each_good_file_is_clean() {
    for explained in explained() {
        assert_eq!(said(&[source("good.toml", explained.good)], &[]), [], "{}", explained.id);
    }
}

#[test]
fn what_is_more_than_anybody_reads_is_counted() {
    let many = |severity: &str| format!("{severity}\n").repeat(620);
    let unused = (0..620).map(|set| format!("s{set} = \"10.0.{}.{}\"\n", set / 250, set % 250));
    for (text, severity) in [
        (many("[[rule]]\nname = 1"), Severity::Error),
        (format!("[sets]\n{}", unused.collect::<String>()), Severity::Warning),
    ] {
        let said = said(&[source("many.toml", &text)], &[]);
        let last = said.last().unwrap();
        assert_eq!((said.len(), last.code, last.severity), (501, Code::TooMany, severity));
    }
}

#[test]
fn codes_are_found_by_number_and_name_and_are_in_order() {
    let ids: Vec<_> = CATALOGUE.iter().map(|explained| explained.id).collect();
    assert!(ids.is_sorted() && ids.windows(2).all(|pair| pair[0] != pair[1]), "{ids:?}");
    for explained in &CATALOGUE {
        assert_eq!((explained.code.id(), explained.code.name()), (explained.id, explained.name));
        let number = explained.id.trim_start_matches("MG");
        for word in [explained.id, explained.name, number, &explained.id.to_lowercase()] {
            assert_eq!(Code::from_word(word).map(|found| found.code), Some(explained.code), "{word}");
        }
    }
    assert_eq!(Code::from_word("LAW-1").map(|found| found.id), Some("MG021"));
    assert_eq!(Code::nearest("unreachabel").map(|found| found.id), Some("MG042"));
    for stranger in ["", "MG", "MG000", "E0001", "+21", "law"] {
        assert!(Code::from_word(stranger).is_none(), "{stranger}");
    }
}

#[test]
fn reasons_are_short_and_end() {
    for explained in &CATALOGUE {
        let (why, id) = (explained.why, explained.id);
        assert!(why.ends_with('.') && !why.contains("  ") && why.len() <= 400, "{id}: {why}");
        let first = why.split_once(". ").map_or(why, |(first, _)| first);
        assert!(first.len() <= 130, "{id} begins with a long sentence: {first}");
    }
}

/// A rule that no segment meets, each beside one that only looks so.
#[test]
fn contradictions_are_found_where_they_are() {
    let never = [
        "from = \"10.0.0.0/8\"; to = \"::1\"",
        "from = \"::/0\"; to_not = \"::/0\"",
        "from = \"private\"; from_not = \"bogon\"",
        "from_not = [\"0.0.0.0/0\", \"::/0\"]",
        "port = 443; port_not = \"1-1000\"",
        "port_not = [\"0-442\", \"443-65535\"]",
        "from_port = [80, 443]; from_port_not = [443, 80]",
        "parent_port = 443; parent_port_not = \"1-1000\"",
        "in_interface = \"eth0\"; in_interface_not = [\"eth0\", \"eth1\"]",
        "mark = 5; mark_not = \"1/1\"",
        "connections_per_source = \"< 5\"; connections_per_source_not = \"< 9\"",
        "option = \"dss\"; option_not = [\"dss\", \"mp_prio\"]",
        "option = \"dss\"; segment = \"syn\"",
        "option = \"mp_tcprst\"; segment_not = \"rst\"",
        "option = \"mp_join\"; standing = [\"new_connection\", \"plain\"]",
        "option = \"mp_capable\"; standing = \"join_known\"",
        "kind = \"fast_open\"; kind_not = [\"fast_open\", 69]",
        "version = [0, 1]; version_not = [0, 1, 2]",
        "version = 1; standing = \"plain\"",
        "segment = \"syn\"; segment_not = \"syn\"",
        "segment_not = [\"syn\", \"syn_ack\", \"ack\", \"data\", \"fin\", \"rst\"]",
        "standing = \"plain\"; standing_not = \"plain\"",
        "standing = \"mirrored\"; segment = \"syn\"",
        "join_to = \"first\"; option = \"mp_capable\"",
        "join_to = \"other\"; segment = \"ack\"",
        "join_to = \"announced\"; standing = \"join_verified\"",
        "join_to = \"first\"; join_to_not = [\"first\", \"other\"]",
        "announces = \"private\"; segment = \"syn\"",
        "announces = \"10.0.0.1\"; announces_not = \"private\"",
        "announces = \"private\"; option = \"mp_prio\"; segment = \"syn_ack\"",
        "same_interface = true; standing = \"new_connection\"",
        "parent_from = \"::1\"; standing = \"join_unknown\"",
        "parent_rule = \"0\"; parent_rule_not = \"0\"",
        "subflows = 3; subflows_not = \"> 1\"",
        "pending_joins = 1; standing = \"mirrored\"",
        "standing = \"join_known\"; action = \"single_path\"",
    ];
    let speaks = [
        "from = \"10.0.0.0/8\"; to = [\"::1\", \"10.0.0.1\"]",
        "from = \"bogon\"; from_not = \"private\"",
        "from_not = [\"0.0.0.0/0\", \"::/1\"]",
        "port = \"1-1000\"; port_not = 443",
        "port_not = [\"0-442\", \"444-65535\"]",
        "in_interface = \"eth0\"; out_interface_not = \"eth0\"",
        "mark = \"1/1\"; mark_not = 5",
        "connections_per_source = \"< 9\"; connections_per_source_not = \"< 5\"",
        "option = [\"dss\", \"mp_prio\"]; option_not = \"dss\"",
        "option = [\"dss\", \"mp_join\"]; segment = \"syn\"",
        "option = \"mp_capable\"; standing = \"known_connection\"",
        "version = [0, 1]; version_not = 0",
        "segment = [\"syn\", \"ack\"]; segment_not = \"syn\"",
        "standing = \"mirrored\"; segment = \"syn_ack\"",
        "join_to = \"other\"; option = \"mp_join\"; standing = \"join_known\"",
        "announces = \"private\"; segment = [\"syn\", \"ack\"]",
        "announces = \"private\"; announces_not = \"10.0.0.1\"",
        "announces = \"private\"; option = \"mp_prio\"",
        "same_interface = true; standing = \"join_known\"",
        "subflows = \"> 1\"; subflows_not = 3",
        "malformed = true; option = \"dss\"; segment = \"syn\"",
        "wrong_segment = true; option = \"dss\"; segment = \"syn\"",
    ];
    for rule in never {
        assert_eq!(codes_of(&[rule]), ["MG041"], "{rule}");
    }
    for rule in speaks {
        assert_eq!(codes_of(&[rule]), [""; 0], "{rule}");
    }
}

/// Rules of which the last is never reached.
const UNREACHABLE: [&[&str]; 20] = [
    &["", "port = 443"],
    &["port = \"0-1023\"", "port = \"1024-65535\"", "from = \"::1\""],
    &["port = [443, \"8000-8099\"]", "port = 80", "port = [80, 443, 8050]"],
    &["from = \"10.0.0.0/9\"", "from = \"10.128.0.0/9\"", "from = \"10.0.0.0/8\""],
    &["to = \"2001:db8::/33\"", "to = \"2001:db8:8000::/33\"", "to = \"2001:db8::/32\""],
    &["from = \"0.0.0.0/0\"", "from = \"::/0\"", "port = 443"],
    &["from = \"0.0.0.0/0\"", "from = \"::/0\"", "to = \"@mixed\""],
    &["from = \"0.0.0.0/0\"", "to = \"10.0.0.0/8\""],
    &[
        "from = \"10.0.0.0/9\"",
        "from = \"10.128.0.0/9\"; port = \"0-99\"",
        "from = \"10.128.0.0/9\"; port = \"100-65535\"",
        "from = \"10.0.0.0/8\"",
    ],
    &[
        "from = \"@mixed\"; port = \"0-99\"",
        "to = \"@mixed\"; port = \"50-65535\"",
        "from = \"@mixed\"; to = \"@mixed\"",
    ],
    &["from = \"@mixed\"", "from = \"@mixed\""],
    &["from = \"@mixed\"", "from = \"@part\""],
    &["from_not = \"@part\"", "from = \"@part\"", "port = 443"],
    &["from_not = \"10.0.0.0/8\"", "from = \"192.0.2.1\""],
    &["from_not = \"10.1.0.0/16\"", "from_not = \"10.0.0.0/8\""],
    &["segment_not = \"rst\"", "segment = \"syn\""],
    &[
        "standing_not = [\"plain\", \"announcement_unproven\"]; option = \"mp_join\"",
        "standing = \"join_known\"; option = \"mp_join\"; port = 1",
    ],
    &["subflows = \"> 1\"", "subflows = \"3-4\""],
    &["mark = \"1/1\"", "mark = \"3/3\""],
    &["", "action = \"accept\"; observe = true"],
];

/// Rules of which each is reached.
const REACHED: [&[&str]; 19] = [
    &["port = \"0-1023\"", "port = \"1025-65535\"", "from = \"::1\""],
    &["from = \"10.0.0.0/9\"", "from = \"10.128.0.1-10.255.255.255\"", "from = \"10.0.0.0/8\""],
    &["from = \"10.0.0.0-10.255.255.254\"", "from = \"10.0.0.0/8\""],
    &[
        "to = \"2001:db8::/33\"",
        "to = \"2001:db8:8000::1-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff\"",
        "to = \"2001:db8::/32\"",
    ],
    &["from = \"0.0.0.0/0\"", "port = 443"],
    &[
        "from = \"10.0.0.0/9\"",
        "from = \"10.128.0.0/9\"; port = \"0-99\"",
        "from = \"10.128.0.0/9\"; port = \"101-65535\"",
        "from = \"10.0.0.0/8\"",
    ],
    &[
        "from = \"@mixed\"; port = \"0-99\"",
        "to = \"@part\"; port = \"50-65535\"",
        "from = \"@mixed\"; to = \"@mixed\"",
    ],
    &["from = \"@part\"", "from = \"@mixed\""],
    &["observe = true", "port = 443"],
    &["rate = \"10/s\"", "port = 443"],
    &["rate = \"> 10/s\"", "port = 443"],
    &["observe = true; port = \"0-99\"", "port = \"100-65535\"", "to = \"::1\""],
    &["from_not = \"10.0.0.0/8\"", "from_not = \"10.1.0.0/16\""],
    &["option_not = \"dss\"", "option = \"dss\""],
    &["port_not = 443", "port_not = 80"],
    &["option = \"mp_capable\"; action = \"strip\"", "option = \"mp_capable\""],
    &["parent_from = \"10.0.0.0/8\"", "from = \"10.0.0.0/8\""],
    &["subflows = \"> 1\"", "pending_joins = 2"],
    &["malformed = false", "malformed = true; action = \"drop\""],
];

#[test]
fn what_earlier_rules_leave_is_known_to_the_port_and_the_address() {
    let sets = "[sets]\nmixed = [\"@part\", \"2001:db8::/32\", \"198.51.100.7\"]\npart = \"192.0.2.0/24\"\n\
        used = [\"@mixed\"]\n[[rule]]\nname = \"uses\"\nfrom = \"@used\"\noption = \"mp_prio\"\naction = \"strip\"\n";
    let codes_of = |rules: &[&str]| {
        let said = said(&[source("sets.toml", sets), source("rules.toml", &written(rules))], &[]);
        said.iter().map(|said| (said.code.id(), said.place.path.clone())).collect::<Vec<_>>()
    };
    for rules in UNREACHABLE {
        assert_eq!(codes_of(rules), [("MG042", "rules.toml".to_owned())], "{rules:?}");
    }
    for rules in REACHED {
        assert_eq!(codes_of(rules), [], "{rules:?}");
    }
}

#[test]
fn the_rules_that_shadow_another_are_named() {
    let one_each: Vec<_> =
        (0..100).map(|port| format!("port = {port}")).chain(["port = \"0-99\"".to_owned()]).collect();
    let text = written(&one_each.iter().map(String::as_str).collect::<Vec<_>>());
    let said = said(&[source("rules.toml", &text)], &[]);
    let [unreachable] = said.as_slice() else { panic!("{said:?}") };
    let related = unreachable.related.as_ref().unwrap();
    assert!(
        related.message.ends_with(" and 96 more together speak first on all that it matches"),
        "{related:?}"
    );
}

#[test]
fn laws_have_their_branches() {
    let cases = [
        ("option = \"mp_capable\"; segment = [\"syn\", \"ack\"]; action = \"strip\"", "MG021"),
        ("option = \"mp_join\"; action = \"single_path\"", "MG021"),
        ("segment = [\"ack\", \"data\"]; action = \"single_path\"", "MG021"),
        ("segment = \"syn_ack\"; action = \"strip\"", "MG021"),
        ("option = \"mp_fail\"; action = \"drop\"", "MG022"),
        ("segment = \"data\"; action = \"drop\"", "MG022"),
        ("join_to = \"other\"; action = \"drop\"", "MG023"),
        ("join_to = \"other\"; action = \"strip\"", "MG023"),
        ("option = \"add_addr\"; segment = [\"ack\", \"data\"]; action = \"strip\"", "MG024"),
        ("announces = \"private\"; segment = \"ack\"; action = \"strip\"", "MG024"),
        ("option = \"mp_capable\"; segment = \"syn_ack\"; action = \"reject\"", "MG027"),
        ("kind = \"fast_open\"; action = \"drop\"", "MG027"),
        ("from = \"::1\"; segment = \"syn\"; action = \"drop\"", "MG027"),
        ("kind = [\"fast_open\", \"ao\"]; segment = \"syn\"; action = \"strip\"", "MG031"),
        ("kind = \"timestamps\"; segment = [\"syn\", \"data\"]; action = \"strip\"", "MG032"),
        ("kind = \"window_scale\"; segment_not = \"syn\"; action = \"strip\"", "MG032"),
        ("announces = \"private\"; action = \"reject\"", "MG033"),
        ("segment = \"rst\"; option = \"mp_join\"; action = \"reject\"", "MG033"),
        ("option = \"remove_addr\"; action = \"drop\"", "MG034"),
        ("kind = \"fast_open\"; segment = \"data\"; action = \"drop\"", "MG034"),
        ("option = \"mp_capable\"; segment = \"ack\"; action = \"drop\"", "MG034"),
        ("standing = \"announcement_unproven\"", "MG046"),
    ];
    for (rule, code) in cases {
        assert_eq!(codes_of(&[rule]), [code], "{rule}");
        if !matches!(code, "MG034" | "MG046") {
            let insists = codes_of(&[&format!("{rule}; break_connections = true")]);
            assert!(!insists.contains(&code), "{rule} insists: {insists:?}");
        }
    }
    for lawful in [
        "option = \"mp_capable\"; action = \"single_path\"",
        "segment = \"syn\"; action = \"single_path\"",
        "announces = \"private\"; action = \"drop\"",
        "announces = \"private\"; action = \"strip\"",
        "join_to = \"other\"; action = \"reject\"",
        "kind = \"window_scale\"; action = \"strip\"",
        "kind = \"fast_open\"; action = \"reject\"",
        "malformed = true; action = \"drop\"",
        "duplicate_option = true; action = \"reject\"",
        "segment_not = \"ack\"; option = \"add_addr\"; action = \"strip\"",
        "standing_not = \"announcement_unproven\"",
    ] {
        assert_eq!(codes_of(&[lawful]), [""; 0], "{lawful}");
    }
}

#[test]
fn sets_overlap_unless_one_is_in_the_other_by_name() {
    let use_all = "[[rule]]\nname = \"r\"\nfrom = [\"@a\", \"@b\", \"@c\"]\naction = \"accept\"\n";
    for (a, b, c, code) in [
        ("\"10.0.0.0/8\"", "\"10.9.0.0/16\"", "\"::1\"", "MG044:3"),
        ("\"10.0.0.0/8\"", "\"10.0.0.0/8\"", "\"::1\"", "MG044:3"),
        ("\"192.0.2.1-192.0.2.9\"", "\"192.0.2.9-192.0.2.12\"", "\"::1\"", "MG044:3"),
        ("\"2001:db8::/32\"", "\"::1\"", "[\"2001:db8::1\", \"192.0.2.1\"]", "MG044:4"),
        ("\"192.0.2.1-192.0.2.8\"", "\"192.0.2.9-192.0.2.12\"", "\"::1\"", ""),
        ("[\"@b\", \"10.0.0.0/8\"]", "\"10.9.0.0/16\"", "\"::1\"", ""),
        ("\"@b\"", "[\"@c\", \"10.0.0.0/8\"]", "\"10.0.0.1\"", ""),
        ("\"10.0.0.1\"", "[\"@a\", \"::1\"]", "\"::2\"", ""),
    ] {
        let text = format!("[sets]\na = {a}\nb = {b}\nc = {c}\n{use_all}");
        let wanted: Vec<_> = [code].into_iter().filter(|code| !code.is_empty()).collect();
        assert_eq!(codes(&text), wanted, "{text}");
    }
    let ports = "[sets]\na = 443\nb = \"400-500\"\n[[rule]]\nname = \"r\"\nport = [\"@a\", \"@b\"]\naction = \"accept\"\n";
    assert_eq!(codes(ports), [""; 0], "ports that two sets have are no matter");
}

#[test]
fn limits_are_no_lower_than_what_linux_does() {
    for (line, code) in [
        ("subflows = 0", "MG045:2"),
        ("subflows = 1", "MG045:2"),
        ("subflows = 2", ""),
        ("pending_joins = 1", "MG045:2"),
        ("pending_joins = 65535", ""),
        ("announced_addresses = 1", "MG045:2"),
        ("announced_addresses = 8", ""),
        ("announced_addresses = 9", "MG006:2"),
        ("subflows = 65536", "MG006:2"),
        ("subflows = -1", "MG006:2"),
        ("subflows = \"2\"", "MG005:2"),
        ("subflow = 2", "MG003:2"),
    ] {
        let wanted: Vec<_> = [code].into_iter().filter(|code| !code.is_empty()).collect();
        assert_eq!(codes(&format!("[limits]\n{line}\n")), wanted, "{line}");
    }
}

#[test]
fn sets_hold_one_kind_of_thing() {
    let rule = |key: &str| format!("[[rule]]\nname = \"r\"\n{key} = \"@a\"\naction = \"accept\"\n");
    for (set, key, code) in [
        ("[443, \"8000-8099\"]", "port", ""),
        ("[443, \"8000-8099\"]", "parent_port", ""),
        ("443", "from", "MG010:5"),
        ("\"eth0\"", "in_interface", ""),
        ("\"eth0\"", "port", "MG010:5"),
        ("\"r\"", "parent_rule", ""),
        ("\"other\"", "parent_rule", "MG014:2"),
        ("\"192.0.2.1\"", "out_interface", "MG010:5"),
        ("[\"192.0.2.1\", 443]", "from", "MG010:2"),
        ("[\"eth0\", \"192.0.2.1\"]", "in_interface", "MG010:2"),
        ("[\"private\", \"::1\"]", "announces", ""),
        ("\"10.0.0.0/33\"", "from", "MG006:2"),
        ("[]", "from", "MG007:2"),
        ("{ x = 1 }", "from", "MG006:2"),
        ("true", "from", "MG005:2"),
    ] {
        let text = format!("[sets]\na = {set}\n{}", rule(key));
        let wanted: Vec<_> = [code].into_iter().filter(|code| !code.is_empty()).collect();
        assert_eq!(codes(&text), wanted, "{text}");
    }
}

/// Codes, each behind its file.
type Said<'c> = &'c [(&'c str, &'c str)];

#[test]
fn files_of_one_load_know_each_other() {
    let cases: [(&[&str], Said<'_>); 7] = [
        (&["[policy]\ndefault = \"strip\"\n", "[policy]\ndefault = \"strip\"\n"], &[("1.toml", "MG012")]),
        (
            &["[limits]\nsubflows = 2\n", "[limits]\nsubflows = 3\npending_joins = 2\n"],
            &[("1.toml", "MG012")],
        ),
        (&["[sets]\na = \"::1\"\n", "[sets]\na = \"::2\"\n"], &[("1.toml", "MG012")]),
        (&[&RULE.replace("NAME", "r"), &RULE.replace("NAME", "r")], &[("1.toml", "MG012")]),
        (
            &[
                "[[rule]]\nname = \"r\"\nfrom = \"@a\"\nparent_rule = \"s\"\naction = \"accept\"\n",
                "[sets]\na = \"::1\"\n[[rule]]\nname = \"s\"\nport = 1\naction = \"accept\"\n",
            ],
            &[],
        ),
        (
            &[
                "[normalize]\nallow = [\"md5\", \"ao\"]\n",
                "# nothing\n",
                "[normalize]\nbreak_connections = true\n",
            ],
            &[("1.toml", "MG047")],
        ),
        (
            &["[[rule]]\nname = \"all\"\naction = \"accept\"\n", &RULE.replace("NAME", "r")],
            &[("1.toml", "MG042")],
        ),
    ];
    for (texts, wanted) in cases {
        let files: Vec<_> =
            texts.iter().enumerate().map(|(place, text)| source(&format!("{place}.toml"), text)).collect();
        let said = said(&files, &[]);
        let codes: Vec<_> = said.iter().map(|said| (said.place.path.as_str(), said.code.id())).collect();
        assert_eq!(codes, wanted, "{texts:?}");
    }
}

const RULE: &str = "[[rule]]\nname = \"NAME\"\nport = 443\naction = \"accept\"\n";

#[test]
fn what_is_wrong_with_a_list_stands_in_the_list() {
    let text = "[sets]\na = [{ file = \"good.txt\" }, { file = \"bad.txt\" }, \"::1\"]\n\
        b = { file = \"none.txt\" }\nc = [443, { file = \"good.txt\" }]\n\
        [[rule]]\nname = \"r\"\nfrom = [\"@a\", \"@b\"]\naction = \"accept\"\n";
    let lists = [
        ("good.txt", "# ours\n\n192.0.2.1\n198.51.100.0/24 # a prefix\n10.0.0.1-10.0.0.3\r\n2001:db8::/32"),
        ("bad.txt", "192.0.2.1\n\n  host.example # a name\n10.0.0.0/33\n443\n@a\n\u{fc}"),
    ];
    let said = said(&[source("rules.toml", text)], &lists);
    insta::assert_snapshot!(render(&said, Look::Plain));
    let places: Vec<_> = said
        .iter()
        .map(|said| {
            format!("{}:{}:{} {}", said.place.path, said.place.line, said.place.column, said.code.id())
        })
        .collect();
    assert!(places.contains(&"bad.txt:3:3 MG006".to_owned()), "{places:?}");
}

#[test]
fn a_list_is_a_set_of_addresses_as_any_other() {
    let text = "[sets]\na = { file = \"a.txt\" }\nb = [\"@a\", { file = \"b.txt\" }]\n\
        [[rule]]\nname = \"0\"\nfrom = \"@b\"\naction = \"accept\"\n\
        [[rule]]\nname = \"1\"\nfrom = \"192.0.2.1-192.0.2.2\"\naction = \"accept\"\n\
        [[rule]]\nname = \"2\"\nfrom = \"192.0.2.3\"\naction = \"accept\"\n";
    let said = said(&[source("rules.toml", text)], &[("a.txt", "192.0.2.1"), ("b.txt", "192.0.2.2\n")]);
    let codes: Vec<_> = said.iter().map(|said| (said.code.id(), said.place.line)).collect();
    assert_eq!(codes, [("MG042", 9)]);
}
