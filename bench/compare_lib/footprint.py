"""Memory and start-up: what is measured on a proxy without driving it to its limit."""

import os
import socket
import time

from .measure import say
from .proxies import PROXIES

IDLE_CONNECTIONS = 10_000
SETTLE_SECONDS = 1.0
READY_SECONDS = 60
# The gateway beside its peers where that means something.
MEASUREMENTS = {
    "idle": "resident bytes per idle keep-alive connection, of 10,000",
    "start": "seconds from exec to ready, 10,000 routes from a file",
    "rest": "resident bytes per shard at rest",
}


def measure(setup, name, proxies):
    """[{name, runs: [{value, ...}]}] of one of MEASUREMENTS."""
    say(f"{name}: {MEASUREMENTS[name]}")
    result = []
    for proxy in proxies:
        value = {"idle": idle, "start": start, "rest": rest}[name](setup, proxy)
        if value is not None:
            say(f"  {proxy}: {', '.join(f'{run:,.4g}' for run in value)}")
            result.append({"name": proxy, "runs": [{"value": run} for run in value]})
    return result


def _connect(port):
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(b"GET /size/128 HTTP/1.1\r\nHost: bench\r\n\r\n")
    answer = b""
    while not answer.partition(b"\r\n\r\n")[2][127:]:
        piece = connection.recv(4096)
        if not piece:
            raise RuntimeError(f"a connection was closed after {answer!r}")
        answer += piece
    return connection


def idle(setup, name):
    """The growth of resident memory by connections that were used once and then rest."""
    if name == "relay":
        return None
    proxy = PROXIES[name](name, setup)
    held = []
    try:
        proxy.wait_ready()
        # What the first connections cost (pools, lazily linked code) is not a price per connection.
        held += [_connect(proxy.port) for _ in range(100)]
        time.sleep(SETTLE_SECONDS)
        before = proxy.process.resident_bytes()
        held += [_connect(proxy.port) for _ in range(IDLE_CONNECTIONS)]
        time.sleep(SETTLE_SECONDS)
        return [(proxy.process.resident_bytes() - before) / IDLE_CONNECTIONS]
    finally:
        for connection in held:
            connection.close()
        proxy.stop()


def start(setup, name):
    """The time until the gateway itself says that it is ready."""
    if name != "ringgate":
        return None
    values = []
    for _ in range(setup.rounds):
        proxy = PROXIES[name](name, setup, "many")
        try:
            while not proxy.is_ready():
                waited = time.monotonic() - proxy.started
                if waited > READY_SECONDS or not proxy.process.alive():
                    raise RuntimeError(f"not ready: {proxy.process.log_tail()}")
                time.sleep(0.001)
            values.append(time.monotonic() - proxy.started)
        finally:
            proxy.stop()
    return values


def rest(setup, name):
    """What one more shard adds; for peers, which run one worker, all of it."""
    shards = [1] if name != "ringgate" or os.cpu_count() < 2 else [1, 2]
    values = []
    for count in shards:
        proxy = PROXIES[name](name, setup, cpus=list(range(count)))
        try:
            proxy.wait_ready()
            time.sleep(SETTLE_SECONDS)
            values.append(proxy.process.resident_bytes())
        finally:
            proxy.stop()
    say(f"  {name}: {values[0]:,} bytes with one worker")
    return [values[-1] - (values[0] if len(values) > 1 else 0)]
