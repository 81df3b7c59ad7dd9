//! `mpgate check` as a user meets it: what it prints, and how it ends.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

use std::fs;
use std::path::Path;
use std::process::Command;

/// Exit code, standard output and standard error of `mpgate check` in a directory of its own.
fn check(files: &[(&str, &str)], args: &[&str]) -> (i32, String, String) {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    check_in(directory.path(), args)
}

fn check_in(directory: &Path, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mpgate"));
    let output = command.arg("check").args(args).current_dir(directory).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

const CLEAN: &str = "[sets]\nerp = \"::1\"\n[[rule]]\nname = \"r\"\nto = \"@erp\"\naction = \"strip\"\n";

#[test]
fn clean_rules_end_with_0_and_are_counted() {
    let said = check(&[("a.toml", CLEAN), ("b.toml", "[policy]\ndefault = \"strip\"\n")], &["."]);
    assert_eq!(said, (0, "clean: 1 rule and 1 set in 2 files\n".to_owned(), String::new()));
}

#[test]
fn warnings_end_with_1_and_are_drawn() {
    let (code, out, err) = check(&[("a.toml", "# later\n")], &["a.toml"]);
    assert_eq!((code, err.as_str()), (1, ""));
    assert!(out.starts_with("warning[MG047]"), "{out}");
    assert!(out.ends_with("\n\n1 warning: 0 rules and 0 sets in 1 file\n"), "{out}");
    assert!(!out.contains('\u{1b}'), "colour without a terminal: {out}");
}

#[test]
fn errors_end_with_1_and_are_counted() {
    let (code, out, _) = check(&[("a.toml", "[policy]\ndefault = 1\nx = 1\n")], &["a.toml"]);
    assert_eq!(code, 1);
    assert!(out.ends_with("\n\n2 errors and 0 warnings in 1 file\n"), "{out}");
}

#[test]
fn what_cannot_be_read_ends_with_2_in_one_line() {
    let said = check(&[], &["nowhere.toml"]);
    let line = "nowhere.toml: cannot be read: No such file or directory (os error 2)\n";
    assert_eq!(said, (2, String::new(), line.to_owned()));
}

#[test]
fn json_has_diagnostics_and_a_summary() {
    let (code, out, _) =
        check(&[("a.toml", CLEAN), ("b.toml", "[policy]\nx = 1\n")], &["--json", "a.toml", "b.toml"]);
    let outcome: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 1);
    assert_eq!(outcome.pointer("/diagnostics/0/code").unwrap(), "MG003");
    assert_eq!(outcome.pointer("/diagnostics/0/path").unwrap(), "b.toml");
    assert_eq!(outcome.pointer("/diagnostics/0/line").unwrap(), 2);
    assert_eq!(outcome.pointer("/summary/errors").unwrap(), 1);
    assert!(outcome.pointer("/summary/rules").unwrap().is_null());
}

#[test]
fn a_code_is_explained_by_number_and_name() {
    let (code, by_number, err) = check(&[], &["--explain", "MG027"]);
    assert_eq!((code, err.as_str()), (0, ""));
    insta::assert_snapshot!(by_number);
    for word in ["mg027", "27", "law_7", "Law-7"] {
        assert_eq!(check(&[], &["--explain", word]), (0, by_number.clone(), String::new()), "{word}");
    }
    let (_, json, _) = check(&[], &["--explain", "law_7", "--json"]);
    let explained: serde_json::Value = serde_json::from_str(&json).unwrap();
    for (pointer, value) in [("/code", "MG027"), ("/severity", "error"), ("/diagnostics/0/code", "MG027")] {
        assert_eq!(explained.pointer(pointer).unwrap(), value, "{json}");
    }
    assert!(explained["bad"].is_string() && explained["good"].is_string() && explained["why"].is_string());
}

