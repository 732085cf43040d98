//! Clients of this crate.

use std::net::SocketAddr;
use std::time::Duration;

use ringgate_core::{
    Answer, BodyLength, Chunk, Fault, Frame, Limits, Method, RequestHead, ResponseHead, Scheme,
    Transmit, Upstream, Version,
};
use ringgate_http2::client::{Handle, Settings, Waits};
use ringgate_io::EngineSpec;

use super::server::{engine, read};

/// Runs a test's task on an engine of its own.
pub fn run<F: Future<Output = ()>>(task: impl FnOnce() -> F) {
    let whole = |_: &_| async {
        let within = ringgate_io::within(Duration::from_secs(60), task());
        within.await.expect("a test that ends");
        assert_eq!(ringgate_io::panics(), 0, "a task panicked");
    };
    ringgate_io::run(engine(), &EngineSpec::default(), whole).unwrap();
}

/// A connection to a node.
pub async fn connect(address: SocketAddr) -> Handle {
    let waits = super::server::short_waits();
    let stream = ringgate_io::connect(address, Duration::from_secs(5)).await.unwrap();
    let (reader, writer) = stream.into_split();
    let settings = Settings::new(&Limits::default(), Scheme::Http, waits.send);
    let (handle, driver) = ringgate_http2::connect(reader, writer, settings).await.unwrap();
    ringgate_io::spawn(async move {
        let _ = driver.run().await;
    });
    handle
}

/// Bounds on a test's streams.
pub fn waits() -> Waits {
    let waits = super::server::short_waits();
    Waits { upstream_send: waits.upstream_send, upstream_read: waits.upstream_read }
}

/// A request's head.
pub fn head(method: &str, path: &str) -> RequestHead {
    let mut head = RequestHead::new(Method::Get, Version::Http11, Scheme::Http);
    head.set_method(method.as_bytes());
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path, None),
    };
    head.set_path(path.as_bytes());
    head.set_query(query.map(str::as_bytes));
    head.set_authority(b"node.example:80");
    head
}

/// What a node answered.
#[derive(Debug)]
pub struct Answered {
    pub interim: Vec<u16>,
    pub head: ResponseHead,
    pub body: Vec<u8>,
    pub trailers: Option<ringgate_core::Headers>,
}

/// Sends a request without a body and reads the answer.
pub async fn get(handle: &Handle, path: &str) -> Result<Answered, Fault> {
    exchange(handle, head("GET", path), None).await
}

/// Sends a request and reads the answer.
pub async fn exchange(
    handle: &Handle,
    mut head: RequestHead,
    body: Option<&[u8]>,
) -> Result<Answered, Fault> {
    if let Some(body) = body {
        head.body = BodyLength::Exact(body.len() as u64);
    }
    let (mut up, mut down) = handle.stream(waits()).open(&head, body.is_none()).await?;
    if let Some(body) = body {
        up.send(Frame::Data(Chunk::copy_of(body))).await?;
        up.send(Frame::End).await?;
    }
    up.flush().await?;
    answer(&mut down).await
}

/// Reads an answer.
pub async fn answer(down: &mut impl Answer) -> Result<Answered, Fault> {
    let mut interim = Vec::new();
    let head = loop {
        let head = down.head().await?;
        if !head.is_interim() {
            break head;
        }
        interim.push(head.status);
    };
    let (body, trailers) = read(down).await?;
    Ok(Answered { interim, head, body, trailers })
}
