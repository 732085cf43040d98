use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;

const WAIT: Duration = Duration::from_secs(10);

fn engines() -> Vec<Disk> {
    let plain = DiskOptions { engine: Engine::Plain, ..DiskOptions::default() };
    [plain, DiskOptions::default()]
        .iter()
        .map(|options| Disk::start(options).expect("a disk thread"))
        .collect()
}

fn block(text: &str) -> Block {
    let lines = text.bytes().filter(|byte| *byte == b'\n').count();
    Block { bytes: text.as_bytes().to_vec(), lines: lines as u32 }
}

fn shared(path: PathBuf) -> Arc<Path> {
    Arc::from(path)
}

#[test]
fn the_executor_runs_here_or_tells_why_not() {
    let disk = Disk::start(&DiskOptions::default()).expect("a disk thread");
    println!("disk engine: {} {:?}", disk.engine(), disk.reason());
    assert_eq!(disk.engine() == "glommio", disk.reason().is_none());
}

#[test]
fn blocks_are_appended_in_order_behind_what_is_there() {
    for disk in engines() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = shared(folder.path().join("access.log"));
        fs::write(&path, "old\n").expect("written");
        disk.open(&path, WAIT).expect("opened");
        for i in 0..40 {
            disk.append(&path, block(&format!("{i}\nsecond {i}\n"))).expect("room");
        }
        assert!(disk.flush(WAIT));
        let expected: String = (0..40).map(|i| format!("{i}\nsecond {i}\n")).collect();
        let text = fs::read_to_string(&path).expect("read");
        assert_eq!(text, format!("old\n{expected}"), "{}", disk.engine());
        let stats = disk.stats();
        assert_eq!((stats.lines, stats.lines_lost, stats.errors), (80, 0, 0));
        assert_eq!(stats.bytes, expected.len() as u64);
        assert!(disk.shutdown(WAIT));
        assert!(disk.append(&path, block("late\n")).is_err());
    }
}

#[test]
fn rotation_goes_on_in_a_new_file() {
    for disk in engines() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = shared(folder.path().join("access.log"));
        let moved = folder.path().join("access.log.1");
        disk.append(&path, block("one\n")).expect("room");
        assert!(disk.flush(WAIT));
        fs::rename(&path, &moved).expect("moved");
        disk.append(&path, block("two\n")).expect("room");
        disk.reopen();
        disk.append(&path, block("three\n")).expect("room");
        assert!(disk.flush(WAIT));
        assert_eq!(fs::read_to_string(&moved).expect("read"), "one\ntwo\n", "{}", disk.engine());
        assert_eq!(fs::read_to_string(&path).expect("read"), "three\n");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o137, 0, "not for others: {mode:o}");
    }
}

#[test]
fn a_path_that_cannot_be_written_is_told_and_its_lines_counted() {
    for disk in engines() {
        let folder = tempfile::tempdir().expect("a folder");
        let missing = folder.path().join("missing");
        let path = shared(missing.join("access.log"));
        assert!(disk.open(&path, WAIT).is_err(), "{}", disk.engine());
        disk.append(&path, block("one\ntwo\n")).expect("room");
        assert!(disk.flush(WAIT));
        assert_eq!(disk.stats().lines_lost, 2);
        assert_eq!(disk.stats().errors, 1, "not tried again at once");
        fs::create_dir(&missing).expect("made");
        disk.open(&path, WAIT).expect("now it works");
        disk.append(&path, block("three\n")).expect("room");
        assert!(disk.flush(WAIT));
        assert_eq!(fs::read_to_string(&path).expect("read"), "three\n");
    }
}

#[test]
fn a_full_device_loses_lines_and_nothing_else() {
    let full = Path::new("/dev/full");
    if !full.exists() {
        return;
    }
    for disk in engines() {
        let path = shared(full.to_owned());
        disk.append(&path, block("one\n")).expect("room");
        assert!(disk.flush(WAIT));
        let stats = disk.stats();
        assert_eq!((stats.lines, stats.lines_lost, stats.errors), (0, 1, 1), "{}", disk.engine());
    }
}

