//! What of a head the other side sees.

use crate::wire::{Fields, value};
use crate::world::{Ask, World, every_pair, listed};

fn sorted(fields: &Fields, but: &[&str]) -> String {
    let mut kept = fields.clone();
    kept.retain(|(name, _)| !but.contains(&&**name));
    kept.sort();
    listed(&kept)
}

#[test]
fn nodes_see_the_same_request() {
    let world = World::plain();
    every_pair(&world, async |world, down, up| {
        let mut ask = Ask::get("echo?a=%20b&c=1")
            .field("accept", "*/*")
            .field("cookie", "a=b; c=d")
            .field("x-a", "1")
            .field("x-a", "2")
            .field("x-empty", "")
            .field("x-forwarded-for", "6.6.6.6");
        if !down.is_http2() {
            ask = ask.field("connection", "keep-alive, x-hop").field("x-hop", "1");
            ask = ask.field("keep-alive", "timeout=5").field("proxy-connection", "close");
        }
        let got = world.send(down, up, &ask).await;
        assert_eq!(got.status, 200);
        let seen = world.origin.seen(&got.id).await;
        let request = &seen.request;
        let path = format!("/{}/echo?a=%20b&c=1", up.scheme());
        assert_eq!((&*request.method, &*request.path, &*request.host), ("GET", &*path, "a.test"));
        let scheme = if down.has_tls() { "https" } else { "http" };
        assert_eq!(value(&request.fields, "x-forwarded-proto"), Some(scheme));
        assert_eq!(
            sorted(&request.fields, &["x-id", "x-forwarded-proto", "x-forwarded-port", "host"]),
            "accept=*/*,cookie=a=b; c=d,x-a=1,x-a=2,x-empty=,x-forwarded-for=127.0.0.1,\
             x-forwarded-host=a.test,x-real-ip=127.0.0.1"
        );
    });
}

#[test]
fn clients_see_the_same_answer() {
    let world = World::plain();
    every_pair(&world, async |world, down, up| {
        let got = world.send(down, up, &Ask::post("echo", "abc")).await;
        assert_eq!(
            sorted(&got.fields, &[]),
            "content-length=3,content-type=text/plain,set-cookie=a=1,set-cookie=b=2,x-b=2"
        );
        let nowhere = world.send(down, up, &Ask::get("=/nowhere")).await;
        assert_eq!(nowhere.told(), (404, "{\"error_msg\":\"404 Route Not Found\"}\n".into(), true));
    });
}

#[test]
fn methods_and_targets_pass_as_they_are() {
    let world = World::plain();
    every_pair(&world, async |world, down, up| {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PURGE"] {
            let got = world.send(down, up, &Ask::new(method, "x/echo?q")).await;
            assert_eq!(got.status, 200, "{method}");
            let seen = world.origin.seen(&got.id).await;
            assert_eq!(seen.request.method, method);
            assert_eq!(seen.request.path, format!("/{}/x/echo?q", up.scheme()));
        }
        // As it was authorised, so it is forwarded.
        let got = world.send(down, up, &Ask::get("a/../b/./c%2f/%65cho")).await;
        assert_eq!(got.status, 200);
        let seen = world.origin.seen(&got.id).await;
        assert_eq!(seen.request.path, format!("/{}/b/c%2F/echo", up.scheme()));
    });
}

#[test]
fn large_heads_pass_and_larger_ones_are_refused() {
    let world = World::plain();
    every_pair(&world, async |world, down, up| {
        let long = "v".repeat(20_000);
        let got = world.send(down, up, &Ask::get("echo").field("x-long", &long)).await;
        assert_eq!(got.status, 200);
        let seen = world.origin.seen(&got.id).await;
        assert_eq!(value(&seen.request.fields, "x-long"), Some(&*long));
        let path = format!("echo?{}", "q".repeat(40_000));
        assert_eq!(world.send(down, up, &Ask::get(path)).await.status, 414);
    });
}
