//! Nodes, balancing, pools, health.
