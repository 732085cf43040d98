use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::pin::pin;
use std::time::{Duration, Instant};

use ringgate_core::{Chunk, HUGE, Lease, ReadIo, SMALL, WriteIo, pooled_bytes};
use ringgate_io::{Stream, TICK, connect, live_tasks, sleep, spawn, within, yield_now};
use socket2::{Domain, Socket, Type};

use crate::{LONG, free_port, on_both, pair, recv_exact, send_text, with_std};

#[test]
fn bytes_go_both_ways_behind_what_the_lease_holds() {
    on_both(|_| async {
        let (mut ours, mut other) = pair().await;
        let mut lease = Lease::with_capacity(SMALL);
        for text in ["one ", "two ", "three"] {
            send_text(&mut other, text).await;
            let before = lease.len();
            let got;
            (lease, got) = ours.recv(lease, LONG).await;
            assert_eq!(got.unwrap(), text.len());
            assert_eq!(&lease.bytes()[before..], text.as_bytes());
        }
        assert_eq!(lease.bytes(), b"one two three");
        ours.send(lease.freeze(), LONG).await.unwrap();
        assert_eq!(recv_exact(&mut other, 13).await, b"one two three");
        ours.shutdown().await.unwrap();
        let (lease, end) = other.recv(Lease::with_capacity(SMALL), LONG).await;
        assert_eq!((lease.len(), end.unwrap()), (0, 0));
        // The other direction still goes.
        send_text(&mut other, "late").await;
        assert_eq!(recv_exact(&mut ours, 4).await, b"late");
    });
}

#[test]
fn a_full_lease_and_an_empty_chunk_are_no_operations() {
    on_both(|_| async {
        let (mut ours, _other) = pair().await;
        let mut lease = Lease::with_capacity(SMALL);
        lease.fill(&[7; SMALL]);
        let (lease, got) = ours.recv(lease, LONG).await;
        assert_eq!(got.unwrap(), 0);
        let (lease, got) = ours.recv_or_idle(lease, LONG).await;
        assert_eq!((got.unwrap(), lease.len()), (0, SMALL));
        send_text(&mut ours, "").await;
    });
}

#[test]
fn buffers_go_back_to_the_pool() {
    on_both(|_| async {
        let (mut ours, mut other) = pair().await;
        // Fills the pool as far as this test needs it.
        drop((Lease::with_capacity(SMALL), Lease::with_capacity(SMALL)));
        let before = pooled_bytes();
        for _ in 0..3 {
            ours.send(Chunk::copy_of(b"pooled"), LONG).await.unwrap();
            let (lease, got) = other.recv(Lease::with_capacity(SMALL), LONG).await;
            assert_eq!(got.unwrap(), 6);
            drop(lease);
            let (lease, got) = other.recv_or_idle(Lease::with_capacity(SMALL), TICK).await;
            assert_eq!(got.unwrap_err().kind(), io::ErrorKind::WouldBlock);
            drop(lease);
        }
        assert_eq!(pooled_bytes(), before);
    });
}

#[test]
fn a_receive_times_out() {
    on_both(|_| async {
        let (mut ours, _other) = pair().await;
        let begin = Instant::now();
        let (lease, got) = ours.recv(Lease::with_capacity(SMALL), TICK * 2).await;
        assert_eq!(got.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begin.elapsed() >= TICK * 2);
        assert!(lease.is_empty());
        assert_eq!(lease.capacity(), SMALL);
    });
}

#[test]
fn a_send_times_out_where_the_peer_never_reads() {
    on_both(|_| async {
        let (mut ours, _other) = with_std().await;
        let begin = Instant::now();
        loop {
            let chunk = Chunk::from(bytes::Bytes::from(vec![1; HUGE]));
            match ours.send(chunk, TICK * 2).await {
                Ok(()) => {}
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                    break;
                }
            }
        }
        assert!(begin.elapsed() >= TICK * 2);
        ours.abort();
    });
}

