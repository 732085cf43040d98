//! Nodes that are met over TLS: nginx and openssl as they are.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::authority::{Authority, Pair};
use crate::support::{Config, Gateway, Origin, RawClient, Resources, Response, SOON, eventually};

/// An nginx that answers with what it knows of the connection: SNI, whether the session was
/// resumed, what the client's certificate is worth and whose it is, versions of TLS and HTTP, the
/// host.
struct Nginx {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

fn nginx_binary() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join("nginx"))
        .find(|file| file.is_file());
    if found.is_none() {
        let allowed = std::env::var_os("RINGGATE_TEST_SKIP_MISSING").is_some();
        assert!(allowed, "nginx is not installed (RINGGATE_TEST_SKIP_MISSING=1 skips this test)");
        eprintln!("SKIPPED: nginx is not installed");
    }
    found
}

impl Nginx {
    /// With a certificate, trusting clients' certificates from `clients`.
    fn start(pair: &Pair, clients: Option<&Authority>) -> Option<Nginx> {
        let binary = nginx_binary()?;
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = folder.path().display();
        pair.files(folder.path(), "server");
        let verify = clients.map_or_else(String::new, |authority| {
            let file = authority.file(folder.path(), "clients");
            format!("ssl_verify_client optional; ssl_client_certificate {};", file.display())
        });
        let conf = format!(
            "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;
             events {{ }}
             http {{
               access_log off;
               client_body_temp_path {at}/a; proxy_temp_path {at}/b; fastcgi_temp_path {at}/c;
               uwsgi_temp_path {at}/d; scgi_temp_path {at}/e;
               ssl_session_cache shared:S:1m; ssl_protocols TLSv1.2 TLSv1.3;
               server {{
                 listen 127.0.0.1:{port} ssl http2;
                 ssl_certificate {at}/server.pem; ssl_certificate_key {at}/server.key.pem;
                 {verify}
                 location / {{
                   return 200 '$ssl_server_name|$ssl_session_reused|$ssl_client_verify|$ssl_client_s_dn|$ssl_protocol|$server_protocol|$host';
                 }}
               }}
             }}"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, conf).unwrap();
        let error_log = folder.path().join("error.log");
        let child = Command::new(binary)
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(&file)
            .arg("-e")
            .arg(&error_log)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let nginx = Nginx { child, port, folder };
        eventually(SOON, "nginx listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("error.log"));
            eprintln!("--- nginx's log ---\n{}", log.unwrap_or_default());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One route with an upstream, with these fields besides its node.
fn to(node: &str, upstream: &Value) -> Resources {
    let mut all = json!({"type": "roundrobin", "nodes": {node: 1}});
    for (key, value) in upstream.as_object().unwrap() {
        all[key] = value.clone();
    }
    Resources::new().route(json!({"id": "r", "uri": "/*", "upstream": all}))
}

fn ask(gateway: &Gateway, host: &str) -> Response {
    gateway.client().ask(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
}

/// What nginx knows of the connection that a request came on.
struct Seen([String; 7]);

impl Seen {
    #[track_caller]
    fn of(response: &Response) -> Seen {
        assert_eq!(response.status, 200, "{response:?}");
        let parts: Vec<String> = response.text().split('|').map(str::to_owned).collect();
        Seen(parts.try_into().unwrap())
    }
    fn name(&self) -> &str {
        &self.0[0]
    }
    fn resumed(&self) -> bool {
        self.0[1] == "r"
    }
    fn client(&self) -> (&str, &str) {
        (&self.0[2], &self.0[3])
    }
    fn tls(&self) -> &str {
        &self.0[4]
    }
    fn http(&self) -> &str {
        &self.0[5]
    }
    fn host(&self) -> &str {
        &self.0[6]
    }
}

#[test]
fn nodes_speak_https_and_http2_and_grpc() {
    let authority = Authority::new("nodes");
    let Some(nginx) = Nginx::start(&authority.issue("localhost"), None) else { return };
    let node = format!("127.0.0.1:{}", nginx.port);
    for (scheme, version) in [("https", "HTTP/1.1"), ("h2", "HTTP/2.0"), ("grpcs", "HTTP/2.0")] {
        let gateway = Config::new(&to(&node, &json!({"scheme": scheme}))).start();
        for _ in 0..3 {
            let seen = Seen::of(&ask(&gateway, "a.test"));
            assert_eq!((seen.http(), seen.tls()), (version, "TLSv1.3"), "{scheme}");
        }
        assert_eq!(gateway.metric("ringgate_upstream_connections_opened_total"), 1, "{scheme}");
        gateway.stop();
    }
}

#[test]
fn the_name_follows_pass_host() {
    let Some(nginx) = Nginx::start(&Authority::new("nodes").issue("localhost"), None) else {
        return;
    };
    let named = format!("localhost:{}", nginx.port);
    let address = format!("127.0.0.1:{}", nginx.port);
    for (node, upstream, name, host) in [
        (&named, json!({}), "asked.test", "asked.test"),
        (&named, json!({"pass_host": "pass"}), "asked.test", "asked.test"),
        (&named, json!({"pass_host": "node"}), "localhost", "localhost"),
        (
            &named,
            json!({"pass_host": "rewrite", "upstream_host": "other.test:8443"}),
            "other.test",
            "other.test",
        ),
        // An address is no name that may be sent (RFC 6066 §3).
        (&address, json!({"pass_host": "node"}), "", "127.0.0.1"),
    ] {
        let mut upstream = upstream;
        upstream["scheme"] = json!("https");
        let gateway = Config::new(&to(node, &upstream)).start();
        let seen = Seen::of(&ask(&gateway, "asked.test:1234"));
        assert_eq!((seen.name(), seen.host()), (name, host), "{upstream}");
        gateway.stop();
    }
}

#[test]
fn nodes_prove_who_they_are_where_they_must() {
    let [ours, theirs] = ["ours", "theirs"].map(Authority::new);
    let Some(nginx) = Nginx::start(&ours.issue("good.test"), None) else { return };
    let node = format!("127.0.0.1:{}", nginx.port);
    let checked = |ca: &Authority, host: &str| {
        json!({
            "scheme": "https", "tls": {"verify": true}, "ringgate": {"ca": ca.pair.cert},
            "pass_host": "rewrite", "upstream_host": host,
        })
    };
    let gateway = Config::new(&to(&node, &json!({"scheme": "https"}))).start();
    // APISIX's default.
    assert_eq!(ask(&gateway, "whatever.test").status, 200);
    gateway.reload(&to(&node, &checked(&ours, "good.test")));
    assert_eq!(ask(&gateway, "a.test").status, 200);
    for (ca, host, reason) in [
        (&ours, "wrong.test", "certificate not valid for name \"wrong.test\""),
        (&theirs, "good.test", "UnknownIssuer"),
    ] {
        gateway.reload(&to(&node, &checked(ca, host)));
        let before = gateway.faults("upstream_tls");
        let answer = ask(&gateway, "a.test");
        assert_eq!(answer.status, 502, "{answer:?}");
        // Not for clients.
        assert!(!answer.text().contains("ertificate"), "{answer:?}");
        assert_eq!(gateway.faults("upstream_tls"), before + 1);
        eventually(SOON, reason, || {
            gateway.log().lines().any(|line| {
                line.contains(&format!("TLS handshake with {host}")) && line.contains(reason)
            })
        });
    }
    gateway.stop();
}

/// Probes verify as `https_verify_certificate` says (by default they do), and not as the upstream
/// does for requests.
#[test]
fn https_checks_meet_nodes_behind_tls() {
    let [ours, theirs] = ["ours", "theirs"].map(Authority::new);
    let Some(nginx) = Nginx::start(&ours.issue("good.test"), None) else { return };
    let node = format!("127.0.0.1:{}", nginx.port);
    let checked = |ca: &Authority, host: &str, verify: Option<bool>| {
        let mut active = json!({
            "type": "https", "host": host, "http_path": "/up", "timeout": 5,
            "healthy": {"interval": 1, "successes": 1},
            "unhealthy": {"interval": 1, "tcp_failures": 1, "http_failures": 1},
        });
        if let Some(verify) = verify {
            active["https_verify_certificate"] = json!(verify);
        }
        let ca = json!({"ca": ca.pair.cert});
        to(&node, &json!({"scheme": "https", "checks": {"active": active}, "ringgate": ca}))
    };
    let config = Config::new(&checked(&ours, "wrong.test", None)).set("control", json!("on"));
    let gateway = config.start();
    let becomes = |state: &str| {
        eventually(SOON, state, || {
            let told = RawClient::connect(gateway.control_address).get("/v1/healthcheck/routes/r");
            let told: Value = serde_json::from_str(&told.text()).unwrap_or_default();
            told["type"] == "https" && told["nodes"][0]["status"] == state
        });
    };
    becomes("unhealthy");
    gateway.reload(&checked(&ours, "good.test", None));
    becomes("healthy");
    gateway.reload(&checked(&theirs, "good.test", Some(true)));
    becomes("unhealthy");
    gateway.reload(&checked(&theirs, "wrong.test", Some(false)));
    becomes("healthy");
}

#[test]
fn the_system_s_authorities_are_believed() {
    let [ours, theirs] = ["ours", "theirs"].map(Authority::new);
    let Some(nginx) = Nginx::start(&ours.issue("localhost"), None) else { return };
    let resources = to(
        &format!("localhost:{}", nginx.port),
        &json!({"scheme": "https", "tls": {"verify": true}, "pass_host": "node"}),
    );
    let folder = tempfile::tempdir().unwrap();
    for (authority, status) in [(&ours, 200), (&theirs, 502)] {
        let file = authority.file(folder.path(), "system");
        let config = Config::new(&resources).env("SSL_CERT_FILE", file.to_str().unwrap());
        let gateway = config.env("SSL_CERT_DIR", folder.path().join("none").to_str().unwrap());
        let gateway = gateway.start();
        assert_eq!(ask(&gateway, "a.test").status, status, "{}", gateway.log());
        gateway.stop();
    }
}

#[test]
fn the_gateway_shows_its_certificate() {
    let (nodes, clients) = (Authority::new("nodes"), Authority::new("clients"));
    let Some(nginx) = Nginx::start(&nodes.issue("localhost"), Some(&clients)) else { return };
    let node = format!("127.0.0.1:{}", nginx.port);
    let gateway = Config::new(&to(&node, &json!({"scheme": "https"}))).start();
    assert_eq!(Seen::of(&ask(&gateway, "a.test")).client(), ("NONE", ""));
    let inline = clients.issue("inline");
    let tls = json!({"client_cert": inline.cert, "client_key": inline.key});
    gateway.reload(&to(&node, &json!({"scheme": "https", "tls": tls})));
    assert_eq!(Seen::of(&ask(&gateway, "a.test")).client(), ("SUCCESS", "CN=inline"));
    for scheme in ["https", "h2"] {
        let named = clients.issue(scheme);
        let ssl = json!({"id": "shown", "type": "client", "cert": named.cert, "key": named.key});
        let upstream = json!({"scheme": scheme, "tls": {"client_cert_id": "shown"}});
        gateway.reload(&to(&node, &upstream).with("ssls", ssl));
        let expected = format!("CN={scheme}");
        assert_eq!(Seen::of(&ask(&gateway, "a.test")).client(), ("SUCCESS", &*expected));
    }
    // A connection that was made with a certificate is not there for those without.
    gateway.reload(&to(&node, &json!({"scheme": "https"})));
    assert_eq!(Seen::of(&ask(&gateway, "a.test")).client(), ("NONE", ""));
    gateway.stop();
}

#[test]
fn sessions_with_nodes_are_resumed() {
    let Some(nginx) = Nginx::start(&Authority::new("nodes").issue("localhost"), None) else {
        return;
    };
    let node = format!("127.0.0.1:{}", nginx.port);
    // Each request opens a connection.
    let pool = json!({"size": 1, "requests": 1});
    let upstream = json!({"scheme": "https", "keepalive_pool": pool});
    let gateway = Config::new(&to(&node, &upstream)).start();
    assert!(!Seen::of(&ask(&gateway, "a.test")).resumed());
    for _ in 0..4 {
        assert!(Seen::of(&ask(&gateway, "a.test")).resumed());
    }
    // A session belongs to its name.
    assert!(!Seen::of(&ask(&gateway, "b.test")).resumed());
    assert!(gateway.metric("ringgate_upstream_connections_opened_total") >= 6);
    gateway.stop();
}

#[test]
fn a_node_that_does_not_speak_as_it_should_is_told_of() {
    let plain = Origin::hello();
    let gateway = Config::new(&to(&plain.address.to_string(), &json!({"scheme": "https"}))).start();
    assert_eq!(ask(&gateway, "a.test").status, 502);
    eventually(SOON, "why is in the log", || gateway.log().contains("TLS handshake with a.test"));
    gateway.stop();

    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = Authority::new("nodes").issue("localhost").files(folder.path(), "server");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    // It agrees on no protocol by ALPN.
    let mut server = Command::new("openssl")
        .args(["s_server", "-www", "-accept", &address.to_string(), "-cert"])
        .arg(cert)
        .arg("-key")
        .arg(key)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually(SOON, "openssl listens", || TcpStream::connect(address).is_ok());
    let gateway = Config::new(&to(&address.to_string(), &json!({"scheme": "h2"}))).start();
    assert_eq!(ask(&gateway, "a.test").status, 502);
    eventually(SOON, "why is in the log", || {
        gateway.log().contains("does not speak HTTP/2 (no h2 by ALPN)")
    });
    // HTTP/1 it does speak.
    gateway.reload(&to(&address.to_string(), &json!({"scheme": "https"})));
    assert_eq!(ask(&gateway, "a.test").status, 200);
    gateway.stop();
    server.kill().unwrap();
    server.wait().unwrap();
}

#[test]
fn a_node_that_never_answers_a_handshake_is_given_up() {
    let silent = Origin::start(|conversation| {
        conversation.wait_for_end();
        Ok(())
    });
    let upstream = json!({"scheme": "https", "timeout": {"connect": 0.5, "send": 10, "read": 10}});
    let gateway = Config::new(&to(&silent.address.to_string(), &upstream)).start();
    let answer = ask(&gateway, "a.test");
    assert!(matches!(answer.status, 502 | 504), "{answer:?}");
    eventually(SOON, "why is in the log", || {
        gateway.log().contains("TLS handshake with a.test not done within")
    });
    gateway.stop();
}
