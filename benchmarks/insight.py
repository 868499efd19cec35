"""What the statistics cost, and how true the miss-ratio curve is."""

import json
import lzma
import struct
from dataclasses import dataclass
from pathlib import Path

import costs
import load
import store
from load import Load, redis_benchmark
from report import table, write_csv
from servers import BenchError

WEB = Path(__file__).resolve().parent / "traces" / "web12.trace.xz"
# All that counts and looks, but for the counters of INFO, which are always on.
OFF = {
    "larder node": ["--stats-sample-every", 0, "--stats-curve", "no", "--latency-tracking", "no"],
    "larder coordinator": ["--latency-tracking", "no"],
}
TIMES = (0.5, 1.0, 2.0, 4.0)
ROUNDS = 5
TITLES = {
    "instructions": "Instructions a request outside system calls (callgrind), statistics on and off",
    "cpu": f"Server CPU a request, microseconds, pipeline 64, statistics on and off (median of {ROUNDS} turns)",
    "curve": "Hit ratio at multiples of the memory: what the miss-ratio curve of one node says, and one exact LRU, simulated",
}


@dataclass
class Figure:
    """One figure."""

    kind: str
    load: str
    what: str
    value: float


class Insight:
    """The measurements; each adds figures."""

    def __init__(self, fleet, smoke, say):
        self.fleet, self.smoke, self.say = fleet, smoke, say
        self.figures = []

    def add(self, *fields):
        """Keeps a figure."""
        self.figures.append(Figure(*fields))

    def pair(self, fleet, name, under=()):
        """The same server with and without statistics."""
        for how, flags in (("on", ()), ("off", OFF[name])):
            if name == "larder node":
                yield how, fleet.node(f"{name} {how}", under=under, flags=flags)
            else:
                yield how, fleet.coordinator([fleet.node(f"node {how}")], under=under, flags=flags)

    def instructions(self):
        """By callgrind, which repeats."""
        requests = 3_200 if self.smoke else 50_000
        for name in OFF:
            with self.fleet() as fleet:
                for how, server in self.pair(fleet, name, costs.callgrind(fleet)):
                    server.wait_for_backends()
                    redis_benchmark(server.port, Load(("-t", "set"), 16, keys=20_000), requests, 300)
                    for pipeline in (16, 64):
                        for command in load.COMMANDS:
                            asked = Load(("-t", command), pipeline, keys=20_000)
                            each = costs.count_instructions(server, asked, requests)
                            self.add("instructions", f"{name}, {command}, pipeline {pipeline}", how, each)
        self.compare("instructions")

    def cpu(self):
        """With contention and clock readings, which callgrind does not see."""
        for name in OFF:
            with self.fleet() as fleet:
                sides = list(self.pair(fleet, name))
                for command in load.COMMANDS:
                    used = {how: [] for how, _ in sides}
                    for _ in range(1 if self.smoke else ROUNDS):
                        for how, server in sides:
                            requests = 32_000 if self.smoke else 2_000_000
                            before = server.cpu()
                            redis_benchmark(server.port, Load(("-t", command), 64), requests, 300)
                            used[how].append((server.cpu() - before) / requests * 1e6)
                    for how, each in used.items():
                        self.add("cpu", f"{name}, {command}", how, sorted(each)[len(each) // 2])
        self.compare("cpu")

    def compare(self, kind):
        """Adds how much more it is with statistics."""
        mine = [figure for figure in self.figures if figure.kind == kind]
        values = {(figure.load, figure.what): figure.value for figure in mine}
        for name in dict.fromkeys(figure.load for figure in mine):
            on, off = values[name, "on"], values[name, "off"]
            if off > 0:  # A short run may take no time that is counted.
                self.add(kind, name, "more, %", (on / off - 1) * 100)
                self.say(f"statistics, {kind}, {name}: {on:.2f} on, {off:.2f} off, {(on / off - 1) * 100:+.1f} %")

    def curve(self):
        """The curve of a node after look-aside loads, beside exact simulations."""
        for name, budget, together, ids, sizes in curve_loads(20 if self.smoke else 1):
            with self.fleet() as fleet, store.Client(fleet.node().port) as client:
                client.ask("CONFIG", "SET", "maxmemory", client.used() + budget)
                store.look_aside(client, together, ids, sizes)
                report = json.loads(client.ask("LARDER", "STATS", "JSON", "curve"))
            points = {point["times"]: point["hit_ratio"] for point in report["curve"]["points"]}
            for times in TIMES:
                if times not in points:
                    raise BenchError(f"the curve has no point at {times} times the memory: {points}")
                exact = store.simulated(int(budget * times), together, ids, sizes)
                self.add("curve", name, f"{times:g}x", points[times])
                self.add("curve", f"{name}, exact", f"{times:g}x", exact)
            shown = ", ".join(f"{figure.what} {figure.value:.3f}" for figure in self.figures[-2 * len(TIMES) :])
            self.say(f"curve of {name}, said and exact: {shown}")

    def run(self):
        """All of them."""
        self.instructions()
        self.cpu()
        self.curve()
        return self.figures


def curve_loads(part):
    """Those of the hit ratios that are LRU's, and a trace of a shop's pages."""
    yield from store.hit_loads(part)
    with lzma.open(WEB) as file:
        ids = [key for (key,) in struct.iter_unpack(">I", file.read())]
    yield "web12", store.MIB // 2, 1, ids[: len(ids) // part], lambda _: 128


def write(folder, figures):
    """Writes the figures as CSV."""
    if figures:
        folder.mkdir(parents=True, exist_ok=True)
        write_csv(folder / "insight.csv", "kind load what value".split(), figures)


def summary(figures):
    """A table for each kind of figure."""
    parts = ["## What statistics cost, and how true they are"] if figures else []
    for kind, title in TITLES.items():
        mine = [figure for figure in figures if figure.kind == kind]
        columns = list(dict.fromkeys(figure.what for figure in mine))
        rows = {}
        for figure in mine:
            digits = ",.0f" if kind == "instructions" and figure.what in ("on", "off") else ".3f"
            rows.setdefault(figure.load, {})[figure.what] = format(figure.value, digits)
        lines = [[name, *(cells.get(column, "") for column in columns)] for name, cells in rows.items()]
        if lines:
            parts += [f"### {title}", table(["", None, *columns], lines)]
    return "\n\n".join(parts)
