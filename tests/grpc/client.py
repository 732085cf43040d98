"""Cases of a gRPC client, named as in gRPC's interop test descriptions:

    client.py ADDRESS CASE,CASE... [NAME=VALUE...]

The rest is metadata of every call. With ROOTS (a file in PEM) calls go over TLS, to the name a.test.
Ends with 0 where all cases pass.
"""

import os
import struct
import sys
import threading
import time

import grpc

address, cases = sys.argv[1:3]
metadata = [tuple(word.split("=", 1)) for word in sys.argv[3:]]
options = [("grpc.max_receive_message_length", -1), ("grpc.enable_retries", 0)]
if "ROOTS" in os.environ:
    with open(os.environ["ROOTS"], "rb") as roots:
        credentials = grpc.ssl_channel_credentials(roots.read())
    options.append(("grpc.ssl_target_name_override", "a.test"))
    channel = grpc.secure_channel(address, credentials, options)
else:
    channel = grpc.insecure_channel(address, options)
CALLS = "/test.Calls/"
SOON = 20


def unary(method, request=b"", **more):
    more.setdefault("timeout", SOON)
    return channel.unary_unary(CALLS + method)(request, metadata=metadata, **more)


def size(number, padding=0):
    return struct.pack(">I", number) + b"\0" * padding


def status(call):
    """The code and the message that a call ends with."""
    try:
        call()
    except grpc.RpcError as error:
        return error.code().value[0], error.details()
    return 0, ""


class Requests:
    """Requests that come one by one."""

    def __init__(self):
        self.ready = threading.Condition()
        self.queue = []
        self.done = False

    def send(self, request=None):
        with self.ready:
            self.queue += [] if request is None else [request]
            self.done = request is None
            self.ready.notify()

    def __iter__(self):
        return self

    def __next__(self):
        with self.ready:
            self.ready.wait_for(lambda: self.queue or self.done)
            if not self.queue:
                raise StopIteration
            return self.queue.pop(0)


def empty_unary():
    assert unary("Empty") == b""


def large_unary():
    assert len(unary("Unary", size(314159, 271828))) == 314159


def huge_unary():
    assert len(unary("Unary", size(8_000_000, 9_000_000))) == 8_000_000


def client_streaming():
    sizes = [27182, 8, 1828, 45904]
    requests = (b"\0" * one for one in sizes)
    answer = channel.stream_unary(CALLS + "ClientStream")(requests, timeout=SOON)
    assert struct.unpack(">I", answer)[0] == sum(sizes), answer


def server_streaming():
    request = struct.pack(">H", 0) + bytes([31, 0, 9, 200])
    answers = channel.unary_stream(CALLS + "ServerStream")(request, timeout=SOON)
    assert [len(answer) for answer in answers] == [31, 0, 9, 200]


def ping_pong():
    requests = Requests()
    answers = channel.stream_stream(CALLS + "Bidi")(requests, timeout=SOON)
    for request, answer in [(27182, 31415), (8, 9), (1828, 2653), (45904, 58979)]:
        requests.send(size(answer, request))
        assert len(next(answers)) == answer
    requests.send()
    assert list(answers) == []
    assert answers.code() == grpc.StatusCode.OK


def empty_stream():
    requests = Requests()
    requests.send()
    assert list(channel.stream_stream(CALLS + "Bidi")(requests, timeout=SOON)) == []


def cancel_after_begin():
    requests = Requests()
    call = channel.stream_unary(CALLS + "ClientStream").future(requests, timeout=SOON)
    time.sleep(0.2)
    call.cancel()
    assert call.code() == grpc.StatusCode.CANCELLED
    requests.send()
    assert unary("WasCancelled") == b"yes", "the node is told"


def cancel_after_first_response():
    requests = Requests()
    answers = channel.stream_stream(CALLS + "Bidi")(requests, timeout=SOON)
    requests.send(size(31415, 27182))
    assert len(next(answers)) == 31415
    answers.cancel()
    assert status(lambda: next(answers))[0] == 1
    requests.send()
    assert unary("WasCancelled") == b"yes", "the node is told"


def timeout_on_sleeping_server():
    started = time.monotonic()
    code, _ = status(lambda: unary("Sleep", size(10_000), timeout=0.3))
    assert code == 4, code
    assert time.monotonic() - started < 2
    assert unary("WasCancelled") == b"yes", "the node is told"


