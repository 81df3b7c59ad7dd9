//! The addresses of the page: the verdict, a download, its rates, and nothing else.

use std::fmt::Display;
use std::net::Shutdown;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytesize::ByteSize;
use serde::{Deserialize, Serialize};
use socket2::SockRef;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::checkme::diag::{Subflow, subflows};
use crate::checkme::download::{Download, noise};
use crate::checkme::kernel::{Nature, nature};
use crate::checkme::verdict::{Report, Speaks, report};
use crate::checkme::visitors::Visit;
use crate::checkme::{CheckmeError, Limits, page};
use crate::clock;
use crate::time::Timestamp;

/// Downloads at once: more would measure each other.
const DOWNLOADS_MAX: usize = 16;

/// Downloads whose rates can be asked for: those under way, and some that have ended on connections that live on.
const NAMED_MAX: usize = 256;

/// The page makes names of 16 characters.
const NAME_BYTES_MAX: usize = 32;

/// A page asks each half second; all of them share one walk over the host's sockets.
const SUBFLOWS_FRESH: Duration = Duration::from_millis(200);

/// What `/download` sends when no size is asked for: some seconds over two ordinary links.
const DOWNLOAD_DEFAULT: ByteSize = ByteSize::mb(50);

/// What all answers know.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) limits: Limits,
    port: u16,
    speaks: Speaks,
    noise: Bytes,
    downloads: Arc<Semaphore>,
    named: Mutex<Vec<(String, Weak<Visit>)>>,
    subflows: Mutex<Option<(Timestamp, Vec<Subflow>)>>,
}

/// The site, as one connection sees it.
#[derive(Clone, Debug)]
struct Here {
    site: Arc<Site>,
    visit: Arc<Visit>,
}

