//! Connections that speak HTTP, from their first byte to their last.

use std::pin::pin;
use std::rc::Rc;

use ringgate_core::{Chunk, ConnectionInfo, Fault, ReadIo, Scheme, WriteIo, boxed};
use ringgate_http1::ServerConnection;
use ringgate_http1::server::Settings as Http1Settings;
use ringgate_http2::Incoming;
use ringgate_http2::server::Settings as Http2Settings;

use super::{Settings, Shard};
use crate::exchange::{First, first, refuse, serve};
use crate::telemetry::error_log;
use crate::tls::TlsListener;

/// What the connections of a listener are served with.
pub(super) struct Terms {
    http1: Rc<Http1Settings>,
    http2: Rc<Http2Settings>,
    /// How TLS is terminated; [`None`]: there is none.
    pub(super) tls: Option<TlsListener>,
}

impl Terms {
    /// Of a listener with TLS or without.
    pub(super) fn new(settings: &Settings, tls: Option<TlsListener>) -> Terms {
        let scheme = if tls.is_some() { Scheme::Https } else { Scheme::Http };
        let (limits, timeouts) = (&settings.limits, &settings.timeouts);
        Terms {
            http1: Rc::new(Http1Settings::new(limits.clone(), timeouts.clone(), scheme)),
            http2: Rc::new(Http2Settings::new(limits.clone(), timeouts.clone(), scheme)),
            tls,
        }
    }

    /// From now on every answer is the last one of its connection.
    pub(super) fn drain(&self) {
        self.http1.draining.set(true);
        self.http2.draining.set(true);
    }
}

/// Serves a connection that speaks HTTP/1.1, or HTTP/2 with prior knowledge where there is no TLS,
/// to its end.
//
// No async function: that would hold its arguments twice, and idle connections rest in here.
pub(super) fn http1<'s, R: ReadIo + 'static, W: WriteIo + 'static>(
    shard: &'s Rc<Shard>,
    reader: R,
    writer: W,
    info: Rc<ConnectionInfo>,
    terms: &'s Rc<Terms>,
) -> impl Future<Output = ()> + use<'s, R, W> {
    let mut connection = ServerConnection::new(reader, writer, terms.http1.clone(), info.clone());
    async move {
        let mut drained = pin!(shard.connections.idle_grace());
        let mut refused = None;
        loop {
            // No exchange lies here while it is served: an idle connection would hold its room.
            let exchange = match first(connection.next(), drained.as_mut()).await {
                First::Left(Ok(Some(exchange))) => exchange,
                First::Left(Ok(None)) | First::Right(()) => break,
                First::Left(Err(fault)) => {
                    refused = Some(fault);
                    break;
                }
            };
            // Boxed for the same reason.
            if boxed(|| serve(shard, &shard.nodes, exchange)).await.is_err() {
                break;
            }
        }
        if let Some(fault) = refused {
            let line = connection.refused_line().to_vec();
            Box::pin(refuse(shard, &fault, &mut connection.refuse(), &info, &line)).await;
        }
        // Behind TLS a client says so in the handshake (RFC 9113 §3.2).
        if connection.is_http2() && info.tls.is_none() {
            if let Some((reader, writer, received)) = connection.into_stream() {
                Box::pin(http2(shard, reader, writer, received, info, terms)).await;
            }
            return;
        }
        connection.close().await;
    }
}

/// Serves a connection that speaks HTTP/2 to its end; `received` came of it already.
pub(super) async fn http2<R: ReadIo + 'static, W: WriteIo + 'static>(
    shard: &Rc<Shard>,
    reader: R,
    writer: W,
    received: Chunk,
    info: Rc<ConnectionInfo>,
    terms: &Rc<Terms>,
) {
    let peer = info.peer;
    let accepted =
        ringgate_http2::accept(reader, writer, received, terms.http2.clone(), info.clone()).await;
    let mut connection = match accepted {
        Ok(connection) => connection,
        Err(fault) => return ended(shard, &fault, peer),
    };
    let mut drained = pin!(shard.connections.drained());
    let mut draining = false;
    loop {
        let next = match draining {
            true => connection.next().await,
            false => match first(connection.next(), drained.as_mut()).await {
                First::Left(next) => next,
                First::Right(()) => {
                    draining = true;
                    connection.drain();
                    continue;
                }
            },
        };
        let (shard, info) = (shard.clone(), info.clone());
        match next {
            // A task of its own, which begins on the next turn: what is reset at once never
            // reaches a node.
            Ok(Some(Incoming::Request(exchange))) => ringgate_io::spawn(boxed(|| async move {
                // What went wrong was logged and counted, and ends no more than its stream.
                let _ = serve(&shard, &shard.nodes, exchange).await;
            })),
            Ok(Some(Incoming::Refused { fault, mut client })) => {
                ringgate_io::spawn(async move {
                    refuse(&shard, &fault, &mut client, &info, b"").await;
                });
            }
            Ok(None) => break,
            Err(fault) => {
                ended(&shard, &fault, peer);
                break;
            }
        }
    }
    connection.close().await;
}

/// Writes down why a connection ended that had no request to answer.
pub(super) fn ended(shard: &Shard, fault: &Fault, peer: std::net::SocketAddr) {
    shard.metrics.fault(fault.code);
    error_log::debug(
        "downstream",
        fault.code.name(),
        format_args!("{} (client {peer})", fault.detail),
    );
}
