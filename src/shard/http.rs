//! Connections of HTTP listeners: accepts them, and serves each in a task of its own.

use std::net::Shutdown;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use ringgate_core::{ConnectionInfo, Fault};
use ringgate_http1::ServerConnection;
use ringgate_http1::server::Settings as ConnectionSettings;
use ringgate_io::{Listener, Stream};
use socket2::SockRef;

use super::Shard;
use crate::exchange::{First, first, refuse, serve};
use crate::telemetry::{Counter, Refusal, error_log};

/// How long accepting rests when the process is out of descriptors or memory.
const REST: Duration = Duration::from_millis(100);

/// How long a draining shard goes on accepting: what had connected before is still served.
const LAST_ACCEPTS: Duration = Duration::from_millis(20);

/// Accepts connections until the shard drains. Then further ones are refused where the socket is
/// this process's own (`own`); an inherited one stays as it is, for who comes next.
pub(super) async fn accept(
    shard: Rc<Shard>,
    listener: Listener,
    own: bool,
    settings: Rc<ConnectionSettings>,
) {
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
                let settings = settings.clone();
                ringgate_io::spawn(async move { connection(&shard, stream, peer, settings).await });
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
    settings: Rc<ConnectionSettings>,
) {
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let open = shard.connections.enter();
    shard.metrics.add(Counter::ConnectionsAccepted, 1);
    let info = Rc::new(ConnectionInfo { peer, local, tls: None, id: open.id() });
    let (reader, writer) = stream.into_split();
    let mut connection = ServerConnection::new(reader, writer, settings, info.clone());
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
                let line = connection.refused_line().to_vec();
                // Boxed like the usual way.
                Box::pin(refuse(shard, &fault, &mut connection.refuse(), &info, &line)).await;
                Err(fault)
            }
        };
        if served.is_err() {
            break;
        }
    }
    connection.close().await;
}
