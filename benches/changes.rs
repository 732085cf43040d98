//! What changes cost a gateway with many routes, and when they are seen: the real binary, over its
//! own endpoint (`POST /ringgate/changes`), with the embedded store on the disk.
//!
//! ```text
//! cargo bench --bench changes                       # 5,000 routes, 50 changes a second, 1 shard
//! cargo bench --bench changes -- --routes 20000 --rate 100 --shards 2 --seconds 20
//! cargo bench --profile dev --bench changes -- --binary target/release/ringgate
//! ```
//!
//! Three things are measured: the processor time of the process with changes and without, no
//! request being made; the latency of paced requests with changes and without, by turns; and
//! whether the first request on each open connection behind a change's answer sees the change.
#![allow(missing_docs, clippy::unwrap_used)] // a bench that cannot go on fails

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

const KEY: &str = "a-key-of-the-bench";

struct Options {
    routes: usize,
    /// Changes a second.
    rate: usize,
    shards: usize,
    /// Of each measurement.
    seconds: usize,
    connections: usize,
    /// A second.
    requests: usize,
    /// The gateway.
    binary: String,
}

impl Options {
    fn parse() -> Options {
        let mut options = Options {
            routes: 5_000,
            rate: 50,
            shards: 1,
            seconds: 10,
            connections: 4,
            requests: 1_000,
            binary: env!("CARGO_BIN_EXE_ringgate").into(),
        };
        let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
        while let Some(name) = arguments.next() {
            let value = arguments.next().unwrap_or_else(|| panic!("{name} wants a value"));
            if name == "--binary" {
                options.binary = value;
                continue;
            }
            let number = value.parse().unwrap_or_else(|_| panic!("{name}: a number"));
            *match name.as_str() {
                "--routes" => &mut options.routes,
                "--rate" => &mut options.rate,
                "--shards" => &mut options.shards,
                "--seconds" => &mut options.seconds,
                "--connections" => &mut options.connections,
                "--requests" => &mut options.requests,
                _ => panic!("unknown option {name}"),
            } = number;
        }
        options
    }
}

/// A node that answers every request with one letter.
fn node(letter: char) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut writer = stream;
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|length| length > 0) {
                    let ends = line == "\r\n";
                    line.clear();
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{letter}");
                    if ends && writer.write_all(answer.as_bytes()).is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

/// A connection that asks one thing after the other.
struct Client {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Client {
    fn connect(address: SocketAddr) -> Client {
        let writer = TcpStream::connect(address).unwrap();
        writer.set_nodelay(true).unwrap();
        Client { reader: BufReader::new(writer.try_clone().unwrap()), writer }
    }

    fn ask(&mut self, request: &str) -> (u16, Vec<u8>) {
        self.writer.write_all(request.as_bytes()).unwrap();
        let (mut line, mut length, mut status) = (String::new(), 0, 0);
        loop {
            line.clear();
            assert!(self.reader.read_line(&mut line).unwrap() > 0, "the connection ended");
            let lower = line.to_ascii_lowercase();
            if let Some(text) = lower.strip_prefix("http/1.1 ") {
                status = text[..3].parse().unwrap();
            } else if let Some(text) = lower.strip_prefix("content-length:") {
                length = text.trim().parse().unwrap();
            } else if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).unwrap();
        (status, body)
    }

    fn get(&mut self, path: &str) -> Vec<u8> {
        let (status, body) = self.ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(status, 200, "{path}");
        body
    }

    fn change(&mut self, changes: &str) {
        let body = format!("{{\"changes\":[{changes}]}}");
        let length = body.len();
        let (status, told) = self.ask(&format!(
            "POST /ringgate/changes HTTP/1.1\r\nHost: a\r\nX-API-KEY: {KEY}\r\nContent-Length: \
             {length}\r\n\r\n{body}"
        ));
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&told));
    }
}

