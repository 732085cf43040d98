//! Connections of HTTP listeners: accepts them, and serves each in a task of its own.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use ringgate_core::{ConnectionInfo, Fault};
use ringgate_http1::ServerConnection;
use ringgate_http1::server::Settings as ConnectionSettings;
use ringgate_io::{Listener, Stream};

use super::Shard;
use crate::exchange::{refuse, serve};
use crate::telemetry::metrics::{Counter, Refusal};
use crate::telemetry::error_log;

/// How long accepting rests when the process is out of descriptors or memory.
const REST: Duration = Duration::from_millis(100);

/// Accepts connections until the shard drains.
pub(super) async fn accept(shard: Rc<Shard>, listener: Listener, settings: Rc<ConnectionSettings>) {
    let mut draining = pin!(shard.connections.drained());
    loop {
        let accepted = match first(listener.accept(), draining.as_mut()).await {
            First::Left(accepted) => accepted,
            First::Right(()) => return,
        };
        match accepted {
            Ok((stream, _)) if shard.connections.is_full() => {
                // Dropping it closes it; the client sees a reset or an end at once.
                drop(stream);
                shard.metrics.refused(Refusal::Connections);
            }
            Ok((stream, peer)) => {
                let shard = shard.clone();
                let settings = settings.clone();
                ringgate_io::spawn(async move { connection(&shard, stream, peer, settings).await });
            }
            Err(error) => {
                shard.metrics.refused(Refusal::Descriptors);
                error_log::accept_failed(&error);
                ringgate_io::sleep(REST).await;
            }
        }
    }
}

/// Serves one connection to its end.
async fn connection(
    shard: &Rc<Shard>,
    stream: Stream,
    peer: std::net::SocketAddr,
    settings: Rc<ConnectionSettings>,
) {
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let open = shard.connections.enter();
    shard.metrics.add(Counter::Accepted, 1);
    let info = Rc::new(ConnectionInfo { peer, local, tls: false, id: open.id() });
    let (reader, writer) = stream.into_split();
    let mut connection = ServerConnection::new(reader, writer, settings, info);
    let mut drained = pin!(shard.connections.idle_grace());
    loop {
        let next = match first(connection.next(), drained.as_mut()).await {
            First::Left(next) => next,
            First::Right(()) => break,
        };
        let served: Result<(), Fault> = match next {
            // Boxed, so that an idle connection does not hold the room of a busy one.
            Ok(Some(exchange)) => Box::pin(serve(shard, &shard.nodes, exchange)).await,
            Ok(None) => break,
            Err(fault) => {
                refuse(shard, &fault, &mut connection.refuse(), peer).await;
                Err(fault)
            }
        };
        if served.is_err() {
            break;
        }
    }
    connection.close().await;
}

enum First<A, B> {
    Left(A),
    Right(B),
}

/// Whichever of two futures is ready first. The right one lives on for the next call.
async fn first<A, B>(
    left: impl Future<Output = A>,
    mut right: Pin<&mut impl Future<Output = B>>,
) -> First<A, B> {
    let mut left = pin!(left);
    poll_fn(|task| {
        if let Poll::Ready(value) = left.as_mut().poll(task) {
            return Poll::Ready(First::Left(value));
        }
        right.as_mut().poll(task).map(First::Right)
    })
    .await
}
