//! A client that sends the bytes it is given.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::message::{Head, Reader, Response};
use super::{SOON, show};

/// A connection to the gateway.
#[derive(Debug)]
pub struct RawClient {
    pub reader: Reader<TcpStream>,
}

impl RawClient {
    #[track_caller]
    pub fn connect(address: SocketAddr) -> RawClient {
        let stream = TcpStream::connect_timeout(&address, SOON).expect("connect to the gateway");
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_write_timeout(Some(SOON)).unwrap();
        RawClient { reader: Reader::new(stream) }
    }

    /// A connection with a small receive buffer: the kernel takes little that is not read.
    pub fn connect_slow(address: SocketAddr) -> RawClient {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&address.into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_write_timeout(Some(SOON)).unwrap();
        RawClient { reader: Reader::new(stream) }
    }

    pub fn stream(&self) -> &TcpStream {
        &self.reader.stream
    }

    pub fn set_timeout(&self, timeout: Duration) {
        self.stream().set_read_timeout(Some(timeout)).unwrap();
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.reader.stream.write_all(bytes.as_ref()).expect("send to the gateway");
    }

    /// The same where the gateway may have closed already.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.reader.stream.write_all(bytes.as_ref())
    }

    /// The next answer to something else than HEAD.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        match self.reader.response(false) {
            Ok(Some(response)) => response,
            Ok(None) => panic!("closed without an answer"),
            Err(error) => panic!("answer: {error}; unread: {}", show(&self.reader.buffer)),
        }
    }

    pub fn try_response(&mut self) -> io::Result<Option<Response>> {
        self.reader.response(false)
    }

    #[track_caller]
    pub fn response_to_head(&mut self) -> Response {
        self.reader.response(true).expect("answer").expect("an answer before the end")
    }

    /// Sends and reads the answer.
    #[track_caller]
    pub fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Response {
        self.send(bytes);
        self.response()
    }

    /// `GET path` on a connection that stays.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> Response {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n"))
    }

    /// A head alone.
    #[track_caller]
    pub fn head(&mut self) -> Head {
        match self.reader.head() {
            Ok(Some(head)) => head,
            Ok(None) => panic!("closed without an answer"),
            Err(error) => panic!("head: {error}; unread: {}", show(&self.reader.buffer)),
        }
    }

    #[track_caller]
    pub fn take(&mut self, n: usize) -> Vec<u8> {
        self.reader.take(n).expect("so many bytes")
    }

    /// Ends the sending direction.
    pub fn half_close(&self) {
        self.stream().shutdown(Shutdown::Write).unwrap();
    }

    /// Makes the drop a reset.
    pub fn abort(self) {
        let socket = socket2::SockRef::from(self.stream());
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Waits for the end: whether it was an orderly one (`Ok`) or a reset, and what came before.
    pub fn rest(&mut self, within: Duration) -> (Vec<u8>, io::Result<()>) {
        let deadline = Instant::now() + within;
        let mut bytes = std::mem::take(&mut self.reader.buffer);
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return (bytes, Err(io::ErrorKind::TimedOut.into()));
            }
            self.set_timeout(left);
            match self.reader.stream.read(&mut chunk) {
                Ok(0) => return (bytes, Ok(())),
                Ok(n) => bytes.extend_from_slice(&chunk[..n]),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    return (bytes, Err(io::ErrorKind::TimedOut.into()));
                }
                Err(error) => return (bytes, Err(error)),
            }
        }
    }

    /// Asserts that the gateway closes, orderly, without a further byte.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let (bytes, end) = self.rest(SOON);
        assert!(bytes.is_empty(), "bytes behind the end: {}", show(&bytes));
        end.expect("an orderly end");
    }

    /// Asserts that the gateway ends the connection, whatever way, without a further byte.
    #[track_caller]
    pub fn expect_gone(&mut self) {
        let (bytes, end) = self.rest(SOON);
        assert!(bytes.is_empty(), "bytes behind the end: {}", show(&bytes));
        if let Err(error) = end {
            assert_ne!(error.kind(), io::ErrorKind::TimedOut, "the connection stays open");
        }
    }

    /// Asserts that the gateway resets the connection; what came before that.
    #[track_caller]
    pub fn expect_reset(&mut self) -> Vec<u8> {
        let (bytes, end) = self.rest(SOON);
        let error = end.expect_err("a reset, not an orderly end");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
        bytes
    }

    /// Asserts that nothing comes for a while.
    #[track_caller]
    pub fn expect_silence(&mut self, within: Duration) {
        let (bytes, end) = self.rest(within);
        assert!(bytes.is_empty(), "unexpected: {}", show(&bytes));
        let error = end.expect_err("no end either");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        self.set_timeout(SOON);
    }
}
