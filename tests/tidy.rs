//! The house: imports only go down the floors, the pure floors touch no world, and each file says what it is for.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up; a room may import what stands before it.
const FLOORS: [&str; 7] = ["time", "marks", "wire", "mptcp", "track", "rules", "engine"];

/// Shared by the doors, above all floors; a closet may import floors and the closets that it is built on.
const CLOSETS: [(&str, &[&str]); 11] = [
    ("analysis", &[]),
    ("capture", &[]),
    ("clock", &[]),
    ("comment", &[]),
    ("evidence", &["capture", "clock", "comment", "metrics", "priority"]),
    ("fields", &[]),
    ("metrics", &[]),
    ("live", &["clock", "metrics", "priority"]),
    ("picture", &[]),
    ("priority", &["clock"]),
    ("script", &[]),
];

/// Neighbours that never import each other.
const DOORS: [&str; 9] = ["queue", "attach", "replay", "trace", "diff", "serve", "checkme", "probe", "lab"];

/// What the pure floors may not name.
const WORLD: [&str; 13] = [
    "std::fs",
    "std::io",
    "std::net::Tcp",
    "std::net::Udp",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::env",
    "std::process",
    "tokio",
    "tracing",
    "rand",
    "async ",
];

struct File {
    path: PathBuf,
    room: String,
    text: String,
}

fn files() -> Vec<File> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![source.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let inside = path.strip_prefix(&source).unwrap();
                let room = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
                let text = fs::read_to_string(&path).unwrap();
                found.push(File { path, room, text });
            }
        }
    }
    found
}

/// The rooms that a file imports, without its tests and its prose.
fn imports(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]").next().unwrap();
    let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    code.split("crate::")
        .skip(1)
        .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
        .filter(|room: &String| !room.is_empty())
        .collect()
}

fn allowed(room: &str, import: &str) -> bool {
    let floor = |room: &str| FLOORS.iter().position(|floor| *floor == room);
    if room == import || matches!(room, "cli" | "lib" | "main") {
        return true;
    }
    if let Some(at) = floor(room) {
        return floor(import).is_some_and(|import| import < at);
    }
    if let Some((_, closets)) = CLOSETS.iter().find(|(closet, _)| *closet == room) {
        return floor(import).is_some() || closets.contains(&import);
    }
    floor(import).is_some() || CLOSETS.iter().any(|(closet, _)| *closet == import)
}

#[test]
fn imports_only_go_down() {
    let wrong: Vec<_> = files()
        .iter()
        .flat_map(|file| imports(&file.text).into_iter().map(move |import| (file, import)))
        .filter(|(file, import)| !allowed(&file.room, import))
        .map(|(file, import)| format!("{} imports crate::{import}", file.path.display()))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_room_has_its_place() {
    let known = |room: &str| {
        FLOORS.contains(&room)
            || DOORS.contains(&room)
            || CLOSETS.iter().any(|(closet, _)| *closet == room)
            || matches!(room, "cli" | "lib" | "main")
    };
    let strangers: Vec<_> =
        files().into_iter().filter(|file| !known(&file.room)).map(|file| file.path).collect();
    assert!(strangers.is_empty(), "{strangers:?}");
}

#[test]
fn the_pure_floors_touch_no_world() {
    let mut wrong = Vec::new();
    for file in files().iter().filter(|file| FLOORS.contains(&file.room.as_str())) {
        let code: String = file
            .text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .flat_map(|line| [line, "\n"])
            .collect();
        let code = code.split("#[cfg(test)]").next().unwrap();
        for word in WORLD.iter().filter(|word| code.contains(**word)) {
            wrong.push(format!("{} names {word}", file.path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<_> =
        files().into_iter().filter(|file| !file.text.starts_with("//! ")).map(|file| file.path).collect();
    assert!(silent.is_empty(), "{silent:?}");
}
