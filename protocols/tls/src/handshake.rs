//! A handshake, driven by rustls record by record, until it gives out the keys.

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ringgate_core::{Chunk, HEADROOM, HUGE, Lease, ReadIo, WriteIo};
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::CertificateDer;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{CommonState, ExtractedSecrets, HandshakeKind, ProtocolVersion};

use crate::record;
use crate::stream::Schedule;

/// What a handshake agreed on.
#[derive(Debug, Clone)]
pub struct Handshake {
    /// The name that the client asked for; see [`ClientHello`](crate::ClientHello).
    pub server_name: Option<Box<str>>,
    /// The protocol (ALPN).
    pub alpn: Option<Box<[u8]>>,
    /// As nginx writes it: `TLSv1.2`, `TLSv1.3`.
    pub version: &'static str,
    /// The IANA name: `TLS_AES_128_GCM_SHA256`.
    pub cipher: &'static str,
    /// The group of the key exchange: `X25519MLKEM768`; none where a TLS 1.2 session was resumed.
    pub group: Option<&'static str>,
    /// Whether the session was resumed.
    pub resumed: bool,
    /// The certificates that the peer showed, its own first; of a resumed session those of the
    /// handshake that began it.
    pub peer_certificates: Vec<CertificateDer<'static>>,
}

impl Handshake {
    fn of(common: &CommonState, server_name: Option<Box<str>>) -> Handshake {
        let suite = common.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
        Handshake {
            server_name,
            alpn: common.alpn_protocol().map(Box::from),
            version: if is_13(common) { "TLSv1.3" } else { "TLSv1.2" },
            cipher: suite.map_or("", iana),
            group: common.negotiated_key_exchange_group().and_then(|group| group.name().as_str()),
            resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
            peer_certificates: common.peer_certificates().unwrap_or_default().to_vec(),
        }
    }
}

/// rustls puts the version into the names of the suites of TLS 1.3.
fn iana(name: &'static str) -> &'static str {
    match name {
        "TLS13_AES_128_GCM_SHA256" => "TLS_AES_128_GCM_SHA256",
        "TLS13_AES_256_GCM_SHA384" => "TLS_AES_256_GCM_SHA384",
        "TLS13_CHACHA20_POLY1305_SHA256" => "TLS_CHACHA20_POLY1305_SHA256",
        other => other,
    }
}

fn is_13(common: &CommonState) -> bool {
    common.protocol_version() == Some(ProtocolVersion::TLSv1_3)
}

/// Either end, as rustls has it.
pub(crate) trait Party: Sized {
    type Data;

    fn common(&self) -> &CommonState;
    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8])
    -> UnbufferedStatus<'c, 'i, Self::Data>;
    fn into_keys(self) -> Result<(ExtractedSecrets, Schedule), rustls::Error>;
}

impl Party for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn common(&self) -> &CommonState {
        self
    }

    fn process<'c, 'i>(
        &'c mut self,
        records: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, ServerConnectionData> {
        self.process_tls_records(records)
    }

    fn into_keys(self) -> Result<(ExtractedSecrets, Schedule), rustls::Error> {
        let is_13 = is_13(&self);
        let (secrets, connection) = self.dangerous_into_kernel_connection()?;
        Ok((secrets, if is_13 { Schedule::Server(Box::new(connection)) } else { Schedule::Fixed }))
    }
}

impl Party for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn common(&self) -> &CommonState {
        self
    }

    fn process<'c, 'i>(
        &'c mut self,
        records: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, ClientConnectionData> {
        self.process_tls_records(records)
    }

    fn into_keys(self) -> Result<(ExtractedSecrets, Schedule), rustls::Error> {
        let is_13 = is_13(&self);
        let (secrets, connection) = self.dangerous_into_kernel_connection()?;
        Ok((secrets, if is_13 { Schedule::Client(Box::new(connection)) } else { Schedule::Fixed }))
    }
}

/// Bytes that came and were not taken yet.
pub(crate) struct Incoming {
    lease: Lease,
    /// Where they begin.
    at: usize,
    begun: bool,
}

