//! The client's side of a handshake.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringgate_core::{Code, Fault, MEDIUM, ReadIo, Retry, WriteIo};
use rustls::ClientConfig;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;

use crate::config::prepared_client;
use crate::handshake::{Broken, Driver, Handshake, Incoming};
use crate::stream::{self, Role, TlsReader, TlsWriter};

/// A connection to a node whose handshake is done.
pub struct Connected<R, W> {
    /// The receiving half.
    pub reader: TlsReader<R>,
    /// The sending half.
    pub writer: TlsWriter<W>,
    /// What was agreed on.
    pub handshake: Handshake,
}

/// Does the handshake with a node that is expected to be `name`, all of it within `within`.
///
/// Whether and how its certificate is checked, what is offered (ALPN) and where sessions are kept
/// is in `config`, which should have been through [`prepare_client`](crate::prepare_client);
/// others are copied for each connection.
///
/// # Errors
/// [`Code::UpstreamTls`]; the detail says why. The request was not sent: it may be tried again.
pub async fn connect<R, W>(
    reader: R,
    writer: W,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    within: Duration,
) -> Result<Connected<R, W>, Fault>
where
    R: ReadIo + 'static,
    W: WriteIo + 'static,
{
    Box::pin(handshake(reader, writer, config, name, within)).await
}

async fn handshake<R, W>(
    mut reader: R,
    mut writer: W,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    within: Duration,
) -> Result<Connected<R, W>, Fault>
where
    R: ReadIo + 'static,
    W: WriteIo + 'static,
{
    let until = Instant::now() + within;
    let asked: Box<str> = name.to_str().into();
    let party = UnbufferedClientConnection::new(prepared_client(config), name)
        .map_err(|error| failed(format!("TLS configuration for {asked}: {error}")))?;
    let mut driver = Driver::new(party, Incoming::new(MEDIUM));
    if let Err(broken) = driver.run(&mut reader, &mut writer, false, until).await {
        let is_plain = driver.incoming.bytes().starts_with(b"HTTP/");
        // The alert is sent; its end tells the node that nothing follows.
        let _ = writer.shutdown().await;
        return Err(fault(broken, is_plain, &asked, within));
    }
    let (handshake, session) = driver
        .finish(Some(asked))
        .map_err(|error| failed(format!("behind a TLS handshake: {error}")))?;
    let (reader, writer) = stream::pair(reader, writer, session, Role::Client)
        .map_err(|_| failed("keys of an unknown cipher"))?;
    Ok(Connected { reader, writer, handshake })
}

fn failed(detail: impl Into<std::borrow::Cow<'static, str>>) -> Fault {
    Fault::new(Code::UpstreamTls, detail).on_stream().retry(Retry::Yes)
}

fn fault(broken: Broken, is_plain: bool, name: &str, within: Duration) -> Fault {
    match broken {
        Broken::Tls(_) if is_plain => {
            failed(format!("TLS handshake with {name}: the node speaks plain HTTP on this port"))
        }
        Broken::Tls(error) => failed(format!("TLS handshake with {name}: {error}")),
        Broken::Io(error) => failed(format!("TLS handshake with {name}: {error}")),
        Broken::Closed => failed(format!("node closed within the TLS handshake with {name}")),
        Broken::Late => failed(format!("TLS handshake with {name} not done within {within:?}")),
    }
}
