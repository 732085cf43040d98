//! How the gateway starts: readiness, supervisors, engines.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::harness::{SOON, route};
use crate::support::{fetch, have, named, own_ip, plan, skip_unless, until};

fn resources(node: std::net::SocketAddr) -> String {
    json!({"routes": [route("all", "/*", node)]}).to_string()
}

/// When it says that it is ready, every shard serves every listener.
#[test]
fn ready_means_that_every_shard_serves() {
    let a = named("a");
    let mut plan = plan(resources(a.address));
    (plan.shards, plan.ports) = ("4".into(), vec![9080, 9081]);
    let gateway = plan.start();
    // The kernel spreads connections over all sockets.
    for port in [9080, 9081] {
        for _ in 0..40 {
            assert_eq!(fetch(gateway.at(port), "/", "").unwrap().text(), "a");
        }
    }
    let status = gateway.status();
    for shard in status["shards"].as_array().unwrap() {
        assert_eq!((&shard["alive"], &shard["plan_generation"]), (&json!(true), &json!(1)));
    }
    let stdout = until("the lines of the start", || {
        let stdout = gateway.stdout();
        stdout.contains("metrics on").then_some(stdout)
    });
    for line in ["listening on", ":9081 (http)", "engine: ", "shards: 4", "Admin API on http://"] {
        assert!(stdout.contains(line), "{line:?} in {stdout}");
    }
    assert_eq!(fetch(gateway.at(9180), "/ringgate/health", "").unwrap().status, 200);
}

#[test]
fn a_supervisor_is_told_when_it_is_ready_and_when_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let plan = plan("").env("NOTIFY_SOCKET", path.to_str().unwrap());
    let mut gateway = plan.spawn();
    let said = || {
        let mut bytes = [0; 256];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    assert!(said().contains("READY=1"));
    // Not a moment too early.
    assert_eq!(fetch(gateway.address(), "/", "").unwrap().status, 404);
    assert_eq!(fetch(gateway.at(9180), "/ringgate/ready", "").unwrap().status, 200);
    gateway.signal("TERM");
    assert!(said().contains("STOPPING=1"));
    assert_eq!(gateway.wait_end(SOON).code(), Some(0));
}

/// What happens right after READY=1, or while the gateway starts, is not lost.
#[test]
fn a_signal_and_a_change_during_the_start_count() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut gateway = plan("").env("NOTIFY_SOCKET", path.to_str().unwrap()).spawn();
        let mut bytes = [0; 256];
        let length = socket.recv(&mut bytes).unwrap();
        assert!(bytes[..length].starts_with(b"READY=1"));
        gateway.signal("TERM");
        assert_eq!(gateway.wait_end(SOON).code(), Some(0), "it drains");
    }
    let (a, b) = (named("a"), named("b"));
    let mut gateway = plan(resources(a.address)).spawn();
    // As early as the listener is open, which is after the file was read.
    until("the listener", || std::net::TcpStream::connect(gateway.address()).ok());
    std::fs::write(gateway.resource_file(), crate::support::yaml(&resources(b.address))).unwrap();
    gateway.wait_ready();
    until("the change", || (gateway.get("/").text() == "b").then_some(()));
}

/// Sockets of systemd: one that fits a listener, one that fits none.
#[test]
fn inherited_sockets_are_taken() {
    if !have("python3") {
        return;
    }
    let a = named("a");
    let mut plan = plan(resources(a.address));
    let script = format!(
        "import os, socket, sys\n\
         for fd, port in ((3, 9080), (4, 7777)):\n \
           s = socket.socket(); s.bind(('{ip}', port)); s.listen(16)\n \
           n = os.dup(s.fileno()) if s.fileno() != fd else s.fileno()\n \
           os.dup2(n, fd) if n != fd else None\n \
           os.set_inheritable(fd, True); s.detach()\n\
         os.environ['LISTEN_FDS'] = '2'; os.environ['LISTEN_PID'] = str(os.getpid())\n\
         os.execv(sys.argv[1], sys.argv[1:])\n",
        ip = plan.ip
    );
    plan.wrapper = vec!["python3".into(), "-c".into(), script];
    let gateway = plan.start();
    for _ in 0..10 {
        assert_eq!(gateway.get("/").text(), "a");
    }
    let log = gateway.wait_log("unused socket");
    assert!(log.contains(":7777"), "{log}");
    // Without SO_REUSEPORT, as systemd opens it, nobody else can have bound the port: it is the
    // inherited socket that serves.
    assert!(std::net::TcpListener::bind(gateway.address()).is_err());
}

