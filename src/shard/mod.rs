//! One pinned thread with its connections.
