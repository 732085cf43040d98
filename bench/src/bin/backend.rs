//! The origin server behind every proxy: answers as cheaply as possible and counts what it answers.
//!
//! `/size/N` gives N bytes, `/hits` the number of answers so far (not counting itself), and every
//! other path `--size` bytes. Request bodies are read and dropped.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;

use clap::Parser;
use ringgate_bench::http::{Rest, field, head_length, number};
use ringgate_bench::ring::{Event, Ring, Socket};

const REQUEST_BYTES_MAX: usize = 16 << 10;
const ANSWER_BYTES_MAX: usize = 64 << 20;
const CONNECTIONS_MAX: u32 = 16 << 10;

/// Serves bodies of a given size over keep-alive connections.
#[derive(Parser)]
struct Options {
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// Bytes in an answer whose path names no size.
    #[arg(long, default_value_t = 128)]
    size: usize,
}

struct Connection {
    socket: Socket,
    filled: usize,
    /// Left of the body of the request that is being read.
    body: Option<Rest>,
    /// The answer that follows that body, and whether the connection ends with it.
    answer: Rc<[u8]>,
    last: bool,
    /// Held while an answer is sent.
    buffer: Option<Box<[u8]>>,
}

struct Backend {
    ring: Ring,
    size: usize,
    hits: u64,
    answers: HashMap<usize, Rc<[u8]>>,
    connections: Vec<Option<Connection>>,
    vacant: Vec<usize>,
}

impl Backend {
    fn handle(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::Accepted(socket) => {
                let connection = Connection {
                    socket,
                    filled: 0,
                    body: None,
                    answer: Rc::new([]),
                    last: false,
                    buffer: None,
                };
                let index = self.vacant.pop().unwrap_or_else(|| {
                    self.connections.push(None);
                    self.connections.len() - 1
                });
                self.connections[index] = Some(connection);
                let buffer = vec![0; REQUEST_BYTES_MAX].into_boxed_slice();
                self.ring.receive(socket, buffer, 0, index as u64)
            }
            Event::Received { token, result, buffer } => match result {
                Ok(length @ 1..) => {
                    if let Some(connection) = &mut self.connections[token as usize] {
                        connection.filled += length;
                    }
                    self.proceed(token as usize, buffer)
                }
                _ => self.close(token as usize),
            },
            Event::Sent { token, result, .. } => {
                let Some(connection) = &mut self.connections[token as usize] else { return Ok(()) };
                match (connection.buffer.take(), result) {
                    (Some(buffer), Ok(_)) if !connection.last => {
                        self.proceed(token as usize, buffer)
                    }
                    _ => self.close(token as usize),
                }
            }
        }
    }

    /// Answers the request that the buffer holds, or reads on.
    fn proceed(&mut self, index: usize, mut buffer: Box<[u8]>) -> io::Result<()> {
        let Some(mut connection) = self.connections[index].take() else { return Ok(()) };
        let mut used = 0;
        if connection.body.is_none()
            && let Some(length) = head_length(&buffer[..connection.filled])
        {
            let head = &buffer[..length];
            connection.answer = self.answer(head);
            connection.last =
                field(head, "connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
            connection.body = Some(Rest::after(head));
            used = length;
        }
        let mut complete = false;
        if let Some(body) = &mut connection.body {
            used += body.take(&buffer[used..connection.filled]);
            complete = body.is_over();
        }
        buffer.copy_within(used..connection.filled, 0);
        connection.filled -= used;
        let socket = connection.socket;
        if complete {
            connection.body = None;
            connection.buffer = Some(buffer);
            let answer = connection.answer.clone();
            let length = answer.len();
            self.connections[index] = Some(connection);
            return self.ring.send(socket, answer, length, index as u64);
        }
        let filled = connection.filled;
        self.connections[index] = Some(connection);
        if filled == buffer.len() {
            return self.close(index);
        }
        self.ring.receive(socket, buffer, filled, index as u64)
    }

    fn answer(&mut self, head: &[u8]) -> Rc<[u8]> {
        let target = head.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
        let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
        if path == b"/hits" {
            return message(self.hits.to_string().as_bytes());
        }
        self.hits += 1;
        // Whatever stands before it, so that routes can have prefixes.
        let size = path
            .windows(6)
            .position(|window| window == b"/size/")
            .and_then(|at| number(&path[at + 6..]))
            .unwrap_or(self.size)
            .min(ANSWER_BYTES_MAX);
        let body = || (0..size).map(|at| b'a' + (at % 26) as u8).collect::<Vec<_>>();
        self.answers.entry(size).or_insert_with(|| message(&body())).clone()
    }

    fn close(&mut self, index: usize) -> io::Result<()> {
        match self.connections[index].take() {
            Some(connection) => {
                self.vacant.push(index);
                self.ring.close(connection.socket)
            }
            None => Ok(()),
        }
    }
}

fn message(body: &[u8]) -> Rc<[u8]> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat().into()
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let listener = TcpListener::bind(options.listen)?;
    let mut backend = Backend {
        ring: Ring::new(CONNECTIONS_MAX)?,
        size: options.size,
        hits: 0,
        answers: HashMap::new(),
        connections: Vec::new(),
        vacant: Vec::new(),
    };
    backend.ring.accept(&listener)?;
    let mut events = Vec::new();
    loop {
        backend.ring.wait(None, &mut events)?;
        for event in events.drain(..) {
            backend.handle(event)?;
        }
    }
}
