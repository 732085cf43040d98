//! Session tickets (RFC 8446 §4.6.1, RFC 5077) that every shard accepts: nothing is stored, what
//! a session needs is in the ticket, sealed with keys that all share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::{hkdf, rand};
use rustls::server::ProducesTickets;

/// Bytes of a key's name in the ticket.
const NAME: usize = 16;
const TAG: usize = 16;
/// The longest ticket that is looked at: they travel behind a length of two bytes.
const TICKET_MAX: usize = u16::MAX as usize;
/// RFC 8446 §4.6.1: seven days.
const LIFETIME_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What a ticket key is made of.
#[derive(Clone)]
pub struct TicketSecret([u8; 64]);

impl TicketSecret {
    /// A secret from elsewhere, for processes that accept each other's tickets. All of its bytes
    /// must be unpredictable.
    pub fn new(bytes: [u8; 64]) -> TicketSecret {
        TicketSecret(bytes)
    }

    /// A secret from the system's randomness.
    ///
    /// # Errors
    /// Where the system has none.
    pub fn random() -> Result<TicketSecret, Unspecified> {
        let mut bytes = [0; 64];
        rand::fill(&mut bytes)?;
        Ok(TicketSecret(bytes))
    }
}

impl fmt::Debug for TicketSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketSecret")
    }
}

struct TicketKey {
    name: [u8; NAME],
    key: LessSafeKey,
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl TicketKey {
    fn new(secret: &TicketSecret) -> Result<TicketKey, Unspecified> {
        let base =
            hkdf::Salt::new(hkdf::HKDF_SHA256, b"ringgate session tickets 1").extract(&secret.0);
        let mut name = [0; NAME];
        base.expand(&[b"name"], Length(NAME))?.fill(&mut name)?;
        let mut key = [0; 32];
        base.expand(&[b"AES-256-GCM"], Length(32))?.fill(&mut key)?;
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key)?);
        Ok(TicketKey { name, key })
    }
}

/// The keys of all tickets: one that seals, and some before it that still open. One for the
/// process; [`Tickets`] tie it to a policy.
///
/// Reading takes no lock. Keys should be replaced every few hours, because who learns one can read
/// the sessions that began with its tickets.
pub struct TicketKeys {
    keys: ArcSwap<Vec<TicketKey>>,
    /// Seconds.
    lifetime: u32,
}

impl TicketKeys {
    /// Keys of these secrets: the first seals, all of them open. `lifetime` is what clients are
    /// told: how long a ticket is of use, that is, how long its key is kept; at most seven days.
    ///
    /// # Errors
    /// Where there is no secret, or the cryptography fails.
    pub fn new(secrets: &[TicketSecret], lifetime: Duration) -> Result<TicketKeys, Unspecified> {
        let lifetime = lifetime.min(LIFETIME_MAX).as_secs() as u32;
        Ok(TicketKeys { keys: ArcSwap::from_pointee(keys_of(secrets)?), lifetime })
    }

    /// Takes these instead, at once on every shard. To let clients keep their sessions, what was
    /// the first comes second.
    ///
    /// # Errors
    /// As for [`TicketKeys::new`]; the old keys stay then.
    pub fn replace(&self, secrets: &[TicketSecret]) -> Result<(), Unspecified> {
        self.keys.store(Arc::new(keys_of(secrets)?));
        Ok(())
    }
}

fn keys_of(secrets: &[TicketSecret]) -> Result<Vec<TicketKey>, Unspecified> {
    match secrets {
        [] => Err(Unspecified),
        secrets => secrets.iter().map(TicketKey::new).collect(),
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys").field("keys", &self.keys.load().len()).finish()
    }
}

/// The tickets of one policy, for [`rustls::ServerConfig::ticketer`].
///
/// A ticket stands for a handshake that was held under a policy: which names it was for and whether
/// the client had to show a certificate. It opens only under that policy: who changes any of it
/// must change the context.
#[derive(Debug)]
pub struct Tickets {
    keys: Arc<TicketKeys>,
    context: Box<[u8]>,
}