#[test]
fn a_full_queue_gives_the_block_back() {
    let (queue, orders) = Queue::new(2);
    let path = shared(PathBuf::from("x"));
    for _ in 0..2 {
        assert!(queue.send(Order::Append(Arc::clone(&path), block("a\n"))).is_ok());
    }
    let back = queue.send(Order::Append(path, block("b\nc\n")));
    let Err(Order::Append(_, back)) = back else { panic!("it fitted") };
    assert_eq!(back.lines, 2);
    assert_eq!(orders.len(), 2);
    assert!(!queue.send_waiting(Order::Wake, Duration::from_millis(1)));
    queue.reopen();
    assert!(queue.take_reopen() && !queue.take_reopen(), "kept where there is no room");
}

#[test]
fn an_executor_that_cannot_be_built_leaves_a_working_tier() {
    // No kernel gives so many entries.
    let options = DiskOptions { ring_depth: 1 << 24, ..DiskOptions::default() };
    let disk = Disk::start(&options).expect("a disk thread");
    assert_eq!(disk.engine(), "thread");
    assert!(disk.reason().is_some_and(|reason| !reason.is_empty()));
    let folder = tempfile::tempdir().expect("a folder");
    let path = shared(folder.path().join("access.log"));
    disk.append(&path, block("one\n")).expect("room");
    assert!(disk.shutdown(WAIT));
    assert_eq!(fs::read_to_string(&path).expect("read"), "one\n");
}

#[test]
fn dropping_the_last_handle_writes_what_waits_and_ends_the_thread() {
    for disk in engines() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = shared(folder.path().join("access.log"));
        disk.append(&path, block("one\n")).expect("room");
        let thread = disk.running.thread.lock().expect("held").take().expect("a thread");
        drop(disk);
        thread.join().expect("ended");
        assert_eq!(fs::read_to_string(&path).expect("read"), "one\n");
    }
}

fn resident_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).expect("a number")
}

/// How often this process's threads gave their CPU up by themselves.
fn sleeps() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").expect("tasks");
    let statuses =
        tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok());
    statuses
        .flat_map(|status| {
            let lines: Vec<_> = status.lines().map(str::to_owned).collect();
            lines
        })
        .filter_map(|line| {
            line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse::<u64>().ok()
        })
        .sum::<u64>()
}

/// Prints what a tier costs in memory and per block; run alone with `--ignored --nocapture`.
#[test]
#[ignore = "measures: cargo test --release cost_of_a_tier -- --ignored --nocapture"]
fn cost_of_a_tier() {
    for engine in [Engine::Auto, Engine::Plain, Engine::Auto] {
        let before = resident_kb();
        let disk = Disk::start(&DiskOptions { engine, ..DiskOptions::default() }).expect("started");
        let folder = tempfile::tempdir().expect("a folder");
        let path = shared(folder.path().join("access.log"));
        disk.append(&path, block("one\n")).expect("room");
        assert!(disk.flush(WAIT));
        println!("{}: {} KB resident", disk.engine(), resident_kb().saturating_sub(before));
        let before = sleeps();
        std::thread::sleep(Duration::from_secs(3));
        println!("{} wakes in 3 s at rest", sleeps().saturating_sub(before));
        let (start, blocks) = (std::time::Instant::now(), 2_000);
        let mut sending = Duration::ZERO;
        for _ in 0..blocks {
            let mut next = Block { bytes: vec![b'x'; 64 * 1024], lines: 1 };
            loop {
                let at = std::time::Instant::now();
                match disk.append(&path, next) {
                    Ok(()) => {
                        sending += at.elapsed();
                        break;
                    }
                    Err(back) => next = back,
                }
                std::thread::sleep(Duration::from_micros(50));
            }
        }
        assert!(disk.shutdown(WAIT));
        println!(
            "{} us a block, {} ns to hand it over",
            start.elapsed().as_micros() / blocks,
            sending.as_nanos() / blocks
        );
    }
}
