"""What every run shares: the backends, the CPUs, and the processes to end."""

import socket
import struct
import subprocess
import time

from .processes import Process, free_ports
from .proxies import TARGET, get, installed


class Setup:
    def __init__(self, directory, binary, cpus):
        self.directory = directory
        self.binary = binary.resolve()
        # Put in front of the gateway's command.
        self.wrapper = []
        self.proxy_cpu, self.load_cpu = cpus
        self.backend_address = ("127.0.0.1", free_ports(1)[0])
        self.processes = []
        self.h2c_address = None
        # How to measure; bench/compare sets what its options say.
        self.rounds, self.seconds = 1, 1
        self.noisy, self.latency = False, True
        # Names of what could not be measured.
        self.failed = []

    def start_backend(self):
        host, port = self.backend_address
        self.processes.append(Process(
            "backend", [TARGET / "backend", "--listen", f"{host}:{port}"], [self.load_cpu],
            self.directory / "backend.log"))
        for _ in range(500):
            try:
                self.hits()
                return
            except OSError:
                time.sleep(0.01)
        raise RuntimeError(f"the backend does not start: {self.processes[0].log_tail()}")

    def backend(self, kind):
        """The address of one that speaks h1, or h2c with prior knowledge."""
        if kind == "h2c" and not self.h2c_address:
            self.h2c_address = self._start_h2c()
        return {"h1": self.backend_address, "h2c": self.h2c_address}[kind]

    def _start_h2c(self):
        """nghttp2's server: what it answers is a file, with gRPC's trailer behind it."""
        program = installed("nghttpd")
        address = ("127.0.0.1", free_ports(1)[0])
        root = self.directory / "h2c"
        (root / "size").mkdir(parents=True)
        (root / "size" / "128").write_bytes((b"abcdefghijklmnopqrstuvwxyz" * 5)[:128])
        process = Process(
            "nghttpd", [program, "--no-tls", "-a", address[0], "-d", root, "-m", "1024",
                        "--trailer", "grpc-status: 0", address[1]],
            [self.load_cpu], self.directory / "h2c.log")
        self.processes.append(process)
        for _ in range(500):
            try:
                socket.create_connection(address, timeout=5).close()
                return address
            except OSError:
                time.sleep(0.01)
        raise RuntimeError(f"nghttpd does not start: {process.log_tail()}")

    def message(self, size):
        """A file with a gRPC message of so many bytes."""
        path = self.directory / f"message-{size}"
        path.write_bytes(struct.pack(">BI", 0, size) + b"m" * size)
        return path

    def certificate(self):
        """Paths of a certificate for bench.test, made for this run: CERT, KEY, and both in PEM."""
        cert, key, pem = (self.directory / name for name in ("cert.pem", "key.pem", "both.pem"))
        if not pem.exists():
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=bench.test",
                 "-addext", "subjectAltName=DNS:bench.test", "-keyout", key, "-out", cert],
                check=True, capture_output=True)
            pem.write_text(cert.read_text() + key.read_text())
        return {"CERT": cert, "KEY": key, "PEM": pem}

    def hits(self):
        """How many requests the backend has answered."""
        return int(get(self.backend_address[1], "/hits")[1])

    def close(self):
        for process in reversed(self.processes):
            process.stop()
