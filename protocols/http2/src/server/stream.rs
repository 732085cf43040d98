//! What the halves of an exchange have in common.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use crate::engine::Shared;

use super::Settings;

/// One per exchange.
pub(super) struct Stream {
    pub(super) engine: Shared,
    pub(super) settings: Rc<Settings>,
    pub(super) id: u32,
    /// The request is a HEAD.
    pub(super) to_head: bool,
    /// The request is an extended CONNECT.
    pub(super) tunnels: bool,
    /// The client waits for `100 Continue`.
    pub(super) expects: Cell<bool>,
    /// A final head was sent.
    pub(super) answered: Cell<bool>,
    /// The tunnel is open: bytes in both directions.
    pub(super) raw: Cell<bool>,
    /// Both directions are streams, which may pause: a tunnel's, or those of a call.
    pub(super) pauses: Cell<bool>,
    /// When bytes of such a stream were last sent.
    pub(super) last_sent: Cell<Option<Instant>>,
}