impl Incoming {
    pub(crate) fn new(capacity: usize) -> Incoming {
        Incoming { lease: Lease::with_capacity(capacity), at: 0, begun: false }
    }

    /// Whether anything came. A receive that ran out keeps its buffer, so this cannot be told by
    /// [`Incoming::bytes`].
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.lease.bytes()[self.at..]
    }

    /// Receives more; 0 is the end.
    pub(crate) async fn recv<R: ReadIo>(
        &mut self,
        reader: &mut R,
        within: Duration,
    ) -> io::Result<usize> {
        if self.lease.spare() == 0 {
            if self.bytes().len() == HUGE {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "handshake messages above 256 KiB",
                ));
            }
            let mut larger = Lease::with_capacity(self.lease.capacity() * 4);
            larger.fill(self.bytes());
            (self.lease, self.at) = (larger, 0);
        }
        let lease = std::mem::replace(&mut self.lease, Lease::with_capacity(0));
        let (lease, received) = reader.recv(lease, within).await;
        self.lease = lease;
        if self.lease.len() < self.at {
            // A receive that ran out keeps its buffer.
            self.at = 0;
        }
        self.begun |= !self.lease.is_empty();
        received
    }

    fn with<T>(&mut self, fed: usize, work: impl FnOnce(&mut [u8]) -> T) -> T {
        let mut storage = self.lease.take_storage();
        let start = HEADROOM + self.at;
        let done = work(&mut storage[start..start + fed]);
        self.lease.restore(storage);
        done
    }

    /// The buffer with what is left in it.
    pub(crate) fn into_rest(self) -> Option<(Lease, usize)> {
        (!self.bytes().is_empty()).then_some((self.lease, self.at))
    }
}

/// A handshake under way.
pub(crate) struct Driver<P> {
    party: P,
    pub(crate) incoming: Incoming,
    /// How many of the incoming bytes rustls has seen. It sees whole records only, one more at a
    /// time, so that none behind the last of the handshake is taken.
    fed: usize,
    outgoing: Vec<u8>,
}

/// Where a handshake stands.
pub(crate) enum Step {
    /// Something must come.
    Blocked,
    /// It is over.
    Done,
    /// It failed; the alert is in what is to be sent.
    Failed(rustls::Error),
}

/// Why a handshake came to nothing.
#[derive(Debug)]
pub(crate) enum Broken {
    /// What the peer sent was refused, or it refused.
    Tls(rustls::Error),
    /// The stream failed.
    Io(io::Error),
    /// The peer ended the stream.
    Closed,
    /// It took too long.
    Late,
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Broken {
        match error.kind() {
            io::ErrorKind::TimedOut => Broken::Late,
            _ => Broken::Io(error),
        }
    }
}

/// What is left when a handshake is over.
pub(crate) struct Session {
    pub(crate) secrets: ExtractedSecrets,
    pub(crate) schedule: Schedule,
    pub(crate) is_13: bool,
    /// Records after which the keys must change (RFC 8446 §5.5).
    pub(crate) limit: u64,
    /// To be sent before anything else.
    pub(crate) outgoing: Vec<u8>,
    pub(crate) rest: Option<(Lease, usize)>,
}

impl<P: Party> Driver<P> {
    pub(crate) fn new(party: P, incoming: Incoming) -> Driver<P> {
        Driver { party, incoming, fed: 0, outgoing: Vec::new() }
    }

