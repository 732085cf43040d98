//! Writes as one transaction: it is made where every key is as it was when the writes were
//! planned, else none of it.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use super::client::{Client, Failure};
use super::layout::Layout;
use super::proto::{
    Compare, CompareWith, DeleteRangeRequest, MOD, Op, PutRequest, RequestOp, TxnRequest,
    TxnResponse, revision,
};
use crate::config::store::Replaced;

/// What becomes of a key.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Write {
    /// The revision that it must be of; 0: it must not be there.
    expected: u64,
    was_there: bool,
    /// `None`: removed.
    value: Option<Vec<u8>>,
}

/// Writes by key. etcd takes each key once: of several writes of one, the last counts.
pub(super) type Writes = BTreeMap<Vec<u8>, Write>;

/// What a group of writes comes to.
pub(super) fn merge(layout: &Layout, writes: &[Vec<Replaced>]) -> Writes {
    let mut merged = Writes::new();
    for change in writes.iter().flatten() {
        let write = merged.entry(layout.key(&change.key)).or_insert_with(|| Write {
            expected: change.before.as_ref().map_or(0, |before| before.modified),
            was_there: change.before.is_some(),
            value: None,
        });
        write.value = change.after.as_ref().map(|value| value.to_string().into_bytes());
    }
    merged
}

/// Makes them; the revision that they got, or `None` where somebody else was first.
pub(super) async fn commit(client: &Client, writes: Writes) -> Result<Option<u64>, Failure> {
    let answer: TxnResponse = client.call("/etcdserverpb.KV/Txn", request(writes)).await?;
    let index = revision(answer.header.as_ref());
    if answer.succeeded {
        client.newest().fetch_max(index, Relaxed);
    }
    Ok(answer.succeeded.then_some(index))
}

fn request(writes: Writes) -> TxnRequest {
    let mut request = TxnRequest::default();
    for (key, write) in writes {
        request.compare.push(Compare {
            result: 0,
            target: MOD,
            key: key.clone(),
            with: Some(CompareWith::ModRevision(write.expected as i64)),
        });
        let op = match write.value {
            Some(value) => Op::Put(PutRequest { key, value, lease: 0 }),
            None if write.was_there => Op::Delete(DeleteRangeRequest { key }),
            // Made and removed again in one group.
            None => continue,
        };
        request.success.push(RequestOp { request: Some(op) });
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use serde_json::{Value, json};

    use crate::config::entries::{Entry, Key};

    fn change(path: &str, before: Option<u64>, after: Option<Value>) -> Replaced {
        let entry = |modified| Arc::new(Entry { value: json!({}), created: 1, modified });
        let key = Key::of_path(path).unwrap();
        Replaced { key, before: before.map(entry), after, indexes: None }
    }

    #[test]
    fn every_key_once_with_the_revision_that_it_began_with() {
        let writes = [
            vec![
                change("routes/new", None, Some(json!({"uri": "/1"}))),
                change("routes/gone", Some(7), None),
            ],
            // Behind the first write in the same group: its revision is a guess.
            vec![change("routes/new", Some(99), Some(json!({"uri": "/2"})))],
            vec![change("routes/short", None, Some(json!({})))],
            vec![change("routes/short", Some(99), None)],
        ];
        let request = request(merge(&Layout::new("/apisix"), &writes));
        let told: Vec<(String, i64)> = request
            .compare
            .iter()
            .map(|compare| {
                let Some(CompareWith::ModRevision(revision)) = compare.with else { panic!() };
                assert_eq!((compare.result, compare.target), (0, MOD));
                (String::from_utf8(compare.key.clone()).unwrap(), revision)
            })
            .collect();
        let expected =
            [("/apisix/routes/gone", 7), ("/apisix/routes/new", 0), ("/apisix/routes/short", 0)];
        assert_eq!(told, expected.map(|(key, revision)| (key.to_owned(), revision)));
        let ops: Vec<Op> = request.success.into_iter().filter_map(|op| op.request).collect();
        let key = |path: &str| path.as_bytes().to_vec();
        assert_eq!(
            ops,
            [
                Op::Delete(DeleteRangeRequest { key: key("/apisix/routes/gone") }),
                Op::Put(PutRequest {
                    key: key("/apisix/routes/new"),
                    value: br#"{"uri":"/2"}"#.to_vec(),
                    lease: 0
                }),
            ]
        );
    }
}
