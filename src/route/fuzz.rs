//! Entry points for fuzzing.

use std::net::{Ipv4Addr, SocketAddr};

use ringgate_core::{ConnectionInfo, Method, RequestHead, Scheme, Version, path};

use super::body::BodyVariables;
use super::expr::Expr;
use super::variable::{Context, Subject};

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

/// Bodies that routes ask about: forms, JSON and GraphQL; a line before it may be a path into it.
pub fn fuzz_routed_body(data: &[u8]) {
    let end = memchr::memchr(b'\n', data).unwrap_or(0);
    let path = format!("post_arg.{}", String::from_utf8_lossy(&data[..end]));
    for media in [&b"application/json"[..], b"application/x-www-form-urlencoded", b"text/plain"] {
        let mut head = RequestHead::new(Method::Post, Version::Http11, Scheme::Http);
        let _ = head.headers.append(b"Content-Type", media);
        let body = BodyVariables::new(&head, &data[end..]);
        for name in [&path, "post_arg.a", "post_arg_a", "post_arg..a[*]", "graphql_name"] {
            let _ = (body.variable(name), body.list_has(name, b"a"));
        }
        let _ = body.list_has("graphql_root_fields", b"a");
    }
}
