//! A load generator with a fixed schedule. A request's latency counts from the moment at which it
//! was due, so that a server that stalls cannot hide the requests it held up.
//!
//! Without `--rate` it works closed-loop instead, until `--requests` are answered.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Parser;
use hdrhistogram::Histogram;
use ringgate_bench::http::{field, head_length, number};
use ringgate_bench::ring::{Event, Ring, Socket};

const BUFFER: usize = 64 << 10;
const LATENCY_NS_MAX: u64 = 60_000_000_000;
/// How long answers are waited for after the last request.
const DRAIN: Duration = Duration::from_secs(2);

/// Sends requests at a fixed rate and prints one line of JSON.
#[derive(Parser)]
struct Options {
    /// The server.
    address: SocketAddr,
    /// The path to ask for.
    #[arg(long, default_value = "/size/128")]
    path: String,
    /// Further header lines, as in 'X: y'.
    #[arg(long = "header")]
    headers: Vec<String>,
    /// Keep-alive connections.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Requests per second; without it each connection asks again when it is answered.
    #[arg(long)]
    rate: Option<f64>,
    /// How long to measure, after the warm-up.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How long to send before latencies count.
    #[arg(long, default_value_t = 0.5)]
    warmup: f64,
    /// How many requests a closed loop sends.
    #[arg(long, default_value_t = 10_000)]
    requests: u64,
    /// The body length that every answer must have.
    #[arg(long, default_value_t = 128)]
    bytes: usize,
}

/// When each request is due.
struct Schedule {
    start: Instant,
    interval: Duration,
    count: u64,
    warmup: u64,
}

impl Schedule {
    fn new(options: &Options) -> Self {
        let start = Instant::now();
        match options.rate {
            Some(rate) => Self {
                start,
                interval: Duration::from_secs_f64(1.0 / rate),
                count: ((options.warmup + options.seconds) * rate) as u64,
                warmup: (options.warmup * rate) as u64,
            },
            None => Self { start, interval: Duration::ZERO, count: options.requests, warmup: 0 },
        }
    }

    fn due(&self, request: u64) -> Instant {
        self.start + Duration::from_nanos(self.interval.as_nanos() as u64 * request)
    }
}

struct Connection {
    socket: Socket,
    request: u64,
    due: Instant,
    filled: usize,
    /// Bytes of the body still to come, once the head is there.
    left: Option<usize>,
}

struct Generator {
    ring: Ring,
    message: Rc<[u8]>,
    bytes: usize,
    schedule: Schedule,
    connections: Vec<Connection>,
    idle: VecDeque<usize>,
    buffers: Vec<Box<[u8]>>,
    latencies: Histogram<u64>,
    sent: u64,
    completed: u64,
    errors: u64,
}

impl Generator {
    /// Sends everything that is due and finds an idle connection.
    fn send_due(&mut self) -> io::Result<()> {
        let now = Instant::now();
        while self.sent < self.schedule.count {
            let due = self.schedule.due(self.sent);
            if due > now {
                return Ok(());
            }
            let Some(index) = self.idle.pop_front() else { return Ok(()) };
            let connection = &mut self.connections[index];
            connection.request = self.sent;
            // A closed loop has no schedule: latency counts from the moment of sending.
            connection.due = if self.schedule.interval.is_zero() { now } else { due };
            connection.filled = 0;
            connection.left = None;
            let socket = connection.socket;
            self.sent += 1;
            self.ring.send(socket, self.message.clone(), self.message.len(), index as u64)?;
        }
        Ok(())
    }

    /// How long to wait for completions before the next request is due.
    fn patience(&self) -> Duration {
        if self.sent == self.schedule.count || self.idle.is_empty() {
            return DRAIN;
        }
        self.schedule.due(self.sent).saturating_duration_since(Instant::now())
    }

