use serde_json::json;

use super::nodes::{apply, ingredients};
use super::*;
use crate::config::plan::Compiler;

#[test]
fn what_does_not_change_is_shared_with_the_plan_before() {
    let (one, two) = (Pair::new("a.test"), Pair::new("b.test"));
    let (a, b) = (ssl("a", &["a.test"], &one), ssl("b", &["b.test"], &two));
    let mut compiler = Compiler::new(ingredients());
    let find = |table: &TlsTable, name: &str| table.find(Some(name), &anywhere()).cloned();
    let first = apply(&mut compiler, &json!({"ssls": [a, b]})).unwrap();
    let route = json!({"id": "r", "uri": "/", "upstream": {"nodes": {"127.0.0.1:1": 1}}});
    let routed = apply(&mut compiler, &json!({"ssls": [a, b], "routes": [route]})).unwrap();
    assert!(Arc::ptr_eq(&first.tls, &routed.tls), "nothing of TLS changed");

    let mut renewed = a.clone();
    renewed["cert"] = json!(two.cert);
    renewed["key"] = json!(two.key);
    let second = apply(&mut compiler, &json!({"ssls": [renewed, b]})).unwrap();
    let (old, new) = (find(&first.tls, "a.test").unwrap(), find(&second.tls, "a.test").unwrap());
    assert!(!Arc::ptr_eq(&old, &new));
    let shown = handshake(client(None), &new, "a.test").unwrap();
    assert_eq!(shown.client.peer_certificates().unwrap()[0], two.chain()[0]);
    let kept = [&first, &second].map(|plan| find(&plan.tls, "b.test").unwrap());
    assert!(Arc::ptr_eq(&kept[0], &kept[1]));

    let broken = json!({"id": "a", "sni": "a.test", "cert": two.cert, "key": one.key});
    let error = apply(&mut compiler, &json!({"ssls": [broken]})).err().unwrap();
    assert_eq!(error, "a key: key does not match cert");
    assert!(
        Arc::ptr_eq(&compiler.plan().tls, &second.tls),
        "what cannot be compiled changes nothing"
    );

    let third = apply(&mut compiler, &json!({"ssls": [b]})).unwrap();
    assert!(find(&third.tls, "a.test").is_none());
    let clash = ssl("c", &["b.test"], &one);
    let fourth = apply(&mut compiler, &json!({"ssls": [b, clash]})).unwrap();
    assert_eq!(&*find(&fourth.tls, "b.test").unwrap().id, "b");
    let fifth = apply(&mut compiler, &json!({"ssls": [clash, b]})).unwrap();
    assert_eq!(&*find(&fifth.tls, "b.test").unwrap().id, "c", "the first one of the file");
    let last = apply(&mut compiler, &json!({})).unwrap();
    assert!(last.tls.is_empty());
}
