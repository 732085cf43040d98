//! Chains of routes with consumers' laid over them, kept per shard.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::config::plan::{Consumer, Route};
use crate::plugin::Chain;

/// How many merged chains are kept; beyond it the cache starts over.
const KEPT: usize = 4096;

/// A bounded cache of merged chains: of the plan in force, and of the one on trial.
#[derive(Default)]
pub(super) struct MergedChains {
    of_plans: [OfPlan; 2],
    /// Where the plan is that was asked for last.
    last: usize,
}

#[derive(Default)]
struct OfPlan {
    generation: u64,
    chains: HashMap<(usize, usize), Rc<Chain>>,
}

impl MergedChains {
    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.of_plans = Default::default();
    }

    /// The chain of a route and a consumer of a plan. The plan keeps both alive, so within one
    /// generation their addresses are names.
    pub(super) fn get(
        &mut self,
        generation: u64,
        route: &Arc<Route>,
        consumer: &Arc<Consumer>,
    ) -> Rc<Chain> {
        if self.of_plans[self.last].generation != generation {
            self.last = 1 - self.last;
        }
        let of_plan = &mut self.of_plans[self.last];
        if of_plan.generation != generation {
            // Also for requests that began under a plan before: theirs are merged anew.
            of_plan.chains.clear();
            of_plan.generation = generation;
        }
        let key = (Arc::as_ptr(route) as usize, Arc::as_ptr(consumer) as usize);
        if let Some(chain) = of_plan.chains.get(&key) {
            return chain.clone();
        }
        if of_plan.chains.len() >= KEPT {
            of_plan.chains.clear();
        }
        let chain = Rc::new(route.chain.merge(&consumer.plugins));
        of_plan.chains.insert(key, chain.clone());
        chain
    }
}