impl Tickets {
    /// Tickets for the policy that `context` identifies, by its number or a digest of it.
    pub fn new(keys: Arc<TicketKeys>, context: impl AsRef<[u8]>) -> Tickets {
        Tickets { keys, context: context.as_ref().into() }
    }
}

/// A ticket: name of the key, nonce, sealed session, tag.
impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.keys.lifetime
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys.keys.load();
        let key = keys.first()?;
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut ticket = Vec::with_capacity(NAME + NONCE_LEN + plain.len() + TAG);
        ticket.extend_from_slice(&key.name);
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(plain);
        if ticket.len() + TAG > TICKET_MAX {
            return None;
        }
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = &mut ticket[NAME + NONCE_LEN..];
        let tag =
            key.key.seal_in_place_separate_tag(nonce, Aad::from(&*self.context), sealed).ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > TICKET_MAX {
            return None;
        }
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let keys = self.keys.keys.load();
        // The name is no secret: it stands in the ticket.
        let key = keys.iter().find(|key| key.name == *name)?;
        let mut session = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let len = key.key.open_in_place(nonce, Aad::from(&*self.context), &mut session).ok()?.len();
        session.truncate(len);
        Some(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(byte: u8) -> TicketSecret {
        TicketSecret::new([byte; 64])
    }

    fn keys(bytes: &[u8]) -> Arc<TicketKeys> {
        let secrets: Vec<_> = bytes.iter().map(|byte| secret(*byte)).collect();
        Arc::new(TicketKeys::new(&secrets, Duration::from_secs(3600)).unwrap())
    }

    #[test]
    fn shards_accept_each_others_tickets() {
        let ticket = Tickets::new(keys(&[1]), "policy").encrypt(b"session").unwrap();
        assert!(!ticket.windows(7).any(|part| part == b"session"));
        let opened = Tickets::new(keys(&[1]), "policy").decrypt(&ticket);
        assert_eq!(opened.as_deref(), Some(&b"session"[..]));
        assert_eq!(Tickets::new(keys(&[1]), "policy").lifetime(), 3600);
    }

    #[test]
    fn a_ticket_opens_under_its_policy_and_key_only() {
        let ticket = Tickets::new(keys(&[1]), 7_u64.to_be_bytes()).encrypt(b"session").unwrap();
        assert_eq!(Tickets::new(keys(&[1]), 8_u64.to_be_bytes()).decrypt(&ticket), None);
        assert_eq!(Tickets::new(keys(&[1]), "").decrypt(&ticket), None);
        assert_eq!(Tickets::new(keys(&[2]), 7_u64.to_be_bytes()).decrypt(&ticket), None);
    }

    #[test]
    fn keys_rotate_with_overlap() {
        let shared = keys(&[1]);
        let tickets = Tickets::new(shared.clone(), "p");
        let old = tickets.encrypt(b"old").unwrap();
        shared.replace(&[secret(2), secret(1)]).unwrap();
        let new = tickets.encrypt(b"new").unwrap();
        assert_ne!(old[..NAME], new[..NAME]);
        assert_eq!(tickets.decrypt(&old).as_deref(), Some(&b"old"[..]));
        shared.replace(&[secret(3), secret(2)]).unwrap();
        assert_eq!(tickets.decrypt(&old), None);
        assert_eq!(tickets.decrypt(&new).as_deref(), Some(&b"new"[..]));
        assert!(shared.replace(&[]).is_err());
        assert_eq!(tickets.decrypt(&new).as_deref(), Some(&b"new"[..]), "the old keys stay");
    }

    #[test]
    fn garbage_is_no_ticket() {
        let tickets = Tickets::new(keys(&[1]), "p");
        let ticket = tickets.encrypt(b"session").unwrap();
        for len in 0..ticket.len() {
            assert_eq!(tickets.decrypt(&ticket[..len]), None);
            let mut changed = ticket.clone();
            changed[len] ^= 1;
            assert_eq!(tickets.decrypt(&changed), None);
        }
        assert_eq!(tickets.decrypt(&[0; TICKET_MAX + 1]), None);
        assert_eq!(tickets.encrypt(&[0; TICKET_MAX]), None);
    }
}
