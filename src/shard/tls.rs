//! TLS with clients: the handshake, under the policy of the name that is asked for.

use std::rc::Rc;

use ringgate_core::{Chunk, ConnectionInfo, ReadIo, WriteIo};
use ringgate_tls::Accepted;

use super::Shard;
use super::http::{self, Terms};
use crate::telemetry::{Counter, Refusal};

/// Holds the handshake of a connection and serves what is spoken behind it, to the connection's
/// end. For listeners with TLS.
pub(super) async fn terminate<R: ReadIo + 'static, W: WriteIo + 'static>(
    shard: &Rc<Shard>,
    reader: R,
    writer: W,
    mut info: ConnectionInfo,
    terms: &Rc<Terms>,
) {
    let Some(listener) = &terms.tls else { return };
    let Some(pending) = shard.connections.handshake(shard.settings.limits.pending_handshakes)
    else {
        // Dropping the halves closes it.
        shard.metrics.refused(Refusal::Handshakes);
        return;
    };
    let mut policy = None;
    let choose = |hello: &ringgate_tls::ClientHello| {
        // The plan of this moment: a changed certificate shows in the next handshake.
        let plan = shard.pin();
        let found = plan.tls.find(hello.server_name.as_deref(), listener)?;
        let config = found.server.clone();
        policy = Some(found.clone());
        Some(config)
    };
    let within = shard.settings.timeouts.handshake;
    let accepted = ringgate_tls::accept(reader, writer, choose, within).await;
    drop(pending);
    let Accepted { reader, writer, handshake } = match accepted {
        Ok(accepted) => accepted,
        Err(fault) => return http::ended(shard, &fault, info.peer),
    };
    let Some(policy) = policy else { return };
    shard.metrics.add(Counter::Handshakes, 1);
    shard.metrics.add(Counter::HandshakesResumed, u64::from(handshake.resumed));
    info.tls = Some(Rc::new(policy.info(listener, &handshake)));
    let info = Rc::new(info);
    let is_http2 = handshake.alpn.as_deref() == Some(b"h2");
    // Its certificates are of no use any more, and the connection may last for hours.
    drop((handshake, policy));
    // Boxed apart from each other and from the handshake: a connection needs the room of one.
    if is_http2 {
        Box::pin(http::http2(shard, reader, writer, Chunk::from(""), info, terms)).await;
    } else {
        Box::pin(http::http1(shard, reader, writer, info, terms)).await;
    }
}
