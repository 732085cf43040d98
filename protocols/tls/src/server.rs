//! The server's side of a handshake.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringgate_core::{Chunk, Code, Fault, Lease, MEDIUM, ReadIo, SMALL, WriteIo};
use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;

use crate::alert::Alert;
use crate::client_hello::{ClientHello, InvalidHello};
use crate::config::prepared_server;
use crate::handshake::{Broken, Driver, Handshake, Incoming, left};
use crate::stream::{self, Role, TlsReader, TlsWriter};

/// A connection whose handshake is done.
pub struct Accepted<R, W> {
    /// The receiving half.
    pub reader: TlsReader<R>,
    /// The sending half.
    pub writer: TlsWriter<W>,
    /// What was agreed on.
    pub handshake: Handshake,
}

/// How long a client that is refused may take to see why.
const LINGER: Duration = Duration::from_secs(1);
/// How much of what it still sends is thrown away meanwhile.
const LINGER_BYTES: usize = 64 * 1024;

/// The longest method that a plain request is known by.
const METHOD_MAX: usize = 16;

const TLS_12: u16 = 0x0303;
const TLS_13: u16 = 0x0304;

/// What a plain request on this port is answered, as nginx does.
const PLAIN_REQUEST: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\
    Content-Length: 52\r\nConnection: close\r\n\r\n\
    The plain HTTP request was sent to a port with TLS.\n";

/// Takes a client's connection: reads its ClientHello, has `choose` pick the configuration for it
/// and does the handshake, all of it within `within`.
///
/// A client for which nothing is chosen gets the alert unrecognized_name. One that sends a plain
/// HTTP request gets a plain 400. Configurations should have been through
/// [`prepare_server`](crate::prepare_server); others are copied for each connection.
///
/// # Errors
/// [`Code::HandshakeFailed`], or [`Code::ClientCertificate`] where the configuration demands a
/// certificate; the detail says why. The client has been told and the streams are of no use then.
pub async fn accept<R, W>(
    reader: R,
    writer: W,
    choose: impl FnOnce(&ClientHello) -> Option<Arc<ServerConfig>>,
    within: Duration,
) -> Result<Accepted<R, W>, Fault>
where
    R: ReadIo + 'static,
    W: WriteIo + 'static,
{
    // A connection waits in here for a moment, with what it takes; behind it for hours.
    Box::pin(handshake(reader, writer, choose, within)).await
}

async fn handshake<R, W>(
    mut reader: R,
    mut writer: W,
    choose: impl FnOnce(&ClientHello) -> Option<Arc<ServerConfig>>,
    within: Duration,
) -> Result<Accepted<R, W>, Fault>
where
    R: ReadIo + 'static,
    W: WriteIo + 'static,
{
    let until = Instant::now() + within;
    let mut incoming = Incoming::new(SMALL);
    let hello = match hello(&mut reader, &mut incoming, until).await {
        Ok(hello) => hello,
        Err(NoHello::Broken(broken)) => {
            return Err(fault(
                broken,
                within,
                if incoming.has_begun() {
                    ", within its ClientHello"
                } else {
                    ", before its first byte"
                },
            ));
        }
        Err(NoHello::Plain) => {
            part(reader, writer, Chunk::from(PLAIN_REQUEST), until).await;
            return Err(failed("plain HTTP request on a port with TLS"));
        }
        Err(NoHello::Invalid(invalid)) => {
            refuse(reader, writer, invalid.alert, until).await;
            return Err(failed(format!("{}: sent {}", invalid.detail, invalid.alert)));
        }
    };
    if !hello.offers(TLS_12) && !hello.offers(TLS_13) {
        refuse(reader, writer, Alert::PROTOCOL_VERSION, until).await;
        return Err(failed("client offers neither TLS 1.2 nor 1.3: sent protocol_version (70)"));
    }
    let Some(config) = choose(&hello) else {
        refuse(reader, writer, Alert::UNRECOGNIZED_NAME, until).await;
        let name = hello.server_name.as_deref().unwrap_or("no name");
        return Err(failed(format!("no certificate for {name}: sent unrecognized_name (112)")));
    };
    let party = UnbufferedServerConnection::new(prepared_server(config))
        .map_err(|error| Fault::new(Code::Internal, format!("TLS configuration: {error}")))?;
    let mut driver = Driver::new(party, incoming);
    if let Err(broken) = driver.run(&mut reader, &mut writer, true, until).await {
        let refused = matches!(broken, Broken::Tls(_));
        let fault = fault(broken, within, "");
        if refused {
            linger(reader, writer, until).await;
        }
        return Err(fault);
    }
    let (handshake, session) =
        driver.finish(hello.server_name).map_err(|error| internal(&error))?;
    let (reader, writer) = stream::pair(reader, writer, session, Role::Server)
        .map_err(|_| Fault::new(Code::Internal, "keys of an unknown cipher"))?;
    Ok(Accepted { reader, writer, handshake })
}

