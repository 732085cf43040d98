//! Both sides of the gateway, for every protocol that it speaks, behind one interface: what a case
//! says and expects does not depend on what is spoken.
//!
//! HTTP/1.1 is written and read here, strictly; HTTP/2 is the h2 crate's.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http1Tls,
    H2c,
    H2,
}

impl Protocol {
    pub const ALL: [Protocol; 4] =
        [Protocol::Http1, Protocol::Http1Tls, Protocol::H2c, Protocol::H2];

    /// As an upstream's `scheme` has it.
    pub fn scheme(self) -> &'static str {
        match self {
            Protocol::Http1 => "http",
            Protocol::Http1Tls => "https",
            Protocol::H2c => "h2c",
            Protocol::H2 => "h2",
        }
    }

    pub fn has_tls(self) -> bool {
        matches!(self, Protocol::Http1Tls | Protocol::H2)
    }

    pub fn is_http2(self) -> bool {
        matches!(self, Protocol::H2c | Protocol::H2)
    }

    /// What is offered by ALPN.
    pub fn alpn(self) -> Vec<Vec<u8>> {
        vec![if self.is_http2() { b"h2".to_vec() } else { b"http/1.1".to_vec() }]
    }
}

/// A byte stream.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}
pub type Io = Box<dyn Stream>;

/// Names in lower case, with their values.
pub type Fields = Vec<(String, String)>;

/// The values of a field.
pub fn values<'f>(fields: &'f Fields, name: &str) -> Vec<&'f str> {
    fields.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
}

/// The value of a field that may be there once.
#[track_caller]
pub fn value<'f>(fields: &'f Fields, name: &str) -> Option<&'f str> {
    let all = values(fields, name);
    assert!(all.len() <= 1, "{name} stands there {} times: {fields:?}", all.len());
    all.first().copied()
}

/// What is told of a body's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// There is no body.
    None,
    /// So many bytes.
    Told(usize),
    /// Chunked, or without a length.
    Untold,
}

/// A request's head.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub method: String,
    /// With the query.
    pub path: String,
    pub host: String,
    pub fields: Fields,
}

/// A response's head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub fields: Fields,
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.into())
}

fn ended(where_: &str) -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, format!("ended {where_}"))
}

fn of_h2(error: h2::Error) -> io::Error {
    io::Error::new(ErrorKind::ConnectionReset, error)
}

fn map(fields: &Fields, length: Length) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a field's name");
        map.append(name, HeaderValue::from_str(value).expect("a field's value"));
    }
    if let Length::Told(length) = length {
        map.insert("content-length", length.into());
    }
    map
}

