//! Calls of etcd: to the member that answered last, else to the next one; with a token where a
//! user is configured.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::uri::PathAndQuery;
use rustls::ClientConfig;
use tokio::sync::{Mutex, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::connect::{Endpoint, Transport};
use super::proto::{AuthenticateRequest, AuthenticateResponse, WatchRequest, WatchResponse};
use crate::config::store::StoreError;
use crate::telemetry::error_log;

/// How long a call may take.
const CALL: Duration = Duration::from_secs(5);
/// Bytes of one answer; what is read is read in pages.
const ANSWER_MAX: usize = 64 * 1024 * 1024;
/// Requests of a watch that wait to be sent.
const REQUESTS: usize = 8;

/// Why a call failed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    /// With the member's address.
    pub(super) text: String,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum FailureKind {
    /// Try again, with another member.
    Away,
    /// The revision is not kept any more.
    Compacted,
    /// Ask for less at once.
    TooLarge,
    /// Fewer operations at once.
    TooMany,
    /// What etcd says.
    Refused,
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> StoreError {
        match failure.kind {
            FailureKind::TooMany => StoreError::TooMany(format!(
                "{}: it is started with --max-txn-ops, 128 without; change less at once",
                failure.text
            )),
            _ => StoreError::Unavailable(failure.text),
        }
    }
}

/// Who it is and how it is proven.
#[derive(Clone)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) password: String,
}

/// An open connection to a member.
#[derive(Clone)]
struct Connection {
    number: u64,
    endpoint: Arc<Endpoint>,
    transport: Transport,
    token: Option<MetadataValue<Ascii>>,
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    /// The member that is tried next.
    next: usize,
    /// Connections made.
    made: u64,
}

struct Inner {
    endpoints: Vec<Arc<Endpoint>>,
    tls: Arc<ClientConfig>,
    user: Option<User>,
    state: Mutex<State>,
    /// That a user is configured and none is asked for was told.
    told: AtomicBool,
    /// The newest revision that was read or written.
    newest: AtomicU64,
}

/// The way to etcd; clones are the same.
#[derive(Clone)]
pub(super) struct Client(Arc<Inner>);

impl Client {
    pub(super) fn new(
        endpoints: Vec<Endpoint>,
        tls: Arc<ClientConfig>,
        user: Option<User>,
    ) -> Client {
        let endpoints = endpoints.into_iter().map(Arc::new).collect();
        let (state, told) = (Mutex::default(), AtomicBool::new(false));
        let newest = AtomicU64::new(0);
        Client(Arc::new(Inner { endpoints, tls, user, state, told, newest }))
    }

    /// The newest revision that was read or written.
    pub(super) fn newest(&self) -> &AtomicU64 {
        &self.0.newest
    }

    /// A call with one answer. It is made once: whether a call that failed had its effect cannot
    /// be known.
    pub(super) async fn call<M, R>(&self, path: &'static str, message: M) -> Result<R, Failure>
    where
        M: prost::Message + Clone + Sync + 'static,
        R: prost::Message + Default + 'static,
    {
        let mut renewed = false;
        loop {
            let connection = self.connection().await?;
            let answer = tokio::time::timeout(CALL, unary(&connection, path, message.clone()));
            let status = match answer.await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(status)) => status,
                Err(_) => Status::unavailable(format!("no answer within {CALL:?}")),
            };
            if wants_token(&status) && self.0.user.is_some() && !renewed {
                // Tokens expire, and with every change of etcd's users. It was not even looked at.
                renewed = true;
                self.give_up(&connection, false).await;
                continue;
            }
            return Err(self.failed(&connection, &status).await);
        }
    }

    /// Begins a watch: where requests go, and where answers come from.
    pub(super) async fn watch(
        &self,
        first: WatchRequest,
    ) -> Result<(mpsc::Sender<WatchRequest>, Answers), Failure> {
        let mut renewed = false;
        loop {
            let connection = self.connection().await?;
            let (requests, outgoing) = mpsc::channel(REQUESTS);
            let _ = requests.try_send(first.clone());
            let opened = tokio::time::timeout(CALL, open_watch(&connection, outgoing));
            let status = match opened.await {
                Ok(Ok(stream)) => {
                    let answers = Answers { client: self.clone(), connection, stream };
                    return Ok((requests, answers));
                }
                Ok(Err(status)) => status,
                Err(_) => Status::unavailable(format!("no answer within {CALL:?}")),
            };
            if wants_token(&status) && self.0.user.is_some() && !renewed {
                renewed = true;
                self.give_up(&connection, false).await;
                continue;
            }
            return Err(self.failed(&connection, &status).await);
        }
    }

    async fn connection(&self) -> Result<Connection, Failure> {
        let mut state = self.0.state.lock().await;
        if let Some(connection) = state.connection.as_ref().filter(|c| !c.transport.is_closed()) {
            return Ok(connection.clone());
        }
        let mut reasons = Vec::new();
        for _ in 0..self.0.endpoints.len() {
            let endpoint = self.0.endpoints[state.next % self.0.endpoints.len()].clone();
            state.made += 1;
            match self.open(state.made, endpoint.clone()).await {
                Ok(connection) => {
                    state.connection = Some(connection.clone());
                    return Ok(connection);
                }
                Err(reason) => {
                    reasons.push(format!("{}: {reason}", endpoint.text));
                    state.next += 1;
                }
            }
        }
        Err(Failure { kind: FailureKind::Away, text: format!("etcd {}", reasons.join("; ")) })
    }

    async fn open(&self, number: u64, endpoint: Arc<Endpoint>) -> Result<Connection, String> {
        let transport = endpoint.connect(&self.0.tls).await?;
        let mut connection = Connection { number, endpoint, transport, token: None };
        let Some(user) = &self.0.user else { return Ok(connection) };
        let request =
            AuthenticateRequest { name: user.name.clone(), password: user.password.clone() };
        let path = "/etcdserverpb.Auth/Authenticate";
        let answer = tokio::time::timeout(CALL, unary(&connection, path, request)).await;
        match answer.unwrap_or_else(|_| Err(Status::unavailable("no answer"))) {
            Ok(AuthenticateResponse { token }) => {
                connection.token =
                    Some(token.parse().map_err(|_| "the token is no text".to_owned())?);
            }
            Err(status) if status.message().contains("authentication is not enabled") => {
                if !self.0.told.swap(true, Relaxed) {
                    error_log::warn(
                        "etcd",
                        "user not asked for",
                        format_args!("store.user is set, but this etcd takes anybody's writes"),
                    );
                }
            }
            Err(status) => return Err(format!("user {}: {}", user.name, said(&status))),
        }
        Ok(connection)
    }

    /// Has the next call connect anew, where that has not happened yet; `next`: to another member.
    async fn give_up(&self, connection: &Connection, next: bool) {
        let mut state = self.0.state.lock().await;
        if state.connection.as_ref().is_some_and(|held| held.number == connection.number) {
            state.connection = None;
            state.next += usize::from(next);
        }
    }

    async fn failed(&self, connection: &Connection, status: &Status) -> Failure {
        let kind = kind(status);
        if kind == FailureKind::Away {
            self.give_up(connection, true).await;
        }
        Failure { kind, text: format!("etcd {}: {}", connection.endpoint.text, said(status)) }
    }
}

