//! A thin io_uring event loop over TCP sockets.
//!
//! Buffers move into the ring with the operation and come back with its completion, so callers
//! cannot free or touch memory that the kernel still uses.
// The io-uring crate cannot check that buffers outlive an operation, so submitting is unsafe; this
// module is the only place of the crate that does it.
#![allow(unsafe_code)]

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::rc::Rc;
use std::time::Duration;

use io_uring::{IoUring, cqueue, opcode, squeue, types};

const ENTRIES: u32 = 1024;
/// Completions are drained every turn; this only has to absorb one burst.
const COMPLETIONS: u32 = 8192;
/// The kernel retries short sends itself, so that a completion means "all of it" or an error.
const MSG_WAITALL: i32 = 0x100;
const MSG_NOSIGNAL: i32 = 0x4000;
/// Spares the attempt to receive what cannot have arrived yet.
const IORING_RECVSEND_POLL_FIRST: u16 = 1;

/// A socket in the ring's table of registered files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket(u32);

/// Memory lent to the kernel for one operation.
pub enum Buffer {
    /// Received bytes, or bytes passed on.
    Owned(Box<[u8]>),
    /// One answer that many connections send at the same time.
    Shared(Rc<[u8]>),
}

impl From<Rc<[u8]>> for Buffer {
    fn from(bytes: Rc<[u8]>) -> Self {
        Self::Shared(bytes)
    }
}

impl From<Box<[u8]>> for Buffer {
    fn from(bytes: Box<[u8]>) -> Self {
        Self::Owned(bytes)
    }
}

impl Buffer {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// What happened, with the token that the operation was started with.
pub enum Event {
    /// A client connected; the socket is registered already.
    Accepted(Socket),
    /// Bytes arrived behind the offset that was asked for; 0 is the end of the stream.
    Received {
        /// As given to [`Ring::receive`].
        token: u64,
        /// The number of bytes.
        result: io::Result<usize>,
        /// The buffer that was lent.
        buffer: Box<[u8]>,
    },
    /// All bytes were taken by the kernel, or the connection is broken.
    Sent {
        /// As given to [`Ring::send`].
        token: u64,
        /// The number of bytes.
        result: io::Result<usize>,
        /// The buffer that was lent.
        buffer: Buffer,
    },
}

enum Flight {
    Accept,
    Receive { token: u64, socket: Socket, buffer: Box<[u8]> },
    Send { token: u64, buffer: Buffer },
}

/// One ring, the sockets registered with it and the operations in flight.
pub struct Ring {
    ring: IoUring,
    sockets: Vec<Option<TcpStream>>,
    /// Whether the last receive left bytes behind, by socket.
    readable: Vec<bool>,
    vacant: Vec<u32>,
    flights: Vec<Option<Flight>>,
    landed: Vec<u32>,
}

impl Ring {
    /// A ring for up to `sockets` connections at a time.
    pub fn new(sockets: u32) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_coop_taskrun()
            .setup_defer_taskrun()
            .setup_cqsize(COMPLETIONS)
            .build(ENTRIES)?;
        ring.submitter().register_files_sparse(sockets)?;
        Ok(Self {
            ring,
            sockets: (0..sockets).map(|_| None).collect(),
            readable: vec![false; sockets as usize],
            vacant: (0..sockets).rev().collect(),
            flights: Vec::new(),
            landed: Vec::new(),
        })
    }

    /// Registers a connection, which spares a descriptor look-up per operation.
    pub fn attach(&mut self, stream: TcpStream) -> io::Result<Socket> {
        stream.set_nodelay(true)?;
        let index =
            self.vacant.pop().ok_or_else(|| io::Error::other("every socket slot is taken"))?;
        self.ring.submitter().register_files_update(index, &[stream.as_raw_fd()])?;
        self.sockets[index as usize] = Some(stream);
        self.readable[index as usize] = false;
        Ok(Socket(index))
    }

    /// Closes a connection. No operation may be in flight on it, or its completion would be taken
    /// for one of the slot's next owner.
    pub fn close(&mut self, socket: Socket) -> io::Result<()> {
        self.ring.submitter().register_files_update(socket.0, &[-1])?;
        self.sockets[socket.0 as usize] = None;
        self.vacant.push(socket.0);
        Ok(())
    }

