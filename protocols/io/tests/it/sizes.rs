//! What an idle connection costs; changes are meant, not met by chance.

use ringgate_core::{Lease, ReadIo, SMALL};
use ringgate_io::{Deadline, Reader, Stream, Writer};

use crate::{LONG, on_both, pair};

#[test]
fn idle_connections_are_small() {
    println!(
        "Stream {} (Reader {}, Writer {}), Deadline {}",
        size_of::<Stream>(),
        size_of::<Reader>(),
        size_of::<Writer>(),
        size_of::<Deadline>(),
    );
    on_both(|_| async {
        let (mut ours, mut other) = pair().await;
        let readable = size_of_val(&ours.readable(LONG));
        let recv = size_of_val(&ours.recv(Lease::with_capacity(SMALL), LONG));
        let idle = size_of_val(&ours.recv_or_idle(Lease::with_capacity(SMALL), LONG));
        let send = size_of_val(&ringgate_core::WriteIo::send(&mut other, "".into(), LONG));
        println!("futures: readable {readable}, recv {recv}, recv_or_idle {idle}, send {send}");
        assert!(readable <= 400 && recv <= 700 && idle <= 900 && send <= 900);
    });
}
