//! Accepts connections, and serves each in a task of its own.

use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;
use std::time::Duration;

use ringgate_core::ConnectionInfo;
use ringgate_io::{Budget, Listener};
use socket2::SockRef;

use super::connections::OpenConnection;
use super::http::Terms;
use super::{Shard, http, tls};
use crate::telemetry::{Counter, Refusal, error_log};

/// How long accepting rests when the process is out of descriptors or memory.
const REST: Duration = Duration::from_millis(100);

/// Connections that are accepted before those that are open have their turn.
const ACCEPTS: u32 = 16;

/// How long a draining shard goes on accepting: what had connected before is still served.
const LAST_ACCEPTS: Duration = Duration::from_millis(20);

/// Accepts connections until the shard drains. Then further ones are refused where the socket is
/// this process's own (`own`); an inherited one stays as it is, for who comes next.
pub(super) async fn accept(shard: Rc<Shard>, listener: Listener, own: bool, terms: Rc<Terms>) {
    // Where every address of the machine is listened on, each connection has to be asked.
    let bound = listener.local_addr().ok().filter(|bound| !bound.ip().is_unspecified());
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
    let mut budget = Budget::new(ACCEPTS);
    loop {
        budget.spend(1).await;
        match listener.accept().await {
            Ok((stream, _)) if shard.connections.is_full() => {
                // Dropping it closes it; the client sees a reset or an end at once.
                drop(stream);
                shard.metrics.refused(Refusal::Connections);
            }
            Ok((stream, _)) if stream.as_fd().as_raw_fd() >= shard.settings.descriptors => {
                drop(stream);
                shard.metrics.refused(Refusal::Descriptors);
            }
            Ok((stream, peer)) => {
                let local = bound.map_or_else(|| stream.local_addr(), Ok);
                // It has ended already.
                let Ok(local) = local else { continue };
                // Counted before it runs: many may be accepted before any does.
                let open = OpenConnection::enter(shard.clone());
                shard.metrics.add(Counter::ConnectionsAccepted, 1);
                let info = ConnectionInfo { peer, local, tls: None, id: open.id() };
                let (reader, writer) = stream.into_split();
                let terms = terms.clone();
                // Tasks of their own kinds: neither has the room that the other needs.
                if terms.tls.is_some() {
                    ringgate_io::spawn(async move {
                        tls::terminate(open.shard(), reader, writer, info, &terms).await;
                    });
                } else {
                    let info = Rc::new(info);
                    ringgate_io::spawn(async move {
                        http::http1(open.shard(), reader, writer, info, &terms).await;
                    });
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
