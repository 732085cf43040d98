//! The rest of a body that was answered before it was read.
//!
//! A connection that is closed while its client still sends is reset, and what is reset may take
//! the answer along: a client would see a broken pipe where it was told 413 or 401. So the rest is
//! read and thrown away first, up to a bound (RFC 9112 §9.6 asks for the same in other words).

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::Request;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::timeout;
use tokio_stream::{Stream, StreamExt};

/// Bytes that are thrown away at most.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long it may take; less than an exchange may.
const TIME_MAX: Duration = Duration::from_secs(5);
/// How long a client may pause: one that sends nothing is not in danger, and waits for the answer.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// A body that is still there when its reader is gone.
#[derive(Clone)]
struct Kept(Arc<Mutex<BodyDataStream>>);

impl Kept {
    fn stream(&self) -> MutexGuard<'_, BodyDataStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream for Kept {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.stream()).poll_next(cx)
    }
}

/// Answers, and takes what is left of the request's body before the answer goes.
pub(super) async fn take(request: Request, next: Next) -> Response {
    // Who waits for 100 has not begun to send, and asking for the rest would send it.
    if request.headers().contains_key(header::EXPECT) {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    let mut rest = Kept(Arc::new(Mutex::new(body.into_data_stream())));
    let body = Body::from_stream(rest.clone());
    let response = next.run(Request::from_parts(head, body)).await;
    let discard = async {
        let mut bytes = 0;
        while let Ok(Some(Ok(chunk))) = timeout(PAUSE_MAX, rest.next()).await {
            bytes += chunk.len();
            if bytes > BYTES_MAX {
                break;
            }
        }
    };
    // A client that is slower sees its connection closed, as it would have without.
    let _ = timeout(TIME_MAX, discard).await;
    response
}
