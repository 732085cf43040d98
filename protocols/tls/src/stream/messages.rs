//! Records without data: alerts, and the handshake messages that may come behind a handshake.

use std::io;

use super::Role;
use super::link::{Schedule, State};
use crate::alert::Alert;
use crate::record::Keys;

const CLIENT_HELLO: u8 = 1;
const HELLO_REQUEST: u8 = 0;
const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;
/// The longest message that is put together of several records: a ticket has at most that much.
const MESSAGE_MAX: usize = 72 * 1024;
/// Records without data in a row, as BoringSSL bounds each kind.
const IDLE_MAX: u8 = 32;

/// How the receiving direction ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// With close_notify.
    Clean,
    /// Without, where that is as good.
    Silent,
    /// Without, though the end means something.
    Truncated,
    /// The peer said why.
    Refused(Alert),
    /// This end says why.
    Failed(Alert, &'static str),
}

impl End {
    /// What a receive comes to.
    pub(super) fn result(&self) -> io::Result<usize> {
        match self {
            End::Clean | End::Silent => Ok(0),
            End::Truncated => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "TLS: the peer closed without close_notify",
            )),
            End::Refused(alert) => Err(io::Error::new(
                io::ErrorKind::ConnectionReset,
                format!("TLS: the peer sent {alert}"),
            )),
            End::Failed(alert, detail) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("TLS: {detail}: sent {alert}"),
            )),
        }
    }
}

/// What was received that is not data.
#[derive(Default)]
pub(super) struct Messages {
    /// The begin of a handshake message that goes on in the next record.
    part: Vec<u8>,
    /// Records without data since the last with data.
    idle: u8,
}

impl Messages {
    /// Takes note of a record with data.
    pub(super) fn on_data(&mut self, len: usize) -> Result<(), End> {
        if !self.part.is_empty() {
            return Err(unexpected("data within a handshake message"));
        }
        if len > 0 {
            self.idle = 0;
            return Ok(());
        }
        self.count()
    }

    fn count(&mut self) -> Result<(), End> {
        self.idle += 1;
        if self.idle > IDLE_MAX {
            return Err(unexpected("too many records without data"));
        }
        Ok(())
    }

    /// Takes an alert; `Err` where it ends the direction.
    pub(super) fn on_alert(&mut self, message: &[u8], is_13: bool) -> Result<(), End> {
        let [level, description] = *message else {
            return Err(End::Failed(Alert::DECODE_ERROR, "alert of another length"));
        };
        let alert = Alert(description);
        if alert == Alert::CLOSE_NOTIFY {
            return Err(End::Clean);
        }
        // In TLS 1.3 the level says nothing, RFC 8446 §6.
        let is_warning = if is_13 { alert == Alert::USER_CANCELED } else { level == 1 };
        if !is_warning {
            return Err(End::Refused(alert));
        }
        self.count()
    }

    /// Takes a record with handshake messages; new keys for receiving, where they changed.
    pub(super) fn on_handshake(
        &mut self,
        payload: &[u8],
        state: &mut State,
        role: Role,
    ) -> Result<Option<Keys>, End> {
        self.count()?;
        if payload.is_empty() {
            return Err(unexpected("empty handshake record"));
        }
        if matches!(state.schedule, Schedule::Fixed) {
            return Err(renegotiation(payload[0], role));
        }
        let whole;
        let mut rest = payload;
        if !self.part.is_empty() {
            self.part.extend_from_slice(payload);
            whole = std::mem::take(&mut self.part);
            rest = &whole;
        }
        let mut keys = None;
        while let Some((message, behind)) = message(rest)? {
            rest = behind;
            match message {
                [KEY_UPDATE, _, _, _, body @ ..] => {
                    if !rest.is_empty() {
                        return Err(unexpected("a message behind a KeyUpdate in its record"));
                    }
                    keys = Some(key_update(body, state)?);
                }
                [NEW_SESSION_TICKET, _, _, _, body @ ..] => match &mut state.schedule {
                    Schedule::Client(connection) => {
                        connection
                            .handle_new_session_ticket(body)
                            .map_err(|_| End::Failed(Alert::DECODE_ERROR, "bad session ticket"))?;
                    }
                    _ => return Err(unexpected("session ticket from a client")),
                },
                _ => return Err(unexpected("handshake message behind the handshake")),
            }
        }
        if rest.len() > MESSAGE_MAX {
            return Err(End::Failed(Alert::DECODE_ERROR, "handshake message too long"));
        }
        if !rest.is_empty() {
            self.part = rest.to_vec();
        }
        Ok(keys)
    }
}

fn unexpected(detail: &'static str) -> End {
    End::Failed(Alert::UNEXPECTED_MESSAGE, detail)
}

/// In TLS 1.2 all that can come is the wish for another handshake, which is refused.
fn renegotiation(kind: u8, role: Role) -> End {
    match (kind, role) {
        (CLIENT_HELLO, Role::Server) | (HELLO_REQUEST, Role::Client) => {
            End::Failed(Alert::NO_RENEGOTIATION, "the peer asks for a renegotiation")
        }
        _ => unexpected("handshake message behind the handshake"),
    }
}

/// A message, and what is behind it.
type Split<'a> = (&'a [u8], &'a [u8]);

/// The first message, with its header, and what is behind it; none where it goes on elsewhere.
fn message(bytes: &[u8]) -> Result<Option<Split<'_>>, End> {
    let [_, high, middle, low, ..] = *bytes else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    if length > MESSAGE_MAX {
        return Err(End::Failed(Alert::DECODE_ERROR, "handshake message too long"));
    }
    Ok(bytes.split_at_checked(4 + length))
}

fn key_update(body: &[u8], state: &mut State) -> Result<Keys, End> {
    match body {
        [0] => {}
        [1] => state.update_due = true,
        [_] => return Err(End::Failed(Alert::ILLEGAL_PARAMETER, "bad KeyUpdate")),
        _ => return Err(End::Failed(Alert::DECODE_ERROR, "bad KeyUpdate")),
    }
    let keys = state.schedule.next_receiving();
    keys.map_err(|_| End::Failed(Alert::INTERNAL_ERROR, "no keys behind a KeyUpdate"))
}
