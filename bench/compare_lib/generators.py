"""Load: wrk and h2load for the maximum, our own open-loop generator for latency at a fixed rate."""

import json
import re
import subprocess

from .proxies import TARGET, installed


class Void(Exception):
    """A run that must not count; the reason is the message."""


def _run(command, cpu, seconds):
    result = subprocess.run(
        ["taskset", "-c", str(cpu), *(str(part) for part in command)],
        capture_output=True, text=True, timeout=seconds + 60, check=False)
    if result.returncode != 0:
        raise Void(f"{command[0]} failed: {(result.stdout + result.stderr).strip()[-500:]}")
    return result.stdout


def saturate(port, workload, headers, seconds, setup):
    """(completed requests, requests per second) at full speed."""
    requests, rate = GENERATORS[workload.generator](port, workload, headers, seconds, setup)
    if requests == 0:
        raise Void("no request was completed")
    return requests, rate


def _url(port, workload):
    return f"{workload.scheme}://127.0.0.1:{port}{workload.path}"


def wrk(port, workload, headers, seconds, setup):
    command = [installed("wrk"), "-t1", f"-c{workload.connections}", f"-d{seconds}s"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    text = _run([*command, _url(port, workload)], setup.load_cpu, seconds)
    for trouble in re.finditer(r"(Socket errors|Non-2xx).*", text):
        raise Void(f"wrk says: {trouble.group(0)}")
    requests = int(re.search(r"(\d+) requests in", text).group(1))
    return requests, float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))


def h2load(port, workload, headers, seconds, setup):
    command = [installed("h2load"), "-t1", f"-c{workload.connections}", f"-m{workload.streams}",
               f"-D{seconds}"]
    if workload.upload:
        command += ["-d", setup.message(workload.upload)]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    text = _run([*command, _url(port, workload)], setup.load_cpu, seconds)
    done, failed, errored = (int(re.search(rf"(\d+) {word}", text).group(1))
                             for word in ("succeeded", "failed", "errored"))
    if failed or errored:
        raise Void(f"h2load says: {failed} failed, {errored} errored")
    return done, done / seconds


GENERATORS = {"wrk": wrk, "h2load": h2load}


def openloop(port, workload, headers, rate, seconds, cpu):
    """The open-loop generator's report at a rate."""
    return _openloop(port, workload.path, workload.size, headers, seconds, cpu,
                     "--connections", workload.connections, "--rate", rate,
                     "--seconds", seconds)


def exactly(port, path, size, headers, requests, connections, cpu):
    """Completes a number of requests, each connection asking again when it is answered."""
    return _openloop(port, path, size, headers, 600, cpu,
                     "--connections", connections, "--requests", requests)


def _openloop(port, path, size, headers, seconds, cpu, *more):
    command = [TARGET / "openloop", f"127.0.0.1:{port}", "--path", path, "--bytes", size, *more]
    for name, value in headers.items():
        command += ["--header", f"{name}: {value}"]
    report = json.loads(_run(command, cpu, seconds))
    if report["errors"] or report["completed"] < report["scheduled"]:
        raise Void(f"{report['completed']} of {report['scheduled']} requests completed, "
                   f"{report['errors']} errors")
    return report
