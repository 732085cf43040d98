"""Interleaved, validated runs of a workload over its contenders."""

import sys
from statistics import median

from . import generators
from .generators import Void
from .processes import Clock
from .proxies import PROXIES, Missing, get

OTHERS_BUSY_MAX = 0.3
ATTEMPTS = 6
WARMUP_SECONDS = 1
LATENCY_LOAD = 0.7
REFERENCE = "nginx"


def say(text):
    print(text, file=sys.stderr, flush=True)


class Runner:
    """One contender of a workload, running."""

    def __init__(self, setup, workload, contender):
        self.setup = setup
        self.workload = workload
        self.name = contender.name
        self.headers = workload.headers | contender.headers
        self.proxy = PROXIES[contender.proxy](
            contender.proxy, setup, contender.variant, conf=workload.conf,
            bulk=workload.bulk, backend=contender.backend)
        # The other backends count nothing.
        self.is_counted = contender.backend == "h1"
        self.runs = []
        self.latencies = []
        try:
            self.proxy.wait_ready(workload.path, self.headers, scheme=workload.scheme)
            self._check_body()
        except BaseException:
            self.proxy.stop()
            raise

    def _check_body(self):
        expected = (b"abcdefghijklmnopqrstuvwxyz" * (self.workload.size // 26 + 1))
        status, body = get(self.proxy.port, self.workload.path, self.headers,
                           scheme=self.workload.scheme)
        if status != 200 or body != expected[:self.workload.size]:
            raise RuntimeError(f"{self.name} answers {status} with {len(body)} bytes that are "
                               f"not the backend's {self.workload.size}")

    def warm_up(self):
        generators.saturate(self.proxy.port, self.workload, self.headers, WARMUP_SECONDS,
                            self.setup)

    def saturate(self):
        """One measured run at full speed."""
        process = self.proxy.process
        hits, cpu = self.setup.hits(), process.cpu_seconds()
        requests, rate = generators.saturate(
            self.proxy.port, self.workload, self.headers, self.setup.seconds,
            self.setup)
        used = process.cpu_seconds() - cpu
        surplus = self.setup.hits() - hits - requests
        # What is in flight when the load stops reaches the backend, but is not counted as completed.
        if self.is_counted and not 0 <= surplus <= 2 * self.workload.connections * self.workload.streams:
            raise Void(f"the backend answered {requests + surplus}, {requests} were completed")
        return {"requests": requests, "rate": rate, "cpu_seconds": used,
                "per_cpu_second": requests / used, "rss": process.resident_bytes()}

    def at_rate(self, rate):
        """One measured run at a fixed rate."""
        report = generators.openloop(self.proxy.port, self.workload, self.headers, rate,
                                     self.setup.seconds, self.setup.load_cpu)
        return {"rate": rate, **report["us"]}


def quietly(setup, label, run):
    """A run that counts: repeated when it is void or other processes got in its way."""
    for attempt in range(1, ATTEMPTS + 1):
        last = attempt == ATTEMPTS
        clock = Clock(setup.processes)
        try:
            result = run()
        except Void as reason:
            say(f"  {label}: void: {reason}")
            if last:
                raise
            continue
        result["others_busy"] = clock.others_busy()
        result["noisy"] = result["others_busy"] > OTHERS_BUSY_MAX
        if not result["noisy"] or setup.noisy or last:
            return result
        say(f"  {label}: others used {result['others_busy']:.2f} cores, again")
    raise AssertionError("unreachable")


def interleaved(runners, rounds):
    """Every runner once per round, every second round backwards, so that drift cancels out."""
    for number in range(rounds):
        for runner in runners if number % 2 == 0 else reversed(runners):
            yield number, runner


def measure(setup, workload, contenders):
    """Runs a workload; returns what the report needs."""
    say(f"{workload.name}: {workload.title}")
    runners = []
    try:
        for contender in contenders:
            try:
                runners.append(Runner(setup, workload, contender))
            except (RuntimeError, OSError, Missing) as error:
                say(f"*** {workload.name} WITHOUT {contender.name}: {error}")
                setup.failed.append(f"{workload.name}.{contender.name}")
        for runner in runners:
            runner.warm_up()
        for number, runner in interleaved(runners, setup.rounds):
            run = quietly(setup, runner.name, runner.saturate)
            runner.runs.append(run)
            say(f"  round {number + 1} {runner.name}: {run['per_cpu_second']:,.0f} requests per "
                f"CPU-second, {run['rate']:,.0f}/s, others {run['others_busy']:.2f} cores")
        if workload.latency and setup.latency:
            measure_latency(setup, runners)
        return [{"name": runner.name, "runs": runner.runs, "latencies": runner.latencies}
                for runner in runners]
    finally:
        for runner in runners:
            runner.proxy.stop()


def measure_latency(setup, runners):
    """Everybody gets 70 % of what the reference can do, or of their own maximum if that is less:
    whoever is compared with the reference carries the same load."""
    maxima = {runner.name: median(run["rate"] for run in runner.runs) for runner in runners}
    reference = maxima.get(REFERENCE, min(maxima.values()))
    for number, runner in interleaved(runners, setup.rounds):
        rate = int(LATENCY_LOAD * min(reference, maxima[runner.name]))
        run = quietly(setup, runner.name, lambda who=runner, at=rate: who.at_rate(at))
        runner.latencies.append(run)
        say(f"  round {number + 1} {runner.name} at {rate:,}/s: p50 {run['p50']:.0f} us, "
            f"p99 {run['p99']:.0f} us, others {run['others_busy']:.2f} cores")
