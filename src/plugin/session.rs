//! Sessions: TCP, UDP and MQTT pass through one phase before they are relayed.

use ringgate_core::{Fault, Method, RequestHead, Scheme, Version};

use super::{Chain, Cx, Phase, Session, Step, Verdict};

/// Runs `session` of every plugin of a chain. A reply means that the session is refused; there is
/// nobody to read it, so the caller closes the connection.
///
/// `_meta.filter` sees the connection's variables (`remote_addr`, `server_port`…) and those of the
/// context; what a request would tell is empty.
pub async fn run_sessions(
    chain: &Chain,
    session: &mut Session,
    cx: &mut Cx<'_>,
) -> Result<Verdict, Fault> {
    let nothing = RequestHead::new(Method::Other, Version::Http11, Scheme::Http);
    for instance in chain.in_phase(Phase::Session) {
        if let Some(filter) = &instance.meta.filter
            && !filter.eval(&cx.subject(&nothing))
        {
            continue;
        }
        let verdict = match instance.plugin.session(session, cx) {
            Step::Next => continue,
            step => step.settle().await?,
        };
        if let Verdict::Reply(_) = verdict {
            return Ok(verdict);
        }
    }
    Ok(Verdict::Next)
}
