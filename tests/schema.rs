//! The JSON schema of rule files: what editors say of a file is what `mpgate check` says of it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, which may panic")]

use std::fs;
use std::path::PathBuf;

use jsonschema::Validator;
use mpgate::rules::codes::{CATALOGUE, Code};
use mpgate::rules::schema::schema;
use serde_json::Value;

fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema()).unwrap()
}

fn json(toml: &str) -> Value {
    toml::from_str(toml).unwrap_or_else(|error| panic!("{error}\n{toml}"))
}

fn errors(toml: &str) -> Vec<String> {
    let value = json(toml);
    validator().iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn the_shipped_schema_is_the_one_that_check_prints() {
    let shipped = fs::read_to_string(home().join("rules/schema.json")).unwrap_or_default();
    let printed = format!("{:#}\n", schema());
    assert!(
        shipped == printed,
        "rules/schema.json is old: `mpgate check --schema > rules/schema.json` renews it"
    );
    let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_mpgate"));
    let output = check.args(["check", "--schema"]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), printed);
}

#[test]
fn the_schema_is_one() {
    assert!(jsonschema::draft202012::meta::is_valid(&schema()));
}

#[test]
fn shipped_files_name_the_schema_and_keep_to_it() {
    let files = fs::read_dir(home().join("rules")).unwrap().map(|entry| entry.unwrap().path());
    for path in files.filter(|path| path.extension().is_some_and(|extension| extension == "toml")) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("#:schema ./schema.json\n"), "{}", path.display());
        assert_eq!(errors(&text), [""; 0], "{}", path.display());
    }
}

#[test]
fn whatever_the_language_can_say_keeps_to_it() {
    assert_eq!(errors(include_str!("rules/everything.toml")), [""; 0]);
    for explained in CATALOGUE.iter().filter(|explained| !explained.good.is_empty()) {
        assert_eq!(errors(explained.good), [""; 0], "{}", explained.id);
    }
    for line in [
        "from = [\"192.0.2.1-192.0.2.9\", \"@set\", \"::/0\"]",
        "port = \"@set\"",
        "from_port_not = [80, \"8000 - 8099\"]",
        "subflows = [\"> 1\", 3, \"5-7\"]",
        "connections_per_source_not = \">=0x10\"",
        "rate = \"> 5/minute per destination\"",
        "mark_not = [\"0x1/0xff\", 7]",
        "kind = [\"exp_0xf989\", 34, \"md5\"]",
        "reason = \"prohibited\"",
        "reason = 255",
        "set_mark = 1",
        "inherit_mark = \"0xff\"",
    ] {
        assert_eq!(
            errors(&format!("[[rule]]\nname = \"r\"\naction = \"accept\"\n{line}\n")),
            [""; 0],
            "{line}"
        );
    }
}

#[test]
fn what_cannot_be_does_not() {
    for line in [
        "prot = 443",
        "log_not = true",
        "option_not_not = \"dss\"",
        "port = true",
        "port = 65536",
        "port = \"http\"",
        "port = []",
        "from = 3",
        "from = [\"\"]",
        "option = \"mp-capable\"",
        "standing = \"join_forged\"",
        "version = 16",
        "version = \"1\"",
        "log = \"yes\"",
        "kind = 1",
        "kind = \"nothing\"",
        "subflows = \"many\"",
        "rate = \"5/fortnight\"",
        "mark = \"red\"",
        "reason = 256",
        "reason = \"because\"",
        "comment = [\"a\"]",
        "action = \"allow\"",
        "name = \"\"",
    ] {
        let mut rule = format!("[[rule]]\n{line}\n");
        for (key, value) in [("name", "r"), ("action", "accept")] {
            if !line.starts_with(key) {
                rule += &format!("{key} = \"{value}\"\n");
            }
        }
        assert_ne!(errors(&rule), [""; 0], "{rule}");
    }
    for file in [
        "[rules]\n",
        "[rule]\nname = \"r\"\naction = \"accept\"\n",
        "[[rule]]\nname = \"r\"\n",
        "[[rule]]\naction = \"accept\"\n",
        "[[policy]]\n",
        "[policy]\ndefault = \"drop\"\n",
        "[policy]\nmalformed = \"reject\"\n",
        "[limits]\nsubflows = -1\n",
        "[limits]\nannounced_addresses = 9\n",
        "[normalize]\n",
        "[sets]\na = true\n",
        "[sets]\na = { file = \"a\", x = 1 }\n",
        "[sets]\na = []\n",
    ] {
        assert_ne!(errors(file), [""; 0], "{file}");
    }
}

/// Codes that a single file shows by its form alone.
#[test]
fn bad_files_of_the_catalogue_that_show_it_by_their_form_do_not() {
    for explained in CATALOGUE.iter() {
        let by_form = matches!(
            explained.code,
            Code::Section | Code::UnknownKey | Code::MissingKey | Code::WrongType | Code::EmptyList
        );
        if by_form {
            assert_ne!(errors(explained.bad), [""; 0], "{}", explained.id);
        }
    }
}
