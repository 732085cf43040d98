//! Runs the phases of chains: which plugins, in which order, and what a refusal becomes.

use std::collections::VecDeque;

use ringgate_core::{Fault, Frame, RequestHead, ResponseHead};
use smallvec::SmallVec;

use crate::plugin::{
    Chain, Cx, Direction, Instance, Layer, Out, Phase, Plugin, Reply, Step, Verdict,
};

/// The chains of a request: global rules first, then the route's (merged with the consumer's).
#[derive(Clone, Copy)]
pub(super) struct Chains<'c> {
    pub(super) global: &'c Chain,
    pub(super) route: &'c Chain,
}

impl Chains<'static> {
    /// No plugin at all.
    pub(super) fn none() -> Self {
        Chains { global: Chain::none(), route: Chain::none() }
    }
}

impl<'c> Chains<'c> {
    fn in_phase(self, phase: Phase) -> impl Iterator<Item = &'c Instance> {
        self.global.in_phase(phase).chain(self.route.in_phase(phase))
    }

    /// Whether anybody takes part in a phase.
    pub(super) fn any(self, phase: Phase) -> bool {
        !self.global.phase(phase).is_empty() || !self.route.phase(phase).is_empty()
    }

    /// How many bytes of a body its plugins want to see as a whole; `None`: it is streamed.
    pub(super) fn buffers(self, direction: Direction) -> Option<usize> {
        use crate::plugin::BodyNeed::Buffer;
        let need = |chain: &Chain| match direction {
            Direction::Request => chain.request_body,
            Direction::Response => chain.response_body,
        };
        match need(self.global).max(need(self.route)) {
            Buffer(max) => Some(max),
            _ => None,
        }
    }
}

/// Whether `_meta.filter` lets the plugin run.
fn applies(instance: &Instance, head: &RequestHead, cx: &Cx<'_>) -> bool {
    match &instance.meta.filter {
        None => true,
        Some(filter) => filter.eval(&cx.subject(head)),
    }
}

/// A method of [`Plugin`] for one of the phases that look at the request.
type Call =
    for<'a, 'p> fn(&'a (dyn Plugin + 'static), &'a mut RequestHead, &'a mut Cx<'p>) -> Step<'a>;

/// Runs one of the phases that look at the request. A reply ends the exchange.
pub(super) async fn request_phase(
    instances: impl Iterator<Item = &Instance>,
    call: Call,
    head: &mut RequestHead,
    cx: &mut Cx<'_>,
) -> Result<Verdict, Fault> {
    for instance in instances {
        if !applies(instance, head, cx) {
            continue;
        }
        let verdict = match call(&*instance.plugin, head, cx) {
            Step::Next => continue,
            step => step.settle().await?,
        };
        if let Verdict::Reply(reply) = verdict {
            return Ok(Verdict::Reply(instance.meta.refusal(reply)));
        }
    }
    Ok(Verdict::Next)
}

/// `rewrite` of every plugin.
pub(super) async fn rewrite(
    chains: Chains<'_>,
    head: &mut RequestHead,
    cx: &mut Cx<'_>,
) -> Result<Verdict, Fault> {
    request_phase(chains.in_phase(Phase::Rewrite), <dyn Plugin>::rewrite, head, cx).await
}

/// `rewrite` of the plugins that the consumer brought, once it is known.
pub(super) async fn rewrite_of_consumer(
    merged: &Chain,
    head: &mut RequestHead,
    cx: &mut Cx<'_>,
) -> Result<Verdict, Fault> {
    let brought = merged.in_phase(Phase::Rewrite).filter(|i| i.layer >= Layer::ConsumerGroup);
    request_phase(brought, <dyn Plugin>::rewrite, head, cx).await
}

/// `access` of every plugin.
pub(super) async fn access(
    chains: Chains<'_>,
    head: &mut RequestHead,
    cx: &mut Cx<'_>,
) -> Result<Verdict, Fault> {
    request_phase(chains.in_phase(Phase::Access), <dyn Plugin>::access, head, cx).await
}

/// `before_proxy` of every plugin.
pub(super) async fn before_proxy(
    chains: Chains<'_>,
    head: &mut RequestHead,
    cx: &mut Cx<'_>,
) -> Result<Verdict, Fault> {
    request_phase(chains.in_phase(Phase::BeforeProxy), <dyn Plugin>::before_proxy, head, cx).await
}

/// `response` of every plugin. A reply replaces the answer; the plugins behind see its head.
pub(super) async fn response(
    chains: Chains<'_>,
    request: &RequestHead,
    head: &mut ResponseHead,
    cx: &mut Cx<'_>,
) -> Result<Option<Reply>, Fault> {
    let mut replaced = None;
    for instance in chains.in_phase(Phase::Response) {
        if !applies(instance, request, cx) {
            continue;
        }
        let verdict = match instance.plugin.response(request, head, cx) {
            Step::Next => continue,
            step => step.settle().await?,
        };
        if let Verdict::Reply(mut reply) = verdict {
            std::mem::swap(head, &mut reply.head);
            replaced = Some(reply);
        }
    }
    // The head was swapped in, so that later plugins saw it; the reply keeps only its body.
    Ok(replaced)
}

/// `log` of every plugin.
pub(super) fn log(chains: Chains<'_>, head: &RequestHead, cx: &Cx<'_>) {
    for instance in chains.in_phase(Phase::Log) {
        if applies(instance, head, cx) {
            instance.plugin.log(head, cx);
        }
    }
}

/// Frames waiting for the next plugin of a chain, or to be sent.
pub(super) type Frames = VecDeque<Frame>;

/// Passes one frame through every plugin that wants to see them; what comes out is appended to
/// `out`. A reply at this point can no longer be sent and becomes a fault.
pub(super) async fn frame(
    chains: Chains<'_>,
    request: &RequestHead,
    direction: Direction,
    frame: Frame,
    out: &mut Frames,
    cx: &mut Cx<'_>,
) -> Result<(), Fault> {
    let phase = match direction {
        Direction::Request => Phase::RequestFrames,
        Direction::Response => Phase::ResponseFrames,
    };
    let mut current: SmallVec<[Frame; 2]> = SmallVec::new();
    current.push(frame);
    for instance in chains.in_phase(phase) {
        if !applies(instance, request, cx) {
            continue;
        }
        let mut next = Out::new();
        for frame in current.drain(..) {
            let verdict = match instance.plugin.frame(direction, frame, &mut next, cx) {
                Step::Next => continue,
                step => step.settle().await?,
            };
            if let Verdict::Reply(_) = verdict {
                let detail = format!("{} ended the exchange in its body", instance.kind.name());
                return Err(Fault::new(ringgate_core::Code::Plugin, detail));
            }
        }
        current = next;
    }
    out.extend(current);
    Ok(())
}
