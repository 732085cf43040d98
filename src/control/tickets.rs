//! Keys of TLS session tickets: made when the process starts, replaced every few hours. Who learns
//! one could read the sessions that began with its tickets.

use std::sync::Arc;
use std::time::Duration;

use ringgate_tls::{TicketKeys, TicketSecret};

use crate::telemetry::error_log;

/// How long a key seals tickets.
const ROTATION: Duration = Duration::from_secs(6 * 60 * 60);
/// How many keys open them: a ticket is of use for at least one more rotation.
const KEPT: usize = 3;

/// Makes the first key and starts the task that replaces it.
///
/// # Errors
/// Where there is no randomness.
pub(super) fn start() -> Result<Arc<TicketKeys>, &'static str> {
    const NONE: &str = "no randomness for the keys of session tickets";
    let first = TicketSecret::random().map_err(|_| NONE)?;
    let lifetime = ROTATION * (KEPT as u32 - 1);
    let mut secrets = vec![first];
    let keys = Arc::new(TicketKeys::new(&secrets, lifetime).map_err(|_| NONE)?);
    let rotated = keys.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(ROTATION).await;
            let replaced = TicketSecret::random().and_then(|secret| {
                secrets.insert(0, secret);
                secrets.truncate(KEPT);
                rotated.replace(&secrets)
            });
            if replaced.is_err() {
                error_log::error("tls", "tickets", format_args!("{NONE}; the old ones stay"));
            }
        }
    });
    Ok(keys)
}
