//! Watches rule files, and swaps the rules under traffic when they change.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::signal::unix::Signal;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::engine::Engine;
use crate::live::load::{LoadError, load, read};
use crate::metrics::Metrics;
use crate::rules::{Diagnostic, RuleSet};

/// From the first sign of a change to looking at the files: an editor has written by then, and a second, the promise, is
/// far. What is half written at that time is refused, and its end is a change of its own.
const SETTLE: Duration = Duration::from_millis(200);

/// Loads rules, and logs what is allowed in them but surely not meant.
///
/// # Errors
/// As [`load`].
pub fn open(paths: &[PathBuf]) -> Result<RuleSet, LoadError> {
    let (rules, warnings) = load(paths)?;
    for Diagnostic { place, message, .. } in &warnings {
        tracing::warn!("{}:{}:{}: {message}", place.path, place.line, place.column);
    }
    Ok(rules)
}

/// Loads the rules anew.
#[derive(Debug)]
pub struct Reloader {
    paths: Vec<PathBuf>,
    seen: u64,
}

impl Reloader {
    /// To be made before the rules are first loaded, so that no change goes unseen.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self { seen: fingerprint(&paths), paths }
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
        let _watch = self.watch(Arc::clone(&changes));
        // What changed before the watch stood is looked at first.
        changes.notify_one();
        loop {
            tokio::select! {
                Some(()) = hangups.recv() => self.reload(&engine, &metrics).await,
                () = changes.notified() => {
                    sleep(SETTLE).await;
                    if self.changed().await {
                        self.reload(&engine, &metrics).await;
                    }
                }
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
            let homes: BTreeSet<_> = self.paths.iter().flat_map(|path| homes(path)).collect();
            homes.iter().try_for_each(|home| watcher.watch(home, RecursiveMode::NonRecursive))?;
            Ok(watcher)
        });
        watch
            .inspect_err(|error| tracing::warn!("rule files are not watched ({error}); SIGHUP reloads them"))
            .ok()
    }

    async fn changed(&mut self) -> bool {
        let paths = self.paths.clone();
        let now = spawn_blocking(move || fingerprint(&paths)).await.unwrap_or(self.seen);
        std::mem::replace(&mut self.seen, now) != now
    }

    async fn reload(&self, engine: &Engine, metrics: &Metrics) {
        if self.paths.is_empty() {
            tracing::info!("nothing to reload: the built-in policy is in force, no --rules were given");
            return;
        }
        let paths = self.paths.clone();
        match spawn_blocking(move || open(&paths)).await {
            Ok(Ok(rules)) => {
                let count = rules.labels().count();
                metrics.rules_in_force(&rules);
                engine.swap_rules(rules);
                metrics.reload_ok();
                tracing::info!(rules = count, "rules reloaded");
            }
            Ok(Err(error)) => {
                metrics.reload_error();
                tracing::error!("rules not reloaded, those in force stay: {error}");
            }
            Err(error) => {
                metrics.reload_error();
                tracing::error!("rules not reloaded, those in force stay: loading them failed ({error})");
            }
        }
    }
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

/// The same as long as the files say the same, or cannot be read for the same reason.
fn fingerprint(paths: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    match read(paths) {
        Ok(sources) => sources.iter().for_each(|source| (&source.path, &source.text).hash(&mut hasher)),
        Err(error) => error.to_string().hash(&mut hasher),
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_what_the_files_say_changes_the_fingerprint() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("rules.toml");
        let print = || fingerprint(std::slice::from_ref(&file));
        let missing = print();
        fs::write(&file, "[policy]").unwrap();
        let written = print();
        fs::write(home.path().join("new"), "[policy]").unwrap();
        fs::rename(home.path().join("new"), &file).unwrap();
        assert_ne!(missing, written);
        assert_eq!(print(), written, "touched");
        fs::write(&file, "[sets]").unwrap();
        assert_ne!(print(), written);
        fs::remove_file(&file).unwrap();
        assert_eq!(print(), missing);
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
