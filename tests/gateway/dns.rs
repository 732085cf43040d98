//! Nodes that are names, asked of a DNS server that the test is itself.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Config, Gateway, Resources, SOON, eventually};
use crate::support::{counts, has_ipv6, named, named_at, own_ip, skip_unless};

/// One record's data.
#[derive(Clone)]
enum Data {
    Address(IpAddr),
    /// Priority, weight, port, target.
    Service(u16, u16, u16, &'static str),
}

type Zone = HashMap<String, (u32, Vec<Data>)>;

/// Answers over UDP what its zone says, and NXDOMAIN for all else.
struct Server {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start() -> Server {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let (zone, asked) = (Arc::<Mutex<Zone>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let server = Server { address, zone: zone.clone(), asked: asked.clone() };
        std::thread::spawn(move || {
            let mut question = [0; 1024];
            while let Ok((length, peer)) = socket.recv_from(&mut question) {
                if let Some((name, answer)) = answer(&question[..length], &zone.lock().unwrap()) {
                    asked.lock().unwrap().push(name);
                    let _ = socket.send_to(&answer, peer);
                }
            }
        });
        server
    }

    fn set(&self, name: &str, ttl: u32, data: impl IntoIterator<Item = Data>) {
        let records = (ttl, data.into_iter().collect());
        self.zone.lock().unwrap().insert(name.to_owned(), records);
    }

    fn forget(&self, name: &str) {
        self.zone.lock().unwrap().remove(name);
    }

    fn asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == name).count()
    }
}

