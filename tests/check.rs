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
fn help_shows_an_example_and_the_language() {
    let (code, out, _) = check(&[], &["--help"]);
    assert_eq!(code, 0);
    for part in ["mpgate check /etc/mpgate/rules", "break_connections", "announcement_forged", "forged_join"]
    {
        assert!(out.contains(part), "{part} is missing in\n{out}");
    }
}
