//! Entry points for fuzzing.

use std::net::{Ipv4Addr, SocketAddr};

use ringgate_core::{ConnectionInfo, Method, RequestHead, Scheme, Version, path};

use super::expr::Expr;
use super::variable::Subject;

/// Paths: a canonical form is absolute, has no dot segments and stays as it is.
pub fn fuzz_path(data: &[u8]) {
    let Ok(once) = path::normalize(data) else { return };
    assert!(once.starts_with(b"/"));
    assert!(!once.windows(2).any(|pair| pair == b"//"));
    assert!(!once.split(|byte| *byte == b'/').any(|part| part == b"." || part == b".."));
    assert_eq!(path::normalize(&once).as_deref(), Ok(&*once));
}

/// `vars` expressions: whatever compiles can be evaluated.
pub fn fuzz_expr(data: &[u8]) {
    let Ok(vars) = serde_json::from_slice(data) else { return };
    let Ok(expr) = Expr::compile(&vars) else { return };
    let mut head = RequestHead::new(Method::Get, Version::Http11, Scheme::Http);
    head.set_path(b"/a/b");
    head.set_query(Some(b"a=1&b=%20x&c"));
    head.set_authority(b"A.example:80");
    let _ = head.headers.append(b"X-Api", b"v1");
    let _ = head.headers.append(b"Cookie", b"a=b; c=d");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
    let connection = ConnectionInfo { peer: address, local: address, tls: None, id: 0 };
    let _ = expr.eval(&Subject::new(&head, &connection));
}
