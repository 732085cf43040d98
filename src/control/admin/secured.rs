//! The Admin address over TLS, with clients' certificates where they are asked for.
//!
//! A handshake is held in a task of its own inside the bounds of its connection, so that none keeps
//! another one waiting.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use rustls::ServerConfig;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Peer;
use super::listen::{Guarded, GuardedStream};
use crate::config::bootstrap::AdminTls;
use crate::telemetry::error_log;
use crate::tls;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Connections that wait to be taken.
const WAITING: usize = 16;

/// What handshakes are held with, and the files that it comes from.
pub struct Terms {
    files: AdminTls,
    config: ArcSwap<ServerConfig>,
}

impl Terms {
    /// Reads the files.
    ///
    /// # Errors
    /// With what is wrong with them.
    pub fn read(files: AdminTls) -> Result<Arc<Terms>, String> {
        let config = ArcSwap::new(load(&files)?);
        Ok(Arc::new(Terms { files, config }))
    }

    /// Reads the files again, for new connections. Where something is wrong with them it stays as
    /// it was, which is told.
    pub fn reload(&self) {
        match load(&self.files) {
            Ok(config) => self.config.store(config),
            Err(error) => error_log::error("admin", "certificate", format_args!("{error}")),
        }
    }
}

fn load(files: &AdminTls) -> Result<Arc<ServerConfig>, String> {
    let text = |path: &Path| {
        let text = std::fs::read_to_string(path);
        text.map_err(|error| format!("admin.tls: {}: {error}", path.display()))
    };
    let authority = files.client_ca.as_deref().map(text).transpose()?;
    tls::endpoint(&text(&files.cert)?, &text(&files.key)?, authority.as_deref())
        .map_err(|error| format!("admin.tls.{error}"))
}

type Accepted = (TlsStream<GuardedStream>, SocketAddr);

/// A listener of connections whose handshake is done.
pub(super) struct Secured {
    listener: Guarded,
    terms: Arc<Terms>,
    done: mpsc::Sender<Accepted>,
    ready: mpsc::Receiver<Accepted>,
}

impl Secured {
    pub(super) fn new(listener: Guarded, terms: Arc<Terms>) -> Secured {
        let (done, ready) = mpsc::channel(WAITING);
        Secured { listener, terms, done, ready }
    }

    fn begin(&self, stream: GuardedStream, peer: SocketAddr) {
        let acceptor = TlsAcceptor::from(self.terms.config.load_full());
        let done = self.done.clone();
        tokio::spawn(async move {
            let told = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    // The listener may be gone.
                    let _ = done.send((stream, peer)).await;
                    return;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("not done within {HANDSHAKE:?}"),
            };
            error_log::info("admin", "handshake failed", format_args!("{}: {told}", peer.ip()));
        });
    }
}

impl Listener for Secured {
    type Io = TlsStream<GuardedStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Accepted {
        loop {
            tokio::select! {
                // It never ends: this has a sender of its own.
                Some(accepted) = self.ready.recv() => return accepted,
                (stream, peer) = self.listener.accept() => self.begin(stream, peer),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Secured>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Secured>) -> Peer {
        Peer(*stream.remote_addr())
    }
}
