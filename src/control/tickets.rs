//! The keys of TLS session tickets: made when the process starts, replaced while it runs, the same
//! on every shard and written nowhere.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use ringgate_tls::{TicketKeys, TicketSecret};

use crate::telemetry::error_log;

/// How long a key seals tickets, and then still opens them.
const TURN: Duration = Duration::from_secs(6 * 60 * 60);

/// The keys, and what replaces them in time.
pub(super) struct Rotation {
    keys: Arc<TicketKeys>,
    current: TicketSecret,
}

impl Rotation {
    /// The first key.
    ///
    /// # Errors
    /// Where the system has no randomness.
    pub(super) fn new() -> Result<Rotation, Box<dyn Error>> {
        let none = |_| "TLS session tickets: the system has no randomness for their keys";
        let current = TicketSecret::random().map_err(none)?;
        let keys = TicketKeys::new(std::slice::from_ref(&current), TURN).map_err(none)?;
        Ok(Rotation { keys: Arc::new(keys), current })
    }

    /// The keys; they change where they are.
    pub(super) fn keys(&self) -> Arc<TicketKeys> {
        self.keys.clone()
    }

    /// A new key seals; the one before still opens.
    fn turn(&mut self) {
        let next = match TicketSecret::random() {
            Ok(next) => next,
            Err(error) => return failed(&error),
        };
        match self.keys.replace(&[next.clone(), self.current.clone()]) {
            Ok(()) => self.current = next,
            Err(error) => failed(&error),
        }
    }

    /// Replaces keys for as long as the process runs.
    pub(super) async fn run(mut self) {
        loop {
            tokio::time::sleep(TURN).await;
            self.turn();
        }
    }
}

fn failed(error: &dyn std::fmt::Display) {
    error_log::error("tls", "session ticket key not replaced", format_args!("{error}"));
}

#[cfg(test)]
mod tests {
    use ringgate_tls::Tickets;
    use rustls::server::ProducesTickets;

    use super::*;

    #[test]
    fn a_key_opens_for_one_turn_more_than_it_seals() {
        let mut rotation = Rotation::new().unwrap();
        let tickets = Tickets::new(rotation.keys(), "p");
        let ticket = tickets.encrypt(b"session").unwrap();
        assert_eq!(u64::from(tickets.lifetime()), TURN.as_secs());
        rotation.turn();
        assert_eq!(tickets.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert_ne!(tickets.encrypt(b"session").unwrap()[..16], ticket[..16]);
        rotation.turn();
        assert_eq!(tickets.decrypt(&ticket), None);
    }
}
