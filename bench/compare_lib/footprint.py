"""Memory and start-up: what is measured on a proxy without driving it to its limit."""

import os
import socket
import ssl
import time

from .measure import say
from .proxies import PROXIES

IDLE_CONNECTIONS = 10_000
SETTLE_SECONDS = 1.0
READY_SECONDS = 60
# Types and flags of HTTP/2's frames.
DATA, HEADERS, RESET, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
END_STREAM, ACK, END_HEADERS = 1, 1, 4
# The gateway beside its peers where that means something.
MEASUREMENTS = {
    "idle": "resident bytes per idle keep-alive connection, of 10,000",
    "idle-h2": "resident bytes per idle connection of h2 over TLS, of 10,000",
    "start": "seconds from exec to ready, 10,000 routes from a file",
    "rest": "resident bytes per shard at rest",
}


def measure(setup, name, proxies):
    """[{name, runs: [{value, ...}]}] of one of MEASUREMENTS."""
    say(f"{name}: {MEASUREMENTS[name]}")
    result = []
    for proxy in proxies:
        value = {"idle": idle, "idle-h2": idle_h2, "start": start, "rest": rest}[name](setup, proxy)
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


def _frame(kind, flags, stream, payload=b""):
    """A frame of HTTP/2 (RFC 9113 section 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _connect_h2(port, context):
    connection = context.wrap_socket(
        socket.create_connection(("127.0.0.1", port), timeout=30), server_hostname="bench.test")
    if connection.selected_alpn_protocol() != "h2":
        raise RuntimeError("no h2 by ALPN")
    # Indexed fields of HPACK's static table, and two literals.
    fields = b"\x82\x87\x04\x09/size/128\x01\x0abench.test"
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(SETTINGS, 0, 0)
                       + _frame(HEADERS, END_STREAM | END_HEADERS, 1, fields))
    answer, body, settled, ended = b"", b"", False, False
    while not (settled and ended):
        while len(answer) < 9 or len(answer) < 9 + int.from_bytes(answer[:3], "big"):
            piece = connection.recv(16384)
            if not piece:
                raise RuntimeError("a connection was closed")
            answer += piece
        end = 9 + int.from_bytes(answer[:3], "big")
        kind, flags, payload = answer[3], answer[4], answer[9:end]
        answer = answer[end:]
        if kind == SETTINGS and not flags & ACK:
            connection.sendall(_frame(SETTINGS, ACK, 0))
            settled = True
        elif kind in (RESET, GOAWAY):
            raise RuntimeError(f"a stream ended with frame type {kind}: {payload!r}")
        elif kind in (DATA, HEADERS):
            body += payload if kind == DATA else b""
            ended = bool(flags & END_STREAM)
    if len(body) != 128:
        raise RuntimeError(f"{len(body)} bytes were answered")
    return connection


def idle(setup, name):
    """The growth of resident memory by connections that were used once and then rest."""
    return _idle(setup, name, "", _connect)


def idle_h2(setup, name):
    """The same for h2 over TLS."""
    context = ssl._create_unverified_context()
    context.set_alpn_protocols(["h2"])
    return _idle(setup, name, "tls", lambda port: _connect_h2(port, context))


def _idle(setup, name, conf, connect):
    if name == "relay":
        return None
    proxy = PROXIES[name](name, setup, conf=conf)
    held = []
    try:
        proxy.wait_ready(scheme="https" if conf else "http")
        # What the first connections cost (pools, lazily linked code) is not a price per connection.
        held += [connect(proxy.port) for _ in range(100)]
        time.sleep(SETTLE_SECONDS)
        before = proxy.process.resident_bytes()
        held += [connect(proxy.port) for _ in range(IDLE_CONNECTIONS)]
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