#[test]
fn both_engines_by_name() {
    let a = named("a");
    for engine in ["epoll", "io_uring"] {
        let mut plan = plan(resources(a.address));
        plan.engine = engine.into();
        let gateway = plan.start();
        assert_eq!(gateway.get("/").text(), "a", "{engine}");
        let status = gateway.status();
        assert_eq!(status["shards"][0]["engine"], engine);
        assert_eq!(status["shards"][0]["engine_reason"], "as chosen");
        let setup = status["shards"][0]["engine_setup"].as_str().unwrap();
        assert_eq!(setup.contains("entries"), engine == "io_uring", "{setup:?}");
    }
}

/// What starts a program with a seccomp filter that answers `io_uring_setup` (425 everywhere) with
/// an error, where the ring is to have more entries than that.
fn without_rings(above: u32, errno: i32) -> Option<Vec<String>> {
    if !have("python3") {
        return None;
    }
    let script = format!(
        "\
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def op(code, jt, jf, k): return struct.pack('HBBI', code, jt, jf, k)
program = op(0x20, 0, 0, 0) + op(0x15, 0, 3, 425) + op(0x20, 0, 0, 16) \
    + op(0x25, 0, 1, {above}) + op(0x06, 0, 0, 0x50000 + {errno}) + op(0x06, 0, 0, 0x7fff0000)
buffer = ctypes.create_string_buffer(program)
class Filter(ctypes.Structure):
    _fields_ = [('len', ctypes.c_ushort), ('filter', ctypes.c_void_p)]
filter = Filter(6, ctypes.addressof(buffer))
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(filter), 0, 0): sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"
    );
    let works = Command::new("python3").args(["-c", &script, "/bin/true"]).status().unwrap();
    skip_unless(works.success(), "seccomp filters are not allowed here")
        .then(|| vec!["python3".into(), "-c".into(), script])
}

/// The engine of the first shard, its setup, and why it is that one; also told on stdout.
fn engine(gateway: &crate::support::Process) -> [String; 3] {
    let status = gateway.status();
    let told = ["engine", "engine_setup", "engine_reason"]
        .map(|key| status["shards"][0][key].as_str().unwrap().to_owned());
    let line = until("the engine's line", || {
        let stdout = gateway.stdout();
        stdout.lines().find(|line| line.starts_with("engine: ")).map(str::to_owned)
    });
    told.iter().for_each(|part| assert!(line.contains(part), "{part} in {line}"));
    told
}

fn serves(gateway: &crate::support::Process) {
    for _ in 0..10 {
        assert_eq!(gateway.get("/").text(), "a");
    }
    until("a line in the access log", || {
        let text = std::fs::read_to_string(gateway.conf("access.log")).ok()?;
        text.contains("\"status\":200").then_some(())
    });
}

/// Without memory for large rings, smaller ones serve; without any, epoll. Each with its reason.
#[test]
fn without_memory_for_rings_the_next_best_serves() {
    let a = named("a");
    for (above, expected) in [(256, "io_uring"), (0, "epoll")] {
        let Some(wrapper) = without_rings(above, 12) else { return };
        let mut auto = plan(resources(a.address)).with("access_log: { path: access.log }");
        (auto.engine, auto.wrapper) = ("auto".into(), wrapper);
        let gateway = auto.start();
        let [engine, setup, reason] = engine(&gateway);
        assert_eq!(engine, expected);
        if expected == "io_uring" {
            assert!(setup.ends_with("256 entries"), "{setup}");
            assert_eq!(reason.matches("Cannot allocate memory").count(), 2, "{reason}");
        } else {
            assert!(reason.matches("Cannot allocate memory").count() >= 4, "{reason}");
        }
        serves(&gateway);
    }
}

