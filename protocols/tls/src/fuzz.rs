//! What must hold for any input, for a fuzzer or a property test to call: nothing panics, and how
//! the input was cut on its way changes nothing.

use crate::client_hello::{ClientHello, InvalidHello};

fn parse(bytes: &[u8], step: usize) -> Result<Option<ClientHello>, InvalidHello> {
    for end in (step..bytes.len()).step_by(step).chain([bytes.len()]) {
        let parsed = ClientHello::parse(&bytes[..end]);
        if !matches!(parsed, Ok(None)) {
            return parsed;
        }
    }
    Ok(None)
}

/// Parses a ClientHello from `input` behind its first byte, which says how it is cut.
///
/// # Panics
/// Where the cut changes the result, or what comes of it is no name or no protocols.
pub fn fuzz_client_hello(input: &[u8]) {
    let Some((step, bytes)) = input.split_first() else {
        return;
    };
    let whole = ClientHello::parse(bytes);
    assert_eq!(whole, parse(bytes, usize::from(*step).max(1)), "ClientHello differs by its cut");
    let Ok(Some(hello)) = whole else {
        return;
    };
    if let Some(name) = &hello.server_name {
        assert!((1..=253).contains(&name.len()), "length of a name");
        assert!(!name.bytes().any(|byte| byte.is_ascii_uppercase()), "upper case");
        assert!(!name.starts_with('.') && !name.ends_with('.'), "dots at an end");
    }
    assert!(hello.alpn().all(|name| !name.is_empty()), "protocol without a name");
}
