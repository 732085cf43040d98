//! Opens every listening socket of the process, or takes inherited ones, and hands descriptors to
//! the shards. A socket that was opened is never closed and bound again while the process runs:
//! connections that wait in its queue would be reset.

use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted, per shard. The kernel caps it at
/// `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// One configured listener, with one socket per shard.
#[derive(Debug)]
pub struct ListenerSet {
    /// The address that is bound; with the real port, where 0 was asked for.
    pub address: SocketAddr,
    /// Where its sockets came from.
    pub origin: Origin,
    sockets: Vec<TcpListener>,
}

/// Where sockets came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Opened here.
    Bound,
    /// Inherited through `LISTEN_FDS` (systemd's protocol).
    Inherited,
}

impl ListenerSet {
    /// A descriptor of its own for a shard; the set keeps the socket open, so that a shard that
    /// died is restarted on the very same queue.
    pub fn for_shard(&self, shard: usize) -> io::Result<TcpListener> {
        self.sockets[shard % self.sockets.len()].try_clone()
    }

    /// Stops new connections: the sockets are closed with the last shard's descriptors.
    pub fn close(self) {
        drop(self.sockets);
    }
}

/// Sockets that a parent process passed on.
pub struct Inherited {
    sockets: Vec<(SocketAddr, TcpListener)>,
}

impl Inherited {
    /// Nothing was passed on.
    pub fn none() -> Inherited {
        Inherited { sockets: Vec::new() }
    }

    /// Takes what `LISTEN_FDS` names. To be called once, before other descriptors are opened.
    pub fn take() -> io::Result<Inherited> {
        let mut passed = ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..passed.len() {
            if let Some(socket) = passed.take_tcp_listener(index)? {
                let address = socket.local_addr()?;
                Socket::from(socket.try_clone()?).set_cloexec(true)?;
                sockets.push((address, socket));
            }
        }
        Ok(Inherited { sockets })
    }

    fn matching(&mut self, address: SocketAddr) -> Vec<TcpListener> {
        let (matching, rest) =
            std::mem::take(&mut self.sockets).into_iter().partition(|(a, _)| *a == address);
        self.sockets = rest;
        matching.into_iter().map(|(_, socket)| socket).collect()
    }

    /// Addresses of sockets that no listener asked for.
    pub fn unused(&self) -> impl Iterator<Item = SocketAddr> {
        self.sockets.iter().map(|(address, _)| *address)
    }
}

/// Opens a listener: one socket per shard, all bound to one address, among which the kernel
/// spreads connections. Inherited sockets of that address are taken instead.
pub fn open(
    address: SocketAddr,
    shards: usize,
    inherited: &mut Inherited,
) -> io::Result<ListenerSet> {
    let passed = inherited.matching(address);
    if !passed.is_empty() {
        return Ok(ListenerSet { address, origin: Origin::Inherited, sockets: passed });
    }
    let first = bind(address)?;
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    while sockets.len() < shards {
        sockets.push(bind(address)?);
    }
    Ok(ListenerSet { address, origin: Origin::Bound, sockets })
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    // Socket::new sets CLOEXEC.
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // "[::]:80" and "0.0.0.0:80" are two listeners.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    fn any() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[test]
    fn every_shard_has_a_socket_of_its_own_on_one_port() {
        let mut none = Inherited::none();
        let set = open(any(), 3, &mut none).unwrap();
        assert_ne!(set.address.port(), 0);
        for shard in 0..3 {
            assert_eq!(set.for_shard(shard).unwrap().local_addr().unwrap(), set.address);
        }
    }

    #[test]
    fn a_connection_waits_for_the_next_shard_on_the_same_socket() {
        let mut none = Inherited::none();
        let set = open(any(), 1, &mut none).unwrap();
        drop(set.for_shard(0).unwrap());
        let _client = TcpStream::connect(set.address).unwrap();
        assert!(set.for_shard(0).unwrap().accept().is_ok());
    }

    #[test]
    fn inherited_sockets_are_taken_by_address() {
        let socket = TcpListener::bind(any()).unwrap();
        let address = socket.local_addr().unwrap();
        let mut inherited = Inherited { sockets: vec![(address, socket)] };
        let set = open(address, 2, &mut inherited).unwrap();
        assert_eq!(set.origin, Origin::Inherited);
        assert_eq!(inherited.unused().count(), 0);
    }
}
