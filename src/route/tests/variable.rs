use super::{Extra, Request};
use crate::route::{Subject, Template, Variable};

fn request() -> Request {
    let mut request = Request::new(
        "User.Example.:8080",
        "/a%20b?name=j%20s+x&Name=other&flag&empty=&name=second&a%62=enc&bad=%zz",
    )
    .with("Content-Type", "text/plain")
    .with("X-Api-Key", "k1")
    .with("X-Many", "1")
    .with("X-Many", "2")
    .with("under_score", "u")
    .with("Cookie", "a=1; sid=xyz=; A=2")
    .with("Cookie", "late=3;nothing");
    request.head.body = ringgate_core::BodyLength::Exact(12);
    request
}

#[test]
fn variables_have_nginx_values() {
    let request = request();
    for (name, value) in [
        ("uri", Some("/a%20b")),
        ("$uri", Some("/a%20b")),
        ("is_args", Some("?")),
        ("arg_name", Some("j s x")),
        ("arg_Name", Some("other")),
        ("arg_flag", Some("")),
        ("arg_empty", Some("")),
        ("arg_ab", Some("enc")),
        ("arg_bad", Some("%zz")),
        ("arg_other", None),
        ("http_x_api_key", Some("k1")),
        ("http_X-Api-Key", Some("k1")),
        ("http_x_many", Some("1, 2")),
        ("http_under_score", Some("u")),
        ("http_other", None),
        ("http_content_type", Some("text/plain")),
        ("http_cookie", Some("a=1; sid=xyz=; A=2; late=3;nothing")),
        ("http_host", Some("User.Example.:8080")),
        ("cookie_a", Some("1")),
        ("cookie_A", Some("2")),
        ("cookie_sid", Some("xyz=")),
        ("cookie_late", Some("3")),
        ("cookie_nothing", None),
        ("host", Some("user.example")),
        ("remote_addr", Some("127.0.0.1")),
        ("remote_port", Some("40000")),
        ("server_addr", Some("10.0.0.1")),
        ("server_port", Some("9080")),
        ("scheme", Some("http")),
        ("https", Some("")),
        ("request_method", Some("GET")),
        ("method", Some("GET")),
        ("server_protocol", Some("HTTP/1.1")),
        ("content_type", Some("text/plain")),
        ("content_length", Some("12")),
        ("consumer_name", None),
        ("graphql_name", None),
        ("post_arg_x", None),
        ("", None),
    ] {
        let found = Variable::compile(name).value(&request.subject());
        assert_eq!(found.as_deref(), value.map(str::as_bytes), "{name}");
        let mut out = Vec::new();
        assert_eq!(Variable::compile(name).append(&request.subject(), &mut out), value.is_some());
        assert_eq!(out, value.unwrap_or_default().as_bytes(), "{name}");
    }
}

#[test]
fn the_request_uri_is_normalised_but_what_came_in_can_be_seen() {
    for (target, normal) in [
        ("/a/../%61?x=/../", "/a?x=/../"),
        ("http://a.example/x/./y?z", "/x/y?z"),
        ("http://a.example?z", "/"),
        ("http://a.example", "/"),
        ("*", "*"),
    ] {
        let request = Request::new("a.example", target);
        let value = |name| Variable::compile(name).value(&request.subject()).unwrap();
        assert_eq!(value("request_uri"), normal.as_bytes(), "{target}");
        assert_eq!(value("real_request_uri"), target.as_bytes());
    }
}

#[test]
fn ipv4_clients_of_a_dual_stack_socket_are_ipv4_clients() {
    let request = Request::new("a", "/").from("[::ffff:1.2.3.4]:5");
    let value = Variable::compile("remote_addr").value(&request.subject());
    assert_eq!(value.as_deref(), Some(&b"1.2.3.4"[..]));
}

#[test]
fn templates_are_rendered() {
    let request = request();
    let subject = Subject { extra: Some(&Extra), ..request.subject() };
    for (text, rendered, found) in [
        ("", "", 0),
        ("plain", "plain", 0),
        ("$remote_addr $consumer_name", "127.0.0.1 jack", 2),
        ("/x/${arg_name}/y$uri", "/x/j s x/y/a%20b", 2),
        ("${ arg_other ?? none }!", "none!", 1),
        ("$arg_other", "", 0),
        ("100$ $", "100$ $", 0),
        ("\\$uri", "\\$uri", 0),
        ("${uri", "${uri", 0),
        ("${}$$uri", "${}$/a%20b", 1),
    ] {
        let mut out = Vec::new();
        assert_eq!(Template::compile(text).unwrap().render(&subject, &mut out), found, "{text}");
        assert_eq!(String::from_utf8_lossy(&out), rendered, "{text}");
    }
    assert_eq!(Template::compile("text").unwrap().constant(), Some(&b"text"[..]));
    assert_eq!(Template::compile("$uri").unwrap().constant(), None);
    assert!(Template::compile(&"$a".repeat(300)).is_err());
    assert!(Template::compile(&"a".repeat(20_000)).is_err());
}

#[test]
fn tls_has_nginx_variables() {
    use std::rc::Rc;

    use ringgate_core::{ClientCertificate, PeerCertificate, TlsInfo};

    let tls = |client| TlsInfo {
        server_name: Some("a.test".into()),
        version: "TLSv1.3",
        cipher: "TLS_AES_128_GCM_SHA256",
        resumed: true,
        policy: 0,
        ssl_ids: None,
        client,
    };
    let peer = PeerCertificate {
        subject: "CN=jack".into(),
        issuer: "CN=ca".into(),
        serial: "AB01".into(),
        fingerprint: "0a".into(),
    };
    let mut request = request();
    let value = |request: &Request, name: &str| {
        let value = Variable::compile(name).value(&request.subject());
        value.map(|value| String::from_utf8(value.into_owned()).unwrap())
    };
    assert_eq!(value(&request, "ssl_protocol"), None);
    request.connection.tls = Some(Rc::new(tls(ClientCertificate::Verified(Rc::new(peer)))));
    for (name, want) in [
        ("ssl_protocol", "TLSv1.3"),
        ("ssl_cipher", "TLS_AES_128_GCM_SHA256"),
        ("ssl_server_name", "a.test"),
        ("ssl_session_reused", "r"),
        ("ssl_client_verify", "SUCCESS"),
        ("ssl_client_s_dn", "CN=jack"),
        ("ssl_client_i_dn", "CN=ca"),
        ("ssl_client_serial", "AB01"),
        ("ssl_client_fingerprint", "0a"),
        ("https", "on"),
    ] {
        assert_eq!(value(&request, name).as_deref(), Some(want), "{name}");
    }
    assert_eq!(value(&request, "ssl_other"), None);
    for (client, verify) in [
        (ClientCertificate::NotAsked, "NONE"),
        (ClientCertificate::Missing, "NONE"),
        (ClientCertificate::Refused("expired".into()), "FAILED:expired"),
    ] {
        request.connection.tls = Some(Rc::new(tls(client)));
        assert_eq!(value(&request, "ssl_client_verify").as_deref(), Some(verify));
        assert_eq!(value(&request, "ssl_client_s_dn"), None);
    }
}
