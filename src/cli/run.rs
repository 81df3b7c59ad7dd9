//! `mpgate run`: binds the queues, brings the packets, decides until told to end, and leaves the kernel as it was.

use std::convert::Infallible;
use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::attach::{Attached, Plan, QueueMode};
use crate::cli::config::{Config, Listen};
use crate::cli::workers::Workers;
use crate::cli::{logging, watchdog};
use crate::clock;
use crate::engine::{Engine, Mode};
use crate::evidence::{Recorder, Settings};
use crate::live::watch::Reloader;
use crate::metrics::Metrics;
use crate::queue::{KernelQueue, QueueOptions, Worker, kernel_queues, whole_queue};
use crate::rules::RuleSet;
use crate::serve::{self, Site};
use crate::track::{EXPIRY_INTERVAL, FORGOTTEN_MAX};

/// What the workers get to answer the packets that wait: a full queue of 1024 takes some milliseconds, and a service
/// manager's patience is far longer.
const DRAIN_MAX: Duration = Duration::from_millis(1500);

/// What evidence that waits gets to be written: it is a megabyte a worker at most, and a disk that hangs shall not keep the
/// gate.
const RECORD_MAX: Duration = Duration::from_millis(300);

/// Decide the packets of NFQUEUE
///
/// Prints `ready` on standard error, and tells systemd, once every queue is bound. SIGHUP, or a change of the rule
/// files, loads the rules anew; SIGTERM and SIGINT take the kernel rules out, answer what waits, and end.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mpgate run --attach forward                  guard the packets that this router forwards, by the built-in policy
  mpgate run --rules /etc/mpgate/rules --queue 0-3 --attach forward --mode strict
  mpgate run --rules strict.toml --observe --attach host
                                               only count and log what the rules would do
  mpgate run -c /etc/mpgate/mpgate.toml        the same settings from a file; the command line wins over it")]
pub(super) struct Args {
    /// A file with these settings, with the limits of what is remembered, and with what is captured of what is not accepted
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    settings: Config,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = match &args.config {
        Some(file) => args.settings.over(Config::read(file)?),
        None => args.settings,
    };
    logging::start(config.log.unwrap_or_default())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(gate(&config));
    // Whatever still blocks had its time.
    runtime.shutdown_background();
    result.map(|()| ExitCode::SUCCESS)
}

/// The whole life of a gate. What brings packets comes last and goes first: where nobody answers a queue, packets wait
/// or are lost.
async fn gate(config: &Config) -> anyhow::Result<()> {
    let mut endings = Endings::catch()?;
    let hangups = signal(SignalKind::hangup())?;
    let metrics = Arc::new(Metrics::default());
    let (reloader, rules) = Reloader::open(config.rules.clone())?;
    tell_of(&rules, config);
    drop(metrics.rules_in_force(&rules));
    let mode = if config.observe { Mode::Observe } else { Mode::Enforce };
    if mode == Mode::Observe {
        tracing::info!("observing: every packet goes on as it is");
    }
    let engine = Arc::new(Engine::new(rules, config.limits(), mode));

    let mut bound = bind(config)?;
    let recorder = config.capture().map(|capture| record(capture, &metrics, &mut bound)).transpose()?;
    if let Err(error) = kernel_queues() {
        tracing::warn!(
            "cannot read what the kernel says of its queues ({error}): drops and hung workers go unseen"
        );
    }
    let site = Arc::new(site(&engine, &metrics, config.queues()));
    if let Listen::At(addr) = config.listen.unwrap_or_default() {
        let listener = serve::listen(addr).await?;
        tokio::spawn(serve::serve(listener, Arc::clone(&site)));
    }
    let mut workers = Workers::start(config.queues(), bound, &engine, &metrics, config.place())
        .context("cannot start a thread")?;
    let attached = plan(config).map(|plan| plan.install()).transpose()?;

    site.ready.store(true, Ordering::Release);
    tell(&[NotifyState::Ready]);
    // Nobody may be reading any more; that is no reason to end.
    writeln!(io::stderr(), "ready").ok();
    let missed = tokio::select! {
        name = endings.next() => {
            tracing::info!("{name}: draining");
            None
        }
        queue = workers.ended() => Some(queue),
        never = reloader.run(hangups, Arc::clone(&engine), metrics) => match never {},
        never = expire(&engine) => match never {},
        never = watchdog::watch(&site, config.queues()) => match never {},
    };

    site.ready.store(false, Ordering::Release);
    tell(&[NotifyState::Stopping]);
    tokio::select! {
        drained = drain(attached, workers, recorder) => drained?,
        name = endings.next() => bail!("{name} while draining: ended at once; rules that stay, `mpgate detach` takes out"),
    }
    missed.map_or(Ok(()), |queue| Err(anyhow!("the worker of queue {queue} ended by itself")))
}

