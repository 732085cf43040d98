//! How long a change among many routes takes until every shard serves it.
//!
//! ```text
//! cargo bench --bench propagation                          # 10,000 routes, 2,000 changes, 2 shards
//! cargo bench --bench propagation -- --routes 100000 --changes 500 --shards 4 --assert 1000
//! ```
//!
//! A change is a resource file that was parsed (`Resources`). What is timed is all that follows:
//! comparing it with what is in force, compiling, and handing the plan to the shards until each
//! has said that its next request gets it. The shards are idle, on one half of the changes for
//! long enough to sleep. `--assert` fails where p99 is above so many microseconds.
#![allow(missing_docs, clippy::unwrap_used)] // a bench that cannot go on fails

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hdrhistogram::Histogram;
use ringgate::config::plan::{Compiler, Ingredients, Plan};
use ringgate::config::{Checks, ResourceFile, Resources};
use ringgate::listener::{self, Inherited};
use ringgate::plugins::REGISTRY;
use ringgate::shard::{Settings, ShardSpec, Worker};
use ringgate_core::{Limits, Timeouts};
use ringgate_io::EngineChoice;

struct Options {
    routes: usize,
    changes: usize,
    shards: usize,
    engine: EngineChoice,
    /// Microseconds at p99.
    most: Option<u64>,
}

impl Options {
    fn parse() -> Options {
        let mut options = Options {
            routes: 10_000,
            changes: 2_000,
            shards: 2,
            engine: EngineChoice::Auto,
            most: None,
        };
        let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
        while let Some(name) = arguments.next() {
            let value = arguments.next().unwrap_or_else(|| panic!("{name} wants a value"));
            let number = || value.parse::<usize>().unwrap_or_else(|_| panic!("{name}: a number"));
            match name.as_str() {
                "--routes" => options.routes = number(),
                "--changes" => options.changes = number(),
                "--shards" => options.shards = number(),
                "--assert" => options.most = Some(number() as u64),
                "--engine" if value == "epoll" => options.engine = EngineChoice::Epoll,
                "--engine" if value == "io_uring" => options.engine = EngineChoice::IoUring,
                _ => panic!("unknown option {name} {value}"),
            }
        }
        options
    }
}

/// A file in which one route's node is another than in the others.
fn text(routes: usize, changed: usize) -> String {
    let mut text = String::from("routes:\n");
    for number in 0..routes {
        let port = if number == changed { 8081 } else { 8080 };
        text += &format!(
            "  - {{ id: r{number}, uri: /service-{number}/v1/*, host: h{}.example.com, methods: \
             [GET, POST], plugins: {{ limit-count: {{ count: 100, time_window: 60 }} }}, \
             upstream: {{ type: roundrobin, nodes: {{ \"10.0.{}.{}:{port}\": 1 }} }} }}\n",
            number % 500,
            number / 256 % 256,
            number % 256,
        );
    }
    text + "#END\n"
}

fn parse(text: &str) -> Resources {
    ResourceFile::parse("apisix.yaml", text, &|_| None, &Checks::none()).unwrap()
}

fn worker(options: &Options, plan: Arc<Plan>) -> Worker {
    let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut inherited = Inherited::take().unwrap();
    // As in the gateway: old plans are freed by a thread of their own.
    let (retired, old_plans) = flume::unbounded::<Arc<Plan>>();
    std::thread::spawn(move || old_plans.into_iter().for_each(drop));
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    Worker::start(ShardSpec {
        settings: Settings {
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            trusted: Vec::new(),
            show_upstream_status: false,
            shards: options.shards,
            connections: 1024,
            descriptors: i32::MAX,
        },
        engine: options.engine,
        cpus: (0..options.shards).map(|shard| Some(shard % cpus)).collect(),
        listeners: vec![(listener::open(address, options.shards, &mut inherited).unwrap(), None)],
        plan: ArcSwap::new(plan),
        retired,
        access_log: None,
    })
    .unwrap()
}

