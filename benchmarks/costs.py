"""What a request and a connection cost: latency at a fixed rate, instructions a request, memory of idle connections."""

import contextlib
import json
import re
import resource
import socket
import statistics
import subprocess
import time
from dataclasses import dataclass

import load
import servers
from load import Load, redis_benchmark
from report import table, write_csv
from servers import HOST, BenchError, exchange, request, tool

PACED_ROUNDS = 9
IDLE = 5000
WORKERS = (1, 2, 8)
NODES = (1, 2, 16)
TITLES = {
    "paced": "Latency at a fixed rate: half of what the slower of the two can do, milliseconds (nine GETs to a SET, median "
    f"of {PACED_ROUNDS} runs)",
    "instructions": "Instructions a request outside system calls (callgrind)",
    "connections": f"Memory of an idle connection, KiB (growth by {IDLE:,} that have asked for one key each)",
}


@dataclass
class Cost:
    """One figure."""

    cost: str
    load: str
    server: str
    what: str
    value: float


class Costs:
    """The measurements; each adds figures."""

    def __init__(self, fleet, program, smoke, say):
        self.fleet, self.program, self.smoke, self.say = fleet, program, smoke, say
        self.figures = []

    def add(self, *fields):
        """Keeps a figure."""
        self.figures.append(Cost(*fields))

    def paced(self):
        """Both sides of each comparison at half of the lower peak of the two, in turns."""
        for name, start in load.COMPARISONS.items():
            with self.fleet() as fleet:
                sides = start(fleet)
                for side in sides:
                    side.front.wait_for_backends()
                    load.fill(side)
                rate = min(self.peak(side) for side in sides) / 2
                waits = {side.name: [] for side in sides}
                for _ in range(1 if self.smoke else PACED_ROUNDS):
                    for side in sides:
                        waits[side.name].append(self.pace(side, rate))
                for side in sides:
                    for what in ("p50_ms", "p99_ms", "p999_ms"):
                        middle = statistics.median(wait[what] for wait in waits[side.name])
                        self.add("paced", f"{name}, {rate:,.0f}/s", side.name, what.replace("_ms", ""), middle)
                shown = ", ".join(f"{f.server} {f.what} {f.value:.3f}" for f in self.figures[-6:])
                self.say(f"at {rate:,.0f}/s, {name}: {shown}")

    def peak(self, side):
        """Requests a second without pipelining."""
        row, _ = redis_benchmark(side.front.port, Load(("-t", "get"), 1), 5_000 if self.smoke else 100_000, 120)
        return float(row["rps"])

    def pace(self, side, rate):
        """One run at a fixed rate."""
        argv = [self.program, "paced", f"{HOST}:{side.front.port}", "--rate", rate, "--seconds", 0.3 if self.smoke else 2]
        done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise BenchError(f"{side.name} at {rate:,.0f} requests a second: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def instructions(self):
        """Of a node by its workers, and of a coordinator by its nodes."""
        for workers in WORKERS[:1] if self.smoke else WORKERS:
            with self.fleet() as fleet:
                node = fleet.node(workers=workers, under=callgrind(fleet))
                self.count(node, "larder node", f"{workers} worker{'s' * (workers > 1)}")
        for nodes in NODES[:1] if self.smoke else NODES:
            with self.fleet() as fleet:
                backends = [fleet.node(f"larder node {number}") for number in range(nodes)]
                coordinator = fleet.coordinator(backends, under=callgrind(fleet))
                self.count(coordinator, "larder coordinator", f"{nodes} node{'s' * (nodes > 1)}")

    def count(self, server, name, shape):
        """The instructions of SETs and GETs of one server."""
        server.wait_for_backends()
        requests = 2_000 if self.smoke else 50_000
        redis_benchmark(server.port, Load(("-t", "set"), 16, keys=20_000), requests, 300)
        for pipeline in (1, 16):
            for command in load.COMMANDS:
                each = count_instructions(server, Load(("-t", command), pipeline, keys=20_000), requests)
                self.add("instructions", shape, name, f"{command}, pipeline {pipeline}", each)
        shown = ", ".join(f"{f.what} {f.value:,.0f}" for f in self.figures[-4:])
        self.say(f"instructions, {name}, {shape}: {shown}")

    def connections(self):
        """How much resident memory grows by connections that do nothing."""
        count = 200 if self.smoke else IDLE
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        for start in (load.node, load.coordinator):
            with self.fleet() as fleet:
                for side in start(fleet):
                    side.front.wait_for_backends()
                    before = side.front.rss()
                    with contextlib.ExitStack() as stack:
                        for _ in range(count):
                            sock = stack.enter_context(socket.create_connection((HOST, side.front.port), timeout=10))
                            exchange(sock, request("GET", "no-such-key"), b"$-1\r\n")
                        time.sleep(0.1 if self.smoke else 1)
                        grown = (side.front.rss() - before) / count
                    self.add("connections", "idle", side.name, "KiB", grown / 1024)
                    self.say(f"an idle connection of {side.name}: {grown / 1024:.2f} KiB")

    def run(self):
        """All of them."""
        self.paced()
        self.connections()
        self.instructions()
        return self.figures


def callgrind(fleet):
    """What a server is started with to count its instructions, when that is switched on."""
    out = fleet.folder / "callgrind.out.%p"
    return [tool("valgrind"), "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}"]


def count_instructions(server, asked, requests):
    """The instructions a request of a load, of a server that callgrind runs."""
    control(server, "--zero")
    control(server, "--instr=on")
    redis_benchmark(server.port, asked, requests, 300)
    control(server, "--dump")
    control(server, "--instr=off")
    newest = max(server.log.parent.glob(f"callgrind.out.{server.process.pid}.*"), key=dump_number)
    total = re.search(r"^(?:totals|summary): (\d+)", newest.read_text(), re.MULTILINE)
    if not total or int(total[1]) == 0:
        raise BenchError(f"callgrind counted nothing of {server.name}: {newest.name}")
    return int(total[1]) / requests


def control(server, option):
    """Tells callgrind something."""
    argv = [tool("callgrind_control"), option, str(server.process.pid)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise BenchError(f"callgrind_control {option}: {done.stdout} {done.stderr}")


def dump_number(path):
    """Which dump of a process this is."""
    return int(path.suffix[1:])


def write(folder, figures):
    """Writes the figures as CSV."""
    if figures:
        folder.mkdir(parents=True, exist_ok=True)
        write_csv(folder / "costs.csv", "cost load server what value".split(), figures)


def summary(figures):
    """A table for each kind of cost."""
    parts = ["## What a request and a connection cost"] if figures else []
    for cost, title in TITLES.items():
        some = [figure for figure in figures if figure.cost == cost]
        if not some:
            continue
        columns = list(dict.fromkeys(figure.what for figure in some))
        rows = {}
        for figure in some:
            digits = ",.0f" if cost == "instructions" else ".3f" if cost == "paced" else ".2f"
            rows.setdefault((figure.load, figure.server), {})[figure.what] = format(figure.value, digits)
        lines = [[*names, *(cells[column] for column in columns)] for names, cells in rows.items()]
        parts += [f"### {title}", table(["", "server", None, *columns], lines)]
    return "\n\n".join(parts)