#[derive(Debug, Deserialize)]
struct Asked {
    json: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Wanted {
    bytes: Option<String>,
    id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Named {
    id: String,
}

/// How a download stands.
#[derive(Debug, Serialize)]
struct Rates {
    /// On the server's clock, to divide by.
    millis: u64,
    mptcp: bool,
    subflows: Vec<Subflow>,
}

impl Site {
    pub(super) fn new(port: u16, speaks: Speaks, limits: Limits) -> Result<Self, CheckmeError> {
        Ok(Self {
            limits,
            port,
            speaks,
            noise: noise()?,
            downloads: Arc::new(Semaphore::new(DOWNLOADS_MAX)),
            named: Mutex::default(),
            subflows: Mutex::default(),
        })
    }

    /// The subflows of `visit`, as of a moment ago.
    fn subflows_of(&self, visit: &Visit, nature: Nature) -> Vec<Subflow> {
        let now = clock::now();
        let first = |subflow: &Subflow| (subflow.client, subflow.server) == (visit.client, visit.server);
        let mut known = self.subflows.lock().unwrap_or_else(PoisonError::into_inner);
        // A connection younger than what is known is not in it.
        let fresh =
            known.as_ref().is_some_and(|(at, all)| now.since(*at) <= SUBFLOWS_FRESH && all.iter().any(first));
        if !fresh {
            let asked = subflows(self.port)
                .inspect_err(|error| tracing::warn!("cannot ask the kernel for subflows: {error}"));
            *known = Some((now, asked.unwrap_or_default()));
        }
        let belongs = |subflow: &&Subflow| {
            first(subflow) || matches!(nature, Nature::Mptcp(token) if subflow.token == Some(token))
        };
        known.iter().flat_map(|(_, all)| all).filter(belongs).cloned().collect()
    }

    fn nature_of(visit: &Visit) -> Nature {
        // A socket that says nothing is closed; its answer will not arrive.
        nature(&visit.socket).unwrap_or(Nature::Plain)
    }

    fn report(&self, visit: &Visit) -> Report {
        let nature = Self::nature_of(visit);
        let subflows = self.subflows_of(visit, nature);
        report(nature, visit.syn.as_ref(), self.speaks, (visit.client, visit.server), subflows)
    }

    fn name(&self, id: String, visit: &Arc<Visit>) {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        named.retain(|(other, visit)| *other != id && visit.strong_count() > 0);
        if named.len() == NAMED_MAX {
            named.remove(0);
        }
        named.push((id, Arc::downgrade(visit)));
    }

    fn named(&self, id: &str) -> Option<Arc<Visit>> {
        let named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        named.iter().find(|(other, _)| other == id)?.1.upgrade()
    }
}

/// What one connection is answered by.
pub(super) fn router(site: Arc<Site>, visit: Arc<Visit>) -> Router {
    Router::new()
        .route("/", get(verdict))
        .route("/json", get(json))
        .route("/download", get(download))
        .route("/rates", get(rates))
        .layer(map_response(guard))
        .with_state(Here { site, visit })
}

async fn guard(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Who asks for HTML gets the page; everybody else, such as curl with its `*/*`, JSON.
async fn verdict(State(here): State<Here>, Query(asked): Query<Asked>, headers: HeaderMap) -> Response {
    let accepts = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let report = here.site.report(&here.visit);
    if asked.json.is_none() && accepts.contains("text/html") {
        return page::page(&report, &here.site.limits);
    }
    pretty(&report)
}

async fn json(State(here): State<Here>) -> Response {
    pretty(&here.site.report(&here.visit))
}

fn pretty(report: &Report) -> Response {
    match serde_json::to_string_pretty(report) {
        Ok(text) => ([(CONTENT_TYPE, "application/json")], text + "\n").into_response(),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

async fn download(State(here): State<Here>, Query(wanted): Query<Wanted>) -> Response {
    let Here { site, visit } = here;
    let most = site.limits.download;
    let size = match wanted.bytes.map(|bytes| bytes.parse::<ByteSize>()) {
        None => most.min(DOWNLOAD_DEFAULT),
        Some(Ok(size)) if size <= most => size,
        Some(Ok(_)) => return refusal(StatusCode::BAD_REQUEST, format!("at most {}", most.display().si())),
        Some(Err(_)) => return refusal(StatusCode::BAD_REQUEST, "bytes is a size, such as 50MB or 1GiB"),
    };
    let Ok(place) = Arc::clone(&site.downloads).try_acquire_owned() else {
        let told = refusal(StatusCode::SERVICE_UNAVAILABLE, "too many downloads; try again in a while");
        return ([(RETRY_AFTER, "10")], told).into_response();
    };
    if let Some(id) = wanted.id.filter(|id| id.len() <= NAME_BYTES_MAX) {
        site.name(id, &visit);
    }
    let allowed = site.limits.download_time;
    let hang_up = tokio::spawn(async move {
        sleep(allowed).await;
        // One that is closed already needs no more.
        SockRef::from(&visit.socket).shutdown(Shutdown::Both).ok();
    });
    let overdue = hang_up.abort_handle();
    let noise = Download { noise: site.noise.clone(), left: size.as_u64(), at: 0, overdue, _place: place };
    let headers = [
        (CONTENT_TYPE, "application/octet-stream"),
        (CONTENT_DISPOSITION, "attachment; filename=\"noise.bin\""),
    ];
    (headers, Body::new(noise)).into_response()
}

async fn rates(State(here): State<Here>, Query(Named { id }): Query<Named>) -> Response {
    let Some(visit) = here.site.named(&id) else {
        return refusal(StatusCode::NOT_FOUND, "no download of that id has a connection");
    };
    let nature = Site::nature_of(&visit);
    let subflows = here.site.subflows_of(&visit, nature);
    let millis = clock::now().nanos() / 1_000_000;
    Json(Rates { millis, mptcp: matches!(nature, Nature::Mptcp(_)), subflows }).into_response()
}

fn refusal(status: StatusCode, why: impl Display) -> Response {
    (status, format!("{why}\n")).into_response()
}
