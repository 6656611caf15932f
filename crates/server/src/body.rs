//! What is left of a refused body is read to its end: most clients read the answer only once they have sent
//! everything, and would see a broken pipe instead of the reason.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::Request;
use axum::http::header;
use futures::{Stream, StreamExt as _};

/// Most of a refused body that is read.
const DISCARDED_BYTES: usize = 64 << 20;
/// Longest time that a refused body is read.
const DISCARD_TIME: Duration = Duration::from_secs(5);

/// A request's body that a handler reads and that can be read on when the handler has ended; clones share it.
#[derive(Clone)]
pub struct Rest(Arc<Mutex<Inner>>);

struct Inner {
    body: BodyDataStream,
    /// Whether the body was asked for, and so whether a client that waits for leave to send it has got it.
    asked: bool,
    ended: bool,
}

impl Rest {
    /// The same request, and what will be left of its body.
    pub fn of(request: Request) -> (Request, Self) {
        let (parts, body) = request.into_parts();
        let asked = !parts.headers.contains_key(header::EXPECT);
        let inner = Inner { body: body.into_data_stream(), asked, ended: false };
        let rest = Self(Arc::new(Mutex::new(inner)));
        (Request::from_parts(parts, Body::from_stream(rest.clone())), rest)
    }

    /// Reads and drops what is left, [`DISCARDED_BYTES`] and [`DISCARD_TIME`] at most; nothing where the client still
    /// waits for leave to send the body.
    pub async fn discard(mut self) {
        {
            let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if inner.ended || !inner.asked {
                return;
            }
        }
        let mut left = DISCARDED_BYTES;
        let rest = async {
            while let Some(Ok(piece)) = self.next().await {
                left = left.saturating_sub(piece.len());
                if left == 0 {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(DISCARD_TIME, rest).await;
    }
}

impl Stream for Rest {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.ended {
            return Poll::Ready(None);
        }
        inner.asked = true;
        let polled = inner.body.poll_next_unpin(context);
        inner.ended = matches!(polled, Poll::Ready(None | Some(Err(_))));
        polled
    }
}
