"""How throughput, CPU and latency change with one thing at a time: connections, size of values, workers, nodes behind a
coordinator, keys of a request. By redis-benchmark, both sides in turns."""

import csv
import statistics
from dataclasses import asdict, dataclass

import load
from load import Load, Side, redis_benchmark
from servers import BenchError, exchange, request

MEMORY_BYTES = 200 << 20  # What all values of a load take at most.
POINT_SECONDS = 1.0
MOST_NODES = 16


@dataclass
class Point:
    """The median of the turns of one side at one place of a sweep."""

    sweep: str
    at: int
    command: str
    server: str
    rps: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    generator_share: float


class Sweeps:
    """The measurements; each adds points."""

    def __init__(self, fleet, rounds, smoke, say):
        self.fleet, self.rounds, self.smoke, self.say = fleet, 1 if smoke else min(rounds, 3), smoke, say
        self.points = []

    def measure(self, sweep, at, command, shape, sides):
        """Drives the sides in turns with the same load."""
        seconds = 0.1 if self.smoke else POINT_SECONDS
        turns = {side.name: [] for side in sides}
        counts = {side.name: self.requests(side, shape, seconds) for side in sides}
        for _ in range(self.rounds):
            for side in sides:
                before = side.cpu()
                row, generator = redis_benchmark(side.front.port, shape, counts[side.name], 120)
                cpu, rps = side.cpu() - before, float(row["rps"])
                cpu_us = cpu / counts[side.name] * 1e6
                share = generator / (counts[side.name] / rps)
                turns[side.name].append((rps, cpu_us, float(row["p50_latency_ms"]), float(row["p99_latency_ms"]), share))
        for name, found in turns.items():
            self.points.append(Point(sweep, at, command, name, *(statistics.median(values) for values in zip(*found))))
        words = [f"{p.server} {p.rps:,.0f}/s {p.cpu_us:.2f} us" for p in self.points[-len(sides) :]]
        self.say(f"{sweep} {at:,}: {command}: {', '.join(words)}")

    def requests(self, side, shape, seconds):
        """How many requests take about so long."""
        requests = max(shape.connections, 50) * shape.pipeline
        while True:
            row, _ = redis_benchmark(side.front.port, shape, requests, 120)
            if requests / float(row["rps"]) > seconds / 4:
                return max(requests, round(float(row["rps"]) * seconds))
            requests *= 4

    def pair(self, fleet):
        """A node and a redis-server."""
        return load.node(fleet)

    def connections(self):
        """GETs one at a time by ever more clients."""
        with self.fleet() as fleet:
            sides = self.pair(fleet)
            for side in sides:
                load.fill(side)
            for count in (1, 50) if self.smoke else (1, 50, 1000, 5000):
                self.measure("connections", count, "get", Load(("-t", "get"), 1, connections=count), sides)

    def sizes(self):
        """SETs and GETs of ever larger values."""
        with self.fleet() as fleet:
            sides = self.pair(fleet)
            for size in (64, 10_000) if self.smoke else (64, 1_000, 10_000, 100_000, 1_000_000):
                keys = min(load.KEYS, MEMORY_BYTES // size)
                for side in sides:
                    store(side, keys, size)
                for command in ("set", "get"):
                    shape = Load(("-t", command), 1, value_bytes=size, keys=keys)
                    self.measure("value bytes", size, command, shape, sides)

    def workers(self):
        """GETs of a node with more worker threads, beside a redis-server."""
        with self.fleet() as fleet:
            redis = fleet.redis()
            peer = Side("redis-server", redis, [redis], [redis])
            load.fill(peer)
            for count in (1, 2):
                node = fleet.node(f"larder node {count}", workers=count)
                side = Side("larder node", node, [node], [node])
                load.fill(side)
                for pipeline in (1, 16):
                    self.measure("workers", count, f"get, pipeline {pipeline}", Load(("-t", "get"), pipeline), [side, peer])

    def nodes(self):
        """GETs through a coordinator over ever more nodes: what the coordinator itself takes."""
        for count in (1, 2) if self.smoke else (1, 2, 4, 8, MOST_NODES):
            with self.fleet() as fleet:
                nodes = [fleet.node(f"larder node {number}") for number in range(count)]
                front = fleet.coordinator(nodes)
                side = Side("larder coordinator", front, [front], nodes)
                front.wait_for_backends()
                load.fill(side)
                for pipeline in (1, 16):
                    shape = Load(("-t", "get"), pipeline)
                    self.measure("nodes", count, f"get, pipeline {pipeline}", shape, [side])

    def keys(self):
        """Requests of many keys through the proxies, over the same two redis-servers."""
        with self.fleet() as fleet:
            sides = load.coordinator(fleet)
            for side in sides:
                side.front.wait_for_backends()
                load.fill(side)
            value = "x" * load.VALUE_BYTES
            for count in (10, 100):
                keys = ["key:__rand_int__"] * count
                self.measure("keys a request", count, "mget", Load(("MGET", *keys), 1), sides)
                pairs = [word for key in keys for word in (key, value)]
                self.measure("keys a request", count, "mset", Load(("MSET", *pairs), 1), sides)

    def run(self):
        """All of them."""
        for sweep in (self.connections, self.sizes, self.workers, self.nodes, self.keys):
            sweep()
        return self.points


def store(side, keys, size):
    """Stores redis-benchmark's keys with values of this size, and nothing else."""
    value = b"x" * size
    with side.front.conversation() as sock:
        exchange(sock, request("FLUSHALL"), b"+OK\r\n")
        batch = max(1, (1 << 20) // size)
        for first in range(0, keys, batch):
            some = range(first, min(first + batch, keys))
            asked = b"".join(request("SET", f"key:{i:012d}", value) for i in some)
            exchange(sock, asked, b"+OK\r\n" * len(some))


def write(folder, points):
    """Writes the points as CSV."""
    if not points:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "sweeps.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(asdict(points[0])), lineterminator="\n")
        writer.writeheader()
        for point in points:
            writer.writerow({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in asdict(point).items()})


def summary(points):
    """A table of all points, and the picture."""
    if not points:
        return ""
    head = ["| | | server | requests/s | CPU us/request | p50 ms | p99 ms | generator cores |"]
    head += ["| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |"]
    body = [
        f"| {p.sweep} {p.at:,} | {p.command} | {p.server} | {p.rps:,.0f} | {p.cpu_us:.3g} | {p.p50_ms:.3g} "
        f"| {p.p99_ms:.3g} | {p.generator_share:.2f} |"
        for p in points
    ]
    return "\n\n".join(["## One thing at a time", "\n".join(head + body), "![by connections, size, nodes](sweeps.svg)"])


def readme(folder):
    """What the README shows."""
    return f"![Throughput, CPU and latency by connections, size of values and nodes]({folder}/sweeps.svg)"


def check(points):
    """Fails where a figure cannot be true."""
    for point in points:
        if min(point.rps, point.p99_ms) <= 0:
            raise BenchError(f"a figure is zero: {point}")
