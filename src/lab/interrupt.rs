//! Waits that are bounded and that a signal ends.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::clock;
use crate::lab::{LabError, doing};

/// How often [`Interrupt::until`] asks: short against everything that the lab waits for.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Knows whether SIGINT, SIGTERM or SIGHUP came.
#[derive(Clone, Debug)]
pub(super) struct Interrupt(Arc<State>);

#[derive(Debug, Default)]
struct State {
    came: Mutex<bool>,
    news: Condvar,
}

impl State {
    fn came(&self) -> MutexGuard<'_, bool> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Interrupt {
    /// From now on those signals no longer end the process; the waits end instead, and what the lab made goes with them.
    pub(super) fn watch() -> Result<Self, LabError> {
        let catching = || doing("catching signals");
        let state = Arc::new(State::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(catching())?;
        let guard = runtime.enter();
        let mut int = signal(SignalKind::interrupt()).map_err(catching())?;
        let mut term = signal(SignalKind::terminate()).map_err(catching())?;
        let mut hangup = signal(SignalKind::hangup()).map_err(catching())?;
        drop(guard);
        let told = Arc::clone(&state);
        let wait = move || {
            runtime.block_on(async {
                tokio::select! { _ = int.recv() => (), _ = term.recv() => (), _ = hangup.recv() => () }
            });
            *told.came() = true;
            told.news.notify_all();
        };
        thread::Builder::new().name("signals".into()).spawn(wait).map_err(catching())?;
        Ok(Self(state))
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// As soon as a signal came.
    pub(super) fn pause(&self, span: Duration) -> Result<(), LabError> {
        let waited = self.0.news.wait_timeout_while(self.0.came(), span, |came| !*came);
        let (came, _timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if *came { Err(LabError::Interrupted) } else { Ok(()) }
    }

    /// Asks again and again until there is an answer.
    ///
    /// # Errors
    /// When there is none within `limit`, when asking fails, and as soon as a signal came.
    pub(super) fn until<T>(
        &self,
        what: &str,
        limit: Duration,
        mut ask: impl FnMut() -> Result<Option<T>, LabError>,
    ) -> Result<T, LabError> {
        let since = clock::now();
        loop {
            if let Some(answer) = ask()? {
                return Ok(answer);
            }
            if clock::now().since(since) > limit {
                return Err(LabError::Overdue { what: what.into(), limit });
            }
            self.pause(ASK_EVERY)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_in_vain_says_for_what() {
        let interrupt = Interrupt(Arc::default());
        let limit = Duration::from_millis(50);
        let waited = interrupt.until("a sign of life", limit, || Ok(None::<()>));
        assert!(matches!(waited, Err(LabError::Overdue { what, .. }) if what == "a sign of life"));
    }

    #[test]
    fn a_signal_ends_every_wait_at_once() {
        let interrupt = Interrupt(Arc::default());
        let signalled = interrupt.clone();
        let since = clock::now();
        thread::spawn(move || {
            *signalled.0.came() = true;
            signalled.0.news.notify_all();
        });
        assert!(matches!(interrupt.pause(Duration::from_secs(60)), Err(LabError::Interrupted)));
        assert!(matches!(interrupt.pause(Duration::ZERO), Err(LabError::Interrupted)));
        assert!(clock::now().since(since) < Duration::from_secs(30));
    }
}
