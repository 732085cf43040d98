"""Starting, pinning, observing and ending processes."""

import os
import resource
import signal
import socket
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
STOP_SECONDS = 5


def free_ports(count):
    """Ports nobody uses now, all different."""
    sockets = []
    try:
        for _ in range(count):
            sockets.append(socket.create_server(("127.0.0.1", 0)))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def raise_descriptor_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _stat(pid):
    """(parent, CPU ticks, resident pages, session) of a process; None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[1]), int(fields[11]) + int(fields[12]), int(fields[21]), int(fields[3])


class Process:
    """A child in its own session, pinned to CPUs, with everything it starts."""

    def __init__(self, name, command, cpus, log, env=None):
        self.name = name
        self.log = log
        with open(log, "ab") as output:
            self.popen = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=dict(os.environ, **(env or {})), start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, cpus),
            )

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def tree(self):
        """{pid: stat} of the process, its descendants and what they left behind."""
        stats = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit() and (stat := _stat(entry)):
                stats[int(entry)] = stat
        # By session, because an ended parent's number may be a stranger's by now.
        found = {pid for pid, stat in stats.items() if stat[3] == self.pid}
        while grown := {pid for pid, stat in stats.items() if stat[0] in found} - found:
            found |= grown
        return {pid: stats[pid] for pid in found}

    def cpu_seconds(self):
        return sum(ticks for _, ticks, *_ in self.tree().values()) / TICKS

    def resident_bytes(self):
        return sum(pages for _, _, pages, _ in self.tree().values()) * PAGE

    def log_tail(self, size=2000):
        with open(self.log, "rb") as file:
            return file.read()[-size:].decode(errors="replace")

    def stop(self, seconds=STOP_SECONDS):
        """Ends the tree by process id: politely first, then for certain."""
        pids = list(self.tree())
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in pids:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
            try:
                self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                continue
            pids = [pid for pid in pids if pid != self.pid and os.path.exists(f"/proc/{pid}")]
            if not pids:
                return
            time.sleep(0.1)


class Clock:
    """Splits the machine's busy time since its creation into ours and other processes'."""

    def __init__(self, processes):
        self.processes = processes
        self.start = self._now()

    def _now(self):
        with open("/proc/stat", encoding="ascii") as file:
            columns = [int(text) for text in file.readline().split()[1:9]]
        # Interrupt time is also in the stat of the process it hit, so the only safe split is
        # everything that was not idle, less what the known processes used.
        idle = (columns[3] + columns[4]) / TICKS
        own = sum(process.cpu_seconds() for process in self.processes)
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
            usage = resource.getrusage(who)
            own += usage.ru_utime + usage.ru_stime
        return time.monotonic(), idle, own

    def others_busy(self):
        """How many cores other processes kept busy on average."""
        wall, idle, own = (now - then for now, then in zip(self._now(), self.start))
        return max(0.0, (wall * os.cpu_count() - idle - own) / wall)