/// RFC 1035: the header, the question again, the answers.
fn answer(question: &[u8], zone: &Zone) -> Option<(String, Vec<u8>)> {
    let mut at = 12;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(question.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes(question.get(at..at + 2)?.try_into().ok()?);
    let asked = question.get(12..at + 4)?;
    let name = labels.join(".");
    let known = zone.get(&name);
    let mut records = Vec::new();
    let mut count = 0u16;
    for data in known.map(|(_, data)| &data[..]).unwrap_or_default() {
        let (is, bytes) = match data {
            Data::Address(IpAddr::V4(ip)) => (1, ip.octets().to_vec()),
            Data::Address(IpAddr::V6(ip)) => (28, ip.octets().to_vec()),
            Data::Service(priority, weight, port, target) => {
                let mut bytes: Vec<u8> =
                    [priority, weight, port].iter().flat_map(|n| n.to_be_bytes()).collect();
                for label in target.split('.') {
                    bytes.push(label.len() as u8);
                    bytes.extend_from_slice(label.as_bytes());
                }
                bytes.push(0);
                (33, bytes)
            }
        };
        if is == kind {
            count += 1;
            // The name is the one of the question: a pointer to it.
            records.extend_from_slice(&[0xc0, 12]);
            records.extend_from_slice(&u16::to_be_bytes(is));
            records.extend_from_slice(&[0, 1]);
            records.extend_from_slice(&known?.0.to_be_bytes());
            records.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
            records.extend_from_slice(&bytes);
        }
    }
    let code = if known.is_some() { 0 } else { 3 };
    let mut answer = question.get(..2)?.to_vec();
    answer.extend_from_slice(&[0x85, 0x80 | code, 0, 1]);
    answer.extend_from_slice(&count.to_be_bytes());
    answer.extend_from_slice(&[0; 4]);
    answer.extend_from_slice(asked);
    answer.extend_from_slice(&records);
    Some((format!("{kind} {name}"), answer))
}

fn start(server: &Server, upstream: &Value) -> Gateway {
    let resources = Resources::new().route(json!({"id": "all", "uri": "/*", "upstream": upstream}));
    Config::new(&resources)
        .shards(2)
        .set("dns", json!({"resolvers": [server.address.to_string()], "timeout": "500ms"}))
        .start()
}

fn ip(text: &str) -> Data {
    Data::Address(text.parse().unwrap())
}

/// Two nodes of one port on two addresses.
fn pair() -> (crate::harness::Origin, crate::harness::Origin) {
    let a = named("a");
    let other = SocketAddr::new(own_ip().into(), a.address.port());
    (a, named_at(other, "b"))
}

#[test]
fn a_name_is_every_address_that_it_has() {
    let (a, b) = pair();
    let server = Server::start();
    server.set("web.test", 60, [a.address, b.address].map(|at| Data::Address(at.ip())));
    let gateway = start(&server, &json!({"nodes": {format!("web.test:{}", a.address.port()): 1}}));
    eventually(SOON, "the name to be known", || gateway.get("/").status == 200);
    let split = counts((0..20).map(|_| gateway.get("/").text()));
    // Each of the shards may hold a place in the sequence that it has not used.
    assert!(split["a"].abs_diff(10) <= 2 && split.len() == 2, "{split:?}");
    assert_eq!(server.asked("1 web.test"), 1, "once for the process, not per shard or request");
}

/// A change of records moves traffic when their TTL is over; a name that is gone keeps its last
/// good addresses.
#[test]
fn a_change_moves_traffic_and_nxdomain_keeps_the_last_good_answer() {
    let (a, b) = pair();
    let server = Server::start();
    server.set("web.test", 1, [Data::Address(a.address.ip())]);
    let gateway = start(&server, &json!({"nodes": {format!("web.test:{}", a.address.port()): 1}}));
    eventually(SOON, "the name to be known", || gateway.get("/").status == 200);
    assert_eq!(gateway.get("/").text(), "a");
    server.set("web.test", 1, [Data::Address(b.address.ip())]);
    eventually(SOON, "traffic to move", || gateway.get("/").text() == "b");
    server.forget("web.test");
    eventually(SOON, "the failure in the log", || gateway.log().contains("NXDOMAIN"));
    for _ in 0..10 {
        assert_eq!(gateway.get("/").text(), "b");
    }
    server.set("web.test", 1, [Data::Address(a.address.ip())]);
    eventually(SOON, "it to come back", || gateway.get("/").text() == "a");
    eventually(SOON, "the log to say so", || gateway.log().contains("dns: recovered: web.test"));
}

#[test]
fn srv_records_bring_ports_weights_and_priorities() {
    let (a, b, spare) = (named("a"), named("b"), named("spare"));
    let server = Server::start();
    server.set("node.test", 60, [ip("127.0.0.1")]);
    let port = |origin: &crate::harness::Origin| origin.address.port();
    server.set(
        "_http._tcp.test",
        60,
        [
            Data::Service(10, 3, port(&a), "node.test"),
            Data::Service(10, 1, port(&b), "node.test"),
            Data::Service(20, 1, port(&spare), "node.test"),
        ],
    );
    for upstream in [
        json!({"nodes": {"_http._tcp.test": 1}}),
        json!({"service_name": "_http._tcp.test", "discovery_type": "dns"}),
    ] {
        let gateway = start(&server, &upstream);
        eventually(SOON, "the name to be known", || gateway.get("/").status == 200);
        let split = counts((0..40).map(|_| gateway.get("/").text()));
        let near = |name: &str, want: usize| split[name].abs_diff(want) <= 2;
        assert!(near("a", 30) && near("b", 10) && split.len() == 2, "{split:?}");
    }
}

#[test]
fn a_name_with_ipv6_alone() {
    if !skip_unless(has_ipv6(), "no IPv6 here") {
        return;
    }
    let six = named_at("[::1]:0".parse().unwrap(), "six");
    let server = Server::start();
    server.set("six.test", 60, [ip("::1")]);
    let node = format!("six.test:{}", six.address.port());
    let gateway = start(&server, &json!({"nodes": {node: 1}}));
    eventually(SOON, "the name to be known", || gateway.get("/").status == 200);
    assert_eq!(gateway.get("/").text(), "six");
}

/// A server that does not answer costs nobody a request: names wait, addresses serve.
#[test]
fn a_server_that_is_silent_holds_up_neither_the_start_nor_other_nodes() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let a = named("a");
    let port = a.address.port();
    let resources = Resources::new()
        .route(json!({"id": 1, "uri": "/*", "upstream": {
        "nodes": {a.address.to_string(): 1, format!("never.test:{port}"): 1}}}))
        .route(json!({"id": 2, "uri": "/local", "upstream": {
            "nodes": {format!("localhost:{port}"): 1}}}));
    let resolvers = json!([silent.local_addr().unwrap().to_string()]);
    let gateway = Config::new(&resources)
        .set("dns", json!({"resolvers": resolvers, "timeout": "500ms"}))
        .start();
    for _ in 0..10 {
        assert_eq!(gateway.get("/").text(), "a");
    }
    // /etc/hosts needs no server.
    eventually(Duration::from_secs(3), "localhost", || gateway.get("/local").text() == "a");
}
