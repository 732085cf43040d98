//! Chains of routes with consumers' laid over them, kept per shard.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::config::plan::{Consumer, Route};
use crate::plugin::Chain;

/// How many merged chains are kept; beyond it the cache starts over.
const KEPT: usize = 4096;

/// A bounded cache of merged chains of one plan.
#[derive(Default)]
pub(super) struct MergedChains {
    generation: u64,
    chains: HashMap<(usize, usize), Rc<Chain>>,
}

impl MergedChains {
    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.chains.clear();
    }

    /// The chain of a route and a consumer of a plan. The plan keeps both alive, so within one
    /// generation their addresses are names.
    pub(super) fn get(
        &mut self,
        generation: u64,
        route: &Arc<Route>,
        consumer: &Arc<Consumer>,
    ) -> Rc<Chain> {
        if self.generation != generation {
            // Also for requests that began under the plan before: theirs are merged anew.
            self.chains.clear();
            self.generation = generation;
        }
        let key = (Arc::as_ptr(route) as usize, Arc::as_ptr(consumer) as usize);
        if let Some(chain) = self.chains.get(&key) {
            return chain.clone();
        }
        if self.chains.len() >= KEPT {
            self.chains.clear();
        }
        let chain = Rc::new(route.chain.merge(&consumer.plugins));
        self.chains.insert(key, chain.clone());
        chain
    }
}
