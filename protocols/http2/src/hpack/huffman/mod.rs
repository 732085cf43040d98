//! The Huffman code of string literals (RFC 7541 §5.2, Appendix B).

mod code;
mod decode;
mod encode;

pub(super) use decode::{decode, room};
pub(super) use encode::{encode, encoded_len};
