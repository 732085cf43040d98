use std::cell::Cell;
use std::future::{pending, ready};
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ringgate_io::{Deadline, Elapsed, TICK, live_tasks, now, sleep, spawn, within, yield_now};

use crate::on_both;

#[test]
fn a_sleep_is_not_shorter_and_not_much_longer() {
    on_both(|_| async {
        for ticks in [0, 1, 3] {
            let begin = Instant::now();
            sleep(TICK * ticks).await;
            let slept = begin.elapsed();
            assert!(slept >= TICK * ticks, "{slept:?}");
            // Generous, because other tests share the machine; the wheel itself adds one tick.
            assert!(slept < TICK * ticks + TICK * 10, "{slept:?}");
        }
    });
}

#[test]
fn many_sleeps_end_in_their_order() {
    on_both(|_| async {
        let ended = Rc::new(std::cell::RefCell::new(Vec::new()));
        for i in (0..6u32).rev() {
            let ended = ended.clone();
            spawn(async move {
                sleep(TICK * (2 * i)).await;
                ended.borrow_mut().push(i);
            });
        }
        while live_tasks() > 0 {
            sleep(TICK).await;
        }
        assert_eq!(*ended.borrow(), [0, 1, 2, 3, 4, 5]);
    });
}

#[test]
fn a_deadline_is_used_again_and_again() {
    on_both(|_| async {
        let deadline = Deadline::new();
        for _ in 0..3 {
            let mut never = pin!(pending::<()>());
            assert_eq!(deadline.bound(TICK, never.as_mut()).await, Err(Elapsed));
            let done = pin!(ready(7));
            assert_eq!(deadline.bound(Duration::ZERO, done).await, Ok(7));
            let forever = pin!(yield_now());
            assert_eq!(deadline.bound(Duration::MAX, forever).await, Ok(()));
        }
        assert_eq!(within(TICK, pending::<()>()).await, Err(Elapsed));
    });
}

#[test]
fn the_coarse_clock_moves() {
    on_both(|_| async {
        let begin = now();
        assert!(begin <= Instant::now());
        sleep(TICK * 2).await;
        assert!(now() >= begin + TICK, "{:?}", now() - begin);
    });
}

#[test]
fn yields_let_each_other_run_in_turns() {
    on_both(|_| async {
        let turns = Rc::new(Cell::new(0));
        for _ in 0..100 {
            let turns = turns.clone();
            spawn(async move {
                for _ in 0..10 {
                    turns.set(turns.get() + 1);
                    yield_now().await;
                }
            });
        }
        while live_tasks() > 0 {
            yield_now().await;
        }
        assert_eq!(turns.get(), 1000);
    });
}
