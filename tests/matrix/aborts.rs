//! Either side leaves before it is done.

use crate::origin::pattern;
use crate::wire::{Call, within};
use crate::world::{Ask, Begun, World, every_pair};

#[test]
fn a_node_that_says_nothing_is_a_502() {
    let world = World::plain();
    every_pair(&world, async |world, down, up| {
        for body in [0, 100_000] {
            let got = world.send(down, up, &Ask::post("die", pattern(body))).await;
            assert_eq!((got.status, got.whole), (502, true), "{body}");
            assert_eq!(world.origin.times(&got.id), 1, "a POST is not sent twice");
        }
    });
}

#[test]
fn an_answer_that_breaks_off_breaks_off_for_the_client() {
    let world = World::plain();
    every_pair(&world, async |world, down, up| {
        for script in ["die-told", "die-untold"] {
            let got = world.send(down, up, &Ask::get(script)).await;
            assert!(!got.whole, "{script}");
            // A reset may overtake the head in HTTP/2, where both come at the same time.
            assert!(got.status == 200 || got.status == 0 && down.is_http2(), "{script}");
            assert!(got.body == pattern(100_000)[..got.body.len()], "{script}");
            assert!(got.body.len() <= 50_000, "{script}");
        }
        // The connections that are left serve on.
        assert_eq!(world.send(down, up, &Ask::get("echo")).await.status, 200);
    });
}

#[test]
fn a_client_that_leaves_within_its_request_is_told_to_the_node() {
    let world = World::plain();
    every_pair(&world, async |world, down, up| {
        for told in [true, false] {
            let mut ask = Ask::post("echo", pattern(100_000));
            ask.is_told = told;
            let mut begun = world.begin(down, up, &ask).await;
            begun.call.request.data(pattern(30_000)).await.unwrap();
            let id = begun.id.clone();
            crate::origin::eventually("it comes", || world.origin.has_come(&id).then_some(()))
                .await;
            begun.leave(down).await;
            world.origin.left(&id).await;
            assert!(!world.origin.seen(&id).await.whole, "told: {told}");
        }
    });
}

#[test]
fn a_client_that_leaves_before_its_answer_is_told_to_the_node() {
    let world = World::plain();
    every_pair(&world, async |world, down, up| {
        for ask in [Ask::get("wait"), Ask::post("wait", "hello")] {
            let mut begun = world.begin(down, up, &ask).await;
            if let Some(body) = &ask.body {
                begun.call.request.data(body.clone()).await.unwrap();
                begun.call.request.end(&Vec::new()).await.unwrap();
            }
            let id = begun.id.clone();
            world.origin.seen(&id).await;
            begun.leave(down).await;
            world.origin.left(&id).await;
            assert_eq!(world.origin.times(&id), 1);
        }
    });
}

#[test]
fn a_client_that_leaves_within_its_answer_is_told_to_the_node() {
    let world = World::plain();
    every_pair(&world, async |world, down, up| {
        let mut begun = world.begin(down, up, &Ask::get("begin")).await;
        let id = begun.id.clone();
        let head = within(5, "a head", begun.call.answer.head()).await.unwrap();
        assert_eq!(head.status, 200);
        begun.leave(down).await;
        world.origin.left(&id).await;
    });
}

#[test]
fn what_is_left_unread_harms_nobody() {
    let world = World::plain();
    every_pair(&world, async |world, down, up| {
        // Sends half of its body, reads the answer that comes early, and leaves.
        let ask = Ask::post("early", pattern(500_000));
        let Begun { call: Call { mut request, mut answer, .. }, .. } =
            world.begin(down, up, &ask).await;
        let _ = request.data(pattern(20_000)).await;
        assert_eq!(within(5, "a head", answer.head()).await.unwrap().status, 403);
        drop((request, answer));
        assert_eq!(world.send(down, up, &Ask::get("echo")).await.status, 200);
    });
}
