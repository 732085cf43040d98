//! What goes wrong, in one type: what happened, to how much, whose doing it was, and whether a
//! second try may help. Where a fault becomes a status, a gRPC code, an MQTT reason or a reset is
//! one place, and it is not here.

use std::borrow::Cow;
use std::fmt;

/// How much a fault ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// This request; the connection goes on.
    Stream,
    /// The connection, with all that is on it.
    Connection,
}

/// Whose doing it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The client's.
    Downstream,
    /// The node's.
    Upstream,
    /// The gateway's own.
    Gateway,
}

impl Side {
    /// As logs and metrics write it.
    pub const fn name(self) -> &'static str {
        match self {
            Side::Downstream => "downstream",
            Side::Upstream => "upstream",
            Side::Gateway => "gateway",
        }
    }
}

/// Whether the request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It may have been acted on.
    No,
    /// Only because the connection had been used before: the node may have closed it while the
    /// request was on its way (RFC 9112 §9.3.1).
    ReusedConnection,
    /// The node never saw it whole.
    Yes,
}

macro_rules! codes {
    ($($variant:ident = $name:literal, $side:ident, $doc:literal;)+) => {
        /// What happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $(#[doc = $doc] $variant),+ }

        impl Code {
            /// Every one of them.
            pub const ALL: &'static [Code] = &[$(Code::$variant),+];

            /// As logs and metrics write it.
            pub const fn name(self) -> &'static str {
                match self { $(Code::$variant => $name),+ }
            }

            /// Whose doing it is.
            pub const fn side(self) -> Side {
                match self { $(Code::$variant => Side::$side),+ }
            }
        }
    };
}

codes! {
    BadRequest = "bad_request", Downstream, "The client's message breaks its protocol.";
    UriTooLong = "uri_too_long", Downstream, "The request line is above its limit.";
    HeadersTooLarge = "headers_too_large", Downstream, "The header section is above its limits.";
    BodyTooLarge = "body_too_large", Downstream, "The request body is above its limit.";
    HeaderTimeout = "header_timeout", Downstream, "The request head did not come in time.";
    BodyTimeout = "body_timeout", Downstream, "The request body stalled or came too slowly.";
    SendTimeout = "send_timeout", Downstream, "The client took no byte in time.";
    IdleTimeout = "idle_timeout", Downstream, "The connection was idle too long.";
    ClientGone = "client_gone", Downstream, "The client left before its answer was whole.";
    VersionUnsupported = "version_unsupported", Downstream, "An HTTP version that is not spoken here.";
    NotImplemented = "not_implemented", Downstream, "A transfer coding or method that is not spoken here.";
    ExpectationFailed = "expectation_failed", Downstream, "An `Expect` other than 100-continue.";
    HandshakeFailed = "handshake_failed", Downstream, "The client's TLS handshake failed or came too slowly.";
    ClientCertificate = "client_certificate", Downstream, "The client's certificate is missing or not trusted.";
    Misdirected = "misdirected", Downstream, "The request is for another policy than its connection was made under.";
    Excessive = "excessive", Downstream, "The client has the gateway work in vain: resets, pings, settings, empty frames.";
    ConnectFailed = "connect_failed", Upstream, "The node refused the connection or is unreachable.";
    ConnectTimeout = "connect_timeout", Upstream, "The connection to the node did not come up in time.";
    UpstreamSendTimeout = "upstream_send_timeout", Upstream, "The node took no byte in time.";
    UpstreamReadTimeout = "upstream_read_timeout", Upstream, "The node sent no byte in time.";
    UpstreamClosed = "upstream_closed", Upstream, "The node closed or reset before its answer was whole.";
    UpstreamInvalid = "upstream_invalid", Upstream, "The node's message breaks its protocol.";
    UpstreamTls = "upstream_tls", Upstream, "The TLS handshake with the node failed.";
    UpstreamRefused = "upstream_refused", Upstream, "The node refused the stream before it worked on it.";
    DeadlineExceeded = "deadline_exceeded", Upstream, "The call was not done within the time that its client gave it.";
    NoNode = "no_node", Upstream, "The upstream has no node that could be used.";
    NoService = "no_service", Gateway, "The route's service does not exist.";
    UpstreamBusy = "upstream_busy", Gateway, "No connection to the node was free and the wait is full.";
    Overloaded = "overloaded", Gateway, "Out of descriptors, memory or slots.";
    ShuttingDown = "shutting_down", Gateway, "The gateway is ending.";
    Plugin = "plugin", Gateway, "A plugin failed.";
    Internal = "internal", Gateway, "A defect of the gateway.";
}

/// A failure.
#[derive(Debug, Clone)]
pub struct Fault {
    /// What happened.
    pub code: Code,
    /// How much it ends.
    pub scope: Scope,
    /// Whether the request may be sent again.
    pub retry: Retry,
    /// For the log, never for the client: what exactly, where.
    pub detail: Cow<'static, str>,
}

impl Fault {
    /// A fault that ends the connection and is not tried again, the safe reading.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Fault {
        Fault { code, scope: Scope::Connection, retry: Retry::No, detail: detail.into() }
    }

    /// The client's message breaks its protocol.
    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Fault {
        Fault::new(Code::BadRequest, detail)
    }

    /// The same, but the connection goes on.
    #[must_use]
    pub fn on_stream(mut self) -> Fault {
        self.scope = Scope::Stream;
        self
    }

    /// The same, with another word on trying again.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Fault {
        self.retry = retry;
        self
    }

    /// Whose doing it was.
    pub fn side(&self) -> Side {
        self.code.side()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.detail)
    }
}

impl std::error::Error for Fault {}
