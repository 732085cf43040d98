//! Clients and servers of other makers.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::harness::{Config, Origin, Resources, route};
use crate::support::{fetch, have, own_ip, until};

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// curl: several requests on one connection, an upload, `Expect: 100-continue`, HEAD.
#[test]
fn curl() {
    if !have("curl") {
        return;
    }
    let origin = Origin::echo();
    let gateway = Config::new(&Resources::new().route(route("1", "/*", origin.address))).start();
    let url = |path: &str| format!("http://{}{path}", gateway.address);
    let many = run("curl", &["-sf", "-w", "%{num_connects}", &url("/a"), &url("/b"), &url("/c")]);
    assert_eq!(many, "100", "one connection for three requests");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("upload");
    let large: String = (0..300_000).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
    fs::write(&file, &large).unwrap();
    let from = format!("@{}", file.display());
    let expect = "Expect: 100-continue";
    let got = run("curl", &["-sf", "-H", expect, "--data-binary", &from, &url("/up")]);
    assert!(got == large, "{} of {} bytes", got.len(), large.len());
    let chunked = "Transfer-Encoding: chunked";
    let got = run("curl", &["-sf", "-H", chunked, "--data-binary", &from, &url("/up")]);
    assert!(got == large, "{} of {} bytes", got.len(), large.len());
    let head = run("curl", &["-sfI", &url("/")]);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(run("curl", &["-s", &format!("http://{}/none", gateway.address)]), "");
}

/// Python's own client, on one connection.
#[test]
fn python() {
    if !have("python3") {
        return;
    }
    let origin = Origin::echo();
    let gateway = Config::new(&Resources::new().route(route("1", "/*", origin.address))).start();
    let script = "\
import http.client, sys
c = http.client.HTTPConnection(sys.argv[1])
for body in (b'', b'x', b'y' * 100000):
    c.request('PUT', '/p', body=body); r = c.getresponse()
    assert (r.status, r.read()) == (200, body)
c.request('POST', '/p', body=iter([b'a', b'b' * 70000]), encode_chunked=True,
          headers={'Transfer-Encoding': 'chunked'})
assert c.getresponse().read() == b'a' + b'b' * 70000
print('fine')
";
    let address = gateway.address.to_string();
    assert_eq!(run("python3", &["-c", script, &address]), "fine\n");
    assert_eq!(gateway.metric("ringgate_connections_accepted_total"), 1);
}

/// nginx as a node: files of a known size, kept connections, a connection that it ends itself.
#[test]
fn nginx_as_a_node() {
    if !have("nginx") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let ip = own_ip();
    let conf = format!(
        "daemon off; master_process off; pid {p}/pid; error_log {p}/error.log;\n\
         events {{}}\n\
         http {{ access_log off; client_body_temp_path {p}/b; proxy_temp_path {p}/x;\n\
           fastcgi_temp_path {p}/f; uwsgi_temp_path {p}/u; scgi_temp_path {p}/s;\n\
           server {{ listen {ip}:8088; root {p}/www; keepalive_requests 3;\n\
             location = /hello {{ return 200 \"from nginx $http_host $connection_requests\"; }} }} }}\n",
        p = path.display()
    );
    fs::create_dir(path.join("www")).unwrap();
    let large = vec![b'n'; 3_000_000];
    fs::write(path.join("www/large"), &large).unwrap();
    fs::write(path.join("nginx.conf"), conf).unwrap();
    let mut nginx = Command::new("nginx")
        .args(["-c", path.join("nginx.conf").to_str().unwrap(), "-p", path.to_str().unwrap()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let address = std::net::SocketAddr::from((ip, 8088));
    until("nginx", || std::net::TcpStream::connect(address).ok());
    let resources = Resources::new().route(json!({"id": 1, "uri": "/*", "upstream": {
        "nodes": {address.to_string(): 1}, "pass_host": "rewrite", "upstream_host": "up.test"}}));
    let gateway = Config::new(&resources).start();
    let mut client = gateway.client();
    for round in 0..9 {
        let answer = client.get("/hello");
        // nginx closes each connection after three requests, which no client may notice.
        let expected = format!("from nginx up.test {}", round % 3 + 1);
        assert_eq!((answer.status, answer.text()), (200, expected));
    }
    let answer = client.get("/large");
    assert!(answer.body.bytes == large, "{} bytes", answer.body.bytes.len());
    assert_eq!(client.get("/none").status, 404);
    let partial = fetch(gateway.address, "/large", "Range: bytes=0-9\r\n").unwrap();
    assert_eq!((partial.status, partial.body.bytes.len()), (206, 10));
    drop(client);
    drop(gateway);
    nginx.kill().unwrap();
    nginx.wait().unwrap();
}
