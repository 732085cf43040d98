//! Against a DNS server in the same process.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::*;

/// What the server answers: by name and type. A name that is not there does not exist.
type Zone = Arc<Mutex<HashMap<(&'static str, RecordType), (u32, Vec<RData>)>>>;

struct Server {
    zone: Zone,
    asked: Arc<AtomicUsize>,
    address: SocketAddr,
}

impl Server {
    async fn start() -> Server {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (zone, asked) = (Zone::default(), Arc::new(AtomicUsize::new(0)));
        let (answers, count) = (zone.clone(), asked.clone());
        tokio::spawn(async move {
            let mut bytes = [0; 2048];
            while let Ok((length, peer)) = socket.recv_from(&mut bytes).await {
                count.fetch_add(1, Ordering::Relaxed);
                let query = Message::from_vec(&bytes[..length]).unwrap();
                let _ = socket.send_to(&reply(&query, &answers), peer).await;
            }
        });
        Server { zone, asked, address }
    }

    fn set(&self, name: &'static str, kind: RecordType, ttl: u32, data: Vec<RData>) {
        self.zone.lock().unwrap().insert((name, kind), (ttl, data));
    }

    fn config(&self) -> DnsConfig {
        DnsConfig {
            resolvers: vec![self.address],
            timeout: Duration::from_millis(500),
            ttl_min: Duration::from_millis(50),
            retry: Duration::from_millis(20),
            ..DnsConfig::default()
        }
    }

    fn resolver(&self) -> Resolver {
        Resolver::new(self.config())
    }
}

fn reply(query: &Message, zone: &Zone) -> Vec<u8> {
    let asked = &query.queries()[0];
    let name = asked.name().to_utf8().trim_end_matches('.').to_owned();
    let mut message = Message::new();
    message.set_id(query.id()).set_message_type(MessageType::Response);
    message.set_recursion_desired(true).set_recursion_available(true);
    message.add_query(asked.clone());
    let zone = zone.lock().unwrap();
    if let Some((_, (ttl, data))) =
        zone.iter().find(|((n, kind), _)| *n == name && *kind == asked.query_type())
    {
        for data in data {
            message.add_answer(Record::from_rdata(asked.name().clone(), *ttl, data.clone()));
        }
    } else if !zone.keys().any(|(n, _)| *n == name) {
        message.set_response_code(ResponseCode::NXDomain);
    }
    message.to_vec().unwrap()
}

fn a(text: &str) -> RData {
    RData::A(A(text.parse().unwrap()))
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> RData {
    RData::SRV(SRV::new(priority, weight, port, Name::from_ascii(target).unwrap()))
}

fn address(name: &str) -> Question {
    Question::Address(name.into())
}

fn ips(answer: &[Resolved]) -> Vec<String> {
    answer.iter().map(|at| at.ip.to_string()).collect()
}

/// Updates and events of a watcher on these questions.
fn watch(
    server: &Server,
    questions: &[Question],
) -> (Watcher, mpsc::Receiver<Update>, mpsc::UnboundedReceiver<Event>) {
    let (updates, changed) = mpsc::channel(16);
    let (log, events) = mpsc::unbounded_channel();
    let mut watcher = Watcher::new(Arc::new(server.resolver()), updates, move |event| {
        let _ = log.send(event);
    });
    watcher.watch(questions.iter().cloned());
    (watcher, changed, events)
}

async fn soon<T>(future: impl Future<Output = Option<T>>) -> T {
    tokio::time::timeout(Duration::from_secs(5), future).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_and_aaaa_and_srv_are_answered() {
    let server = Server::start().await;
    server.set("web.test", RecordType::A, 60, vec![a("10.0.0.2"), a("10.0.0.1")]);
    let six = RData::AAAA(AAAA("fd00::1".parse().unwrap()));
    server.set("six.test", RecordType::AAAA, 60, vec![six]);
    server.set(
        "_http._tcp.web.test",
        RecordType::SRV,
        60,
        vec![srv(10, 5, 8080, "web.test."), srv(20, 0, 9090, "six.test.")],
    );
    let resolver = server.resolver();
    let web = resolver.resolve(&address("web.test")).await.unwrap();
    assert_eq!(ips(&web.addresses), ["10.0.0.1", "10.0.0.2"]);
    assert!((55..=60).contains(&web.ttl.as_secs()), "{:?}", web.ttl);
    let six = resolver.resolve(&address("six.test")).await.unwrap();
    assert_eq!(ips(&six.addresses), ["fd00::1"]);
    let services = resolver.resolve(&Question::Srv("_http._tcp.web.test".into())).await.unwrap();
    let have: Vec<_> =
        services.addresses.iter().map(|at| (at.port, at.weight, at.priority)).collect();
    let first = (Some(8080), Some(5), Some(10));
    assert_eq!(have, [first, first, (Some(9090), Some(0), Some(20))]);
    let plain = resolver.resolve(&Question::Srv("web.test".into())).await.unwrap();
    assert_eq!(plain.addresses, web.addresses, "a service without SRV is a host");
}

#[tokio::test]
async fn localhost_and_literals_need_no_server() {
    let server = Server::start().await;
    let resolver = server.resolver();
    let local = resolver.resolve(&address("localhost")).await.unwrap();
    assert_eq!(ips(&local.addresses), ["127.0.0.1"]);
    assert_eq!(server.asked.load(Ordering::Relaxed), 0);
    let error = resolver.resolve(&address("gone.test")).await.unwrap_err();
    assert_eq!(error.0, "the name does not exist (NXDOMAIN)");
}

#[tokio::test]
async fn a_change_is_sent_on_when_the_ttl_is_over() {
    let server = Server::start().await;
    server.set("web.test", RecordType::A, 1, vec![a("10.0.0.1"), a("10.0.0.2")]);
    let question = address("web.test");
    let (watcher, mut changed, _events) = watch(&server, std::slice::from_ref(&question));
    assert_eq!(ips(&soon(changed.recv()).await.addresses), ["10.0.0.1", "10.0.0.2"]);
    // The same set in another order is no change.
    server.set("web.test", RecordType::A, 1, vec![a("10.0.0.2"), a("10.0.0.1")]);
    let asked = server.asked.load(Ordering::Relaxed);
    while server.asked.load(Ordering::Relaxed) == asked {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(changed.try_recv().is_err());
    server.set("web.test", RecordType::A, 1, vec![a("10.0.0.3")]);
    assert_eq!(ips(&soon(changed.recv()).await.addresses), ["10.0.0.3"]);
    assert_eq!(ips(&watcher.known(&question).unwrap()), ["10.0.0.3"]);
}

#[tokio::test]
async fn a_failure_keeps_the_last_good_answer_and_is_said_once() {
    let server = Server::start().await;
    server.set("web.test", RecordType::A, 0, vec![a("10.0.0.1")]);
    let question = address("web.test");
    let (watcher, mut changed, mut events) = watch(&server, std::slice::from_ref(&question));
    soon(changed.recv()).await;
    server.zone.lock().unwrap().clear();
    let failed = soon(events.recv()).await;
    let cause = "the name does not exist (NXDOMAIN)".to_owned();
    assert_eq!(failed, Event::Failed { question: question.clone(), cause, stale: true });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(events.try_recv().is_err(), "one cause is said once");
    assert_eq!(ips(&watcher.known(&question).unwrap()), ["10.0.0.1"]);
    server.set("web.test", RecordType::A, 0, vec![a("10.0.0.1")]);
    assert_eq!(soon(events.recv()).await, Event::Recovered(question));
    assert!(changed.try_recv().is_err(), "the same addresses are no change");
}

#[tokio::test]
async fn names_come_and_go() {
    let server = Server::start().await;
    server.set("one.test", RecordType::A, 0, vec![a("10.0.0.1")]);
    server.set("two.test", RecordType::A, 0, vec![a("10.0.0.2")]);
    let (mut watcher, mut changed, _events) = watch(&server, &[address("one.test")]);
    soon(changed.recv()).await;
    watcher.watch([address("two.test")]);
    assert_eq!(soon(changed.recv()).await.question, address("two.test"));
    assert_eq!(watcher.known(&address("one.test")), None);
    assert_eq!(watcher.all_known().len(), 1);
    drop(watcher);
    let asked = server.asked.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(server.asked.load(Ordering::Relaxed) <= asked + 1, "nothing is asked any more");
}

#[test]
fn resolvers_are_addresses_with_or_without_a_port() {
    let texts = ["1.1.1.1", "1.1.1.1:5353", "::1", "[::1]", "[::1]:5353"].map(str::to_owned);
    let have = DnsConfig::resolvers(&texts).unwrap();
    let ports: Vec<u16> = have.iter().map(SocketAddr::port).collect();
    assert_eq!(ports, [53, 5353, 53, 53, 5353]);
    let _ = Resolver::new(DnsConfig { resolvers: have, ..DnsConfig::default() });
    assert!(DnsConfig::resolvers(&["dns.google".to_owned()]).is_err());
}
