//! Accepts connections, and serves each in a task of its own.

use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use ringgate_core::ConnectionInfo;
use ringgate_io::{Listener, Stream};
use socket2::SockRef;

use super::http::Terms;
use super::{Shard, http, tls};
use crate::telemetry::{Counter, Refusal, error_log};

/// How long accepting rests when the process is out of descriptors or memory.
const REST: Duration = Duration::from_millis(100);

/// How long a draining shard goes on accepting: what had connected before is still served.
const LAST_ACCEPTS: Duration = Duration::from_millis(20);

/// Accepts connections until the shard drains. Then further ones are refused where the socket is
/// this process's own (`own`); an inherited one stays as it is, for who comes next.
pub(super) async fn accept(shard: Rc<Shard>, listener: Listener, own: bool, terms: Rc<Terms>) {
    let listener = Rc::new(listener);
    let _listening = shard.connections.listening();
    {
        let (shard, listener) = (shard.clone(), listener.clone());
        ringgate_io::spawn(async move {
            shard.connections.drained().await;
            ringgate_io::sleep(LAST_ACCEPTS).await;
            if own {
                // Closing would not do: the socket stays open for a shard that starts again.
                // Clients that connect would wait in its queue until the process has ended.
                let _ = SockRef::from(&*listener).shutdown(Shutdown::Both);
            }
            listener.stop();
        });
    }
    loop {
        match listener.accept().await {
            Ok((stream, _)) if shard.connections.is_full() => {
                // Dropping it closes it; the client sees a reset or an end at once.
                drop(stream);
                shard.metrics.refused(Refusal::Connections);
            }
            Ok((stream, peer)) => {
                let shard = shard.clone();
                let terms = terms.clone();
                ringgate_io::spawn(async move { connection(&shard, stream, peer, &terms).await });
            }
            Err(_) if shard.connections.is_draining() => return,
            Err(error) => {
                shard.metrics.refused(Refusal::Descriptors);
                error_log::error("listener", "accept failed", format_args!("{error}"));
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
    terms: &Rc<Terms>,
) {
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let open = shard.connections.enter();
    shard.metrics.add(Counter::ConnectionsAccepted, 1);
    let info = ConnectionInfo { peer, local, tls: None, id: open.id() };
    let (reader, writer) = stream.into_split();
    match &terms.tls {
        None => http::http1(shard, reader, writer, Rc::new(info), terms).await,
        // Boxed, so that connections without TLS do not hold the room of those with it.
        Some(listener) => {
            Box::pin(tls::terminate(shard, reader, writer, info, listener, terms)).await;
        }
    }
}
