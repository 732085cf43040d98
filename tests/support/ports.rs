//! Ports that nobody else uses while a test runs.
//!
//! A port of 0 is not enough: the gateway opens its listeners with `SO_REUSEPORT`, so two of them
//! on one port would share its connections without a word. Ports come from below the ephemeral
//! range and are locked for all test processes of this machine as long as they are held.

use std::fs::File;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

const FIRST: u32 = 12_000;
const COUNT: u32 = 20_000;

/// A port; free for others when dropped.
#[derive(Debug)]
pub struct Port {
    pub number: u16,
    _lock: File,
}

/// An address that nobody listens on while the port is held.
pub fn closed_address() -> (Port, std::net::SocketAddr) {
    let port = Port::free();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port.number));
    (port, address)
}

impl Port {
    /// A port that nobody listens on.
    pub fn free() -> Port {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let folder = std::env::temp_dir().join("ringgate-test-ports");
        std::fs::create_dir_all(&folder).expect("folder for locks of ports");
        let start = std::process::id().wrapping_mul(97);
        for _ in 0..COUNT {
            let number = (FIRST + start.wrapping_add(NEXT.fetch_add(1, Relaxed)) % COUNT) as u16;
            let lock = File::create(folder.join(number.to_string())).expect("lock of a port");
            if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Port { number, _lock: lock };
            }
        }
        panic!("no port is free");
    }
}