def full_duplex_timeout():
    """The same of a stream: `timeout_on_sleeping_server` of the interop tests."""
    requests = Requests()
    answers = channel.stream_stream(CALLS + "Bidi")(requests, timeout=0.3)
    requests.send(size(3, 27182))
    assert len(next(answers)) == 3
    assert status(lambda: next(answers))[0] == 4
    requests.send()
    assert unary("WasCancelled") == b"yes", "the node is told"


def was_cancelled():
    assert unary("WasCancelled") == b"yes", "the node is told"


def deadline_is_forwarded():
    assert unary("Timeout", timeout=None) == b"none"
    left = int(unary("Timeout", timeout=10))
    # Clients round what they say up.
    assert 8_000 < left <= 10_500, left


def custom_metadata():
    sent = (("x-echo", "test_initial_metadata_value"), ("x-echo-bin", b"\xab\xab\xab"))
    for method, request in [("Unary", size(3)), ("Empty", b"")]:
        _, call = channel.unary_unary(CALLS + method).with_call(
            request, metadata=sent, timeout=SOON
        )
        assert dict(call.initial_metadata())["x-echo"] == sent[0][1]
        assert dict(call.trailing_metadata())["x-echo-bin"] == sent[1][1]
    requests = Requests()
    call = channel.stream_stream(CALLS + "Bidi")(requests, metadata=sent, timeout=SOON)
    requests.send(size(5))
    requests.send()
    assert len(next(call)) == 5
    assert dict(call.initial_metadata())["x-echo"] == sent[0][1]
    assert list(call) == []
    assert dict(call.trailing_metadata())["x-echo-bin"] == sent[1][1]


def status_code_and_message():
    assert status(lambda: unary("Fail", b"2 test status message")) == (2, "test status message")
    for code in range(1, 17):
        assert status(lambda: unary("Fail", b"%d x" % code)) == (code, "x")


def special_status_message():
    message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
    told = status(lambda: unary("Fail", b"2 " + message.encode()))
    assert told == (2, message), told


def status_behind_messages():
    answers = channel.unary_stream(CALLS + "FailLate")(b"15 late", timeout=SOON)
    assert [next(answers), next(answers)] == [b"one", b"two"]
    assert status(lambda: next(answers)) == (15, "late")


def unimplemented_method():
    assert status(lambda: unary("Nothing"))[0] == 12


def unimplemented_service():
    call = channel.unary_unary("/test.Nothing/Nothing")
    assert status(lambda: call(b"", timeout=SOON))[0] == 12


def concurrent():
    """Many calls on one connection, of all kinds."""
    failed = []

    def some():
        try:
            for _ in range(5):
                large_unary()
                client_streaming()
                server_streaming()
                ping_pong()
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    threads = [threading.Thread(target=some) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not failed, failed


def slow_stream():
    """A stream in which nothing happens for longer than bounds of whole requests."""
    request = struct.pack(">H", 1500) + bytes([1, 2, 3])
    answers = channel.unary_stream(CALLS + "ServerStream")(request, timeout=SOON)
    assert [len(answer) for answer in answers] == [1, 2, 3]


def slow_requests():
    """The same the other way: a client that has nothing to say while its call goes on."""
    requests = Requests()
    answers = channel.stream_stream(CALLS + "Bidi")(requests, timeout=SOON)
    for _ in range(3):
        requests.send(size(3))
        assert len(next(answers)) == 3
        time.sleep(1.5)
    requests.send()
    assert list(answers) == []


def set_down():
    """Has the server's health service say NOT_SERVING."""
    unary("SetHealth", b"\2")


def refused():
    """Prints what a call that is refused ends with."""
    error = None
    try:
        unary("Empty")
    except grpc.RpcError as refused:
        error = refused
    print(error.code().value[0], error.details())
    for name, value in error.initial_metadata() or ():
        print(f"{name}: {value}")
    for name, value in error.trailing_metadata() or ():
        print(f"{name}: {value}")


def refused_stream():
    """The same of a stream, behind its answers."""
    request = struct.pack(">H", 10_000) + bytes([1, 2])
    answers = channel.unary_stream(CALLS + "ServerStream")(request, timeout=SOON, metadata=metadata)
    got = []
    code, details = status(lambda: [got.append(len(answer)) for answer in answers])
    print(code, details, got)


for name in cases.split(","):
    try:
        globals()[name]()
    except BaseException:
        print("in", name, file=sys.stderr)
        raise
