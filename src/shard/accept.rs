//! Accepts connections, and serves each in a task of its own.

use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use ringgate_core::ConnectionInfo;
use ringgate_io::{Listener, Stream};
use socket2::SockRef;

use super::connections::OpenConnection;
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
                let (shard, terms) = (shard.clone(), terms.clone());
                // Tasks of their own kinds: neither has the room that the other needs.
                match terms.tls {
                    None => ringgate_io::spawn(async move {
                        plain(&shard, stream, peer, &terms).await;
                    }),
                    Some(_) => ringgate_io::spawn(async move {
                        secure(&shard, stream, peer, &terms).await;
                    }),
                }
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

/// Counts a connection in.
fn enter<'s>(
    shard: &'s Shard,
    stream: &Stream,
    peer: SocketAddr,
) -> Option<(OpenConnection<'s>, ConnectionInfo)> {
    let local = stream.local_addr().ok()?;
    let open = shard.connections.enter();
    shard.metrics.add(Counter::ConnectionsAccepted, 1);
    let info = ConnectionInfo { peer, local, tls: None, id: open.id() };
    Some((open, info))
}

/// Serves one connection in the clear to its end.
async fn plain(shard: &Rc<Shard>, stream: Stream, peer: SocketAddr, terms: &Rc<Terms>) {
    let Some((_open, info)) = enter(shard, &stream, peer) else { return };
    let (reader, writer) = stream.into_split();
    http::http1(shard, reader, writer, Rc::new(info), terms).await;
}

/// The same behind TLS.
async fn secure(shard: &Rc<Shard>, stream: Stream, peer: SocketAddr, terms: &Rc<Terms>) {
    let Some((_open, info)) = enter(shard, &stream, peer) else { return };
    let (reader, writer) = stream.into_split();
    if let Some(listener) = &terms.tls {
        tls::terminate(shard, reader, writer, info, listener, terms).await;
    }
}
