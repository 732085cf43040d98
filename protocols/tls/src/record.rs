//! The record layer (RFC 8446 §5, RFC 5246 §6.2) once the handshake is over: records are opened
//! where they lie and sealed where they are sent from.
//!
//! The handshake library would allocate and copy twice for each record. It gives out the keys
//! instead, as it does for kernels that do this part.

use std::ops::Range;

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce,
    UnboundKey,
};
use rustls::ConnectionTrafficSecrets;

use crate::alert::Alert;

pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const DATA: u8 = 23;

/// Type, version, length.
pub(crate) const HEADER: usize = 5;
/// The longest plaintext of a record.
pub(crate) const PLAIN_MAX: usize = 16 * 1024;
/// The longest payload of a protected record, RFC 5246 §6.2.3; TLS 1.3 allows less.
const PAYLOAD_MAX_12: usize = PLAIN_MAX + 2048;
const PAYLOAD_MAX_13: usize = PLAIN_MAX + 256;
/// What the AEAD appends.
const TAG: usize = 16;
/// Part of the nonce that AES-GCM sends along in TLS 1.2 (RFC 5288 §3).
const EXPLICIT: usize = 8;

/// How records are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Type inside, nonce from the counter.
    Tls13,
    /// Part of the nonce outside.
    Gcm12,
    /// Nonce from the counter (RFC 7905 §2).
    ChaCha12,
}

/// What protects one direction.
pub(crate) struct Keys {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    /// Of the next record.
    sequence: u64,
    layout: Layout,
}

/// Keys that cannot be used.
#[derive(Debug)]
pub(crate) struct Unusable;

