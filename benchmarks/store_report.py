"""The store's part of the report: tables with their goals, CSV files, pictures."""

import csv
import subprocess
import sys
from pathlib import Path

from servers import BenchError
from store import SIMULATED

NODE, REDIS, BARE = "larder node", "redis-server", "bare server"
TITLES = {
    "memory": "Memory an item takes beside its key and value, bytes",
    "hits": "Hit ratio at the same memory",
    "churn": "Resident memory under a limit while sizes drift, MiB",
    "expiry": "How late an expired key that nobody asks for frees its memory, ms",
    "spikes": "Longest wait of a client for a GET meanwhile, ms",
}
PREFIXES = {
    "memory": "overhead, bytes, of an item of 16 + ",
    "hits": "hit ratio, ",
    "churn": "resident MiB, ",
    "expiry": "memory back, ms late, ",
    "spikes": "longest wait, ms, ",
}
BUSY = (
    "The goal for *orm-busy* is what exact LRU reaches one request at a time. A quarter of its requests are repeated within "
    "their batch of fifty, before the first one's miss is set: no exact LRU of that memory reaches it then, as the simulation "
    "of one shows."
)
PICTURES = {"memory": "memory", "hits": "hits", "churn": "churn", "expiry": "expiry", "spikes": "waits"}
HIT_GOALS = {"zipf": 0.757, "scan": 0.495, "orm-busy": 0.872}


def worst(figures, benchmark, load, server, what):
    """The figure, of repeated ones the worst; None if there is none."""
    wanted = (benchmark, load, server, what)
    values = [f.value for f in figures if (f.benchmark, f.load, f.server, f.what) == wanted]
    return max(values) if values else None


def loads(figures, benchmark):
    """The loads of a benchmark, in their order."""
    return list(dict.fromkeys(figure.load for figure in figures if figure.benchmark == benchmark))


def cell(value, digits=3):
    """A number, or nothing."""
    return "" if value is None else f"{value:,.{digits}g}" if value < 1000 else f"{value:,.0f}"


def lines(figures, benchmark):
    """(what, Larder, peer, goal) of a benchmark."""
    found = []
    for load in loads(figures, benchmark):
        def value(server, what, load=load):
            return worst(figures, benchmark, load, server, what)

        if benchmark == "memory":
            goal = {"32 bytes": "26", "32 bytes, TTL": "42"}.get(load, "")
            found.append((load, cell(value(NODE, "overhead")), cell(value(REDIS, "overhead")), goal))
        elif benchmark == "hits":
            peer = cell(value(f"{REDIS}, allkeys-lru", "hit ratio"), 4)
            goal = HIT_GOALS.get(load, "")
            found.append((f"{load}, allkeys-lru", cell(value(f"{NODE}, allkeys-lru", "hit ratio"), 4), peer, str(goal)))
            scan_resistant = cell(value(f"{NODE}, allkeys-s3fifo", "hit ratio"), 4)
            found.append((f"{load}, allkeys-s3fifo", scan_resistant, peer, ""))
            found.append((f"{load}, {SIMULATED}", cell(value(SIMULATED, "hit ratio"), 4), "", ""))
        elif benchmark == "churn":
            bound = value(NODE, "limit") * 1.05 + 16
            words = f"{load}, limit {value(NODE, 'limit'):.0f}: most resident"
            found.append((words, cell(value(NODE, "most resident")), cell(value(REDIS, "most resident")), cell(bound)))
        elif benchmark == "expiry":
            goals = {"p99, ms": "50"}
            for what in ("p50, ms", "p99, ms", "longest, ms"):
                peer = cell(value(REDIS, what))
                found.append((f"{load}: {what.removesuffix(', ms')}", cell(value(NODE, what)), peer, goals.get(what, "")))
        elif benchmark == "spikes":
            floor = value(BARE, "longest, ms")
            goal = floor + (2 if load.startswith("growing") else 5) if floor is not None else None
            words = f"{load} (machine alone: {cell(floor)})"
            found.append((words, cell(value(NODE, "longest, ms")), cell(value(REDIS, "longest, ms")), cell(goal)))
    return found


