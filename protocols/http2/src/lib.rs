//! HTTP/2 for the Ringgate gateway: server and client connections over the h2 crate.