fn route(number: usize, node: SocketAddr) -> String {
    format!(
        "{{\"key\":\"routes/r{number}\",\"value\":{{\"uri\":\"/service-{number}/*\",\"methods\":\
         [\"GET\",\"POST\"],\"plugins\":{{\"limit-count\":{{\"count\":1000000,\"time_window\":60,\
         \"rejected_code\":429}}}},\"upstream\":{{\"type\":\"roundrobin\",\"nodes\":\
         {{\"{node}\":1}}}}}}}}"
    )
}

struct Gateway {
    child: Child,
    proxy: SocketAddr,
    admin: SocketAddr,
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Gateway {
    fn start(folder: &Path, options: &Options) -> Gateway {
        let shards = options.shards;
        let binary = std::fs::canonicalize(&options.binary).unwrap();
        let (proxy, admin) = (free(), free());
        let text = format!(
            "shards: {shards}\nlisteners: [{{ address: \"{proxy}\", protocol: http }}]\nadmin: {{ \
             address: \"{admin}\" }}\nmetrics: off\ncontrol: off\nstore: {{ kind: embedded, path: \
             data }}\nerror_log: {{ level: warn }}\n"
        );
        let file = folder.join("ringgate.yaml");
        std::fs::write(&file, text).unwrap();
        let child = Command::new(binary)
            .args(["run", "-c"])
            .arg(&file)
            .current_dir(folder)
            .env("RINGGATE_ADMIN_KEY", KEY)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while TcpStream::connect(admin).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the gateway does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        Gateway { child, proxy, admin }
    }

    /// Nanoseconds of processor time, by the names of threads.
    fn cpu(&self) -> Vec<(String, u64)> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let mut times = Vec::new();
        for task in tasks.flatten() {
            let read = |name: &str| std::fs::read_to_string(task.path().join(name));
            // A thread that has ended meanwhile.
            let (Ok(name), Ok(times_of)) = (read("comm"), read("schedstat")) else { continue };
            let spent = times_of.split(' ').next().unwrap().parse().unwrap();
            times.push((name.trim().to_owned(), spent));
        }
        times
    }

    /// `utime` and `stime` of the process, in ticks of 10 ms.
    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let behind = stat.rsplit_once(')').unwrap().1;
        let fields: Vec<&str> = behind.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Changes one route after the other at a rate until it is told to stop; how long each took.
fn changing(
    admin: SocketAddr,
    options: &Options,
    nodes: [SocketAddr; 2],
    stop: &AtomicBool,
) -> Histogram<u64> {
    let mut client = Client::connect(admin);
    let mut took = histogram();
    let begun = Instant::now();
    let mut number = 0_usize;
    while !stop.load(Relaxed) {
        let due = begun + Duration::from_secs_f64(number as f64 / options.rate as f64);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let start = Instant::now();
        client.change(&route(number * 7919 % options.routes, nodes[number % 2]));
        took.saturating_record(start.elapsed().as_nanos() as u64);
        number += 1;
    }
    took
}

/// Paced requests of a route that nobody changes; each is timed from when it was due.
fn requests(proxy: SocketAddr, options: &Options, time: Duration) -> Histogram<u64> {
    let rate = options.requests as f64 / options.connections as f64;
    let threads: Vec<_> = (0..options.connections)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = Client::connect(proxy);
                let mut took = histogram();
                let begun = Instant::now();
                for number in 0.. {
                    let due = begun + Duration::from_secs_f64(number as f64 / rate);
                    if due > begun + time {
                        break;
                    }
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    let start = Instant::now();
                    client.get("/fixed");
                    took.saturating_record(start.elapsed().as_nanos() as u64);
                }
                took
            })
        })
        .collect();
    let mut all = histogram();
    threads.into_iter().for_each(|thread| all.add(thread.join().unwrap()).unwrap());
    all
}

/// Nanoseconds up to a minute. With bounds: values are clamped to them, and would be to none.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).unwrap()
}

fn print(name: &str, times: &Histogram<u64>) {
    let at = |quantile| times.value_at_quantile(quantile) as f64 / 1000.0;
    let (p50, p99, max) = (at(0.5), at(0.99), times.max() as f64 / 1000.0);
    println!("{name:44} {:>8} {p50:>10.1} {p99:>10.1} {max:>10.1}", times.len());
}

