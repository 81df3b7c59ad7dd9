//! HTTP: metrics and health.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::metrics::Metrics;

/// Connections at once: a few Prometheus servers, probes, and a person with curl. More wait in the listener's backlog.
const CONNECTIONS_MAX: usize = 32;

/// A scraper sends its few hundred bytes of headers in one segment; who takes longer, or keeps a connection idle, only
/// holds a place.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(5);

/// Longer than any scrape; then a connection ends after its current answer, so that nobody holds a place by asking
/// without end or by reading slowly.
const CONNECTION_LIFE: Duration = Duration::from_mins(1);

/// What a reader gets to take an answer of some 20 KB.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The least that hyper takes, and ten times what a scraper sends.
const HEADERS_BYTES_MAX: usize = 8192;

/// `accept` fails for want of descriptors or memory; both may come back.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What is served.
pub struct Site {
    /// The series.
    pub metrics: Arc<Metrics>,
    /// Brings those series up to date that are read rather than counted; called before each answer to a scrape.
    pub refresh: Box<dyn Fn(&Metrics) + Send + Sync>,
    /// Every queue is bound and the rules are loaded, and the end has not begun.
    pub ready: AtomicBool,
    /// No queue has packets that wait for a worker that does not answer.
    pub healthy: AtomicBool,
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site")
            .field("ready", &self.ready)
            .field("healthy", &self.healthy)
            .finish_non_exhaustive()
    }
}

/// The address is not to be had.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {addr} ({cause}); choose another address with --listen, or none with --listen none"
)]
pub struct ListenError {
    addr: SocketAddr,
    cause: io::Error,
}

/// Takes the address.
///
/// # Errors
/// When somebody else has it, or the machine does not.
pub async fn listen(addr: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(addr).await.map_err(|cause| ListenError { addr, cause })
}

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, site: Arc<Site>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let router = router(site);
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _peer)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    converse(stream, router).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!("cannot accept a connection for metrics: {error}");
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Errors of a connection are its peer's affair: it closed early, was too slow, or does not speak HTTP.
async fn converse(stream: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIMEOUT)
        .max_buf_size(HEADERS_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    if timeout(CONNECTION_LIFE, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        timeout(ANSWER_TIMEOUT, connection).await.ok();
    }
}

fn router(site: Arc<Site>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(site)
}

async fn metrics(State(site): State<Arc<Site>>) -> Response {
    (site.refresh)(&site.metrics);
    match site.metrics.render() {
        Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn healthz(State(site): State<Arc<Site>>) -> (StatusCode, &'static str) {
    if site.healthy.load(Ordering::Acquire) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "packets wait for a worker that does not answer\n")
    }
}

async fn readyz(State(site): State<Arc<Site>>) -> (StatusCode, &'static str) {
    if site.ready.load(Ordering::Acquire) {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::atomic::AtomicUsize;

    use tokio::runtime;
    use tokio::task::spawn_blocking;

    use super::*;

    async fn ask(addr: SocketAddr, request: &'static str) -> String {
        let answer = spawn_blocking(move || {
            let mut stream = std::net::TcpStream::connect(addr)?;
            write!(stream, "{request} HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_len| answer)
        });
        answer.await.unwrap().unwrap()
    }

    #[test]
    fn probes_say_how_the_gate_is_and_each_scrape_is_fresh() {
        let scrapes = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&scrapes);
        let site = Arc::new(Site {
            metrics: Arc::default(),
            refresh: Box::new(move |_metrics| {
                counted.fetch_add(1, Ordering::Relaxed);
            }),
            ready: AtomicBool::new(false),
            healthy: AtomicBool::new(true),
        });
        runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let listener = listen(([127, 0, 0, 1], 0).into()).await.unwrap();
            let addr = listener.local_addr().unwrap();
            tokio::spawn(serve(listener, Arc::clone(&site)));
            assert!(ask(addr, "GET /readyz").await.starts_with("HTTP/1.1 503 "), "before it is ready");
            site.ready.store(true, Ordering::Release);
            assert!(ask(addr, "GET /readyz").await.starts_with("HTTP/1.1 200 "));
            assert!(ask(addr, "GET /healthz").await.starts_with("HTTP/1.1 200 "));
            site.healthy.store(false, Ordering::Release);
            assert!(ask(addr, "GET /healthz").await.starts_with("HTTP/1.1 503 "), "when a worker hangs");
            let metrics = ask(addr, "GET /metrics").await;
            assert!(metrics.contains("content-type: text/plain; version=0.0.4\r\n"), "{metrics}");
            assert!(ask(addr, "POST /metrics").await.starts_with("HTTP/1.1 405 "));
            assert_eq!(scrapes.load(Ordering::Relaxed), 1);
            let taken = listen(addr).await.unwrap_err().to_string();
            assert!(
                taken.contains(&format!("cannot listen on {addr}")) && taken.contains("--listen"),
                "{taken}"
            );
        });
    }
}