fn fields(map: &HeaderMap) -> Fields {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    map.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

/// The reading half of an HTTP/1.1 connection.
pub struct Reader {
    io: ReadHalf<Io>,
    buffer: Vec<u8>,
}

impl Reader {
    pub fn new(io: ReadHalf<Io>) -> Reader {
        Reader { io, buffer: Vec::new() }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.io.read_buf(&mut self.buffer).await
    }

    /// Returns when the peer has gone.
    async fn gone(&mut self) {
        while self.fill().await.is_ok_and(|n| n > 0) {}
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=at).collect();
                let text = line.strip_suffix(b"\r\n").ok_or_else(|| invalid("line without CR"))?;
                return String::from_utf8(text.to_vec()).map_err(|_| invalid("not UTF-8"));
            }
            if self.fill().await? == 0 {
                return Err(ended("within a line"));
            }
        }
    }

    async fn fields(&mut self) -> io::Result<Fields> {
        let mut fields = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) =
                line.split_once(':').ok_or_else(|| invalid(format!("field {line:?}")))?;
            fields.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
        }
    }

    /// The next request; `None` where the connection ended in order.
    pub async fn request(&mut self) -> io::Result<Option<(Request, Left)>> {
        if self.buffer.is_empty() && self.fill().await? == 0 {
            return Ok(None);
        }
        let line = self.line().await?;
        let mut fields = self.fields().await?;
        let [method, path, "HTTP/1.1"] = line.split(' ').collect::<Vec<_>>()[..] else {
            return Err(invalid(format!("request line {line:?}")));
        };
        let left = left(&fields)?.unwrap_or(Left::Nothing);
        let host = value(&fields, "host").unwrap_or_default().to_owned();
        fields.retain(|(name, _)| name != "host");
        Ok(Some((Request { method: method.into(), path: path.into(), host, fields }, left)))
    }

    /// The next head of an answer.
    async fn response(&mut self, to_head: bool) -> io::Result<(Response, Left)> {
        let line = self.line().await?;
        let fields = self.fields().await?;
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.ok_or_else(|| invalid(format!("status line {line:?}")))?;
        let left = match (status, left(&fields)?) {
            (..200 | 204 | 304, _) => Left::Nothing,
            _ if to_head => Left::Nothing,
            (_, left) => left.unwrap_or(Left::ToTheEnd),
        };
        Ok((Response { status, fields }, left))
    }

    async fn piece(&mut self, left: &mut Left, trailers: &mut Fields) -> io::Result<Option<Bytes>> {
        loop {
            match left {
                Left::Nothing | Left::Length(0) => {
                    *left = Left::Nothing;
                    return Ok(None);
                }
                Left::ChunkLine => {
                    let line = self.line().await?;
                    let size = usize::from_str_radix(&line, 16)
                        .map_err(|_| invalid(format!("chunk size {line:?}")))?;
                    if size == 0 {
                        *trailers = self.fields().await?;
                        *left = Left::Nothing;
                    } else {
                        *left = Left::Chunk(size);
                    }
                }
                Left::Chunk(0) => {
                    if !self.line().await?.is_empty() {
                        return Err(invalid("chunk without CRLF behind it"));
                    }
                    *left = Left::ChunkLine;
                }
                Left::Chunk(rest) | Left::Length(rest) => {
                    if self.buffer.is_empty() && self.fill().await? == 0 {
                        return Err(ended("within a body"));
                    }
                    let taken = self.buffer.len().min(*rest);
                    *rest -= taken;
                    return Ok(Some(self.buffer.drain(..taken).collect()));
                }
                Left::ToTheEnd => {
                    if self.buffer.is_empty() && self.fill().await? == 0 {
                        *left = Left::Nothing;
                        return Ok(None);
                    }
                    return Ok(Some(std::mem::take(&mut self.buffer).into()));
                }
            }
        }
    }
}

/// What is left of a body in HTTP/1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    Nothing,
    Length(usize),
    ChunkLine,
    /// Of a chunk, with its CRLF behind it.
    Chunk(usize),
    ToTheEnd,
}

fn left(fields: &Fields) -> io::Result<Option<Left>> {
    match (&values(fields, "transfer-encoding")[..], &values(fields, "content-length")[..]) {
        ([], []) => Ok(None),
        (["chunked"], []) => Ok(Some(Left::ChunkLine)),
        ([], [length]) => {
            length.parse().map(|n| Some(Left::Length(n))).map_err(|_| invalid(*length))
        }
        other => Err(invalid(format!("framing {other:?}"))),
    }
}

/// A body that comes.
pub struct Incoming {
    kind: Source,
    pub trailers: Fields,
}

enum Source {
    Http1(Reader, Left),
    Http2(RecvStream),
}

impl Incoming {
    pub fn http1(reader: Reader, left: Left) -> Incoming {
        Incoming { kind: Source::Http1(reader, left), trailers: Vec::new() }
    }

    pub fn http2(body: RecvStream) -> Incoming {
        Incoming { kind: Source::Http2(body), trailers: Vec::new() }
    }

