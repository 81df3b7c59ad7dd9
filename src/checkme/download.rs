//! Noise of a chosen length, so that no box on the way compresses it.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;

/// Held once for all downloads.
const NOISE_BYTES: usize = 1 << 20;

/// What is handed on at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Chunks begin so many bytes further in the noise than the one before: prime, so that many in a row differ.
const CHUNK_STEP: usize = 8191;

/// Fresh noise.
pub(super) fn noise() -> Result<Bytes, getrandom::Error> {
    let mut noise = vec![0; NOISE_BYTES];
    getrandom::fill(&mut noise)?;
    Ok(noise.into())
}

/// A body under way; it keeps its place among the downloads until it is gone.
#[derive(Debug)]
pub(super) struct Download {
    /// All that is handed out is a part of it.
    pub(super) noise: Bytes,
    /// Bytes still to come.
    pub(super) left: u64,
    /// Where the next chunk begins in the noise.
    pub(super) at: usize,
    /// The task that hangs up on a reader who takes too long: one who does not read at all is never asked for more.
    pub(super) overdue: AbortHandle,
    /// One of the places for downloads.
    pub(super) _place: OwnedSemaphorePermit,
}

impl Body for Download {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let len = usize::try_from(self.left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        if len == 0 {
            return Poll::Ready(None);
        }
        let chunk = self.noise.slice(self.at..self.at + len);
        self.at = (self.at + CHUNK_STEP) % (NOISE_BYTES - CHUNK_BYTES);
        self.left -= u64::try_from(len).unwrap_or(self.left);
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.overdue.abort();
    }
}
