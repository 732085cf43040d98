//! One test for each row of the design's table of monoio's defects.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ThreadId};
use std::time::Duration;

use ringgate_core::{Lease, ReadIo, WriteIo};
use ringgate_io::{
    EngineChoice, EngineKind, EngineSpec, Listener, Stream, TICK, live_tasks, mailbox, on_panic,
    panics, probe, run, sleep, spawn, yield_now,
};

use crate::{LONG, engines, free_port, on_both, pair, recv_exact, send_text};

/// Tells on which thread it was dropped.
struct DropsOn(Rc<RefCell<Vec<ThreadId>>>);

impl Drop for DropsOn {
    fn drop(&mut self) {
        self.0.borrow_mut().push(thread::current().id());
    }
}

/// Defect: the last waker dropped on another thread drops a `!Send` future there.
#[test]
fn a_task_is_dropped_on_its_own_thread_whatever_senders_do() {
    for choice in engines() {
        for round in 0..50 {
            let (sender, receiver) = mailbox::mailbox::<u32>(4).unwrap();
            let ended = Arc::new(AtomicU64::new(0));
            let others: Vec<_> = (0..2)
                .map(|_| {
                    let (sender, ended) = (sender.clone(), ended.clone());
                    thread::spawn(move || {
                        // Keeps waking while the engine ends, and drops its sender after that.
                        while ended.load(Ordering::Acquire) == 0 {
                            let _ = sender.try_send(1);
                        }
                    })
                })
                .collect();
            drop(sender);
            thread::scope(|scope| {
                scope.spawn(|| {
                    let dropped = Rc::new(RefCell::new(Vec::new()));
                    let witness = DropsOn(dropped.clone());
                    run(choice, &EngineSpec::default(), |_| async move {
                        let mut inbox = receiver.open().unwrap();
                        let taken = Rc::new(Cell::new(0));
                        let count = taken.clone();
                        spawn(async move {
                            let _witness = witness;
                            while let Some(n) = inbox.recv().await {
                                count.set(count.get() + n);
                            }
                        });
                        while taken.get() < round {
                            yield_now().await;
                        }
                    })
                    .unwrap();
                    assert_eq!(*dropped.borrow(), [thread::current().id()]);
                    ended.store(1, Ordering::Release);
                });
            });
            for other in others {
                other.join().unwrap();
            }
        }
    }
}

/// Defect: a panic in a task kills the shard.
#[test]
fn a_panic_ends_its_task_only() {
    struct PanicsOnDrop;
    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            panic!("on drop");
        }
    }
    on_both(|_| async {
        let said = Rc::new(RefCell::new(Vec::new()));
        let hook = said.clone();
        on_panic(Box::new(move |text| hook.borrow_mut().push(text)));
        let (mut ours, mut other) = pair().await;
        let before = panics();
        spawn(async { panic!("at once") });
        spawn(async {
            yield_now().await;
            panic!("{} turn", 1);
        });
        spawn(async {
            let _it = PanicsOnDrop;
            yield_now().await;
        });
        while live_tasks() > 0 {
            yield_now().await;
        }
        assert_eq!(*said.borrow(), ["at once", "1 turn", "on drop"]);
        assert_eq!(panics() - before, 3);
        send_text(&mut other, "still here").await;
        assert_eq!(recv_exact(&mut ours, 10).await, b"still here");
    });
}

/// Defect: a panic in a task kills the shard (the other half: what is left when a shard ends).
#[test]
fn an_engine_that_ends_leaves_no_descriptor_behind() {
    fn open_descriptors() -> usize {
        std::fs::read_dir("/proc/self/fd").unwrap().count()
    }
    // In a process of its own: other tests open descriptors at the same time.
    const CHILD: &str = "RINGGATE_IO_TEST_CHILD";
    if std::env::var_os(CHILD).is_none() {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["an_engine_that_ends_leaves_no_descriptor_behind", "--nocapture"])
            .env(CHILD, "1")
            .status();
        assert!(child.unwrap().success());
        return;
    }
    for choice in engines() {
        for panics in [false, true] {
            let before = open_descriptors();
            let ended = thread::spawn(move || {
                run(choice, &EngineSpec::default(), |_| async move {
                    let (listener, _) = free_port();
                    let listener = Listener::from_std(listener).unwrap();
                    spawn(async move { drop(listener.accept().await) });
                    for _ in 0..10 {
                        let (mut ours, mut other) = pair().await;
                        spawn(async move {
                            drop(ours.recv(Lease::with_capacity(4096), LONG).await);
                        });
                        spawn(async move { other.readable(LONG).await.unwrap() });
                    }
                    spawn(pending());
                    spawn(sleep(LONG));
                    yield_now().await;
                    assert_eq!(live_tasks(), 23);
                    if panics {
                        panic!("the shard");
                    }
                })
            })
            .join();
            assert_eq!(ended.is_err(), panics);
            let mut left = usize::MAX;
            // The kernel closes a ring's files a moment after the ring.
            for _ in 0..100 {
                left = open_descriptors();
                if left == before {
                    break;
                }
                thread::sleep(Duration::from_millis(10));
            }
            assert_eq!(left, before, "{choice:?}, panics: {panics}");
        }
    }
}