    /// The next piece; `None` behind the last one. An error: it does not come whole.
    pub async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        match &mut self.kind {
            Source::Http1(reader, left) => reader.piece(left, &mut self.trailers).await,
            Source::Http2(body) => {
                while let Some(piece) = body.data().await {
                    let piece = piece.map_err(of_h2)?;
                    body.flow_control().release_capacity(piece.len()).map_err(of_h2)?;
                    if !piece.is_empty() {
                        return Ok(Some(piece));
                    }
                }
                if let Some(trailers) = body.trailers().await.map_err(of_h2)? {
                    self.trailers = fields(&trailers);
                }
                Ok(None)
            }
        }
    }

    /// All that is left, and whether it came to its end.
    pub async fn rest(&mut self) -> (Vec<u8>, bool) {
        let mut whole = Vec::new();
        loop {
            match self.piece().await {
                Ok(Some(piece)) => whole.extend_from_slice(&piece),
                Ok(None) => return (whole, true),
                Err(_) => return (whole, false),
            }
        }
    }

    /// Returns when the peer has given up; for bodies of which nothing is left to come.
    pub async fn gone(&mut self) {
        match &mut self.kind {
            Source::Http1(reader, _) => reader.gone().await,
            // Who sends it sees that.
            Source::Http2(_) => std::future::pending().await,
        }
    }

    pub fn is_http2(&self) -> bool {
        matches!(self.kind, Source::Http2(_))
    }

    /// The reader, for what follows a body that was read whole.
    pub fn into_reader(self) -> Option<Reader> {
        match self.kind {
            Source::Http1(reader, Left::Nothing | Left::Length(0)) => Some(reader),
            _ => None,
        }
    }
}

/// A body that goes.
pub struct Outgoing {
    kind: Sink,
    length: Length,
}

enum Sink {
    Http1(Option<WriteHalf<Io>>),
    Http2(SendStream<Bytes>),
}

impl Outgoing {
    /// Sends a piece; waits until there is room for it.
    pub async fn data(&mut self, piece: impl Into<Bytes>) -> io::Result<()> {
        let mut piece = piece.into();
        if piece.is_empty() {
            // An empty chunk would be the end.
            return Ok(());
        }
        match &mut self.kind {
            Sink::Http1(None) => Err(ended("before a piece was sent")),
            Sink::Http1(Some(writer)) if self.length == Length::Untold => {
                writer.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
                writer.write_all(&piece).await?;
                writer.write_all(b"\r\n").await?;
                writer.flush().await
            }
            Sink::Http1(Some(writer)) => {
                writer.write_all(&piece).await?;
                writer.flush().await
            }
            Sink::Http2(stream) => {
                while !piece.is_empty() {
                    stream.reserve_capacity(piece.len());
                    match poll_fn(|cx| stream.poll_capacity(cx)).await {
                        Some(Ok(room)) => {
                            stream.send_data(piece.split_to(room.min(piece.len())), false)
                        }
                        Some(Err(error)) => Err(error),
                        None => return Err(ended("while it was sent")),
                    }
                    .map_err(of_h2)?;
                }
                Ok(())
            }
        }
    }

    /// Ends the body. Where there was none, nothing is to be sent.
    pub async fn end(&mut self, trailers: &Fields) -> io::Result<()> {
        if self.length == Length::None {
            return Ok(());
        }
        match &mut self.kind {
            Sink::Http1(None) => Err(ended("before its end was sent")),
            Sink::Http1(Some(writer)) => {
                if self.length == Length::Untold {
                    let mut text = "0\r\n".to_owned();
                    trailers.iter().for_each(|(n, v)| text += &format!("{n}: {v}\r\n"));
                    writer.write_all((text + "\r\n").as_bytes()).await?;
                }
                writer.flush().await
            }
            Sink::Http2(stream) if trailers.is_empty() => {
                stream.send_data(Bytes::new(), true).map_err(of_h2)
            }
            Sink::Http2(stream) => {
                stream.send_trailers(map(trailers, Length::Untold)).map_err(of_h2)
            }
        }
    }

    /// Breaks off: the peer must see that the body is not whole.
    pub async fn abort(&mut self) {
        match &mut self.kind {
            Sink::Http1(writer) => {
                if let Some(mut writer) = writer.take() {
                    let _ = writer.shutdown().await;
                }
            }
            Sink::Http2(stream) => stream.send_reset(Reason::INTERNAL_ERROR),
        }
    }

    /// Returns when the peer has given the stream up; in HTTP/1.1 the reader sees that.
    pub async fn gone(&mut self) {
        match &mut self.kind {
            Sink::Http1(_) => std::future::pending().await,
            Sink::Http2(stream) => {
                let _ = poll_fn(|cx| stream.poll_reset(cx)).await;
            }
        }
    }

    fn into_writer(self) -> Option<WriteHalf<Io>> {
        match self.kind {
            Sink::Http1(writer) => writer,
            Sink::Http2(_) => None,
        }
    }
}