/// Older kernels count rings as locked memory. Whether this one does or not, the gateway serves.
#[test]
fn without_locked_memory_the_gateway_serves() {
    let a = named("a");
    for limit in ["0", "64"] {
        let mut auto = plan(resources(a.address)).with("access_log: { path: access.log }");
        auto.engine = "auto".into();
        // Its own user namespace where there may be one: root is not bound by the limit.
        let user = Command::new("unshare").args(["-Ur", "true"]).status();
        if user.is_ok_and(|done| done.success()) {
            auto.wrapper = vec!["unshare".into(), "-Ur".into()];
        }
        let script = format!("ulimit -l {limit} && exec \"$0\" \"$@\"");
        auto.wrapper.extend(["sh".into(), "-c".into(), script]);
        let gateway = auto.start();
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", gateway.pid())).unwrap();
        let locked = limits.lines().find(|line| line.starts_with("Max locked memory")).unwrap();
        let bytes = limit.parse::<u64>().unwrap() * 1024;
        assert!(locked.split_whitespace().any(|word| word == bytes.to_string()), "{locked}");
        let [engine, _, reason] = engine(&gateway);
        println!("locked memory {limit} KiB: {engine}: {reason}");
        assert!(reason == "the best there is" || reason.contains("Cannot allocate"), "{reason}");
        serves(&gateway);
    }
}

/// Where io_uring is blocked, as in many containers, epoll serves; told with the reason.
#[test]
fn without_io_uring_epoll_serves() {
    let a = named("a");
    // EPERM, as Docker's filter answers.
    let Some(wrapper) = without_rings(0, 1) else { return };
    let mut auto = plan(resources(a.address)).with("access_log: { path: access.log }");
    (auto.engine, auto.wrapper) = ("auto".into(), wrapper.clone());
    let gateway = auto.start();
    for _ in 0..10 {
        assert_eq!(gateway.get("/").text(), "a");
    }
    let status = gateway.status();
    assert_eq!(status["shards"][0]["engine"], "epoll", "{status}");
    let reason = status["shards"][0]["engine_reason"].as_str().unwrap();
    assert!(reason.contains("not permitted"), "{reason}");
    assert!(gateway.stdout().contains("engine: epoll"), "{}", gateway.stdout());
    // The disk side needs io_uring too, and does without.
    assert_eq!(status["disk"], "thread", "{status}");
    until("a line in the access log", || {
        let text = std::fs::read_to_string(gateway.conf("access.log")).ok()?;
        text.contains("\"status\":200").then_some(())
    });

    let mut forced = plan("");
    (forced.engine, forced.wrapper) = ("io_uring".into(), wrapper);
    let (status, error) = forced.fail();
    assert_eq!(status.code(), Some(1));
    assert!(error.contains("io_uring"), "{error}");
}

/// A network of its own, so that the default ports are free: an empty folder and `--demo`.
#[test]
fn an_empty_folder_is_enough() {
    if !have("unshare") || !have("curl") || !have("ip") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = "\
ip link set lo up || exit 77
\"$0\" run --demo >out 2>err & pid=$!
for i in $(seq 300); do
  [ \"$(curl -so /dev/null -w '%{http_code}' http://127.0.0.1:9180/ringgate/ready)\" = 200 ] && break
  sleep 0.05
done
curl -s http://127.0.0.1:9080/any/path?x=1
kill -TERM $pid; wait $pid; echo; echo \"ended $?\"
";
    let output = Command::new("unshare")
        .args(["-rn", "sh", "-c", script, crate::support::RINGGATE])
        .current_dir(folder.path())
        .env_remove("RINGGATE_ADMIN_KEY")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !skip_unless(output.status.success(), "no network namespace can be made here") {
        return;
    }
    assert!(text.contains("\"uri\":\"/any/path?x=1\""), "{text}");
    assert!(text.ends_with("ended 0\n"), "{text}");
    let said = std::fs::read_to_string(folder.path().join("out")).unwrap();
    assert!(said.contains("built-in defaults"), "{said}");
    assert!(folder.path().join("data/admin.key").exists());
}

/// The demo's route gives way to every other.
#[test]
fn the_demo_stands_behind_configured_routes() {
    let a = named("a");
    let mut plan = plan(json!({"routes": [route("1", "/mine", a.address)]}).to_string());
    plan.demo = true;
    let gateway = plan.start();
    assert_eq!(gateway.get("/mine").text(), "a");
    let demo = gateway.get("/other");
    assert_eq!(crate::support::json_of(&demo)["uri"], "/other");
    assert_eq!(own_ip().octets()[0], 127);
}

/// Output that nobody reads any more is no reason to end.
#[test]
fn a_reader_that_left_does_not_end_the_gateway() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut plan = plan("");
    plan.stdout = Some(writer.into());
    let mut gateway = plan.spawn();
    gateway.wait_ready();
    assert_eq!(gateway.get("/").status, 404);
    assert!(gateway.is_running());
}
