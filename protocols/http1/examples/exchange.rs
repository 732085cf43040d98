//! So many exchanges in memory, for a profiler that counts instructions: two runs with different
//! numbers of exchanges, subtracted, say what one costs.
//!
//! ```sh
//! cargo build --release -p ringgate-http1 --example exchange
//! valgrind --tool=callgrind target/release/examples/exchange plain 2000
//! ```

#[path = "../benches/support/mod.rs"]
mod support;

use support::{BROWSER, CURL, PLAIN, Pair, SHORT_ANSWER, USUAL_ANSWER};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (request, answer) = match arguments.next().as_deref() {
        Some("plain") => (PLAIN, SHORT_ANSWER),
        Some("curl") => (CURL, USUAL_ANSWER),
        Some("browser") => (BROWSER, USUAL_ANSWER),
        _ => panic!("plain, curl or browser, and a number of exchanges"),
    };
    let count = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(1000);
    let mut pair = Pair::new(request, answer);
    for _ in 0..count {
        pair.exchange();
    }
}