fn failed(detail: impl Into<std::borrow::Cow<'static, str>>) -> Fault {
    Fault::new(Code::HandshakeFailed, detail)
}

fn internal(error: &rustls::Error) -> Fault {
    Fault::new(Code::Internal, format!("behind a TLS handshake: {error}"))
}

fn fault(broken: Broken, within: Duration, place: &'static str) -> Fault {
    match broken {
        Broken::Tls(
            error @ (rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_)),
        ) => Fault::new(Code::ClientCertificate, format!("TLS handshake: {error}")),
        Broken::Tls(error) => failed(format!("TLS handshake: {error}")),
        Broken::Io(error) => failed(format!("TLS handshake{place}: {error}")),
        Broken::Closed => failed(format!("client closed within the TLS handshake{place}")),
        Broken::Late => failed(format!("TLS handshake not done within {within:?}{place}")),
    }
}

enum NoHello {
    Broken(Broken),
    Invalid(InvalidHello),
    /// A request in the clear.
    Plain,
}

async fn hello<R: ReadIo>(
    reader: &mut R,
    incoming: &mut Incoming,
    until: Instant,
) -> Result<ClientHello, NoHello> {
    loop {
        match incoming.recv(reader, left(until)).await {
            Ok(0) => return Err(NoHello::Broken(Broken::Closed)),
            Ok(_) => {}
            Err(error) => return Err(NoHello::Broken(error.into())),
        }
        let hello = match is_plain_http(incoming.bytes()) {
            Some(true) => return Err(NoHello::Plain),
            Some(false) => ClientHello::parse(incoming.bytes()),
            None => Ok(None),
        };
        match hello {
            Ok(Some(hello)) => return Ok(hello),
            Ok(None) if left(until).is_zero() => return Err(NoHello::Broken(Broken::Late)),
            Ok(None) => {}
            Err(invalid) => return Err(NoHello::Invalid(invalid)),
        }
    }
}

/// Whether it begins as a request line: with a method in upper case and a space. [`None`]: it may.
fn is_plain_http(bytes: &[u8]) -> Option<bool> {
    let begin = &bytes[..bytes.len().min(METHOD_MAX + 1)];
    match begin.iter().position(|byte| !byte.is_ascii_uppercase()) {
        Some(end) => Some(end >= 3 && begin[end] == b' '),
        None if begin.len() > METHOD_MAX => Some(false),
        None => None,
    }
}

async fn refuse<R: ReadIo, W: WriteIo>(reader: R, writer: W, alert: Alert, until: Instant) {
    part(reader, writer, Chunk::copy_of(&alert.plain_record()), until).await;
}

/// Says a last word and lets the client hear it.
async fn part<R: ReadIo, W: WriteIo>(reader: R, mut writer: W, words: Chunk, until: Instant) {
    if writer.send(words, left(until)).await.is_ok() {
        linger(reader, writer, until).await;
    }
}

/// Ends the stream. Were it dropped while the client sends, a reset would overtake the last word.
async fn linger<R: ReadIo, W: WriteIo>(mut reader: R, mut writer: W, until: Instant) {
    if writer.shutdown().await.is_err() {
        return;
    }
    let until = until.min(Instant::now() + LINGER);
    let mut lease = Lease::with_capacity(MEDIUM);
    let mut thrown = 0;
    while thrown < LINGER_BYTES && !left(until).is_zero() {
        let (back, received) = reader.recv(lease, left(until)).await;
        match received {
            Ok(n @ 1..) => thrown += n,
            _ => return,
        }
        drop(back);
        lease = Lease::with_capacity(MEDIUM);
    }
}
