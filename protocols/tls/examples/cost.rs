//! What TLS costs by itself, over streams in memory, for callgrind and the like:
//!
//!   cost exchange N    N requests and answers of 128 bytes on one connection, both sides
//!   cost handshake N   N full handshakes, both sides
//!   cost resume N      N resumed handshakes, both sides
//!   cost memory N      what N idle connections of a server hold
//!   cost bulk N        N chunks of 256 KiB, sent and received
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringgate_core::{Chunk, HUGE, Lease, ReadIo, SMALL, WriteIo};
use ringgate_tls::{Accepted, Connected, TicketKeys, TicketSecret, Tickets, accept, connect};
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, ServerConfig};

#[path = "../tests/support/certificates.rs"]
mod certificates;
#[path = "../tests/support/memory.rs"]
mod memory;

use memory::{MemoryReader, MemoryWriter, pipe, run, run_both};

const LONG: Duration = Duration::from_secs(10);

type Server = Accepted<MemoryReader, MemoryWriter>;
type Client = Connected<MemoryReader, MemoryWriter>;

fn connection(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> (Server, Client) {
    let (ours, theirs) = pipe();
    let name = certificates::localhost();
    let (taken, made) = run_both(
        accept(ours.0, ours.1, |_| Some(server.clone()), LONG),
        connect(theirs.0, theirs.1, client.clone(), name, LONG),
    );
    (taken.unwrap(), made.unwrap())
}

fn exchange(server: &mut Server, client: &mut Client, text: &Chunk) {
    for (writer, reader) in
        [(&mut client.writer, &mut server.reader), (&mut server.writer, &mut client.reader)]
    {
        run(writer.send(text.clone(), LONG)).unwrap();
        let (lease, got) = run(reader.recv(Lease::with_capacity(SMALL), LONG));
        assert_eq!((got.unwrap(), lease.len()), (128, 128));
    }
}

fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let n: usize = arguments[1].parse().unwrap();
    let authority = certificates::Authority::new();
    let keys = TicketKeys::new(&[TicketSecret::random().unwrap()], LONG).unwrap();
    let mut server = authority.server();
    server.ticketer = Arc::new(Tickets::new(Arc::new(keys), "policy"));
    server.session_storage = Arc::new(NoServerSessionStorage {});
    let server = Arc::new(server);
    let client = Arc::new(authority.client());
    let mut once = authority.client();
    once.resumption = rustls::client::Resumption::disabled();
    let once = Arc::new(once);
    let text = Chunk::copy_of(&[b'x'; 128]);
    let (mut taken, mut made) = connection(&server, &client);
    exchange(&mut taken, &mut made, &text);
    println!("{} {:?}", taken.handshake.cipher, taken.handshake.group);
    let begun = Instant::now();
    match &*arguments[0] {
        "exchange" => (0..n).for_each(|_| exchange(&mut taken, &mut made, &text)),
        "handshake" => (0..n).for_each(|_| drop(connection(&server, &once))),
        "resume" => {
            for _ in 0..n {
                let (mut taken, mut made) = connection(&server, &client);
                assert!(taken.handshake.resumed);
                exchange(&mut taken, &mut made, &text);
            }
        }
        "memory" => {
            let mut kept = Vec::with_capacity(n);
            let before = resident();
            for _ in 0..n {
                let (mut taken, mut made) = connection(&server, &once);
                exchange(&mut taken, &mut made, &text);
                kept.push((taken.reader, taken.writer));
            }
            println!("{} bytes a connection", (resident() - before) / n);
        }
        "bulk" => {
            let bulk = Chunk::copy_of(&[7; HUGE]);
            for _ in 0..n {
                run(taken.writer.send(bulk.clone(), LONG)).unwrap();
                let mut got = 0;
                while got < HUGE {
                    let (_, n) = run(made.reader.recv(Lease::with_capacity(HUGE), LONG));
                    got += n.unwrap();
                }
            }
        }
        other => panic!("unknown: {other}"),
    }
    println!("{:?} each", begun.elapsed() / n as u32);
}
