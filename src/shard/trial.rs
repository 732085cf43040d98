//! A second plan beside the one in force, for a share of the requests: a canary of a configuration.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::plan::ShardPlan;
use crate::config::plan::Plan;
use crate::telemetry::{Arms, Tally};

/// The whole: shares are of so many.
pub const WHOLE: u32 = 1_000_000;

/// A plan on trial. Given again under the same number, it goes on with another plan.
pub struct Trial {
    /// From 1; what is counted is counted by it.
    pub number: u64,
    /// The plan, whose [`Plan::trial`] is the number.
    pub plan: Arc<Plan>,
    /// Of the requests on each shard, how many in [`WHOLE`] get it.
    pub shares: Box<[u32]>,
}

/// The trial on a shard. Without one it costs a request the look at one cell.
#[derive(Default)]
pub(super) struct TrialSlot {
    /// 0: there is none here.
    share: Cell<u32>,
    /// Whether requests are counted: also on a shard that has no share.
    running: Cell<bool>,
    plan: RefCell<Option<Rc<ShardPlan>>>,
    arms: RefCell<Arms>,
}

impl TrialSlot {
    /// The plan for a request that begins now, where it is to be the one on trial.
    #[inline]
    pub(super) fn pin(&self) -> Option<Rc<ShardPlan>> {
        if self.share.get() == 0 { None } else { self.draw() }
    }

    #[cold]
    fn draw(&self) -> Option<Rc<ShardPlan>> {
        let share = self.share.get();
        // By chance, so that no pattern of requests always meets the same plan.
        let taken = share >= WHOLE || fastrand::u32(..WHOLE) < share;
        if taken { self.plan.borrow().clone() } else { None }
    }

    /// Counts a request that has ended under a plan.
    #[inline]
    pub(super) fn observe(&self, plan: &Plan, status: u16, micros: u64) {
        if self.running.get() {
            self.count(plan.trial, status, micros);
        }
    }

    #[cold]
    fn count(&self, trial: u64, status: u16, micros: u64) {
        let arms = &mut *self.arms.borrow_mut();
        let arm: &mut Tally = if trial == arms.trial { &mut arms.canary } else { &mut arms.stable };
        arm.add(status, micros);
    }

    /// Begins a trial, or goes on with another plan; `plan` is the trial's on this shard.
    pub(super) fn begin(&self, trial: &Trial, index: usize, plan: Rc<ShardPlan>) {
        let mut arms = self.arms.borrow_mut();
        if arms.trial != trial.number {
            *arms = Arms { trial: trial.number, ..Arms::default() };
        }
        let before = self.plan.replace(Some(plan));
        self.share.set(trial.shares.get(index).copied().unwrap_or(0));
        self.running.set(true);
        drop(before);
    }

    /// Ends the trial. What was counted stays until the next one begins.
    pub(super) fn end(&self) {
        self.share.set(0);
        self.running.set(false);
        drop(self.plan.replace(None));
    }

    /// What was counted.
    pub(super) fn arms(&self) -> Option<Arms> {
        let arms = self.arms.borrow();
        (arms.trial > 0).then(|| arms.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::PlanSlot;

    fn plan(trial: u64) -> Arc<Plan> {
        Arc::new(Plan { generation: 7 + trial, trial, ..Plan::default() })
    }

    #[test]
    fn shares_are_kept_and_arms_counted() {
        let (retired, old) = flume::unbounded();
        let slot = TrialSlot::default();
        assert!(slot.pin().is_none() && slot.arms().is_none());
        slot.observe(&plan(0), 200, 10);
        let trial = Trial { number: 3, plan: plan(3), shares: Box::new([WHOLE / 10, 0, WHOLE]) };
        let pinned = || PlanSlot::new(trial.plan.clone(), retired.clone()).pin();
        let rounds = 20_000;
        let taken = |index: usize| {
            slot.begin(&trial, index, pinned());
            (0..rounds).filter(|_| slot.pin().is_some_and(|plan| plan.generation == 10)).count()
        };
        assert!((1_800..2_200).contains(&taken(0)));
        assert_eq!((taken(1), taken(2), taken(9)), (0, rounds, 0));
        slot.observe(&plan(0), 200, 10);
        slot.observe(&plan(3), 502, 10);
        slot.begin(&trial, 2, pinned());
        // One that began under an older trial counts as what is in force.
        slot.observe(&plan(2), 200, 10);
        let arms = slot.arms().unwrap();
        assert_eq!((arms.stable.count(), arms.canary.count(), arms.canary.errors()), (2, 1, 1));
        slot.end();
        slot.observe(&plan(3), 502, 10);
        assert!(slot.pin().is_none());
        assert_eq!(slot.arms().unwrap().canary.count(), 1, "what was counted stays");
        let next = Trial { number: 4, plan: plan(4), shares: Box::new([]) };
        slot.begin(&next, 0, pinned());
        assert_eq!(slot.arms().unwrap().stable.count(), 0);
        assert!(!old.is_empty(), "plans that are done with go back");
    }
}