/// The signals that end the gate.
struct Endings {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Endings {
    /// From now on they no longer kill.
    fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.quit.recv() => "SIGQUIT",
        }
    }
}

/// Rules about TCP options other than MPTCP's see what is queued, and in most modes plain TCP is not.
fn tell_of(rules: &RuleSet, config: &Config) {
    if config.rules.is_empty() {
        tracing::info!("no --rules: the built-in policy is in force");
    } else {
        tracing::info!(rules = rules.labels().count(), "rules loaded");
    }
    let unseen = config.attach.is_some() && config.mode.unwrap_or(QueueMode::Control) != QueueMode::All;
    if unseen && (rules.needs.kinds || rules.allowed.is_some()) {
        tracing::warn!(
            "rules name TCP options other than MPTCP's, and plain TCP is not queued: --mode all brings it"
        );
    }
}

fn bind(config: &Config) -> anyhow::Result<Vec<Worker>> {
    let options = |number| QueueOptions {
        number,
        fail_open: !config.fail_closed,
        packets_max: config.queue_packets_max(),
        copy_bytes: config
            .capture()
            .map_or(0, |capture| u16::try_from(capture.snap_bytes).unwrap_or(u16::MAX)),
    };
    Ok(config.queues().map(|number| Worker::bind(options(number))).collect::<Result<_, _>>()?)
}

/// Has the workers put down what they do not accept, and somebody write it.
fn record(settings: Settings, metrics: &Metrics, workers: &mut [Worker]) -> anyhow::Result<Recorder> {
    tracing::info!("what is not accepted is written to {}", settings.directory.display());
    let started = Recorder::start(settings, metrics.capture(), workers.len());
    let (recorder, collectors) = started.context("cannot start a thread")?;
    for (worker, collector) in workers.iter_mut().zip(collectors) {
        worker.gather(collector);
    }
    Ok(recorder)
}

fn plan(config: &Config) -> Option<Plan> {
    let Some(hook) = config.attach else {
        if config.mode.is_some() || config.backend.is_some() || config.fanout {
            tracing::warn!("mode, backend and fanout say how to attach; without --attach they mean nothing");
        }
        return None;
    };
    Some(Plan {
        hook,
        mode: config.mode.unwrap_or(QueueMode::Control),
        first_queue: *config.queues().start(),
        last_queue: *config.queues().end(),
        fanout: config.fanout,
        bypass: !config.fail_closed,
        backend: config.backend,
    })
}

fn site(engine: &Arc<Engine>, metrics: &Arc<Metrics>, queues: RangeInclusive<u16>) -> Site {
    let engine = Arc::clone(engine);
    let refresh = move |metrics: &Metrics| {
        metrics.tables(engine.counts());
        let kernel =
            kernel_queues().inspect_err(|error| tracing::warn!("cannot read the kernel's queues: {error}"));
        let kernel = kernel.unwrap_or_default();
        for queue in kernel.iter().filter(|queue| queues.contains(&queue.number)) {
            let whole = kernel.iter().find(|other| other.number == whole_queue(queue.number));
            let both = |count: fn(&KernelQueue) -> u64| count(queue).saturating_add(whole.map_or(0, count));
            let waiting = both(|queue| queue.waiting);
            let (full, user) = (both(|queue| queue.dropped_full), both(|queue| queue.dropped_user));
            metrics.kernel_queue(queue.number, waiting, full, user);
        }
    };
    Site {
        metrics: Arc::clone(metrics),
        refresh: Box::new(refresh),
        ready: AtomicBool::new(false),
        healthy: AtomicBool::new(true),
    }
}

async fn expire(engine: &Engine) -> Infallible {
    let mut ticks = interval(EXPIRY_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // Of many that ended at once, scrapes and signals take turns with what is left.
        while engine.expire(clock::now()) >= FORGOTTEN_MAX {
            yield_now().await;
        }
    }
}

/// Takes out what brings packets, has the workers answer those that wait, then what they put down is written.
async fn drain(
    attached: Option<Attached>,
    workers: Workers,
    recorder: Option<Recorder>,
) -> anyhow::Result<()> {
    let detached = match attached {
        Some(attached) => spawn_blocking(|| attached.detach()).await.map_err(anyhow::Error::from),
        None => Ok(Ok(())),
    };
    timeout(DRAIN_MAX, workers.stop())
        .await
        .with_context(|| format!("the workers did not end within {DRAIN_MAX:?}"))?;
    let recorded = spawn_blocking(|| recorder.map(Recorder::stop));
    if timeout(RECORD_MAX, recorded).await.is_err() {
        tracing::warn!("[capture] did not write all within {RECORD_MAX:?}");
    }
    Ok(detached??)
}

/// Tells systemd; where there is none nobody is told.
pub(super) fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("cannot notify the service manager: {error}");
    }
}