/// How many routes of a plan are the very ones of the plan before.
fn shared(plan: &Plan, before: &Plan) -> (usize, usize) {
    let pointers = |plan: &Plan| -> HashSet<usize> {
        let mut pointers = HashSet::new();
        plan.routes.each(|route| _ = pointers.insert(Arc::as_ptr(route) as usize));
        pointers
    };
    let (new, old) = (pointers(plan), pointers(before));
    (new.intersection(&old).count(), new.len())
}

struct Times(Histogram<u64>);

impl Times {
    fn new() -> Times {
        // With bounds: values are clamped to them, and would be to none.
        Times(Histogram::new_with_bounds(1, 60_000_000_000, 3).unwrap())
    }

    fn add(&mut self, time: Duration) {
        self.0.saturating_record(time.as_nanos() as u64);
    }

    fn at(&self, quantile: f64) -> u64 {
        self.0.value_at_quantile(quantile) / 1000
    }

    fn print(&self, name: &str) {
        let (p50, p99, max) = (self.at(0.5), self.at(0.99), self.0.max() / 1000);
        println!("{name:34} {p50:>8} {p99:>8} {max:>8}");
    }
}

fn main() {
    let options = Options::parse();
    let begun = Instant::now();
    let first = parse(&text(options.routes, usize::MAX));
    let parsed = begun.elapsed();
    let mut compiler = Compiler::new(Ingredients {
        plugins: REGISTRY.clone(),
        limits: Arc::default(),
        buffered_body: 1 << 20,
        attributes: serde_json::Map::new(),
        tls: ringgate::tls::TlsSettings::default(),
    });
    let begun = Instant::now();
    let mut resources = first.clone();
    let changes = resources.diff(compiler.resources());
    let plan = compiler.apply(resources, &changes).unwrap();
    println!("{} routes: parsed in {parsed:?}, compiled in {:?}", options.routes, begun.elapsed());
    let worker = worker(&options, plan);

    // Files in which one route each is different, parsed before anything is timed. Every other
    // change takes the one before it back.
    let files: Vec<Resources> =
        (0..20).map(|n| parse(&text(options.routes, n * 7919 % options.routes))).collect();
    let [mut compared, mut compiled, mut adopted, mut whole] = [(); 4].map(|()| Times::new());
    let mut sharing = (0, 0);
    for change in 0..options.changes {
        let mut next = match change % 2 {
            0 => files[change / 2 % files.len()].clone(),
            _ => first.clone(),
        };
        if change % 4 < 2 {
            // Long enough for a shard to sleep.
            std::thread::sleep(Duration::from_millis(2));
        }
        let before = compiler.plan().clone();
        let start = Instant::now();
        let changes = next.diff(compiler.resources());
        let at_compile = Instant::now();
        let plan = compiler.apply(next, &changes).unwrap();
        let at_adopt = Instant::now();
        let shards = worker.adopt(plan.clone(), Duration::from_secs(5));
        let end = Instant::now();
        assert_eq!(shards, options.shards, "a shard did not take plan {}", plan.generation);
        assert_eq!(changes.len(), 1, "one kind of resource");
        compared.add(at_compile - start);
        compiled.add(at_adopt - at_compile);
        adopted.add(end - at_adopt);
        whole.add(end - start);
        if change == 0 {
            sharing = shared(&plan, &before);
        }
    }
    println!("{} changes of one route, {} shards", options.changes, options.shards);
    println!("routes shared with the plan before: {} of {}", sharing.0, sharing.1);
    println!("{:34} {:>8} {:>8} {:>8}", "microseconds", "p50", "p99", "max");
    compared.print("compare with what is in force");
    compiled.print("compile");
    adopted.print("hand over, until every shard says so");
    whole.print("parsed to enforced");
    worker.drain(Duration::from_secs(1));
    if let Some(most) = options.most
        && whole.at(0.99) > most
    {
        println!("p99 is above {most} microseconds");
        std::process::exit(1);
    }
}
