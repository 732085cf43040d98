//! An exchange from a client to a node and back over streams in memory: what the codec costs
//! without the kernel.

#![allow(dead_code)] // each user takes its part

use std::cell::Cell;
use std::future::{Future, pending};
use std::hint::black_box;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ringgate_core::{
    Answer, Chunk, ConnectionInfo, FieldName, Frame, IpText, Lease, Limits, NumberText, ReadIo,
    Receive, RequestHead, Respond, Scheme, Timeouts, Transmit, Upstream, WriteIo,
};
use ringgate_http1::client::{ClientConnection, Settings as NodeSettings};
use ringgate_http1::server::{ServerConnection, Settings};
use ringgate_http1::strip_hop_by_hop;

pub(crate) const PLAIN: &str = "GET /128 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

pub(crate) const CURL: &str = "GET /api/v1/items?page=2 HTTP/1.1\r\n\
    Host: example.com\r\n\
    User-Agent: curl/8.14.1\r\n\
    Accept: */*\r\n\
    \r\n";

pub(crate) const BROWSER: &str = "GET /articles/2024/some-title?ref=front HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: max-age=0\r\n\
    sec-ch-ua: \"Chromium\";v=\"128\", \"Not;A=Brand\";v=\"24\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/128.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-User: ?1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Referer: https://www.example.com/\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-US,en;q=0.9,de;q=0.8\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=all\r\n\
    \r\n";

pub(crate) const SHORT_ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 128\r\n\r\n";

pub(crate) const USUAL_ANSWER: &str = "HTTP/1.1 200 OK\r\n\
    Server: nginx/1.22.1\r\n\
    Date: Tue, 01 Jul 2025 12:00:00 GMT\r\n\
    Content-Type: text/html; charset=utf-8\r\n\
    Content-Length: 128\r\n\
    Last-Modified: Mon, 30 Jun 2025 08:15:30 GMT\r\n\
    Connection: keep-alive\r\n\
    ETag: \"68624c12-80\"\r\n\
    Accept-Ranges: bytes\r\n\
    \r\n";

/// One direction of a stream: says the same text whenever it is told to.
#[derive(Clone)]
struct Mouth {
    text: Rc<[u8]>,
    due: Rc<Cell<bool>>,
}

struct Reader(Mouth);
struct Writer;

impl ReadIo for Reader {
    async fn readable(&mut self, _: Duration) -> io::Result<()> {
        pending().await
    }

    async fn recv(&mut self, mut lease: Lease, _: Duration) -> (Lease, io::Result<usize>) {
        std::future::poll_fn(|_| match self.0.due.replace(false) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
        let n = lease.fill(&self.0.text);
        (lease, Ok(n))
    }

    async fn recv_or_idle(&mut self, lease: Lease, within: Duration) -> (Lease, io::Result<usize>) {
        self.recv(lease, within).await
    }

    async fn hung_up(&mut self, _: Duration) -> io::Result<()> {
        pending().await
    }
}

impl WriteIo for Writer {
    async fn send(&mut self, chunk: Chunk, _: Duration) -> io::Result<()> {
        black_box(chunk.bytes());
        Ok(())
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn abort(&mut self) {}
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match poll(pin!(future)) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("the future waits"),
    }
}

/// A client, a node, and the gateway's connections to both.
pub(crate) struct Pair {
    server: ServerConnection<Reader, Writer>,
    node: Option<ClientConnection<Reader, Writer>>,
    asked: Rc<Cell<bool>>,
    answered: Rc<Cell<bool>>,
}

impl Pair {
    /// The client always sends `request`, the node always `answer` with 128 bytes behind it.
    pub(crate) fn new(request: &str, answer: &str) -> Pair {
        let mouth = |text: String| Mouth { text: text.into_bytes().into(), due: Rc::default() };
        let client = mouth(request.to_owned());
        let node = mouth(format!("{answer}{}", "x".repeat(128)));
        let (limits, timeouts) = (Limits::default(), Timeouts::default());
        let wait = Duration::from_secs(60);
        let node_settings = NodeSettings::new(&limits, wait, wait);
        let settings = Rc::new(Settings::new(limits, timeouts, Scheme::Http));
        let peer = ([127, 0, 0, 1], 40_000).into();
        let local = ([127, 0, 0, 1], 8080).into();
        let info = Rc::new(ConnectionInfo { peer, local, tls: None, id: 1 });
        Pair {
            asked: client.due.clone(),
            answered: node.due.clone(),
            server: ServerConnection::new(Reader(client), Writer, settings, info),
            node: Some(ClientConnection::new(Reader(node), Writer, node_settings)),
        }
    }

    /// One exchange, with the waits that a real one has.
    ///
    /// # Panics
    /// Where anything fails.
    pub(crate) fn exchange(&mut self) {
        self.asked.set(true);
        let exchange = now(self.server.next()).expect("the head is whole").expect("a request");
        let (mut head, mut client) = (exchange.head, exchange.client);
        forward(&mut head, &exchange.connection);
        let node = self.node.take().expect("the connection serves again");
        let (mut up, mut down) = now(node.open(&head, true)).expect("the request is written");
        now(up.flush()).expect("nothing is held");
        let answer = {
            let mut answer = pin!(down.head());
            assert!(poll(answer.as_mut()).is_pending());
            assert!(poll(pin!(client.gone())).is_pending());
            self.answered.set(true);
            let Poll::Ready(answer) = poll(answer.as_mut()) else { panic!("an answer") };
            answer
        };
        let mut answer = answer.expect("an answer is whole");
        strip_hop_by_hop(&mut answer.headers);
        now(client.head(answer, false)).expect("the head is taken");
        loop {
            let frame = now(down.frame()).expect("a frame");
            let last = matches!(frame, Frame::End);
            now(client.send(frame)).expect("the frame is taken");
            if last {
                break;
            }
        }
        now(client.flush()).expect("nothing is held");
        self.node = ClientConnection::rejoin(up, down);
    }
}

const X_REAL_IP: FieldName = FieldName::new("X-Real-IP");
const X_FORWARDED_FOR: FieldName = FieldName::new("X-Forwarded-For");
const X_FORWARDED_PROTO: FieldName = FieldName::new("X-Forwarded-Proto");
const X_FORWARDED_HOST: FieldName = FieldName::new("X-Forwarded-Host");
const X_FORWARDED_PORT: FieldName = FieldName::new("X-Forwarded-Port");

/// What the gateway does to a request's head for a client that is not believed.
pub(crate) fn forward(head: &mut RequestHead, connection: &ConnectionInfo) {
    strip_hop_by_hop(&mut head.headers);
    let client = IpText::of(connection.peer.ip());
    let port = NumberText::of(connection.local.port());
    let host = head.host_span();
    let headers = &mut head.headers;
    for result in [
        headers.put(&X_REAL_IP, client.bytes()),
        headers.put(&X_FORWARDED_FOR, client.bytes()),
        headers.put(&X_FORWARDED_PROTO, head.scheme.name().as_bytes()),
        headers.put_span(&X_FORWARDED_HOST, host),
        headers.put(&X_FORWARDED_PORT, port.bytes()),
    ] {
        result.expect("addresses and a checked host are valid");
    }
}
