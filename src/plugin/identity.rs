//! Who the node is told the caller is.

use std::sync::Arc;

use ringgate_core::RequestHead;

use super::Cx;
use crate::config::plan::{Consumer, Credential};

const USERNAME: &[u8] = b"X-Consumer-Username";
const CREDENTIAL: &[u8] = b"X-Credential-Identifier";
const CUSTOM_ID: &[u8] = b"X-Consumer-Custom-ID";

/// Who a request says that it is.
#[derive(Clone, Copy)]
pub enum Identity<'c> {
    /// That is not this plugin's to say, or not from the request alone.
    Unknown,
    /// A consumer, and the credential that it showed.
    Consumer(&'c Arc<Consumer>, Option<&'c Credential>),
    /// Nobody: it is refused with this message.
    Refused(&'static str),
}

/// Takes what only the gateway may say out of a client's request, in whatever spelling a node may
/// read as the same name (`X_Consumer_Username`). Every plugin that authenticates does this before
/// anything else, so that no client can say who it is.
pub fn strip_identity(head: &mut RequestHead) {
    head.headers.retain(|id, name, _| id.is_some() || !is_identity(name));
}

fn is_identity(name: &[u8]) -> bool {
    let same = |known: &[u8]| {
        name.len() == known.len()
            && name.iter().zip(known).all(|(byte, wanted)| {
                byte.eq_ignore_ascii_case(wanted) || (*byte == b'_' && *wanted == b'-')
            })
    };
    [USERNAME, CREDENTIAL, CUSTOM_ID].into_iter().any(same)
}

/// Makes a consumer the caller and tells the node, as APISIX's `attach_consumer` does. The client's
/// own word was stripped before ([`strip_identity`]).
pub fn attach_consumer<'p>(
    head: &mut RequestHead,
    cx: &mut Cx<'p>,
    consumer: &'p Arc<Consumer>,
    credential: Option<&'p Credential>,
) {
    let id = credential.and_then(|credential| credential.id.as_deref());
    let labels = consumer.labels.as_ref();
    let custom_id = labels.and_then(|labels| labels.get("custom_id")).map(String::as_str);
    for (name, value) in
        [(USERNAME, Some(&*consumer.username)), (CREDENTIAL, id), (CUSTOM_ID, custom_id)]
    {
        if let Some(value) = value {
            // A name of the configuration that no field can hold is not told.
            let _ = head.headers.append(name, value.as_bytes());
        }
    }
    cx.consumer = Some(consumer);
    cx.credential = credential;
}