/// The way to answer a request.
pub enum Answer {
    Http1(WriteHalf<Io>),
    Http2(h2::server::SendResponse<Bytes>),
}

/// The lines of a head behind its first, and an empty one.
fn lines(fields: &Fields, length: Length) -> String {
    let mut text = String::new();
    fields.iter().for_each(|(name, value)| text += &format!("{name}: {value}\r\n"));
    match length {
        Length::None => {}
        Length::Told(length) => text += &format!("content-length: {length}\r\n"),
        Length::Untold => text += "transfer-encoding: chunked\r\n",
    }
    text + "\r\n"
}

fn response(status: u16, fields: &Fields, length: Length) -> http::Response<()> {
    let mut response = http::Response::builder().status(status).body(()).expect("a status");
    *response.headers_mut() = map(fields, length);
    response
}

impl Answer {
    /// Sends an interim head.
    pub async fn inform(&mut self, status: u16, fields: &Fields) -> io::Result<()> {
        match self {
            Answer::Http1(writer) => {
                let head = format!("HTTP/1.1 {status} Early\r\n{}", lines(fields, Length::None));
                writer.write_all(head.as_bytes()).await?;
                writer.flush().await
            }
            Answer::Http2(respond) => {
                respond.send_informational(response(status, fields, Length::None)).map_err(of_h2)
            }
        }
    }

    /// Sends the final head. `told`: what it says of the body's length; `bodiless`: none follows
    /// all the same.
    pub async fn head(
        self,
        status: u16,
        fields: &Fields,
        told: Length,
        bodiless: bool,
    ) -> io::Result<Outgoing> {
        let length = if bodiless { Length::None } else { told };
        match self {
            Answer::Http1(mut writer) => {
                let head = format!("HTTP/1.1 {status} Status\r\n{}", lines(fields, told));
                writer.write_all(head.as_bytes()).await?;
                writer.flush().await?;
                Ok(Outgoing { kind: Sink::Http1(Some(writer)), length })
            }
            Answer::Http2(mut respond) => {
                let head = response(status, fields, told);
                let stream = respond.send_response(head, length == Length::None).map_err(of_h2)?;
                Ok(Outgoing { kind: Sink::Http2(stream), length })
            }
        }
    }

    /// Breaks off before any answer.
    pub async fn abort(self) {
        match self {
            Answer::Http1(mut writer) => {
                let _ = writer.shutdown().await;
            }
            Answer::Http2(mut respond) => respond.send_reset(Reason::INTERNAL_ERROR),
        }
    }

    /// Returns when the client has given up; in HTTP/1.1 the reader sees that.
    pub async fn gone(&mut self) {
        match self {
            Answer::Http1(_) => std::future::pending().await,
            Answer::Http2(respond) => {
                let _ = poll_fn(|cx| respond.poll_reset(cx)).await;
            }
        }
    }
}

/// What a server does with a request.
pub trait Handle: Send + Sync + 'static {
    /// Gives back what the next request of the connection needs, where there may be one.
    fn handle(
        self: Arc<Self>,
        request: Request,
        body: Incoming,
        answer: Answer,
    ) -> impl Future<Output = Option<(Incoming, Outgoing)>> + Send;
}

/// Serves a connection to its end.
pub async fn serve(io: Io, http2: bool, handler: Arc<impl Handle>) -> io::Result<()> {
    if http2 {
        let mut connection = h2::server::Builder::new()
            .max_send_buffer_size(64 * 1024)
            .handshake::<_, Bytes>(io)
            .await
            .map_err(of_h2)?;
        while let Some(next) = connection.accept().await {
            let (request, answer) = next.map_err(of_h2)?;
            let (parts, body) = request.into_parts();
            let head = Request {
                method: parts.method.to_string(),
                path: parts.uri.path_and_query().map_or(String::new(), ToString::to_string),
                host: parts.uri.authority().map_or(String::new(), ToString::to_string),
                fields: fields(&parts.headers),
            };
            let handler = handler.clone();
            tokio::spawn(async move {
                handler.handle(head, Incoming::http2(body), Answer::Http2(answer)).await;
            });
        }
        return Ok(());
    }
    let (reader, mut writer) = tokio::io::split(io);
    let mut reader = Reader::new(reader);
    while let Some((request, left)) = reader.request().await? {
        let body = Incoming::http1(reader, left);
        let Some((body, sent)) = handler.clone().handle(request, body, Answer::Http1(writer)).await
        else {
            break;
        };
        let (Some(next), Some(rest)) = (body.into_reader(), sent.into_writer()) else { break };
        (reader, writer) = (next, rest);
    }
    Ok(())
}

