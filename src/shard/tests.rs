//! Shards as a whole: a change reaches idle ones, a dead one comes back on its sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use ringgate_core::{Limits, Timeouts};
use ringgate_io::EngineChoice;

use super::{Message, Settings, ShardSpec, Trial, WHOLE, Worker};
use crate::config::plan::Plan;
use crate::listener::{self, Inherited};
use crate::telemetry::Load;

const ENGINES: [EngineChoice; 2] = [EngineChoice::Auto, EngineChoice::Epoll];

fn worker(engine: EngineChoice, shards: usize) -> (Worker, flume::Receiver<Arc<Plan>>) {
    let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut inherited = Inherited::none();
    let (retired, old_plans) = flume::unbounded();
    let spec = ShardSpec {
        settings: Settings {
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            trusted: Vec::new(),
            show_upstream_status: false,
            shards,
            connections: 1024,
            descriptors: i32::MAX,
        },
        engine,
        cpus: vec![None; shards],
        listeners: vec![(listener::open(address, shards, &mut inherited).unwrap(), None)],
        plan: ArcSwap::from_pointee(Plan { generation: 1, ..Plan::default() }),
        retired,
        access_log: None,
    };
    (Worker::start(spec).unwrap(), old_plans)
}

/// The status line that a new connection gets; `None` where it ended without one.
fn ask(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.lines().next().map(str::to_owned)
}

#[test]
fn a_dead_shard_comes_back_on_the_same_sockets_with_the_current_plan() {
    for engine in ENGINES {
        let (worker, _old_plans) = worker(engine, 1);
        let address = worker.listeners().next().unwrap().address;
        assert_eq!(ask(address).as_deref(), Some("HTTP/1.1 404 Not Found"));
        assert!(worker.shards()[0].send(Message::Die));
        // This connection may wait in the queue while the shard is dead: it is served all the same.
        let deadline = Instant::now() + Duration::from_secs(10);
        while worker.restarts(0) == 0 {
            assert!(Instant::now() < deadline, "the shard did not die");
            std::thread::yield_now();
        }
        assert_eq!(ask(address).as_deref(), Some("HTTP/1.1 404 Not Found"));
        assert_eq!(worker.restarts(0), 1);
        let plan = Arc::new(Plan { generation: 2, ..Plan::default() });
        assert_eq!(worker.adopt(plan, Duration::from_secs(10)), 1, "the new mailbox is in place");
        worker.drain(Duration::from_secs(10));
    }
}

#[test]
fn a_change_reaches_idle_shards_and_old_plans_come_back() {
    for engine in ENGINES {
        let (worker, old_plans) = worker(engine, 3);
        for generation in 2..50 {
            let plan = Arc::new(Plan { generation, ..Plan::default() });
            assert_eq!(worker.adopt(plan, Duration::from_secs(10)), 3);
        }
        worker.drain(Duration::from_secs(10));
        let returned = old_plans.try_iter().filter(|plan| plan.generation < 49).count();
        assert_eq!(returned, 48 * 3, "every shard sent every plan back");
    }
}

/// A shard reads of the drain with a full mailbox, and one that is dead when it comes back.
#[test]
fn a_drain_reaches_shards_that_cannot_be_told() {
    for engine in ENGINES {
        let (worker, _old_plans) = worker(engine, 2);
        let shards = worker.shards();
        assert!(shards[0].send(Message::Stall(Duration::from_millis(300))));
        let (reply, _answers) = flume::unbounded();
        let plan = || Arc::new(Plan::default());
        // Until there is no room. What has been taken out meanwhile is the stall.
        while shards[0].send(Message::Adopt(plan(), reply.clone())) {}
        assert!(shards[1].send(Message::Die));
        let begun = Instant::now();
        worker.drain(Duration::from_secs(10));
        assert!(begun.elapsed() < Duration::from_secs(5), "{engine:?}: {:?}", begun.elapsed());
    }
}

/// One that does not end in time is not waited for without end.
#[test]
fn a_shard_that_hangs_holds_up_no_end() {
    let (worker, _old_plans) = worker(EngineChoice::Auto, 2);
    assert!(worker.shards()[0].send(Message::Stall(Duration::from_secs(6))));
    let begun = Instant::now();
    worker.drain(Duration::from_millis(100));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

/// It is not told again, but sees it.
#[test]
fn a_shard_that_dies_while_it_should_drain_drains_when_it_is_back() {
    let (worker, _old_plans) = worker(EngineChoice::Auto, 1);
    let address = worker.listeners().next().unwrap().address;
    // A client that stays: without a death, the shard would take all of its time.
    let _client = TcpStream::connect(address).unwrap();
    assert!(worker.shards()[0].send(Message::Die));
    // The death comes first, however busy the machine is.
    while worker.restarts(0) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let begun = Instant::now();
    worker.drain(Duration::from_secs(8));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(worker.restarts(0), 1);
}

#[test]
fn a_trial_survives_a_dead_shard_and_ends_everywhere() {
    for engine in ENGINES {
        let (worker, old_plans) = worker(engine, 2);
        let within = Duration::from_secs(10);
        let plan = Arc::new(Plan { generation: 9, trial: 1, ..Plan::default() });
        let shares = Box::new([WHOLE, 0]);
        let trial = Arc::new(Trial { number: 1, plan, shares });
        assert_eq!(worker.try_out(Some(trial), within), 2);
        let address = worker.listeners().next().unwrap().address;
        assert!(worker.shards()[0].send(Message::Die));
        let deadline = Instant::now() + within;
        while worker.restarts(0) == 0 {
            assert!(Instant::now() < deadline, "the shard did not die");
            std::thread::yield_now();
        }
        let loads = || loop {
            let (reply, loads) = flume::unbounded();
            for shard in worker.shards() {
                // One that starts again has no mailbox for a moment.
                let _ = shard.send(Message::Load(reply.clone()));
            }
            drop(reply);
            let loads: Vec<Load> = std::iter::from_fn(|| loads.recv_timeout(within).ok()).collect();
            if loads.len() == 2 {
                break loads;
            }
            assert!(Instant::now() < deadline, "{} shards", loads.len());
        };
        let counted = |loads: &[Load]| {
            let arms = loads.iter().map(|load| load.arms.as_ref().unwrap());
            let (mut stable, mut canary) = (0, 0);
            arms.for_each(|arms| {
                assert_eq!(arms.trial, 1);
                stable += arms.stable.count();
                canary += arms.canary.count();
            });
            (stable, canary)
        };
        // Until both shards have had some: the one that died counts for the trial again.
        while matches!(counted(&loads()), (0, _) | (_, 0)) {
            assert_eq!(ask(address).as_deref(), Some("HTTP/1.1 404 Not Found"));
            assert!(Instant::now() < deadline, "{:?}", counted(&loads()));
        }
        assert_eq!(worker.try_out(None, within), 2);
        let before = counted(&loads());
        (0..20).for_each(|_| _ = ask(address));
        assert_eq!(counted(&loads()), before, "nothing is counted any more");
        assert!(old_plans.try_iter().any(|plan| plan.generation == 9));
        worker.drain(within);
    }
}