    fn step(&mut self) -> Step {
        loop {
            let (party, outgoing) = (&mut self.party, &mut self.outgoing);
            let mut over = None;
            let discard = self.incoming.with(self.fed, |records| {
                let status = party.process(records);
                match status.state {
                    Ok(ConnectionState::EncodeTlsData(data)) => encode(data, outgoing),
                    // Flights leave together, before the next wait.
                    Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                    Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => {
                        over = Some(Step::Blocked);
                    }
                    // Neither data nor an end can come before the last message.
                    Ok(_) => {
                        let error = rustls::Error::HandshakeNotComplete;
                        over = Some(Step::Failed(error));
                    }
                    Err(error) => over = Some(Step::Failed(error)),
                }
                status.discard
            });
            self.incoming.at += discard;
            self.fed -= discard.min(self.fed);
            match over {
                None => {}
                Some(Step::Failed(error)) => {
                    self.take_alert();
                    return Step::Failed(error);
                }
                Some(_) if !self.party.common().is_handshaking() => {
                    return match self.fed {
                        0 => Step::Done,
                        _ => {
                            Step::Failed(rustls::PeerMisbehaved::KeyEpochWithPendingFragment.into())
                        }
                    };
                }
                Some(_) => match record::whole(&self.incoming.bytes()[self.fed..]) {
                    Ok(Some(length)) => self.fed += length,
                    Ok(None) => return Step::Blocked,
                    // rustls says why.
                    Err(_) => self.fed = self.incoming.bytes().len(),
                },
            }
        }
    }

    /// What rustls has to say behind an error. It is asked only as long as it has something to
    /// say: it would go on with the bytes otherwise.
    fn take_alert(&mut self) {
        while self.party.common().wants_write() {
            match self.party.process(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.outgoing),
                _ => return,
            }
        }
    }

    async fn flush<W: WriteIo>(&mut self, writer: &mut W, until: Instant) -> io::Result<()> {
        if self.outgoing.is_empty() {
            return Ok(());
        }
        let chunk = Chunk::from(Bytes::from(std::mem::take(&mut self.outgoing)));
        writer.send(chunk, left(until)).await
    }

    /// Runs it to its end. With `keeps_last` the last flight is left for the first send.
    pub(crate) async fn run<R: ReadIo, W: WriteIo>(
        &mut self,
        reader: &mut R,
        writer: &mut W,
        keeps_last: bool,
        until: Instant,
    ) -> Result<(), Broken> {
        loop {
            match self.step() {
                Step::Blocked => {
                    self.flush(writer, until).await?;
                    if self.incoming.recv(reader, left(until)).await? == 0 {
                        return Err(Broken::Closed);
                    }
                }
                Step::Done => {
                    // A client of TLS 1.2 sends nothing before it has this flight.
                    if !keeps_last || !is_13(self.party.common()) {
                        self.flush(writer, until).await?;
                    }
                    return Ok(());
                }
                Step::Failed(error) => {
                    // Whether the peer hears of it changes nothing.
                    let _ = self.flush(writer, until).await;
                    return Err(Broken::Tls(error));
                }
            }
            if left(until).is_zero() {
                return Err(Broken::Late);
            }
        }
    }

    /// What it agreed on, once it has run to its end.
    pub(crate) fn finish(
        self,
        server_name: Option<Box<str>>,
    ) -> Result<(Handshake, Session), rustls::Error> {
        let common = self.party.common();
        let handshake = Handshake::of(common, server_name);
        let is_13 = is_13(common);
        let limit = match common.negotiated_cipher_suite() {
            Some(rustls::SupportedCipherSuite::Tls13(suite)) => suite.common.confidentiality_limit,
            Some(rustls::SupportedCipherSuite::Tls12(suite)) => suite.common.confidentiality_limit,
            None => return Err(rustls::Error::HandshakeNotComplete),
        };
        let (secrets, schedule) = self.party.into_keys()?;
        let (outgoing, rest) = (self.outgoing, self.incoming.into_rest());
        Ok((handshake, Session { secrets, schedule, is_13, limit, outgoing, rest }))
    }
}

/// How long there is until then.
pub(crate) fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

fn encode<Data>(mut data: EncodeTlsData<'_, Data>, outgoing: &mut Vec<u8>) {
    let start = outgoing.len();
    let needed = match data.encode(&mut []) {
        Err(EncodeError::InsufficientSize(size)) => size.required_size,
        _ => return,
    };
    outgoing.resize(start + needed, 0);
    let written = data.encode(&mut outgoing[start..]).unwrap_or(0);
    outgoing.truncate(start + written);
}