fn main() {
    let options = Options::parse();
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), &options);
    let nodes = [node('a'), node('b')];
    let mut admin = Client::connect(gateway.admin);
    let begun = Instant::now();
    let all: Vec<String> = (0..options.routes).map(|number| route(number, nodes[1])).collect();
    all.chunks(1000).for_each(|batch| admin.change(&batch.join(",")));
    let plain = |letter: usize, path: &str| {
        format!(
            "{{\"key\":\"routes/{}\",\"value\":{{\"uri\":\"{path}\",\"upstream\":{{\"nodes\":\
             {{\"{}\":1}}}}}}}}",
            path.trim_start_matches('/'),
            nodes[letter]
        )
    };
    admin.change(&format!("{},{}", plain(0, "/fixed"), plain(0, "/seen")));
    println!(
        "{} routes written in {:?}, {} shards",
        options.routes,
        begun.elapsed(),
        options.shards
    );

    // What changes cost.
    let time = Duration::from_secs(options.seconds as u64);
    let spent = |during: &dyn Fn()| {
        let (cpu, ticks) = (gateway.cpu(), gateway.ticks());
        let begun = Instant::now();
        during();
        let (wall, ticks) = (begun.elapsed().as_nanos() as f64, gateway.ticks() - ticks);
        let now = gateway.cpu().into_iter().map(|(name, spent)| {
            let before = cpu.iter().filter(|(other, _)| *other == name).map(|(_, s)| s).sum();
            (name, spent.saturating_sub(before) as f64 / wall * 100.0)
        });
        (now.collect::<Vec<_>>(), ticks)
    };
    let total = |shares: &[(String, f64)]| shares.iter().map(|(_, share)| share).sum::<f64>();
    let (idle, idle_ticks) = spent(&|| std::thread::sleep(time));
    let stop = AtomicBool::new(false);
    let (busy, busy_ticks) = spent(&|| {
        std::thread::scope(|scope| {
            let changes = scope.spawn(|| changing(gateway.admin, &options, nodes, &stop));
            std::thread::sleep(time);
            stop.store(true, Relaxed);
            print("changes alone (microseconds to the answer)", &changes.join().unwrap());
        });
    });
    println!(
        "processor time: {:.2} % of a core idle, {:.2} % with {} changes a second (ticks: \
         {idle_ticks}, {busy_ticks} in {time:?})",
        total(&idle),
        total(&busy),
        options.rate
    );
    for (name, share) in busy.iter().filter(|(_, share)| *share >= 0.05) {
        println!("    {name:20} {share:.2} %");
    }

    // What they cost requests, by turns.
    println!("{:44} {:>8} {:>10} {:>10} {:>10}", "microseconds", "count", "p50", "p99", "max");
    let (mut quiet, mut with) = (histogram(), histogram());
    let part = time / 4;
    requests(gateway.proxy, &options, part);
    for _ in 0..4 {
        quiet.add(requests(gateway.proxy, &options, part)).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| changing(gateway.admin, &options, nodes, &stop));
            with.add(requests(gateway.proxy, &options, part)).unwrap();
            stop.store(true, Relaxed);
        });
    }
    print("requests", &quiet);
    print("requests while there are changes", &with);

    // Who writes sees it.
    let mut clients: Vec<Client> =
        (0..options.shards * 4).map(|_| Client::connect(gateway.proxy)).collect();
    let (mut took, mut stale) = (histogram(), 0);
    for round in 0..500 {
        let letter = (round + 1) % 2;
        admin.change(&plain(letter, "/seen"));
        let answered = Instant::now();
        for client in &mut clients {
            stale += usize::from(client.get("/seen") != [b"ab"[letter]]);
        }
        took.saturating_record(answered.elapsed().as_nanos() as u64);
    }
    print("a request on every connection behind a change", &took);
    println!("requests behind a change's answer that did not see it: {stale}");
    assert_eq!(stale, 0);
}
