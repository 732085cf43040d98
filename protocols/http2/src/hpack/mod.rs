//! HPACK: how HTTP/2 writes fields (RFC 7541).
//!
//! [`Decoder`] and [`Encoder`] are without I/O, one of each for a connection. Both keep a dynamic
//! table (`table`), which is all that they hold between two blocks. Nothing is allocated before the
//! first entry, and all is freed when the table is emptied.

mod decoder;
mod encoder;
mod huffman;
mod integer;
mod names;
mod table;

#[cfg(test)]
mod bounds_tests;
#[cfg(test)]
mod examples_tests;
#[cfg(test)]
mod roundtrip_tests;

pub(crate) use decoder::Decoder;
pub(crate) use encoder::{Encoder, Indexing};
pub(crate) use names::{Name, StaticName};

/// What a table holds at most before anything else was said (RFC 9113 §6.5.2).
const INITIAL_SIZE: usize = 4096;

/// A field as it was decoded. Its slices live for the call that hands it over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field<'b> {
    /// What it is called.
    pub(crate) name: Name<'b>,
    /// What it says.
    pub(crate) value: &'b [u8],
    /// Its sender wants no one to keep it in a table (RFC 7541 §7.1.3), so whoever passes it on has
    /// to say [`Indexing::Never`].
    pub(crate) sensitive: bool,
}

/// Why a block cannot be decoded. The tables of both ends are out of step from here on, so the
/// connection ends with COMPRESSION_ERROR (RFC 9113 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);
