//! A connection behind its handshake: two halves with what they share.

mod link;
mod messages;
mod reader;
mod writer;

use std::cell::RefCell;
use std::rc::Rc;

use ringgate_core::{ReadIo, WriteIo};

use crate::handshake::Session;
use crate::record::{Keys, Unusable};

pub(crate) use link::Schedule;
pub use reader::TlsReader;
pub use writer::TlsWriter;

use link::{Link, State};

/// Which end this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

/// The halves of a connection whose handshake is done.
pub(crate) fn pair<R, W>(
    reader: R,
    writer: W,
    session: Session,
    role: Role,
) -> Result<(TlsReader<R>, TlsWriter<W>), Unusable>
where
    R: ReadIo + 'static,
    W: WriteIo + 'static,
{
    let sending = Keys::new(session.secrets.tx, session.is_13)?;
    let receiving = Keys::new(session.secrets.rx, session.is_13)?;
    let state = State::new(sending, session.schedule, session.limit, session.outgoing);
    let link = Rc::new(Link::new(RefCell::new(state), writer));
    Ok((TlsReader::new(reader, receiving, link.clone(), role, session.rest), TlsWriter::new(link)))
}

#[cfg(test)]
mod tests;
