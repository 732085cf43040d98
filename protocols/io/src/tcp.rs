//! TCP connections.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use monoio::buf::{IoBuf, IoBufMut, SliceMut};
use monoio::io::Canceller;
use monoio::net::TcpStream;
use ringgate_core::{Chunk, Lease, ReadIo, SMALL, Storage, WriteIo};
use socket2::SockRef;

use crate::deadline::{Deadline, Elapsed, sleep, within};
use crate::socket::Socket;
use crate::{local, sys};

/// A TCP connection.
///
/// One that idles in [`ReadIo::readable`] costs about 600 bytes, its task and its slots in the
/// wheel included (measured on both engines), and what the kernel holds.
pub struct Stream {
    reader: Reader,
    writer: Writer,
}

/// The receiving half of a [`Stream`].
pub struct Reader {
    socket: Rc<Socket>,
    deadline: Deadline,
    /// Kept between receives that may be given up; an idle connection has none.
    canceller: Option<Canceller>,
}

/// The sending half of a [`Stream`]. Dropping it sends nothing: the connection ends with
/// [`WriteIo::shutdown`] or with both halves.
pub struct Writer {
    socket: Rc<Socket>,
    deadline: Deadline,
}

/// Connects to `addr`, with `TCP_NODELAY`.
///
/// # Errors
/// The system's; [`io::ErrorKind::TimedOut`] after `limit`.
pub async fn connect(addr: SocketAddr, limit: Duration) -> io::Result<Stream> {
    let stream = within(limit, TcpStream::connect_addr(addr)).await??;
    stream.set_nodelay(true)?;
    Ok(Stream::new(stream))
}

impl Stream {
    pub(crate) fn new(stream: TcpStream) -> Stream {
        let socket = Rc::new(Socket::new(stream));
        Stream {
            reader: Reader { socket: socket.clone(), deadline: Deadline::new(), canceller: None },
            writer: Writer { socket, deadline: Deadline::new() },
        }
    }

    /// Takes over a connected socket and makes it blocking or not, as the engine needs it.
    ///
    /// # Errors
    /// The system's, where the engine does not take the descriptor.
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<Stream> {
        // A ring does not wait on non-blocking descriptors; epoll must not on others.
        stream.set_nonblocking(local::is_epoll())?;
        Ok(Stream::new(TcpStream::from_std(stream)?))
    }

    /// Takes over a blocking socket that was just accepted.
    pub(crate) fn accepted(stream: std::net::TcpStream) -> io::Result<Stream> {
        if local::is_epoll() {
            stream.set_nonblocking(true)?;
        }
        Ok(Stream::new(TcpStream::from_std(stream)?))
    }

    /// Both halves, for two tasks or for waiting on both at the same time.
    pub fn into_split(self) -> (Reader, Writer) {
        (self.reader, self.writer)
    }

    /// The connection again, where both halves are of the same one.
    ///
    /// # Errors
    /// The halves, where they are not.
    pub fn reunite(reader: Reader, writer: Writer) -> Result<Stream, (Reader, Writer)> {
        if Rc::ptr_eq(&reader.socket, &writer.socket) {
            Ok(Stream { reader, writer })
        } else {
            Err((reader, writer))
        }
    }

