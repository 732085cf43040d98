//! Servers of this crate on threads and ports of their own, until the test ends.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use ringgate_core::{
    BodyLength, Chunk, Code, ConnectionInfo, Fault, Frame, Limits, Receive, Respond, ResponseHead,
    Scheme, Timeouts,
};
use ringgate_http2::server::{Incoming, ServerConnection, ServerExchange, Settings};
use ringgate_io::{EngineChoice, EngineSpec, Listener, Stream};

/// How the connections of a server ended, in their order.
pub type Ends = Arc<Mutex<Vec<Result<(), Code>>>>;

/// A server that runs until it is dropped.
pub struct Server {
    pub address: SocketAddr,
    pub ends: Ends,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.expect("the server's thread");
            }
        }
    }
}

/// The engine that tests use (`RINGGATE_TEST_ENGINE`).
pub fn engine() -> EngineChoice {
    match std::env::var("RINGGATE_TEST_ENGINE").as_deref() {
        Ok("epoll") => EngineChoice::Epoll,
        Ok("io_uring") => EngineChoice::IoUring,
        _ => EngineChoice::Auto,
    }
}

/// Short waits, so that tests of them are short.
pub fn short_waits() -> Timeouts {
    let millis = Duration::from_millis;
    Timeouts {
        handshake: millis(600),
        header: millis(600),
        body: millis(600),
        idle: millis(900),
        send: millis(600),
        upstream_send: millis(600),
        upstream_read: millis(600),
        ..Timeouts::default()
    }
}

/// Starts a server that does with each exchange what `handle` does.
pub fn serve<F>(
    limits: Limits,
    timeouts: Timeouts,
    handle: impl Fn(ServerExchange) -> F + Send + Sync + 'static,
) -> Server
where
    F: Future<Output = ()> + 'static,
{
    let handle = Arc::new(handle);
    streams(move |stream, ends| {
        let settings = Settings::new(limits.clone(), timeouts.clone(), Scheme::Http);
        let handle = handle.clone();
        async move {
            let result = connection(stream, settings, move |exchange| handle(exchange)).await;
            ends.lock().unwrap().push(result.map_err(|fault| {
                println!("a connection ended: {fault}");
                fault.code
            }));
        }
    })
}

/// Starts something that serves streams of bytes.
pub fn streams<F>(handle: impl Fn(Stream, Ends) -> F + Send + Sync + 'static) -> Server
where
    F: Future<Output = ()> + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let ends = Ends::default();
    let (stopped, told) = (stop.clone(), ends.clone());
    let (ready, listening) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let ended = ringgate_io::run(engine(), &EngineSpec::default(), |_| async move {
            // Sets TCP_NODELAY, which a connection that came before would not have.
            let listener = Listener::from_std(listener).unwrap();
            ready.send(()).unwrap();
            let accepting = async {
                while let Ok((stream, _)) = listener.accept().await {
                    ringgate_io::spawn(handle(stream, told.clone()));
                }
            };
            let stopping = async {
                while !stopped.load(Ordering::Relaxed) {
                    ringgate_io::sleep(Duration::from_millis(20)).await;
                }
            };
            either(accepting, stopping).await;
            assert_eq!(ringgate_io::panics(), 0, "a task panicked");
        });
        ended.unwrap();
    });
    listening.recv().unwrap();
    Server { address, ends, stop, thread: Some(thread) }
}

/// Returns when one of them does.
async fn either(first: impl Future<Output = ()>, second: impl Future<Output = ()>) {
    let (mut first, mut second) = (std::pin::pin!(first), std::pin::pin!(second));
    std::future::poll_fn(|cx| match first.as_mut().poll(cx) {
        std::task::Poll::Pending => second.as_mut().poll(cx),
        ready => ready,
    })
    .await;
}

/// Serves a connection to its end.
pub async fn connection<F: Future<Output = ()> + 'static>(
    stream: Stream,
    settings: Settings,
    handle: impl Fn(ServerExchange) -> F + 'static,
) -> Result<(), Fault> {
    let peer = stream.peer_addr().unwrap_or((Ipv4Addr::LOCALHOST, 1).into());
    let local = stream.local_addr().unwrap();
    let info = Rc::new(ConnectionInfo { peer, local, tls: None, id: 1 });
    let (reader, writer) = stream.into_split();
    let nothing = Chunk::copy_of(b"");
    let mut connection =
        ringgate_http2::accept(reader, writer, nothing, Rc::new(settings), info).await?;
    let result = run(&mut connection, handle).await;
    connection.close().await;
    result
}

/// The same without closing.
pub async fn run<F: Future<Output = ()> + 'static>(
    connection: &mut ServerConnection,
    handle: impl Fn(ServerExchange) -> F + 'static,
) -> Result<(), Fault> {
    while let Some(incoming) = connection.next().await? {
        match incoming {
            Incoming::Request(exchange) => ringgate_io::spawn(handle(exchange)),
            Incoming::Refused { fault, mut client } => ringgate_io::spawn(async move {
                let status = match fault.code {
                    Code::UriTooLong => 414,
                    Code::HeadersTooLarge => 431,
                    Code::ExpectationFailed => 417,
                    Code::NotImplemented => 501,
                    _ => 400,
                };
                let _ = answer(&mut client, status, fault.detail.as_bytes()).await;
            }),
        }
    }
    Ok(())
}

/// Sends a short answer.
pub async fn answer(client: &mut impl Respond, status: u16, body: &[u8]) -> Result<(), Fault> {
    let mut head = ResponseHead::new(status);
    head.body = BodyLength::Exact(body.len() as u64);
    client.head(head, body.is_empty()).await?;
    if !body.is_empty() {
        client.send(Frame::Data(Chunk::copy_of(body))).await?;
        client.send(Frame::End).await?;
    }
    client.flush().await
}

/// Reads a body whole; how long it was and its trailers.
pub async fn read(
    body: &mut impl Receive,
) -> Result<(Vec<u8>, Option<ringgate_core::Headers>), Fault> {
    let mut whole = Vec::new();
    loop {
        match body.frame().await? {
            Frame::Data(chunk) => {
                whole.extend_from_slice(chunk.bytes());
                body.consumed(chunk.len());
            }
            Frame::Trailers(trailers) => return Ok((whole, Some(trailers))),
            Frame::End => return Ok((whole, None)),
        }
    }
}

/// Answers with what came: a line of the head, the fields, then the body.
pub async fn echo(exchange: ServerExchange) {
    let ServerExchange { head, mut body, mut client, .. } = exchange;
    let told = describe(&head);
    let Ok((whole, trailers)) = read(&mut body).await else {
        return client.reset(&Fault::new(Code::ClientGone, "body"));
    };
    let mut text = told.into_bytes();
    text.extend(whole);
    if let Some(trailers) = trailers {
        text.extend(format!("\n{trailers:?}").bytes());
    }
    let _ = answer(&mut client, 200, &text).await;
}

/// A head in one line.
pub fn describe(head: &ringgate_core::RequestHead) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "{} {} {}{} {:?} {:?}\n",
        text(head.method_name()),
        text(head.authority()),
        text(head.path()),
        head.query().map_or(String::new(), |query| format!("?{}", text(query))),
        head.body,
        head.headers,
    )
}
