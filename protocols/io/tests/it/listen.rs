use std::io;
use std::net::TcpStream;
use std::rc::Rc;

use ringgate_io::{Listener, connect, live_tasks, spawn, yield_now};
use socket2::SockRef;

use crate::{LONG, free_port, on_both, recv_exact, send_text};

#[test]
fn connections_are_accepted_and_have_nodelay() {
    on_both(|_| async {
        let (listener, address) = free_port();
        let listener = Listener::from_std(listener).unwrap();
        assert_eq!(listener.local_addr().unwrap(), address);
        let mut ours = connect(address, LONG).await.unwrap();
        let (mut accepted, peer) = listener.accept().await.unwrap();
        assert_eq!(ours.local_addr().unwrap(), peer);
        assert_eq!(ours.peer_addr().unwrap(), address);
        assert_eq!(accepted.local_addr().unwrap(), address);
        assert!(SockRef::from(&ours).tcp_nodelay().unwrap());
        assert!(SockRef::from(&accepted).tcp_nodelay().unwrap());
        send_text(&mut accepted, "hello").await;
        assert_eq!(recv_exact(&mut ours, 5).await, b"hello");
    });
}

#[test]
fn a_duplicate_outlives_the_listener() {
    on_both(|_| async {
        let (listener, address) = free_port();
        for _ in 0..3 {
            let duplicate = Listener::from_std(listener.try_clone().unwrap()).unwrap();
            let _client = TcpStream::connect(address).unwrap();
            duplicate.accept().await.unwrap();
            drop(duplicate);
            yield_now().await;
        }
        TcpStream::connect(address).unwrap();
    });
}

#[test]
fn a_non_blocking_socket_is_waited_for_too() {
    on_both(|_| async {
        let (listener, address) = free_port();
        listener.set_nonblocking(true).unwrap();
        let listener = Listener::from_std(listener).unwrap();
        spawn(async move {
            yield_now().await;
            drop(connect(address, LONG).await.unwrap());
        });
        listener.accept().await.unwrap();
    });
}

#[test]
fn stopping_ends_the_accept_and_closes_nothing() {
    on_both(|_| async {
        let (listener, address) = free_port();
        let kept = listener.try_clone().unwrap();
        let listener = Rc::new(Listener::from_std(listener).unwrap());
        let stopped = listener.clone();
        spawn(async move {
            let error = stopped.accept().await.map(drop).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        });
        yield_now().await;
        listener.stop();
        while live_tasks() > 0 {
            yield_now().await;
        }
        assert_eq!(ringgate_io::panics(), 0);
        assert!(listener.accept().await.is_err());
        drop(listener);
        let _queued = TcpStream::connect(address).unwrap();
        kept.set_nonblocking(false).unwrap();
        kept.accept().unwrap();
    });
}
