//! gRPC for the Ringgate gateway: messages, status codes, gRPC-Web framing.