/// The answers of a watch.
pub(super) struct Answers {
    client: Client,
    connection: Connection,
    stream: Streaming<WatchResponse>,
}

impl Answers {
    /// The next one.
    pub(super) async fn next(&mut self) -> Result<WatchResponse, Failure> {
        match self.stream.message().await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(self.dead("the watch ended").await),
            Err(status) if wants_token(&status) => {
                self.client.give_up(&self.connection, false).await;
                Err(Failure { kind: FailureKind::Away, text: said(&status) })
            }
            Err(status) => Err(self.client.failed(&self.connection, &status).await),
        }
    }

    /// Leaves a member that does not do what it should.
    pub(super) async fn dead(&self, reason: &str) -> Failure {
        self.client.failed(&self.connection, &Status::unavailable(reason)).await
    }
}

async fn unary<M, R>(connection: &Connection, path: &'static str, message: M) -> Result<R, Status>
where
    M: prost::Message + Sync + 'static,
    R: prost::Message + Default + 'static,
{
    let mut grpc = grpc(connection).await?;
    let (path, codec) = (PathAndQuery::from_static(path), ProstCodec::default());
    Ok(grpc.unary(request(connection, message), path, codec).await?.into_inner())
}

async fn open_watch(
    connection: &Connection,
    outgoing: mpsc::Receiver<WatchRequest>,
) -> Result<Streaming<WatchResponse>, Status> {
    let mut grpc = grpc(connection).await?;
    let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
    let mut request = request(connection, ReceiverStream::new(outgoing));
    // A member that has lost the others is to end the watch rather than to fall silent.
    request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
    Ok(grpc.streaming(request, path, ProstCodec::default()).await?.into_inner())
}

async fn grpc(connection: &Connection) -> Result<Grpc<Transport>, Status> {
    let origin = connection.endpoint.origin.clone();
    let mut grpc = Grpc::with_origin(connection.transport.clone(), origin)
        .max_decoding_message_size(ANSWER_MAX);
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    Ok(grpc)
}

fn request<M>(connection: &Connection, message: M) -> Request<M> {
    let mut request = Request::new(message);
    if let Some(token) = &connection.token {
        request.metadata_mut().insert("token", token.clone());
    }
    request
}

/// Whether a call was refused for a token that is too old.
fn wants_token(status: &Status) -> bool {
    let message = status.message();
    message.contains("invalid auth token") || message.contains("revision of auth store is old")
}

fn kind(status: &Status) -> FailureKind {
    let message = status.message();
    match status.code() {
        Code::OutOfRange if message.contains("compacted") => FailureKind::Compacted,
        Code::OutOfRange if message.contains("message length too large") => FailureKind::TooLarge,
        Code::InvalidArgument if message.contains("too many operations") => FailureKind::TooMany,
        Code::InvalidArgument | Code::PermissionDenied | Code::ResourceExhausted => {
            FailureKind::Refused
        }
        _ => FailureKind::Away,
    }
}

/// What etcd says, and what is behind it.
fn said(status: &Status) -> String {
    let message = status.message();
    let mut told = if message.is_empty() { status.code().to_string() } else { message.to_owned() };
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        let reason = error.to_string();
        if !told.contains(&reason) {
            told.push_str(": ");
            told.push_str(&reason);
        }
        source = error.source();
    }
    told
}