    /// Ends both directions, so that every operation in flight on the socket completes.
    pub fn shutdown(&mut self, socket: Socket) {
        if let Some(stream) = &self.sockets[socket.0 as usize] {
            // A peer that is gone already is what was asked for.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Accepts connections for as long as the ring lives.
    pub fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        let entry = opcode::AcceptMulti::new(types::Fd(listener.as_raw_fd())).build();
        self.start(entry, Flight::Accept)
    }

    /// Receives into `buffer[from..]`.
    pub fn receive(
        &mut self,
        socket: Socket,
        mut buffer: Box<[u8]>,
        from: usize,
        token: u64,
    ) -> io::Result<()> {
        let space = &mut buffer[from..];
        let mut entry = opcode::Recv::new(
            types::Fixed(socket.0),
            space.as_mut_ptr(),
            u32::try_from(space.len()).unwrap_or(u32::MAX),
        )
        .build();
        if !self.readable[socket.0 as usize] {
            poll_first(&mut entry);
        }
        self.start(entry, Flight::Receive { token, socket, buffer })
    }

    /// Sends the first `length` bytes of `buffer`.
    pub fn send(
        &mut self,
        socket: Socket,
        buffer: impl Into<Buffer>,
        length: usize,
        token: u64,
    ) -> io::Result<()> {
        let buffer = buffer.into();
        let bytes = &buffer.bytes()[..length];
        let entry = opcode::Send::new(
            types::Fixed(socket.0),
            bytes.as_ptr(),
            u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        )
        .flags(MSG_WAITALL | MSG_NOSIGNAL)
        .build();
        self.start(entry, Flight::Send { token, buffer })
    }

    fn start(&mut self, entry: squeue::Entry, flight: Flight) -> io::Result<()> {
        let index = self.landed.pop().unwrap_or_else(|| {
            self.flights.push(None);
            (self.flights.len() - 1) as u32
        });
        self.flights[index as usize] = Some(flight);
        let entry = entry.user_data(u64::from(index));
        loop {
            // SAFETY: the entry points into memory on the heap that `flights[index]` owns. It is
            // neither touched nor freed before the completion arrives; dropping the ring leaks it.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return Ok(());
            }
            self.ring.submit()?;
        }
    }

    /// Submits what was started, waits for at least one completion or for `timeout`, and appends
    /// what happened to `events`.
    pub fn wait(&mut self, timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()> {
        let waited = match timeout {
            None => self.ring.submit_and_wait(1),
            Some(timeout) => {
                let timespec = types::Timespec::from(timeout);
                let args = types::SubmitArgs::new().timespec(&timespec);
                self.ring.submitter().submit_with_args(1, &args)
            }
        };
        match waited {
            Err(error) if !is_passing(&error) => return Err(error),
            _ => {}
        }
        loop {
            let completion = self.ring.completion().next();
            match completion {
                Some(completion) => self.land(&completion, events)?,
                None => return Ok(()),
            }
        }
    }

    fn land(&mut self, completion: &cqueue::Entry, events: &mut Vec<Event>) -> io::Result<()> {
        let index = completion.user_data() as usize;
        let result = match completion.result() {
            code if code < 0 => Err(io::Error::from_raw_os_error(-code)),
            count => Ok(count as usize),
        };
        if matches!(self.flights[index], Some(Flight::Accept)) {
            // SAFETY: an accept's result is a fresh descriptor that nothing else owns.
            let stream = unsafe { TcpStream::from_raw_fd(result? as i32) };
            assert!(cqueue::more(completion.flags()), "the kernel stopped accepting");
            events.push(Event::Accepted(self.attach(stream)?));
            return Ok(());
        }
        let flight = self.flights[index].take();
        self.landed.push(index as u32);
        events.push(match flight {
            Some(Flight::Receive { token, socket, buffer }) => {
                self.readable[socket.0 as usize] = cqueue::sock_nonempty(completion.flags());
                Event::Received { token, result, buffer }
            }
            Some(Flight::Send { token, buffer }) => Event::Sent { token, result, buffer },
            Some(Flight::Accept) | None => return Err(io::Error::other("unknown completion")),
        });
        Ok(())
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // The kernel may still write into buffers in flight.
        std::mem::forget(std::mem::take(&mut self.flights));
    }
}

/// Version 0.6 of the io-uring crate has no setter for this flag, which lives in `ioprio`.
fn poll_first(entry: &mut squeue::Entry) {
    const IOPRIO: usize = 1; // in units of u16: after the operation code and the flags
    // SAFETY: `Entry` is `repr(C)` around the kernel's submission entry, whose layout is fixed, is
    // longer than four bytes and is valid for any value here.
    unsafe { std::ptr::from_mut(entry).cast::<u16>().add(IOPRIO).write(IORING_RECVSEND_POLL_FIRST) }
}

/// A wait that ended without a completion for a harmless reason: timeout, signal, full queue.
fn is_passing(error: &io::Error) -> bool {
    const ETIME: i32 = 62;
    const EBUSY: i32 = 16;
    error.kind() == io::ErrorKind::Interrupted
        || matches!(error.raw_os_error(), Some(ETIME | EBUSY))
}
