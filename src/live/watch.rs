//! Watches rule files, and swaps the rules under traffic when they change.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::signal::unix::Signal;
use tokio::sync::{Notify, oneshot};
use tokio::time::sleep;

use crate::clock;
use crate::engine::Engine;
use crate::live::load::{List, LoadError, Loaded, compile_recorded, read, read_lists};
use crate::metrics::Metrics;
use crate::priority;
use crate::rules::{Diagnostic, RuleSet, Source};

/// From the first sign of a change to looking at the files: an editor has written by then, and a second, the promise, is
/// far. What is half written at that time is refused, and its end is a change of its own.
const SETTLE: Duration = Duration::from_millis(200);

/// A decision takes microseconds, so what the rules before are still shared for is over by the first look. A worker that
/// sits on one packet for as long as this hangs, and is the watchdog's affair; it frees them then, should it go on.
const RETIRE_MAX: Duration = Duration::from_secs(1);

/// How often it is looked whether the rules before are free.
const RETIRE_LOOK: Duration = Duration::from_millis(1);

/// Loads the rules anew.
#[derive(Debug)]
pub struct Reloader {
    paths: Vec<PathBuf>,
    seen: Look,
}

/// What the files say, and where a change of them shows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    /// The same as long as the files say the same, or cannot be read for the same reason.
    fingerprint: u64,
    /// The lists that sets name; as long as the rule files say the same, these are the same.
    lists: Vec<PathBuf>,
    homes: BTreeSet<PathBuf>,
}

/// Why the rules are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// Somebody asks for it.
    Hangup,
    /// Something happened in the directories; perhaps nothing that the files say has changed.
    Event,
}

impl Reloader {
    /// Loads the rules for the first time, and logs what is allowed in them but surely not meant.
    ///
    /// # Errors
    /// As [`load`](crate::live::load::load).
    pub fn open(paths: Vec<PathBuf>) -> Result<(Self, RuleSet), LoadError> {
        let (loaded, seen) = Look::load(&paths, read(&paths));
        Ok((Self { paths, seen }, warned(loaded?)))
    }

    /// Reloads at each hang-up signal, and whenever what the files say has changed.
    pub async fn run(
        mut self,
        mut hangups: Signal,
        engine: Arc<Engine>,
        metrics: Arc<Metrics>,
    ) -> Infallible {
        // It holds one sign of change, which stands for all that follow.
        let changes = Arc::new(Notify::new());
        let mut watch = self.watch(Arc::clone(&changes));
        // What changed before the watch stood is looked at first.
        changes.notify_one();
        loop {
            let homes = self.seen.homes.clone();
            tokio::select! {
                Some(()) = hangups.recv() => self.reload(Cause::Hangup, &engine, &metrics).await,
                () = changes.notified() => {
                    sleep(SETTLE).await;
                    self.reload(Cause::Event, &engine, &metrics).await;
                }
            }
            if self.seen.homes != homes {
                // Other lists are named now. What changed until these are watched is looked at again.
                drop(mem::replace(&mut watch, self.watch(Arc::clone(&changes))));
                changes.notify_one();
            }
        }
    }

    /// Watches directories, since editors and configuration tools rename a new file over the old one.
    fn watch(&self, changes: Arc<Notify>) -> Option<RecommendedWatcher> {
        let heard = move |event: notify::Result<Event>| {
            // Our own reading is an event too.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                changes.notify_one();
            }
        };
        let watch = notify::recommended_watcher(heard).and_then(|mut watcher| {
            self.seen.homes.iter().try_for_each(|home| watcher.watch(home, RecursiveMode::NonRecursive))?;
            Ok(watcher)
        });
        watch
            .inspect_err(|error| tracing::warn!("rule files are not watched ({error}); SIGHUP reloads them"))
            .ok()
    }

    /// Reloads on a thread of its own, and returns once that has ended: there are never more than the rules in force and
    /// those that come or go.
    async fn reload(&mut self, cause: Cause, engine: &Arc<Engine>, metrics: &Arc<Metrics>) {
        if self.paths.is_empty() {
            if cause == Cause::Hangup {
                tracing::info!("nothing to reload: the built-in policy is in force, no --rules were given");
            }
            return;
        }
        let reload = Reload {
            paths: self.paths.clone(),
            cause,
            seen: self.seen.clone(),
            engine: Arc::clone(engine),
            metrics: Arc::clone(metrics),
        };
        let (tell, told) = oneshot::channel();
        // Nobody asks any more once the gate ends.
        let work = move || drop(tell.send(reload.run()));
        let started = thread::Builder::new().name("mpgate-rules".to_owned()).spawn(work);
        let failed = match started {
            Ok(_detached) => match told.await {
                Ok(seen) => return self.seen = seen,
                Err(_gone) => "its thread did not come to its end".to_owned(),
            },
            Err(error) => format!("there is no thread for it: {error}"),
        };
        metrics.reload_error();
        tracing::error!("rules not reloaded, those in force stay: loading them failed ({failed})");
    }
}

/// One reload. Reading, compiling and freeing ten thousand rules takes some hundred milliseconds of a processor.
struct Reload {
    paths: Vec<PathBuf>,
    cause: Cause,
    /// What was seen last.
    seen: Look,
    engine: Arc<Engine>,
    metrics: Arc<Metrics>,
}

