//! What an idle connection costs; changes are meant, not met by chance.

use ringgate_core::{Chunk, Lease, ReadIo, SMALL, WriteIo};
use ringgate_io::{
    Deadline, Listener, Reader, Stream, Writer, live_tasks, run, sleep, spawn, yield_now,
};

use crate::{LONG, engines, free_port, on_both, pair};

#[test]
fn what_an_idle_connection_holds_is_small() {
    assert_eq!(size_of::<Stream>(), 40);
    assert_eq!(size_of::<Reader>(), 24);
    assert_eq!(size_of::<Writer>(), 16);
    assert_eq!(size_of::<Deadline>(), 4);
    on_both(|_| async {
        let (mut ours, mut other) = pair().await;
        let readable = size_of_val(&ours.readable(LONG));
        let recv = size_of_val(&ours.recv(Lease::with_capacity(SMALL), LONG));
        let idle = size_of_val(&ours.recv_or_idle(Lease::with_capacity(SMALL), LONG));
        let send = size_of_val(&other.send(Chunk::from(""), LONG));
        println!("futures: readable {readable}, recv {recv}, recv_or_idle {idle}, send {send}");
        assert!(readable <= 256 && recv <= 320 && idle <= 640 && send <= 640);
    });
}

#[test]
#[ignore = "measures: cargo test --release -p ringgate-io of_idle_connections -- --ignored --nocapture"]
fn of_idle_connections() {
    const CONNECTIONS: usize = 4000;
    fn resident() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }
    // The second engine of a process uses the first one's memory again: the ring goes first.
    for choice in engines().into_iter().rev() {
        run(choice, &Default::default(), |engine| {
            println!("{}", engine.kind);
            async {
                let (listener, address) = free_port();
                let listener = Listener::from_std(listener).unwrap();
                let mut others = Vec::with_capacity(CONNECTIONS);
                // The first half pays for what grows once.
                for half in 0..2 {
                    let before = resident();
                    for _ in 0..CONNECTIONS / 2 {
                        others.push(std::net::TcpStream::connect(address).unwrap());
                        let (mut ours, _) = listener.accept().await.unwrap();
                        spawn(async move {
                            let _ = ours.readable(LONG * 100).await;
                        });
                    }
                    sleep(ringgate_io::TICK).await;
                    let each = (resident() - before) / (CONNECTIONS / 2);
                    println!("  half {half}: {each} bytes per idle connection and task");
                }
                assert_eq!(live_tasks(), CONNECTIONS);
                drop(others);
                while live_tasks() > 0 {
                    yield_now().await;
                }
            }
        })
        .unwrap();
    }
}
