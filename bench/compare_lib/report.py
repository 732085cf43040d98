"""Numbers from runs: the table, the JSON file and the bars that must hold."""

import operator
import re
from statistics import median

from .footprint import MEASUREMENTS

RATIO_COLUMNS = ("nginx", "relay")
OPERATORS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


def ratio(entry, other, key):
    """The median over rounds of this contender's value by the other's in the same round."""
    if not entry or not other or entry is other:
        return None
    pairs = zip(entry["runs"], other["runs"])
    return median(mine[key] / theirs[key] for mine, theirs in pairs)


def latency(entry, key):
    return median(run[key] for run in entry["latencies"]) if entry["latencies"] else None


def metrics(results):
    """Everything that can be asserted: name to value.

    W.OTHER is the judged contender's requests per CPU-second by OTHER's, W.OTHER.p50 and .p99 are
    its latencies by OTHER's; idle.NAME, start.NAME and rest.NAME are plain values."""
    values = {}
    for name, entries in results.items():
        if name in MEASUREMENTS:
            for entry in entries:
                values[f"{name}.{entry['name']}"] = median(r["value"] for r in entry["runs"])
            continue
        judged, *others = entries
        for other in others:
            values[f"{name}.{other['name']}"] = ratio(judged, other, "per_cpu_second")
            for key in ("p50", "p99"):
                if judged["latencies"] and other["latencies"]:
                    values[f"{name}.{other['name']}.{key}"] = (
                        latency(judged, key) / latency(other, key))
    return values


def noisy_workloads(results):
    return {name for name, entries in results.items() for entry in entries
            for run in entry["runs"] + entry.get("latencies", []) if run.get("noisy")}


def table(results, titles):
    lines = []
    for name, entries in results.items():
        lines += ["", f"{name}  {titles[name]}"]
        rows = _values(entries) if name in MEASUREMENTS else _requests(entries)
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines += ["  " + "  ".join(
            [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in
                                         zip(row[1:], widths[1:])]) for row in rows]
    return "\n".join(lines[1:])


def _values(entries):
    rows = [("", "median", "min–max")]
    for entry in entries:
        values = [run["value"] for run in entry["runs"]]
        show = "{:,.4f}".format if max(values) < 100 else "{:,.0f}".format
        rows.append((entry["name"], show(median(values)),
                     f"{show(min(values))}–{show(max(values))}"))
    return rows


def _requests(entries):
    named = {entry["name"]: entry for entry in entries}
    # Workloads without peers compare their own contenders.
    others = [name for name in RATIO_COLUMNS if name in named] or [entries[-1]["name"]]
    rows = [("", "req/CPU-s", "min–max", "req/s", *(f"× {name}" for name in others),
             "p50 µs", "p99 µs", "RSS MB", "others")]
    for entry in entries:
        runs = entry["runs"]
        values = [run["per_cpu_second"] for run in runs]
        ratios = [ratio(entry, named[name], "per_cpu_second") for name in others]
        rows.append((
            entry["name"],
            f"{median(values):,.0f}",
            f"{min(values):,.0f}–{max(values):,.0f}",
            f"{median(run['rate'] for run in runs):,.0f}",
            *("–" if value is None else f"{value:.3f}" for value in ratios),
            *("–" if (value := latency(entry, key)) is None else f"{value:,.0f}"
              for key in ("p50", "p99")),
            f"{median(run['rss'] for run in runs) / 1e6:.1f}",
            f"{max(run['others_busy'] for run in runs):.2f}"
            + (" noisy" if any(run["noisy"] for run in runs) else ""),
        ))
    return rows


def parse_assertion(text):
    """'W1.nginx>=1.30' to its parts."""
    match = re.fullmatch(r"\s*([\w.-]+?)\s*(>=|<=|>|<)\s*([\d.]+)\s*", text)
    if not match:
        raise ValueError(f"not an assertion: {text!r} (as in 'W1.nginx>=1.30')")
    return match.group(1), match.group(2), float(match.group(3))


def read_assertions(path):
    with open(path, encoding="utf-8") as file:
        lines = (line.partition("#")[0].strip() for line in file)
        return [parse_assertion(line) for line in lines if line]


def judge(assertions, results, accept_noise):
    """[(line to print, whether it holds)]; what was not measured does not hold."""
    values = metrics(results)
    noisy = set() if accept_noise else noisy_workloads(results)
    verdicts = []
    for name, sign, bar in assertions:
        value = values.get(name)
        if value is None:
            holds, note = False, "not measured"
        elif name.partition(".")[0] in noisy:
            holds, note = False, f"{value:.3f}, but other processes were busy"
        else:
            holds, note = OPERATORS[sign](value, bar), f"{value:.3f}"
        verdicts.append((f"{'ok  ' if holds else 'MISS'} {name} {sign} {bar:g}: {note}", holds))
    return verdicts
