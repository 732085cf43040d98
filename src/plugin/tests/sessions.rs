use std::rc::Rc;

use ringgate_core::ConnectionInfo;
use serde_json::json;

use super::kinds::REGISTRY;
use crate::config::resources::Plugins;
use crate::exchange::testing::{Gateway, run};
use crate::limit::LimitTable;
use crate::plugin::{BuildCx, Chain, Cx, Layer, Session, Verdict, run_sessions};

#[test]
fn sessions_pass_every_plugin_that_applies() {
    run(async || {
        let gateway = Gateway::new(&REGISTRY, &json!({}));
        for (plugins, seen, refused) in [
            (json!({"first": {}, "second": {"session": "wait"}}), "firstsecond", false),
            (json!({"first": {"session": 403}, "second": {}}), "first", true),
            (json!({"first": {"session": [403]}}), "first", true),
            (
                json!({"first": {"_meta": {"filter": [["remote_addr", "==", "9.9.9.9"]]}}}),
                "",
                false,
            ),
            (
                json!({"first": {"_meta": {"filter": [["remote_addr", "==", "1.2.3.4"]]}}}),
                "first",
                false,
            ),
        ] {
            let plugins: Plugins = serde_json::from_value(plugins.clone()).unwrap();
            let cx = |_: &str| BuildCx {
                limits: LimitTable::with_sets(1).into(),
                buffered_body: 0,
                object: "stream route/1".into(),
                protos: None,
                attributes: json!(null),
                metadata: json!(null),
                environment: |_| None,
            };
            let chain = Chain::build(&REGISTRY, &plugins, Layer::Route, cx).unwrap();
            let chain = Chain::new(chain);
            let connection = Rc::new(ConnectionInfo {
                peer: "1.2.3.4:5".parse().unwrap(),
                local: "127.0.0.1:9100".parse().unwrap(),
                tls: None,
                id: 1,
            });
            let plan = gateway.shard.pin();
            let mut context = Cx::new(&gateway.shard, &plan, &connection);
            let mut session = Session { connection: connection.clone(), sni: None };
            let verdict = run_sessions(&chain, &mut session, &mut context).await.unwrap();
            assert_eq!(session.sni.unwrap_or_default(), seen);
            assert_eq!(matches!(verdict, Verdict::Reply(_)), refused);
        }
    });
}
