"""A gRPC server without generated code: messages are bytes. Prints its port, and with a certificate
and a key (files in PEM) the port of the same behind TLS; serves until stdin ends.

The methods of test.Calls do what their names say. `x-echo` comes back in the initial metadata,
`x-echo-bin` in the trailers. Messages: four bytes of size that the answer should have, then
padding; test.Books answers with protobuf messages written by hand.
"""

import struct
import sys
import threading
import time
from concurrent import futures

import grpc

cancelled = threading.Semaphore(0)


def sized(request):
    return b"\0" * struct.unpack(">I", request[:4])[0]


def echo_metadata(context):
    metadata = dict(context.invocation_metadata())
    if "x-echo" in metadata:
        context.send_initial_metadata((("x-echo", metadata["x-echo"]),))
    if "x-echo-bin" in metadata:
        context.set_trailing_metadata((("x-echo-bin", metadata["x-echo-bin"]),))


def empty(request, context):
    echo_metadata(context)
    return b""


def unary(request, context):
    echo_metadata(context)
    return sized(request)


def client_stream(requests, context):
    watch = Watch(context)
    echo_metadata(context)
    total = sum(len(request) for request in requests)
    watch.done()
    return struct.pack(">I", total)


def server_stream(request, context):
    """So many answers as there are bytes, each as large as a byte says, in so many ms."""
    echo_metadata(context)
    pause = struct.unpack(">H", request[:2])[0] / 1000
    for size in request[2:]:
        yield b"\1" * size
        time.sleep(pause)


class Watch:
    """Counts the call as cancelled if it ends before the handler has."""

    def __init__(self, context):
        self.context, self.is_done = context, False
        context.add_callback(lambda: self.is_done or cancelled.release())

    def done(self):
        # Requests of a call that was given up may just end, a moment before the call does.
        time.sleep(0.05)
        self.is_done = self.context.is_active()


def bidi(requests, context):
    watch = Watch(context)
    echo_metadata(context)
    for request in requests:
        yield sized(request)
    watch.done()


def fail(request, context):
    code, message = request.decode().split(" ", 1)
    context.abort({code.value[0]: code for code in grpc.StatusCode}[int(code)], message)


def fail_late(request, context):
    yield b"one"
    yield b"two"
    fail(request, context)


def sleep(request, context):
    watch = Watch(context)
    time.sleep(struct.unpack(">I", request[:4])[0] / 1000)
    watch.done()
    return b""


def timeout(request, context):
    """What is left of the call's time, as this server sees it, in milliseconds."""
    left = context.time_remaining()
    return b"none" if left is None or left > 1e6 else str(int(left * 1000)).encode()


def was_cancelled(request, context):
    return b"yes" if cancelled.acquire(timeout=5) else b"no"


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def book(name, number):
    return b"\x0a" + varint(len(name)) + name + b"\x10" + varint(number)


def name_of(request):
    """Field 1 of a message that has it first."""
    if request[:1] != b"\x0a":
        return b""
    return request[2 : 2 + request[1]]


def get_book(request, context):
    name = name_of(request)
    if not name:
        context.abort(grpc.StatusCode.NOT_FOUND, "no such book")
    return book(b"the book " + name, 9007199254740993)


def list_books(request, context):
    yield book(b"a", 1)
    yield book(b"b", 2)
    if name_of(request) == b"broken":
        context.abort(grpc.StatusCode.DATA_LOSS, "pages are missing")


def slow_book(request, context):
    time.sleep(5)
    return book(b"late", 1)


def text(field, value):
    return bytes([field << 3 | 2]) + varint(len(value)) + value


def refuse_book(request, context):
    """Ends with a google.rpc.Status that has a test.Detail in it."""
    detail = text(1, b"type.test/test.Detail") + text(2, text(1, b"sold out"))
    status = b"\x08\x09" + text(2, b"no more") + text(3, detail)
    context.set_trailing_metadata((("grpc-status-details-bin", status),))
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no more")


HEALTH = {b"": 1, b"test.Calls": 1, b"test.Down": 2}


def check(request, context):
    state = HEALTH.get(name_of(request))
    if state is None:
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    return b"\x08" + bytes([state])


def set_health(request, context):
    HEALTH[b""] = request[0]
    return b""


UNARY = grpc.unary_unary_rpc_method_handler
METHODS = {
    "test.Calls": {
        "Empty": UNARY(empty),
        "Unary": UNARY(unary),
        "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
        "Fail": UNARY(fail),
        "FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
        "Sleep": UNARY(sleep),
        "Timeout": UNARY(timeout),
        "WasCancelled": UNARY(was_cancelled),
        "SetHealth": UNARY(set_health),
    },
    "test.Books": {
        "Get": UNARY(get_book),
        "List": grpc.unary_stream_rpc_method_handler(list_books),
        "Slow": UNARY(slow_book),
        "Refuse": UNARY(refuse_book),
    },
    "grpc.health.v1.Health": {"Check": UNARY(check)},
}

server = grpc.server(
    futures.ThreadPoolExecutor(max_workers=16),
    options=(("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)),
)
for service, methods in METHODS.items():
    handler = grpc.method_handlers_generic_handler(service, methods)
    server.add_generic_rpc_handlers((handler,))
ports = [server.add_insecure_port("127.0.0.1:0")]
if len(sys.argv) > 1:
    certificate, key = (open(name, "rb").read() for name in sys.argv[1:3])
    credentials = grpc.ssl_server_credentials([(key, certificate)])
    ports.append(server.add_secure_port("127.0.0.1:0", credentials))
server.start()
print(*ports, flush=True)
sys.stdin.read()
server.stop(0)