/// Defect: a task that wakes itself starves timers and I/O.
#[test]
fn a_spinning_task_that_yields_lets_timers_and_io_go_on() {
    on_both(|_| async {
        let done = Rc::new(Cell::new(false));
        let spins = Rc::new(Cell::new(0u64));
        for _ in 0..2 {
            let (done, spins) = (done.clone(), spins.clone());
            spawn(async move {
                while !done.get() {
                    spins.set(spins.get() + 1);
                    yield_now().await;
                }
            });
        }
        let (mut ours, mut other) = pair().await;
        spawn(async move {
            for _ in 0..100 {
                let ping = recv_exact(&mut other, 4).await;
                assert_eq!(ping, b"ping");
                send_text(&mut other, "pong").await;
            }
        });
        for _ in 0..100 {
            send_text(&mut ours, "ping").await;
            assert_eq!(recv_exact(&mut ours, 4).await, b"pong");
        }
        sleep(TICK * 2).await;
        assert!(spins.get() > 100, "{}", spins.get());
        done.set(true);
    });
}

/// Defect: splice and `zero-copy` use kernel worker threads or never read the error queue. And the
/// `sync` feature makes wakers cross threads.
#[test]
fn features_of_monoio_that_must_be_off_are_off() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "-e", "features", "-i", "monoio", "--manifest-path", manifest])
        .output()
        .unwrap();
    let tree = String::from_utf8(tree.stdout).unwrap();
    assert!(tree.contains("monoio feature \"iouring\""), "{tree}");
    for off in ["splice", "zero-copy", "sync", "poll-io", "default"] {
        assert!(!tree.contains(&format!("monoio feature \"{off}\"")), "{off} is on: {tree}");
    }
}

/// Defect: the fallback to epoll covers seccomp but not ENOMEM. (What is tried, and what is told,
/// is tested in `ladder.rs` with engines that fail.)
#[test]
fn the_choice_of_the_engine_is_told() {
    let spec = EngineSpec::default();
    let epoll = run(EngineChoice::Epoll, &spec, |engine| std::future::ready(engine.clone()));
    assert_eq!(epoll.unwrap().kind, EngineKind::Epoll);
    let auto = probe(EngineChoice::Auto, &spec).unwrap();
    assert!(!auto.reason.is_empty());
    println!("{auto}");
    if let Ok(ring) = probe(EngineChoice::IoUring, &spec) {
        assert_eq!(auto.kind, ring.kind);
        assert!(ring.to_string().starts_with("io_uring ("), "{ring}");
    }
}

/// Defect: dropping a receive loses bytes. Bytes come right around the end of the patience.
#[test]
fn giving_up_a_receive_loses_no_byte() {
    on_both(|_| async {
        let (mut ours, other) = pair().await;
        let (_rest, mut writer) = other.into_split();
        const BYTES: usize = 200;
        // In step with the ticks, so that sends and cancellations meet.
        spawn(async move {
            for i in 0..BYTES {
                if i % 8 == 0 {
                    sleep(Duration::ZERO).await;
                }
                for _ in 0..i % 5 {
                    yield_now().await;
                }
                let byte = ringgate_core::Chunk::copy_of(&[i as u8]);
                writer.send(byte, LONG).await.unwrap();
            }
            writer.shutdown().await.unwrap();
        });
        let (mut got, mut given_up) = (Vec::new(), 0);
        loop {
            let lease = Lease::with_capacity(4096);
            let (lease, received) = ours.recv_or_idle(lease, Duration::ZERO).await;
            match received {
                Ok(0) => break,
                Ok(n) => {
                    assert_eq!(n, lease.len());
                    got.extend_from_slice(lease.bytes());
                }
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                    assert!(lease.is_empty());
                    given_up += 1;
                }
            }
        }
        let sent: Vec<u8> = (0..BYTES).map(|i| i as u8).collect();
        assert_eq!(got, sent);
        assert!(given_up > 0);
    });
}

/// Defect: accepted descriptors lack CLOEXEC.
#[test]
fn descriptors_are_closed_on_exec() {
    fn flags(stream: &Stream) -> String {
        use std::os::fd::{AsFd, AsRawFd};
        let fd = stream.as_fd().as_raw_fd();
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
        info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim().to_owned()
    }
    on_both(|_| async {
        let (listener, address) = free_port();
        let listener = Listener::from_std(listener).unwrap();
        let connected = ringgate_io::connect(address, LONG).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        for stream in [&connected, &accepted] {
            let flags = u32::from_str_radix(&flags(stream), 8).unwrap();
            assert_ne!(flags & 0o2000000, 0, "O_CLOEXEC in {flags:o}");
        }
    });
}
