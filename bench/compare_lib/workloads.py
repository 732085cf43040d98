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

    @property
    def path(self):
        return f"/size/{self.size}"

    def among(self, proxies):
        """Who takes part, when these proxies can run."""
        if self.contenders:
            return [each for each in self.contenders if each.proxy in proxies]
        return [Contender(name, name) for name in proxies if name not in self.without]


WORKLOADS = {each.name: each for each in (
    Workload("W1", "h1 keep-alive, 64 connections, 128 B", SMALL, latency=True),
    Workload("W2", "h1 keep-alive, 64 connections, 10 KB", MEDIUM, latency=True),
    Workload("W3", "h1 keep-alive, 16 connections, 1 MB", LARGE, connections=16),
    # A relay cannot keep its upstream connection while the client's ends: other work altogether.
    Workload("W8", "a new connection per request, 128 B", SMALL,
             headers={"Connection": "close"}, without=("relay",)),
    Workload("P3", "key-auth + limit-count + prometheus against none, 128 B", SMALL, contenders=(
        Contender("plugins", "ringgate", "plugins", {"apikey": resources.KEY}),
        Contender("plain", "ringgate"),
    )),
    Workload("R10k", "10,000 routes against one, 128 B", SMALL, contenders=(
        Contender("many", "ringgate", "many"),
        Contender("one", "ringgate"),
    )),
)}
