//! TLS for the Ringgate gateway: rustls over completion-based streams.
