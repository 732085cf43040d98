//! Measures the gateway beside its peers.
