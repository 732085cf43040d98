//! How tunnels end: when the gateway drains, when nothing is said, when a side leaves.

use std::time::{Duration, Instant};

use crate::frames::{BINARY, Heard, PING, TEXT, close, frame};
use crate::h2::Edge;
use crate::python::{EchoServer, python};
use crate::support::{SOON, eventually};
use crate::ways::{WAYS, gateway, open, resources};

/// A Close of 1001, as a server sends it.
fn going_away() -> Heard {
    Heard::Frame(0x88, vec![3, 0xe9], false)
}

#[test]
fn a_drain_closes_with_1001() {
    let Some(python) = python() else { return };
    let server = EchoServer::start(&python);
    let mut edge = gateway(server.address, "http");
    let mut sockets: Vec<_> = WAYS.iter().map(|way| (way, open(&edge, *way, &[]))).collect();
    for (way, socket) in &mut sockets {
        assert!(socket.echoed(TEXT, b"before"), "{way:?}");
    }
    edge.gateway.signal("TERM");
    for (way, socket) in &mut sockets {
        assert_eq!(socket.hear(), going_away(), "{way:?}");
        socket.send(&close(1001, b""));
        assert_eq!(socket.hear(), Heard::End, "{way:?}");
    }
    drop(sockets);
    assert_eq!(edge.gateway.wait(SOON).code(), Some(0));
    assert!(edge.gateway.log().contains("ended: every connection has ended"));
}

#[test]
fn a_drain_over_http2_to_the_node_closes_with_1001() {
    let Some(python) = python() else { return };
    let server = EchoServer::start(&python);
    let inner = gateway(server.address, "http");
    let mut edge = gateway(inner.clear, "h2c");
    let mut sockets: Vec<_> = WAYS.iter().map(|way| (way, open(&edge, *way, &[]))).collect();
    edge.gateway.signal("TERM");
    for (way, socket) in &mut sockets {
        assert_eq!(socket.hear(), going_away(), "{way:?}");
        socket.send(&close(1001, b""));
        assert_eq!(socket.hear(), Heard::End, "{way:?}");
    }
    drop(sockets);
    assert_eq!(edge.gateway.wait(SOON).code(), Some(0));
}

#[test]
fn a_tunnel_that_is_silent_for_too_long_ends() {
    let Some(python) = python() else { return };
    let server = EchoServer::start(&python);
    let edge =
        Edge::with(resources(server.address, "http"), |config| config.timeout("stream_idle", "1s"));
    let try_out = |edge: &Edge, way| {
        let mut socket = open(edge, way, &[]);
        // It lives for as long as something is said.
        for _ in 0..4 {
            std::thread::sleep(Duration::from_millis(500));
            assert!(socket.echoed(BINARY, b"still here"), "{way:?}");
        }
        let silent = Instant::now();
        assert_eq!(socket.hear(), Heard::End, "{way:?}");
        let took = silent.elapsed();
        assert!((Duration::from_millis(800)..Duration::from_secs(5)).contains(&took), "{took:?}");
    };
    std::thread::scope(|scope| {
        for way in WAYS {
            let edge = &edge;
            scope.spawn(move || try_out(edge, way));
        }
    });
    assert_eq!(edge.gateway.faults("idle_timeout"), 4);
}

/// The bounds of requests are not those of tunnels.
#[test]
fn a_tunnel_outlives_the_bounds_of_requests() {
    let Some(python) = python() else { return };
    let server = EchoServer::start(&python);
    let edge = Edge::with(resources(server.address, "http"), |config| {
        ["header", "body", "idle", "send"]
            .into_iter()
            .fold(config, |config, key| config.timeout(key, "1s"))
    });
    let mut sockets: Vec<_> = WAYS.iter().map(|way| (way, open(&edge, *way, &[]))).collect();
    std::thread::sleep(Duration::from_millis(2500));
    for (way, socket) in &mut sockets {
        assert!(socket.echoed(TEXT, b"still here"), "{way:?}");
    }
}

#[test]
fn a_side_that_leaves_ends_the_tunnel() {
    let Some(python) = python() else { return };
    let server = EchoServer::start(&python);
    let edge = gateway(server.address, "http");
    for way in WAYS {
        // The client.
        let mut socket = open(&edge, way, &[]);
        assert!(socket.echoed(TEXT, b"hello"));
        drop(socket);
        eventually(SOON, "the tunnel ends", || {
            edge.gateway.metric("ringgate_requests_active") == 0
        });
    }
    // The node.
    let mut sockets: Vec<_> = WAYS.iter().map(|way| (way, open(&edge, *way, &[]))).collect();
    drop(server);
    for (way, socket) in &mut sockets {
        let mut last = socket.hear();
        while !matches!(last, Heard::End | Heard::Silence) {
            last = socket.hear();
        }
        assert_eq!(last, Heard::End, "{way:?}");
    }
}

/// Pings are the node's to answer, and those of the node the client's.
#[test]
fn pings_pass_untouched() {
    let Some(python) = python() else { return };
    let server = EchoServer::start(&python);
    let edge = gateway(server.address, "http");
    for way in WAYS {
        let mut socket = open(&edge, way, &[]);
        for i in 0..20 {
            socket.send(&frame(PING, [i; 125]));
            assert_eq!(socket.hear(), Heard::Frame(0x8a, vec![i; 125], false), "{way:?}");
        }
    }
}
