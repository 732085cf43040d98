//! A relay that parses nothing: receive, send, receive, send. It is the floor under every proxy's
//! cost, because a proxy has to make the same kernel work happen.
//!
//! Each client is joined to an upstream connection opened in advance. Both directions run on their
//! own, so it carries any protocol in which the client and not the relay ends the conversation.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};

use clap::Parser;
use ringgate_bench::ring::{Buffer, Event, Ring, Socket};

/// Relays TCP connections at the lowest cost.
#[derive(Parser)]
struct Options {
    /// Where clients connect.
    #[arg(long)]
    listen: SocketAddr,
    /// Where their bytes go.
    #[arg(long)]
    upstream: SocketAddr,
    /// Upstream connections held open in advance.
    #[arg(long, default_value_t = 128)]
    spare: usize,
    /// Bytes per receive and direction; only what a transfer uses is ever touched.
    #[arg(long, default_value_t = 256 << 10)]
    buffer: usize,
}

/// A client and its upstream connection; index 0 is the client.
struct Pair {
    ends: [Socket; 2],
    in_flight: u8,
    closing: bool,
}

struct Relay {
    ring: Ring,
    upstream: SocketAddr,
    buffer: usize,
    spare: Vec<TcpStream>,
    pairs: Vec<Option<Pair>>,
}

/// Pair and direction (the index of the end that bytes come from) in one number.
fn token(pair: usize, from: usize) -> u64 {
    (pair as u64) << 1 | from as u64
}

impl Relay {
    fn join(&mut self, client: Socket) -> io::Result<()> {
        let upstream = match self.spare.pop() {
            Some(stream) => stream,
            None => TcpStream::connect(self.upstream)?,
        };
        let ends = [client, self.ring.attach(upstream)?];
        let pair = self.pairs.iter().position(Option::is_none).unwrap_or(self.pairs.len());
        if pair == self.pairs.len() {
            self.pairs.push(None);
        }
        self.pairs[pair] = Some(Pair { ends, in_flight: 2, closing: false });
        for (from, end) in ends.into_iter().enumerate() {
            let buffer = vec![0; self.buffer].into_boxed_slice();
            self.ring.receive(end, buffer, 0, token(pair, from))?;
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::Accepted(client) => self.join(client),
            Event::Received { token, result, buffer } => match (result, self.open(token)) {
                (Ok(length @ 1..), Some(ends)) => {
                    self.ring.send(ends[1 - (token & 1) as usize], buffer, length, token)
                }
                _ => self.end(token),
            },
            Event::Sent { token, result, buffer } => match (result, buffer, self.open(token)) {
                (Ok(_), Buffer::Owned(buffer), Some(ends)) => {
                    self.ring.receive(ends[(token & 1) as usize], buffer, 0, token)
                }
                _ => self.end(token),
            },
        }
    }

    /// The ends of the pair, unless it is being closed.
    fn open(&self, token: u64) -> Option<[Socket; 2]> {
        let pair = self.pairs[(token >> 1) as usize].as_ref()?;
        (!pair.closing).then_some(pair.ends)
    }

    /// One direction is over: ends the other too, and frees the pair when both are. What the
    /// upstream connection still carries is unknown here, so a fresh one takes its place.
    fn end(&mut self, token: u64) -> io::Result<()> {
        let slot = &mut self.pairs[(token >> 1) as usize];
        let Some(pair) = slot else { return Ok(()) };
        let ends = pair.ends;
        pair.in_flight -= 1;
        if !pair.closing {
            pair.closing = true;
            ends.into_iter().for_each(|end| self.ring.shutdown(end));
        }
        if pair.in_flight == 0 {
            *slot = None;
            self.ring.close(ends[0])?;
            self.ring.close(ends[1])?;
            self.spare.push(TcpStream::connect(self.upstream)?);
        }
        Ok(())
    }
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let listener = TcpListener::bind(options.listen)?;
    let spare: io::Result<Vec<_>> =
        (0..options.spare).map(|_| TcpStream::connect(options.upstream)).collect();
    let mut relay = Relay {
        ring: Ring::new(8192)?,
        upstream: options.upstream,
        buffer: options.buffer,
        spare: spare?,
        pairs: Vec::new(),
    };
    relay.ring.accept(&listener)?;
    let mut events = Vec::new();
    loop {
        relay.ring.wait(None, &mut events)?;
        for event in events.drain(..) {
            relay.handle(event)?;
        }
    }
}
