//! All resources at one revision, page by page.

use std::sync::atomic::Ordering::Relaxed;

use super::client::{Client, Failure, FailureKind};
use super::layout::Layout;
use super::proto::{RangeRequest, RangeResponse, cluster, revision};
use crate::config::store::Snapshot;

/// Keys of a page; less where they are large.
const PAGE: i64 = 1000;
/// Keys below the prefix.
const KEYS_MAX: usize = 1_000_000;
/// How often it is begun again where revisions are compacted away meanwhile.
const TRIES: u32 = 5;

/// A point in a cluster's history.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Position {
    /// The cluster's id.
    pub(super) cluster: u64,
    /// All up to this revision.
    pub(super) revision: u64,
}

/// Reads all there is below the prefix, and tells of when that is.
pub(super) async fn all(client: &Client, layout: &Layout) -> Result<(Snapshot, Position), Failure> {
    let (mut page, mut tries) = (PAGE, 0);
    // What is written from here on may be newer than what is read.
    let before = client.newest().load(Relaxed);
    loop {
        match pages(client, layout, page).await {
            Ok((mut snapshot, cluster)) => {
                snapshot.rewound = snapshot.revision < before;
                if snapshot.rewound {
                    client.newest().store(snapshot.revision, Relaxed);
                } else {
                    client.newest().fetch_max(snapshot.revision, Relaxed);
                }
                let position = Position { cluster, revision: snapshot.revision };
                return Ok((snapshot, position));
            }
            Err(failure) if failure.kind == FailureKind::TooLarge && page > 1 => page /= 10,
            Err(failure) if failure.kind == FailureKind::Compacted && tries < TRIES => tries += 1,
            Err(failure) => return Err(failure),
        }
    }
}

async fn pages(client: &Client, layout: &Layout, page: i64) -> Result<(Snapshot, u64), Failure> {
    let (mut key, range_end) = layout.range();
    let mut snapshot = Snapshot::default();
    let (mut keys, mut from) = (0, 0);
    loop {
        let request = RangeRequest {
            key,
            range_end: range_end.clone(),
            limit: page,
            revision: snapshot.revision as i64,
        };
        let answer: RangeResponse = client.call("/etcdserverpb.KV/Range", request).await?;
        if snapshot.revision == 0 {
            // The pages behind the first are of its revision too.
            snapshot.revision = revision(answer.header.as_ref());
            from = cluster(answer.header.as_ref());
        }
        keys += answer.kvs.len();
        if keys > KEYS_MAX {
            let text = format!("etcd: more than {KEYS_MAX} keys below the prefix");
            return Err(Failure { kind: FailureKind::Refused, text });
        }
        let last = answer.kvs.last().map(|pair| pair.key.clone());
        for pair in answer.kvs {
            if let Some(key) = layout.resource(&pair.key) {
                snapshot.entries.push((key, layout.entry(&pair)));
            }
        }
        match last.filter(|_| answer.more) {
            None => return Ok((snapshot, from)),
            Some(mut behind) => {
                behind.push(0);
                key = behind;
            }
        }
    }
}