    fn handle(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::Sent { token, result, .. } => {
                if result.is_err() {
                    self.errors += 1;
                    return Ok(());
                }
                let buffer = self.buffers.pop().unwrap_or_else(|| vec![0; BUFFER].into());
                self.ring.receive(self.connections[token as usize].socket, buffer, 0, token)
            }
            Event::Received { token, result, buffer } => match result {
                Ok(length @ 1..) => self.take(token as usize, length, buffer),
                // The connection is gone and stays out of the rotation; the run is void anyway.
                _ => {
                    self.errors += 1;
                    Ok(())
                }
            },
            Event::Accepted(_) => Ok(()),
        }
    }

    fn take(&mut self, index: usize, length: usize, buffer: Box<[u8]>) -> io::Result<()> {
        let connection = &mut self.connections[index];
        connection.filled += length;
        connection.left = match connection.left {
            Some(left) => left.checked_sub(length),
            None => {
                let bytes = &buffer[..connection.filled];
                let Some(end) = head_length(bytes) else {
                    let (socket, filled) = (connection.socket, connection.filled);
                    return self.ring.receive(socket, buffer, filled, index as u64);
                };
                let head = &bytes[..end];
                let announced = field(head, "content-length").and_then(number);
                if !head.starts_with(b"HTTP/1.1 200") || announced != Some(self.bytes) {
                    self.errors += 1;
                    return Ok(());
                }
                self.bytes.checked_sub(bytes.len() - end)
            }
        };
        match connection.left {
            Some(0) => {
                let latency = connection.due.elapsed().as_nanos() as u64;
                if connection.request >= self.schedule.warmup {
                    self.latencies.saturating_record(latency);
                }
                self.completed += 1;
                self.buffers.push(buffer);
                self.idle.push_back(index);
                Ok(())
            }
            Some(_) => self.ring.receive(connection.socket, buffer, 0, index as u64),
            None => {
                self.errors += 1;
                Ok(())
            }
        }
    }
}

fn message(options: &Options) -> Rc<[u8]> {
    let mut text = format!("GET {} HTTP/1.1\r\nHost: {}\r\n", options.path, options.address);
    for header in &options.headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes().into()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    let mut ring = Ring::new(options.connections as u32)?;
    let mut connections = Vec::new();
    for _ in 0..options.connections {
        let socket = ring.attach(TcpStream::connect(options.address)?)?;
        let due = Instant::now();
        connections.push(Connection { socket, request: 0, due, filled: 0, left: None });
    }
    let mut generator = Generator {
        ring,
        message: message(&options),
        bytes: options.bytes,
        idle: (0..connections.len()).collect(),
        connections,
        buffers: Vec::new(),
        latencies: Histogram::new_with_bounds(1_000, LATENCY_NS_MAX, 3)?,
        schedule: Schedule::new(&options),
        sent: 0,
        completed: 0,
        errors: 0,
    };
    // Requests that are not even sent by then are reported, not chased.
    let end = generator.schedule.due(generator.schedule.count) + DRAIN;
    let limit = if options.rate.is_some() { end } else { end + Duration::from_secs(600) };
    let mut events = Vec::new();
    while generator.completed + generator.errors < generator.schedule.count {
        generator.send_due()?;
        generator.ring.wait(Some(generator.patience()), &mut events)?;
        for event in events.drain(..) {
            generator.handle(event)?;
        }
        if Instant::now() > limit || generator.errors >= options.connections as u64 {
            break;
        }
    }
    let seconds = generator.schedule.start.elapsed().as_secs_f64();
    let at = |quantile| generator.latencies.value_at_quantile(quantile) as f64 / 1_000.0;
    println!(
        "{}",
        serde_json::json!({
            "scheduled": generator.schedule.count,
            "completed": generator.completed,
            "errors": generator.errors,
            "seconds": seconds,
            "us": { "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999),
                    "max": generator.latencies.max() as f64 / 1_000.0 },
        })
    );
    Ok(())
}