#[test]
fn a_slow_peer_that_takes_some_is_waited_for() {
    on_both(|_| async {
        let (mut ours, mut other) = with_std().await;
        const BYTES: usize = 24 * 1024 * 1024;
        let reader = std::thread::spawn(move || {
            let (mut total, mut piece) = (0, vec![0; 2 * 1024 * 1024]);
            loop {
                match other.read(&mut piece).unwrap() {
                    0 => return total,
                    n => total += n,
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        ours.send(Chunk::from(bytes::Bytes::from(vec![1; BYTES])), TICK * 20).await.unwrap();
        ours.shutdown().await.unwrap();
        assert_eq!(reader.join().unwrap(), BYTES);
    });
}

#[test]
fn readable_wakes_for_bytes_and_ends_and_times_out() {
    on_both(|_| async {
        let (mut ours, mut other) = pair().await;
        let error = ours.readable(TICK).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        spawn(async move {
            yield_now().await;
            send_text(&mut other, "x").await;
            sleep(TICK).await;
        });
        ours.readable(LONG).await.unwrap();
        ours.readable(LONG).await.unwrap();
        assert_eq!(recv_exact(&mut ours, 1).await, b"x");
        ours.readable(LONG).await.unwrap();
        let (_, end) = ours.recv(Lease::with_capacity(SMALL), LONG).await;
        assert_eq!(end.unwrap(), 0);
    });
}

#[test]
fn a_send_goes_while_a_receive_waits() {
    on_both(|_| async {
        let (ours, mut other) = pair().await;
        let (mut reader, mut writer) = ours.into_split();
        spawn(async move {
            assert_eq!(recv_exact(&mut reader, 6).await, b"answer");
        });
        yield_now().await;
        send_text(&mut writer, "question").await;
        assert_eq!(recv_exact(&mut other, 8).await, b"question");
        assert_eq!(live_tasks(), 1, "still waiting");
        send_text(&mut other, "answer").await;
        while live_tasks() > 0 {
            yield_now().await;
        }
        assert_eq!(ringgate_io::panics(), 0);
    });
}

#[test]
fn halves_find_each_other_again() {
    on_both(|_| async {
        let (ours, other) = pair().await;
        let ((our_reader, our_writer), (reader, writer)) = (ours.into_split(), other.into_split());
        let Err((our_reader, writer)) = Stream::reunite(our_reader, writer) else {
            panic!("not the same connection");
        };
        let mut ours = Stream::reunite(our_reader, our_writer).ok().unwrap();
        let mut other = Stream::reunite(reader, writer).ok().unwrap();
        send_text(&mut ours, "whole").await;
        assert_eq!(recv_exact(&mut other, 5).await, b"whole");
    });
}

#[test]
fn an_aborted_connection_ends_with_a_reset_and_another_with_an_end() {
    on_both(|_| async {
        let (mut ours, mut other) = with_std().await;
        ours.abort();
        // Halves dropped one by one: the writer's end alone must not send a FIN.
        let (reader, writer) = ours.into_split();
        drop(writer);
        yield_now().await;
        drop(reader);
        for _ in 0..3 {
            yield_now().await;
        }
        let error = other.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);

        let (ours, mut other) = with_std().await;
        drop(ours);
        for _ in 0..3 {
            yield_now().await;
        }
        assert_eq!(other.read(&mut [0; 8]).unwrap(), 0);
    });
}

#[test]
fn errors_of_the_peer_are_told() {
    on_both(|_| async {
        let (mut ours, mut other) = pair().await;
        other.abort();
        drop(other);
        let (_, got) = ours.recv(Lease::with_capacity(SMALL), LONG).await;
        assert_eq!(got.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        let sent = ours.send(Chunk::from("x"), LONG).await;
        assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn bulk_goes_both_ways_at_once_byte_by_byte() {
    /// Bytes that tell where they are.
    fn pattern(seed: usize, from: usize, len: usize) -> Vec<u8> {
        (from..from + len).map(|i| (i * 31 + i / 251 + seed) as u8).collect()
    }
    const TOTAL: usize = 16 * 1024 * 1024;
    async fn exchange(stream: Stream, sends: usize, expects: usize) {
        let (mut reader, mut writer) = stream.into_split();
        spawn(async move {
            let mut at = 0;
            while at < TOTAL {
                let mut lease = Lease::with_capacity(HUGE);
                assert_eq!(lease.fill(&pattern(sends, at, HUGE)), HUGE);
                writer.send(lease.freeze(), LONG).await.unwrap();
                at += HUGE;
            }
            writer.shutdown().await.unwrap();
        });
        let (mut at, mut lease) = (0, Lease::with_capacity(HUGE));
        loop {
            let got;
            (lease, got) = reader.recv(lease, LONG).await;
            assert_eq!(lease.bytes(), pattern(expects, at, lease.len()));
            if got.unwrap() == 0 {
                break;
            }
            at += lease.len();
            lease = Lease::with_capacity(HUGE);
        }
        assert_eq!(at, TOTAL);
    }
    on_both(|_| async {
        let (ours, other) = pair().await;
        spawn(exchange(ours, 1, 2));
        exchange(other, 2, 1).await;
        while live_tasks() > 0 {
            yield_now().await;
        }
        assert_eq!(ringgate_io::panics(), 0);
    });
}

#[test]
fn a_connection_is_refused_or_times_out() {
    on_both(|_| async {
        let (listener, address) = free_port();
        drop(listener);
        let error = connect(address, LONG).await.map(drop).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);

        // A listener whose queue is full does not answer.
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let local = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        socket.bind(&local.into()).unwrap();
        socket.listen(0).unwrap();
        let listener = TcpListener::from(socket);
        let address = listener.local_addr().unwrap();
        let (mut held, begin) = (Vec::new(), Instant::now());
        loop {
            match connect(address, TICK * 2).await {
                Ok(stream) => held.push(stream),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                    break;
                }
            }
        }
        assert!(begin.elapsed() >= TICK * 2);
    });
}

#[test]
fn giving_up_twice_and_going_on_works() {
    on_both(|_| async {
        let (mut ours, mut other) = with_std().await;
        for _ in 0..3 {
            let lease = Lease::with_capacity(SMALL);
            let (_, got) = ours.recv_or_idle(lease, Duration::ZERO).await;
            assert_eq!(got.unwrap_err().kind(), io::ErrorKind::WouldBlock);
            other.write_all(b"more").unwrap();
            let (lease, got) = ours.recv_or_idle(Lease::with_capacity(SMALL), LONG).await;
            assert_eq!((got.unwrap(), lease.bytes()), (4, &b"more"[..]));
            other.write_all(b"most").unwrap();
            assert_eq!(recv_exact(&mut ours, 4).await, b"most");
        }
    });
}

#[test]
fn waiting_for_readiness_may_be_dropped() {
    on_both(|_| async {
        let (mut ours, mut other) = with_std().await;
        for _ in 0..20 {
            let ready = pin!(ours.readable(LONG));
            assert!(within(Duration::ZERO, ready).await.is_err());
        }
        other.write_all(b"all").unwrap();
        ours.readable(LONG).await.unwrap();
        assert_eq!(recv_exact(&mut ours, 3).await, b"all");
    });
}
