"""The table of workloads. An entry here, and a file in bench/conf, is all that one needs."""

from dataclasses import dataclass, field

from . import resources

SMALL, MEDIUM, LARGE = 128, 10 << 10, 1 << 20


@dataclass(frozen=True)
class Contender:
    """One proxy in one configuration."""

    name: str
    proxy: str
    variant: str = "one"
    headers: dict = field(default_factory=dict)
    # A key of setup.BACKENDS: what the nodes behind it speak.
    backend: str = "h1"


@dataclass(frozen=True)
class Workload:
    """Requests per CPU-second under load."""

    name: str
    title: str
    size: int
    connections: int = 64
    headers: dict = field(default_factory=dict)
    # Proxies that cannot do this work, so that a ratio to them would mean nothing.
    without: tuple = ()
    # Fixed contenders instead of the gateway and its peers; the first is the one judged.
    contenders: tuple = ()
    # Whether latency at 70 % of the maximum is measured too.
    latency: bool = False
    # Which files of bench/conf: PROXY-CONF.* instead of PROXY.*.
    conf: str = ""
    scheme: str = "http"
    # A key of generators.GENERATORS, and the streams per connection where the protocol has them.
    generator: str = "wrk"
    streams: int = 1
    # The resources of the gateway, where the peers' files say the same.
    variant: str = "one"
    # A key of setup.BACKENDS.
    backend: str = "h1"
    # Bytes of a request's body, with generators that send one.
    upload: int = 0

    @property
    def path(self):
        return f"/size/{self.size}"

    @property
    def bulk(self):
        return self.size >= LARGE

    def among(self, proxies):
        """Who takes part, when these proxies can run."""
        if self.contenders:
            return [each for each in self.contenders if each.proxy in proxies]
        return [Contender(name, name, self.variant if name == "ringgate" else "one",
                          backend=self.backend)
                for name in proxies if name not in self.without]


WORKLOADS = {each.name: each for each in (
    Workload("W1", "h1 keep-alive, 64 connections, 128 B", SMALL, latency=True),
    Workload("W2", "h1 keep-alive, 64 connections, 10 KB", MEDIUM, latency=True),
    Workload("W3", "h1 keep-alive, 16 connections, 1 MB", LARGE, connections=16),
    # A relay cannot keep its upstream connection while the client's ends: other work altogether.
    Workload("W4", "TLS 1.3, h1 keep-alive, 64 connections, 128 B", SMALL, conf="tls",
             scheme="https", without=("relay",)),
    Workload("W5", "h2 over TLS to h1, 16 connections of 32 streams, 128 B", SMALL,
             connections=16, streams=32, conf="tls", scheme="https", generator="h2load",
             without=("relay",)),
    Workload("W7", "TLS 1.3 full handshakes, a connection per request, 128 B", SMALL,
             conf="tls", scheme="https", headers={"Connection": "close"}, without=("relay",)),
    Workload("W8", "a new connection per request, 128 B", SMALL,
             headers={"Connection": "close"}, without=("relay",)),
    Workload("W9", "gRPC: h2 over TLS to h2c, 16 connections of 32 streams, 128 B each way", SMALL,
             connections=16, streams=32, conf="grpc", scheme="https", generator="h2load",
             without=("relay",), variant="grpc", backend="h2c", upload=SMALL,
             headers={"content-type": "application/grpc", "te": "trailers"}),
    Workload("H2C", "h1 keep-alive, 64 connections, 128 B: to nodes by h2c against h1", SMALL,
             contenders=(
                 Contender("h2c-up", "ringgate", "h2c", backend="h2c"),
                 Contender("h1-up", "ringgate"),
             )),
    Workload("P3", "key-auth + limit-count + prometheus against none, 128 B", SMALL, contenders=(
        Contender("plugins", "ringgate", "plugins", {"apikey": resources.KEY}),
        Contender("plain", "ringgate"),
    )),
    Workload("R10k", "10,000 routes against one, 128 B", SMALL, contenders=(
        Contender("many", "ringgate", "many"),
        Contender("one", "ringgate"),
    )),
)}