def table(figures, benchmarks):
    """A Markdown table of some benchmarks."""
    head = ["| | Larder | redis-server | goal |", "| --- | ---: | ---: | ---: |"]
    body = []
    for name in benchmarks:
        prefix = PREFIXES[name] if len(benchmarks) > 1 else ""
        body += [f"| {prefix}{' | '.join(line)} |" for line in lines(figures, name)]
    return "\n".join(head + body)


def uncounted(figures):
    """How far used_memory is from what the process holds."""
    found = [f.value for f in figures if (f.benchmark, f.server, f.what) == ("memory", NODE, "uncounted")]
    return f"Resident memory is {min(found):.0f} to {max(found):.0f} MiB more than `used_memory` says." if found else ""


def summary(figures, micro):
    """The sections of the summary."""
    parts = []
    for name, title in TITLES.items():
        if loads(figures, name):
            parts += [f"## {title}", table(figures, [name]), f"![{title}]({PICTURES[name]}.svg)"]
            parts += {"memory": [uncounted(figures)], "hits": [BUSY]}.get(name, [])
    if micro:
        parts += ["## What an operation of the store costs, ns", micro_table(micro), "![cost by items](micro.svg)"]
    return "\n\n".join(parts)


def micro_table(text):
    """The micro benchmark's CSV as a table: an operation a line, a number of items a column."""
    found = list(csv.DictReader(text.splitlines()))
    sizes = list(dict.fromkeys(row["items"] for row in found))
    head = ["| operation | " + " | ".join(f"{int(size):,}" for size in sizes) + " |", "| --- |" + " ---: |" * len(sizes)]
    body = []
    for name in dict.fromkeys(row["operation"] for row in found):
        cells = {row["items"]: f"{float(row['ns']):.0f}" for row in found if row["operation"] == name}
        body.append(f"| {name} | " + " | ".join(cells.get(size, "") for size in sizes) + " |")
    return "\n".join(head + body)


def readme(figures, folder):
    """What the README shows."""
    titles = "; ".join(title[0].lower() + title[1:] for name, title in TITLES.items() if loads(figures, name))
    pictures = "\n".join(f"![{TITLES[name]}]({folder}/{PICTURES[name]}.svg)" for name in TITLES if loads(figures, name))
    return "\n\n".join([f"The store beside redis-server: {titles}.", table(figures, TITLES), BUSY, uncounted(figures), pictures])


def write(folder, bench, micro):
    """Writes the CSV files."""
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "store.csv", "benchmark load server what value".split(), map(vars, bench.figures))
    # One sample a quarter of a second is enough for a picture.
    if bench.samples:
        write_csv(folder / "churn.csv", "server seconds rss used limit".split(), map(vars, bench.samples[::3]))
    if bench.lags:
        lags = [{"server": name, "ms": lag} for name, some in bench.lags.items() for lag in some[::4]]
        write_csv(folder / "lags.csv", ["server", "ms"], lags)
    if micro:
        (folder / "micro.csv").write_text(micro)


def write_csv(path, columns, rows):
    """Writes dictionaries; floats with as many digits as mean something."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            values = [row[column] for column in columns]
            writer.writerow([f"{value:.5g}" if isinstance(value, float) else value for value in values])


def draw(folder, root):
    """Draws the pictures, in an environment that has what it takes."""
    here = Path(__file__).resolve().parent
    venv, wanted = root / "target" / "bench-venv", (here / "requirements.txt").read_text()
    made = venv / "made"
    if not made.exists() or made.read_text() != wanted:
        for argv in (
            [sys.executable, "-m", "venv", "--clear", venv],
            [venv / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "-r", here / "requirements.txt"],
        ):
            done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=600)
            if done.returncode != 0:
                raise BenchError(f"{argv[0]} failed: {(done.stdout + done.stderr).strip()[-400:]}")
        made.write_text(wanted)
    argv = [str(venv / "bin" / "python"), str(here / "plot.py"), str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise BenchError(f"plot.py failed: {done.stderr.strip()[-600:]}")
