//! TLS 1.2 and 1.3 for the Ringgate gateway, over any byte stream of `ringgate-core`.
//!
//! rustls does the handshakes and keeps what outlives them: key schedules and sessions. Records
//! are protected here (the `record` module), because there a copy and an allocation per record count:
//! ciphertext is received into the caller's lease and opened where it lies; what is sent is sealed
//! in the pooled buffer that it leaves in. An idle connection holds two keys and no buffer.
//!
//! [`accept`] and [`connect`] make a [`TlsReader`] and a [`TlsWriter`] of the halves of a stream.
//! Both may be used at the same time on their thread. Differences to a socket:
//!
//! - [`ReadIo::readable`](ringgate_core::ReadIo::readable) may return though only a part of a
//!   record is there, or one without data (a session ticket); the receive that follows then waits.
//! - An end without close_notify could have been forged. A server's reader takes it for an end as
//!   nginx does, because requests and frames say themselves how long they are and most browsers
//!   end this way. A client's reader fails with [`UnexpectedEof`](std::io::ErrorKind::UnexpectedEof):
//!   the end may be all that delimits a body. Within a record it is an error for both.
//! - What must be answered at once is: a fatal alert is sent by whichever half finds the reason.
//!   What may wait leaves with the next send: the tickets of a TLS 1.3 server and the
//!   answer to a KeyUpdate.
//!
//! Refused: renegotiation, 0-RTT, more than 32 messages without data in a row.

mod alert;
mod client;
mod client_hello;
mod config;
pub mod fuzz;
mod handshake;
mod record;
mod server;
mod stream;
mod tickets;

pub use alert::Alert;
pub use client::{Connected, connect};
pub use client_hello::{ClientHello, HELLO_MAX, InvalidHello};
pub use config::{prepare_client, prepare_server};
pub use handshake::Handshake;
pub use server::{Accepted, accept};
pub use stream::{TlsReader, TlsWriter};
pub use tickets::{TicketKeys, TicketSecret, Tickets};