    /// The address of this end.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.reader.socket.stream().local_addr()
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::NotConnected`] where it left.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.reader.socket.stream().peer_addr()
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.socket.as_fd()
    }
}

impl AsFd for Writer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What is free behind the lease's bytes; the lease is a shell until [`Lease::restore`].
fn free_part(lease: &mut Lease) -> SliceMut<Vec<u8>> {
    let storage = lease.take_storage();
    let filled = storage.len();
    storage.slice_mut(filled..)
}

impl ReadIo for Reader {
    async fn readable(&mut self, within: Duration) -> io::Result<()> {
        let ready = pin!(self.socket.readable());
        self.deadline.bound(within, ready).await?
    }

    /// On [`io::ErrorKind::TimedOut`] the lease is an empty one: the kernel may still write into
    /// the one that was given. The connection is of no use then.
    async fn recv(&mut self, mut lease: Lease, within: Duration) -> (Lease, io::Result<usize>) {
        if lease.spare() == 0 {
            return (lease, Ok(0));
        }
        let receive = pin!(self.socket.recv(free_part(&mut lease)));
        match self.deadline.bound(within, receive).await {
            Ok((result, part)) => {
                lease.restore(part.into_inner());
                (lease, result)
            }
            Err(Elapsed) => (Lease::with_capacity(SMALL), Err(Elapsed.into())),
        }
    }

    async fn recv_or_idle(
        &mut self,
        mut lease: Lease,
        patience: Duration,
    ) -> (Lease, io::Result<usize>) {
        if lease.spare() == 0 {
            return (lease, Ok(0));
        }
        let canceller = self.canceller.take().unwrap_or_default();
        let part = free_part(&mut lease);
        let mut receive = pin!(self.socket.recv_cancelable(part, canceller.handle()));
        let (result, part) = match self.deadline.bound(patience, receive.as_mut()).await {
            Ok(received) => {
                self.canceller = Some(canceller);
                received
            }
            Err(Elapsed) => {
                drop(canceller.cancel());
                // What came in between is in the result, not lost.
                let (result, part) = receive.await;
                (result.map_err(given_up), part)
            }
        };
        lease.restore(part.into_inner());
        (lease, result)
    }

    async fn hung_up(&mut self, within: Duration) -> io::Result<()> {
        let looks = pin!(async {
            loop {
                sleep(HANG_UP_LOOK).await;
                if sys::has_hung_up(&*self.socket)? {
                    return Ok(());
                }
            }
        });
        self.deadline.bound(within, looks).await?
    }
}

/// How often a stream is looked at that only a reset can still change: no event tells of one
/// where the peer's end has been seen already, for that keeps the stream readable.
const HANG_UP_LOOK: Duration = Duration::from_millis(200);

/// The error of a receive that was cancelled, as its caller expects it.
fn given_up(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::ECANCELED | libc::EINTR) => io::ErrorKind::WouldBlock.into(),
        _ => error,
    }
}

impl Writer {
    /// Sends `range` of `buffer` and hands the buffer back where the kernel no longer has it.
    async fn send_range<B: IoBuf>(
        &mut self,
        mut buffer: B,
        range: Range<usize>,
        within: Duration,
    ) -> (io::Result<()>, Option<B>) {
        let mut start = range.start;
        while start < range.end {
            let sent = pin!(self.socket.send(buffer.slice(start..range.end)));
            let (result, part) = match self.deadline.bound(within, sent).await {
                Ok(sent) => sent,
                Err(Elapsed) => return (Err(Elapsed.into()), None),
            };
            buffer = part.into_inner();
            match result {
                Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), Some(buffer)),
                Ok(n) => start += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (Err(error), Some(buffer)),
            }
        }
        (Ok(()), Some(buffer))
    }
}

impl WriteIo for Writer {
    /// After an error nobody knows how much was sent: the connection is of no use then.
    async fn send(&mut self, chunk: Chunk, within: Duration) -> io::Result<()> {
        match chunk.into_parts() {
            (Storage::Lease(buffer), range) => {
                let (result, buffer) = self.send_range(buffer, range.clone(), within).await;
                // A chunk again, so that the buffer finds its pool.
                drop(buffer.map(|buffer| Chunk::from_parts(Storage::Lease(buffer), range)));
                result
            }
            (Storage::Bytes(bytes), range) => self.send_range(bytes, range, within).await.0,
        }
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        SockRef::from(&*self.socket).shutdown(Shutdown::Write)
    }

    fn abort(&mut self) {
        // Where this fails the connection is gone already.
        let _ = SockRef::from(&*self.socket).set_linger(Some(Duration::ZERO));
    }
}

impl ReadIo for Stream {
    async fn readable(&mut self, within: Duration) -> io::Result<()> {
        self.reader.readable(within).await
    }

    async fn recv(&mut self, lease: Lease, within: Duration) -> (Lease, io::Result<usize>) {
        self.reader.recv(lease, within).await
    }

    async fn recv_or_idle(
        &mut self,
        lease: Lease,
        patience: Duration,
    ) -> (Lease, io::Result<usize>) {
        self.reader.recv_or_idle(lease, patience).await
    }

    async fn hung_up(&mut self, within: Duration) -> io::Result<()> {
        self.reader.hung_up(within).await
    }
}

impl WriteIo for Stream {
    async fn send(&mut self, chunk: Chunk, within: Duration) -> io::Result<()> {
        self.writer.send(chunk, within).await
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        self.writer.shutdown().await
    }

    fn abort(&mut self) {
        self.writer.abort();
    }
}