impl Reload {
    /// What it found.
    fn run(self) -> Look {
        priority::yield_to_workers();
        let began = clock::now();
        let sources = read(&self.paths);
        if self.cause == Cause::Event {
            let now = Look::new(&self.paths, &sources, &read_lists(self.seen.lists.clone()));
            if now == self.seen {
                return now;
            }
        }
        let (loaded, seen) = Look::load(&self.paths, sources);
        match loaded.map(warned) {
            Ok(rules) => {
                let count = rules.labels().count();
                let hits = self.metrics.rules_in_force(&rules);
                let before = self.engine.swap_rules(rules);
                self.metrics.reload_ok();
                tracing::info!(
                    rules = count,
                    millis = clock::now().since(began).as_millis(),
                    "rules reloaded"
                );
                retire(hits);
                retire(before);
            }
            Err(error) => {
                self.metrics.reload_error();
                tracing::error!("rules not reloaded, those in force stay: {error}");
            }
        }
        seen
    }
}

/// Frees what was swapped out, on this thread and not on the worker that had it last.
fn retire<T>(before: Arc<T>) {
    let until = clock::now().after(RETIRE_MAX);
    // Nobody can come to share it any more, for there is another in its place.
    while Arc::strong_count(&before) > 1 && clock::now() < until {
        thread::park_timeout(RETIRE_LOOK);
    }
    drop(before);
}

/// The directories in which a change of `path` shows: its own, and the one that a symbolic link leads to.
fn homes(path: &Path) -> Vec<PathBuf> {
    let real = path.canonicalize();
    let named = [path.to_owned()].into_iter().chain(real);
    named
        .map(|path| match path.parent() {
            _ if path.is_dir() => path,
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        })
        .collect()
}

/// The directories in which a change of a list shows: the nearest that is there, for the list may come with its own.
fn homes_of_list(path: &Path) -> Vec<PathBuf> {
    let named = [path.to_owned()].into_iter().chain(path.canonicalize());
    named
        .map(|path| {
            let home = path.ancestors().skip(1).find(|home| home.is_dir());
            home.unwrap_or(Path::new(".")).to_owned()
        })
        .collect()
}

impl Look {
    fn new(paths: &[PathBuf], read: &Result<Vec<Source>, LoadError>, lists: &[List]) -> Self {
        let mut hasher = DefaultHasher::new();
        match read {
            Ok(sources) => sources.iter().for_each(|source| (&source.path, &source.text).hash(&mut hasher)),
            Err(error) => error.to_string().hash(&mut hasher),
        }
        lists.hash(&mut hasher);
        let homes = paths.iter().flat_map(|path| homes(path));
        Self {
            fingerprint: hasher.finish(),
            lists: lists.iter().map(|list| list.path.clone()).collect(),
            homes: homes.chain(lists.iter().flat_map(|list| homes_of_list(&list.path))).collect(),
        }
    }

    /// Compiles what was read, and says what that was.
    fn load(paths: &[PathBuf], read: Result<Vec<Source>, LoadError>) -> (Result<Loaded, LoadError>, Self) {
        let (loaded, lists) = match &read {
            Ok(sources) => compile_recorded(sources),
            Err(_unreadable) => (Ok(Loaded::default()), Vec::new()),
        };
        let seen = Self::new(paths, &read, &lists);
        (read.and(loaded), seen)
    }
}

/// Logs what is allowed in the rules but surely not meant.
fn warned((rules, warnings): Loaded) -> RuleSet {
    for Diagnostic { place, message, .. } in &warnings {
        tracing::warn!("{}:{}:{}: {message}", place.path, place.line, place.column);
    }
    rules
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn look(path: &Path) -> Look {
        let paths = [path.to_owned()];
        Look::load(&paths, read(&paths)).1
    }

    #[test]
    fn only_what_the_files_say_is_a_change() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("rules.toml");
        let missing = look(&file);
        fs::write(&file, "[policy]").unwrap();
        let written = look(&file);
        fs::write(home.path().join("new"), "[policy]").unwrap();
        fs::rename(home.path().join("new"), &file).unwrap();
        assert_ne!(missing, written);
        assert_eq!(look(&file), written, "touched");
        fs::write(&file, "[sets]").unwrap();
        assert_ne!(look(&file), written);
        fs::remove_file(&file).unwrap();
        assert_eq!(look(&file), missing);
    }

    #[test]
    fn lists_are_part_of_what_the_files_say_and_are_watched_before_they_are_there() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        let file = home.join("rules.toml");
        fs::write(&file, "[sets]\nbad = { file = \"lists/bad.txt\" }\nnone = 3\nx = true\n").unwrap();
        let missing = look(&file);
        assert_eq!(missing.homes, BTreeSet::from([home.clone()]));
        fs::create_dir(home.join("lists")).unwrap();
        let awaited = look(&file);
        assert_eq!(awaited.homes, BTreeSet::from([home.clone(), home.join("lists")]));
        fs::write(home.join("lists/bad.txt"), "192.0.2.1\n").unwrap();
        let there = look(&file);
        assert_eq!(there.homes, awaited.homes);
        assert_ne!(there, awaited);
        let paths = [file.clone()];
        let again = Look::new(&paths, &read(&paths), &read_lists(there.lists.clone()));
        assert_eq!(again, there, "looked at without compiling");
        fs::write(home.join("lists/bad.txt"), "192.0.2.2\n").unwrap();
        assert_ne!(there, look(&file));
    }

    #[test]
    fn a_link_is_watched_at_both_its_ends() {
        let home = tempfile::tempdir().unwrap();
        let real = home.path().canonicalize().unwrap();
        fs::create_dir(real.join("far")).unwrap();
        fs::write(real.join("far/rules.toml"), "").unwrap();
        std::os::unix::fs::symlink(real.join("far/rules.toml"), real.join("rules.toml")).unwrap();
        assert_eq!(homes(&real.join("rules.toml")), [real.clone(), real.join("far")]);
        assert_eq!(homes(&real.join("far")), [real.join("far"), real.join("far")]);
        assert_eq!(homes(Path::new("missing.toml")), [Path::new(".")]);
    }
}
