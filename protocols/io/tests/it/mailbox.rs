use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use ringgate_io::mailbox::{Refused, mailbox};
use ringgate_io::{live_tasks, sleep, spawn, yield_now};

use crate::on_both;

#[test]
fn messages_arrive_in_order_from_other_threads() {
    on_both(|_| async {
        const EACH: u64 = 20_000;
        let (sender, receiver) = mailbox::<(usize, u64)>(128).unwrap();
        let threads: Vec<_> = (0..2)
            .map(|who| {
                let sender = sender.clone();
                thread::spawn(move || {
                    for n in 0..EACH {
                        let mut message = (who, n);
                        while let Err(refused) = sender.try_send(message) {
                            assert!(matches!(refused, Refused::Full(_)));
                            message = refused.into_inner();
                            thread::yield_now();
                        }
                        if n % 1000 == 0 {
                            // Lets the shard fall asleep now and then.
                            thread::sleep(Duration::from_micros(200));
                        }
                    }
                })
            })
            .collect();
        drop(sender);
        let mut inbox = receiver.open().unwrap();
        let mut next = [0; 2];
        while let Some((who, n)) = inbox.recv().await {
            assert_eq!(n, next[who]);
            next[who] += 1;
        }
        assert_eq!(next, [EACH; 2]);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn full_and_closed_mailboxes_refuse() {
    on_both(|_| async {
        let (sender, receiver) = mailbox(2).unwrap();
        sender.try_send("a").unwrap();
        sender.try_send("b").unwrap();
        assert_eq!(sender.try_send("c"), Err(Refused::Full("c")));
        let mut inbox = receiver.open().unwrap();
        assert_eq!(inbox.recv().await, Some("a"));
        sender.try_send("c").unwrap();
        drop(inbox);
        assert_eq!(sender.try_send("d"), Err(Refused::Closed("d")));
    });
}

#[test]
fn a_flood_does_not_starve_others() {
    on_both(|_| async {
        let (sender, receiver) = mailbox(1024).unwrap();
        let (stop, stopped) = mpsc::channel::<()>();
        let flood = thread::spawn(move || {
            while stopped.try_recv() != Err(mpsc::TryRecvError::Disconnected) {
                let _ = sender.try_send(());
            }
        });
        let mut inbox = receiver.open().unwrap();
        spawn(async move { while inbox.recv().await.is_some() {} });
        sleep(Duration::from_millis(200)).await;
        drop(stop);
        while live_tasks() > 0 {
            yield_now().await;
        }
        flood.join().unwrap();
    });
}

/// A guard too: wakes of an idle thread do not wait for its ticks.
#[test]
fn an_idle_thread_wakes_at_once() {
    on_both(|engine| {
        let kind = engine.kind;
        async move {
            const TIMES: usize = 200;
            let (sender, receiver) = mailbox::<Instant>(TIMES).unwrap();
            let other = thread::spawn(move || {
                for _ in 0..TIMES {
                    thread::sleep(Duration::from_millis(2));
                    sender.try_send(Instant::now()).unwrap();
                }
            });
            let mut inbox = receiver.open().unwrap();
            let mut latencies = Vec::new();
            while let Some(sent) = inbox.recv().await {
                latencies.push(sent.elapsed());
            }
            other.join().unwrap();
            assert_eq!(latencies.len(), TIMES);
            latencies.sort();
            let median = latencies[TIMES / 2];
            println!("wake on {kind}: median {median:?}, 99 % {:?}", latencies[TIMES * 99 / 100]);
            // Ticks come every 100 ms: waiting for them would be 50 ms at the median.
            assert!(median < Duration::from_millis(20), "{median:?}");
        }
    });
}
