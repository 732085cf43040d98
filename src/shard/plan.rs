//! The shard's pointer to the plan.

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use crate::config::plan::Plan;

/// A plan on a shard. Requests clone the `Rc` around it, which is no atomic operation; the last
/// one to let go sends the `Arc` back to the control side, so that no shard frees a large plan.
pub struct ShardPlan {
    plan: Option<Arc<Plan>>,
    retired: flume::Sender<Arc<Plan>>,
}

impl Deref for ShardPlan {
    type Target = Plan;

    fn deref(&self) -> &Plan {
        self.plan.as_ref().expect("a plan leaves only when it is dropped")
    }
}

impl Drop for ShardPlan {
    fn drop(&mut self) {
        if let Some(plan) = self.plan.take() {
            // With the control side gone, it is freed here.
            let _ = self.retired.try_send(plan);
        }
    }
}

/// Where a shard finds its plan.
pub struct PlanSlot {
    current: RefCell<Rc<ShardPlan>>,
    retired: flume::Sender<Arc<Plan>>,
}

impl PlanSlot {
    /// A slot with a first plan; plans that nobody uses any more go to `retired`.
    pub fn new(plan: Arc<Plan>, retired: flume::Sender<Arc<Plan>>) -> PlanSlot {
        let current = Rc::new(ShardPlan { plan: Some(plan), retired: retired.clone() });
        PlanSlot { current: RefCell::new(current), retired }
    }

    /// The current plan.
    pub fn pin(&self) -> Rc<ShardPlan> {
        self.current.borrow().clone()
    }

    /// Puts another in its place.
    pub fn replace(&self, plan: Arc<Plan>) {
        let next = self.other(&plan);
        let last = std::mem::replace(&mut *self.current.borrow_mut(), next);
        drop(last);
    }

    /// A plan beside the current one, which goes where this slot's go.
    pub(super) fn other(&self, plan: &Arc<Plan>) -> Rc<ShardPlan> {
        Rc::new(ShardPlan { plan: Some(plan.clone()), retired: self.retired.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_plan_goes_back_when_its_last_request_ends() {
        let (sender, retired) = flume::unbounded();
        let slot = PlanSlot::new(Arc::new(Plan { generation: 1, ..Plan::default() }), sender);
        let request = slot.pin();
        slot.replace(Arc::new(Plan { generation: 2, ..Plan::default() }));
        assert_eq!((request.generation, slot.pin().generation), (1, 2));
        assert!(retired.is_empty());
        drop(request);
        assert_eq!(retired.try_recv().unwrap().generation, 1);
    }
}
