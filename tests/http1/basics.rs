//! Keep-alive, pipelining, versions, forms of targets.

use crate::support::{Config, Origin, routes_to};

#[test]
fn a_connection_serves_request_after_request() {
    let origin = Origin::hello();
    let gateway = Config::new(&routes_to(origin.address)).start();
    let mut client = gateway.client();
    for _ in 0..20 {
        let answer = client.get("/a");
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
        assert!(!answer.closes());
    }
    assert_eq!(origin.requests().len(), 20);
    assert_eq!(origin.connections(), 1, "the pooled connection is used again");
    drop(client);
    gateway.stop();
}
