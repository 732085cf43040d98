//! Who writes sees what was written, on whatever shard the next request comes.

use crate::support::RawClient;
use crate::{change, gateway, named, route};

#[test]
fn the_next_request_sees_the_change_on_every_shard() {
    let shards = 4;
    let gateway = gateway(shards);
    let [one, two] = ["one", "two"].map(named);
    change(&gateway, &[("routes/1", route("/a", &one))]);
    // Enough that every shard has some, which stay open.
    let mut clients: Vec<RawClient> = (0..shards * 6).map(|_| gateway.client()).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/a").text(), "one"));
    for round in 0..25 {
        let (node, name) = if round % 2 == 0 { (&two, "two") } else { (&one, "one") };
        change(&gateway, &[("routes/1", route("/a", node))]);
        let at = round % clients.len();
        clients[at..].iter_mut().for_each(|client| assert_eq!(client.get("/a").text(), name));
        assert_eq!(gateway.get("/a").text(), name, "a new connection");
    }
    drop(clients);
    gateway.stop();
}