#[test]
fn a_code_that_is_none_gets_the_nearest_one() {
    for (word, nearest) in
        [("law_9", "did you mean MG021 (law_1)?"), ("overlaping_sets", "(overlapping_sets)?")]
    {
        let (code, out, err) = check(&[], &["--explain", word]);
        assert_eq!((code, out.as_str()), (2, ""));
        assert!(err.contains(nearest) && err.lines().count() == 1, "{err}");
    }
    let (code, _, err) = check(&[], &["--explain", "\u{1b}[31mxyzzy"]);
    assert_eq!(code, 2);
    assert!(err.contains("--codes lists all") && !err.contains('\u{1b}'), "{err}");
}

#[test]
fn all_codes_are_listed() {
    let (code, table, _) = check(&[], &["--codes"]);
    assert_eq!(code, 0);
    insta::assert_snapshot!(table);
    assert_eq!(check(&[], &["--explain", "all"]), (0, table.clone(), String::new()));
    let (_, json, _) = check(&[], &["--codes", "--json"]);
    let codes: serde_json::Value = serde_json::from_str(&json).unwrap();
    for explained in codes["codes"].as_array().unwrap() {
        let id = explained["code"].as_str().unwrap();
        assert!(table.contains(id), "{id}");
        let said = explained["diagnostics"].as_array().unwrap();
        assert!(explained["bad"].is_null() || said.iter().any(|said| said["code"] == id), "{explained}");
    }
}

#[test]
fn explanations_take_no_rule_files() {
    for args in [["--explain", "27"].as_slice(), &["--codes"], &["--schema"]] {
        let (code, _, err) = check(&[("a.toml", CLEAN)], &[args, &["a.toml"]].concat());
        assert_eq!(code, 2);
        assert!(err.contains("cannot be used with"), "{err}");
    }
    assert_eq!(check(&[], &[]).0, 2);
}

const LISTED: &str = "[sets]\nbad = { file = \"lists/bad.txt\" }\n[[rule]]\nname = \"r\"\nfrom = \"@bad\"\naction = \"strip\"\n";

#[test]
fn lists_lie_beside_the_file_that_names_them() {
    let home = tempfile::tempdir().unwrap();
    let rules = home.path().join("etc/rules");
    fs::create_dir_all(rules.join("lists")).unwrap();
    fs::write(rules.join("a.toml"), LISTED).unwrap();
    let list = rules.join("lists/bad.txt");
    let check = |path: &str| check_in(home.path(), &[path]);
    let said = |bytes: &[u8]| {
        fs::write(&list, bytes).unwrap();
        let (code, out, err) = check("etc/rules");
        assert_eq!((code, err.as_str()), (1, ""), "{out}");
        out
    };

    let (code, missing, _) = check("etc/rules/a.toml");
    assert_eq!(code, 1);
    let bad = said(b"192.0.2.1\n\n  example.org  # a name\n");
    let latin = said(b"# ours\n# \xfc\n");
    let huge = said(&vec![b'#'; (8 << 20) + 1]);
    fs::remove_file(&list).unwrap();
    fs::create_dir(&list).unwrap();
    let (_, directory, _) = check("etc/rules/a.toml");
    insta::assert_snapshot!([missing, bad, latin, huge, directory].join("\n================\n\n"));

    fs::remove_dir(&list).unwrap();
    fs::write(&list, "# ours\n192.0.2.1\n2001:db8::/32 # theirs\n").unwrap();
    assert_eq!(check("etc/rules").0, 0);
    let absolute = LISTED.replace("lists/bad.txt", list.to_str().unwrap());
    fs::write(home.path().join("absolute.toml"), absolute).unwrap();
    assert_eq!(check("absolute.toml").0, 0);
}

#[test]
fn help_shows_an_example_and_the_language() {
    let (code, out, _) = check(&[], &["--help"]);
    assert_eq!(code, 0);
    for part in ["mpgate check /etc/mpgate/rules", "break_connections", "announcement_forged", "forged_join"]
    {
        assert!(out.contains(part), "{part} is missing in\n{out}");
    }
}