/// A call that a client has begun: its request goes, its answer comes.
pub struct Call {
    pub request: Outgoing,
    pub answer: Pending,
    /// The connection, for as long as the call goes on.
    _connection: Option<h2::client::SendRequest<Bytes>>,
}

/// An answer whose final head has not come.
pub struct Pending {
    kind: Awaited,
}

enum Awaited {
    Http1(Reader, bool, Left),
    Http2(h2::client::ResponseFuture, Option<RecvStream>),
}

impl Pending {
    /// The next head, interim ones first.
    pub async fn head(&mut self) -> io::Result<Response> {
        match &mut self.kind {
            Awaited::Http1(reader, to_head, rest) => {
                let (response, left) = reader.response(*to_head).await?;
                *rest = left;
                Ok(response)
            }
            Awaited::Http2(future, body) => {
                let interim = poll_fn(|cx| match future.poll_informational(cx) {
                    std::task::Poll::Ready(Some(interim)) => std::task::Poll::Ready(Some(interim)),
                    _ => match std::pin::Pin::new(&mut *future).poll(cx) {
                        std::task::Poll::Ready(last) => {
                            let taken = last.map(|response| {
                                let (parts, rest) = response.into_parts();
                                *body = Some(rest);
                                http::Response::from_parts(parts, ())
                            });
                            std::task::Poll::Ready(Some(taken))
                        }
                        std::task::Poll::Pending => std::task::Poll::Pending,
                    },
                })
                .await;
                let head = interim.expect("a head").map_err(of_h2)?;
                Ok(Response { status: head.status().as_u16(), fields: fields(head.headers()) })
            }
        }
    }

    /// The body behind the final head.
    pub fn body(self) -> Incoming {
        match self.kind {
            Awaited::Http1(reader, _, left) => Incoming::http1(reader, left),
            Awaited::Http2(_, body) => Incoming::http2(body.expect("the final head has come")),
        }
    }
}

/// Begins a call on a connection of its own.
pub async fn call(io: Io, http2: bool, tls: bool, ask: &Request, told: Length) -> io::Result<Call> {
    if http2 {
        let mut builder = h2::client::Builder::new();
        let builder = builder.initial_window_size(64 * 1024).max_send_buffer_size(64 * 1024);
        let (mut connection, driver) = builder.handshake::<_, Bytes>(io).await.map_err(of_h2)?;
        tokio::spawn(async move {
            let _ = driver.await;
        });
        connection = connection.ready().await.map_err(of_h2)?;
        let scheme = if tls { "https" } else { "http" };
        let mut request = http::Request::builder()
            .method(&*ask.method)
            .uri(format!("{scheme}://{}{}", ask.host, ask.path))
            .body(())
            .map_err(|error| invalid(error.to_string()))?;
        *request.headers_mut() = map(&ask.fields, told);
        let (future, stream) =
            connection.send_request(request, told == Length::None).map_err(of_h2)?;
        return Ok(Call {
            request: Outgoing { kind: Sink::Http2(stream), length: told },
            answer: Pending { kind: Awaited::Http2(future, None) },
            _connection: Some(connection),
        });
    }
    let (reader, mut writer) = tokio::io::split(io);
    let Request { method, path, host, fields } = ask;
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{}", lines(fields, told));
    writer.write_all(head.as_bytes()).await?;
    writer.flush().await?;
    let answer = Awaited::Http1(Reader::new(reader), method == "HEAD", Left::Nothing);
    Ok(Call {
        request: Outgoing { kind: Sink::Http1(Some(writer)), length: told },
        answer: Pending { kind: answer },
        _connection: None,
    })
}

/// Bounds a wait of a test.
pub async fn within<T>(seconds: u64, what: &str, wait: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(seconds), wait).await {
        Ok(value) => value,
        Err(_) => panic!("not within {seconds} s: {what}"),
    }
}