impl Keys {
    /// Keys as the handshake agreed on them.
    pub(crate) fn new(
        (sequence, secrets): (u64, ConnectionTrafficSecrets),
        is_13: bool,
    ) -> Result<Keys, Unusable> {
        let gcm = if is_13 { Layout::Tls13 } else { Layout::Gcm12 };
        let chacha = if is_13 { Layout::Tls13 } else { Layout::ChaCha12 };
        let (algorithm, key, iv, layout): (&'static Algorithm, _, _, _) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv, gcm),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv, gcm),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                (&CHACHA20_POLY1305, key, iv, chacha)
            }
            _ => return Err(Unusable),
        };
        let key = UnboundKey::new(algorithm, key.as_ref()).map_err(|_| Unusable)?;
        let iv = iv.as_ref().try_into().map_err(|_| Unusable)?;
        Ok(Keys { key: LessSafeKey::new(key), iv, sequence, layout })
    }

    /// How many records they have protected.
    pub(crate) fn used(&self) -> u64 {
        self.sequence
    }

    /// Whether they are of TLS 1.3.
    pub(crate) fn is_13(&self) -> bool {
        self.layout == Layout::Tls13
    }

    /// How many bytes a record of `plain` bytes adds to them.
    pub(crate) fn overhead(&self) -> usize {
        match self.layout {
            Layout::Tls13 => HEADER + 1 + TAG,
            Layout::Gcm12 => HEADER + EXPLICIT + TAG,
            Layout::ChaCha12 => HEADER + TAG,
        }
    }

    fn nonce(&self) -> [u8; NONCE_LEN] {
        let mut nonce = self.iv;
        for (byte, with) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= with;
        }
        nonce
    }

    /// What TLS 1.2 authenticates beside the data.
    fn aad_12(&self, kind: u8, plain: usize) -> [u8; 13] {
        let mut aad = [0; 13];
        aad[..8].copy_from_slice(&self.sequence.to_be_bytes());
        aad[8..11].copy_from_slice(&[kind, 3, 3]);
        aad[11..].copy_from_slice(&(plain as u16).to_be_bytes());
        aad
    }

    /// Appends a record with `plain`, at most [`PLAIN_MAX`] bytes, to `out`.
    pub(crate) fn seal(
        &mut self,
        kind: u8,
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Unusable> {
        debug_assert!(plain.len() <= PLAIN_MAX);
        let payload = self.overhead() - HEADER + plain.len();
        let outer = if self.layout == Layout::Tls13 { DATA } else { kind };
        let [high, low] = (payload as u16).to_be_bytes();
        let header = [outer, 3, 3, high, low];
        let nonce = self.nonce();
        out.extend_from_slice(&header);
        if self.layout == Layout::Gcm12 {
            out.extend_from_slice(&nonce[4..]);
        }
        let start = out.len();
        out.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = if self.layout == Layout::Tls13 {
            out.push(kind);
            self.key.seal_in_place_separate_tag(nonce, Aad::from(header), &mut out[start..])
        } else {
            let aad = Aad::from(self.aad_12(kind, plain.len()));
            self.key.seal_in_place_separate_tag(nonce, aad, &mut out[start..])
        };
        out.extend_from_slice(tag.map_err(|_| Unusable)?.as_ref());
        self.sequence = self.sequence.checked_add(1).ok_or(Unusable)?;
        Ok(())
    }

    /// Opens a whole record in place; its type, and where its plaintext lies now.
    pub(crate) fn open(&mut self, record: &mut [u8]) -> Result<(u8, Range<usize>), Alert> {
        let Some((header, payload)) = record.split_first_chunk_mut::<HEADER>() else {
            return Err(Alert::DECODE_ERROR);
        };
        let header = *header;
        let (kind, plain) = match self.layout {
            Layout::Tls13 => self.open_13(header, payload)?,
            _ if header[1..3] != [3, 3] => return Err(Alert::PROTOCOL_VERSION),
            _ => self.open_12(header[0], payload)?,
        };
        if plain.len() > PLAIN_MAX {
            return Err(Alert::RECORD_OVERFLOW);
        }
        self.sequence = self.sequence.checked_add(1).ok_or(Alert::INTERNAL_ERROR)?;
        Ok((kind, HEADER + plain.start..HEADER + plain.end))
    }

    fn open_13(
        &self,
        header: [u8; HEADER],
        payload: &mut [u8],
    ) -> Result<(u8, Range<usize>), Alert> {
        if header[0] != DATA {
            return Err(Alert::UNEXPECTED_MESSAGE);
        }
        if payload.len() > PAYLOAD_MAX_13 {
            return Err(Alert::RECORD_OVERFLOW);
        }
        let nonce = Nonce::assume_unique_for_key(self.nonce());
        let inner = self
            .key
            .open_in_place(nonce, Aad::from(header), payload)
            .map_err(|_| Alert::BAD_RECORD_MAC)?;
        // The type is what stands before the padding.
        match inner.iter().rposition(|byte| *byte != 0) {
            Some(end) => Ok((inner[end], 0..end)),
            None => Err(Alert::UNEXPECTED_MESSAGE),
        }
    }

    fn open_12(&self, kind: u8, payload: &mut [u8]) -> Result<(u8, Range<usize>), Alert> {
        let (nonce, start) = match self.layout {
            Layout::Gcm12 => {
                let explicit = payload.get(..EXPLICIT).ok_or(Alert::DECODE_ERROR)?;
                let mut nonce = self.iv;
                nonce[4..].copy_from_slice(explicit);
                (nonce, EXPLICIT)
            }
            _ => (self.nonce(), 0),
        };
        let sealed = &mut payload[start..];
        let plain = sealed.len().checked_sub(TAG).ok_or(Alert::DECODE_ERROR)?;
        let aad = Aad::from(self.aad_12(kind, plain));
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key.open_in_place(nonce, aad, sealed).map_err(|_| Alert::BAD_RECORD_MAC)?;
        Ok((kind, start..start + plain))
    }
}

/// How long the record that begins here is with its header, or how long it is at least where the
/// header is not whole. It may not all be there.
///
/// # Errors
/// Where it must not be that long.
pub(crate) fn length(bytes: &[u8]) -> Result<usize, Alert> {
    let [_, _, _, high, low, ..] = *bytes else {
        return Ok(HEADER);
    };
    let payload = usize::from(u16::from_be_bytes([high, low]));
    match payload > PAYLOAD_MAX_12 {
        true => Err(Alert::RECORD_OVERFLOW),
        false => Ok(HEADER + payload),
    }
}

/// The length of the record that begins here, where it is there whole.
pub(crate) fn whole(bytes: &[u8]) -> Result<Option<usize>, Alert> {
    let length = length(bytes)?;
    Ok((bytes.len() >= HEADER && bytes.len() >= length).then_some(length))
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
