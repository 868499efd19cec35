"""The load and the comparisons: Larder and its peer driven by redis-benchmark, in turns."""

import csv
import os
import statistics
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass

import servers
from servers import BenchError, Server

CONNECTIONS = 50
VALUE_BYTES = 64
KEYS = 100_000
PIPELINES = (1, 16, 64)
COMMANDS = ("set", "get")
STARTS = 5
# nutcracker closes the connection on CONFIG GET, with which redis-benchmark begins; it says so and goes on.
HARMLESS = {"WARNING: Could not fetch server CONFIG"}


@dataclass(frozen=True)
class Load:
    """What redis-benchmark sends."""

    command: tuple  # Its option for a test of its own, or the words of a request.
    pipeline: int
    connections: int = CONNECTIONS
    value_bytes: int = VALUE_BYTES
    keys: int = KEYS


@dataclass
class Side:
    """One of the two that are compared: where the load goes, and whose CPU is counted."""

    name: str
    front: Server
    counted: list[Server]
    stores: list[Server]  # Where the keys are, if all there came through this front: then none may be more or less.

    def cpu(self):
        """Seconds of CPU so far."""
        return sum(server.cpu() for server in self.counted)


@dataclass
class Turn:
    """One run of redis-benchmark against one side."""

    comparison: str
    pipeline: int
    command: str
    round: int
    side: str  # "larder" or "peer"
    server: str
    requests: int
    seconds: float
    rps: float
    server_cpu: float
    generator_cpu: float
    p50_ms: float
    p99_ms: float

    @property
    def cpu_us(self):
        """Server CPU in microseconds a request."""
        return self.server_cpu / self.requests * 1e6

    @property
    def generator_share(self):
        """CPU of the load generator as a share of one core."""
        return self.generator_cpu / self.seconds


@dataclass
class Memory:
    """Resident memory of one server."""

    comparison: str
    server: str
    start: int
    loaded: int  # With all keys stored, before the load.
    end: int  # After the load.


@dataclass
class Start:
    """One start of one server: seconds to the first PONG, resident memory then."""

    server: str
    repeat: int
    seconds: float
    rss: int


def redis_benchmark(port, load, requests, limit):
    """Runs redis-benchmark once: its CSV row as a dictionary, and its CPU seconds."""
    options = {"h": servers.HOST, "p": port, "c": load.connections, "d": load.value_bytes, "r": load.keys}
    options |= {"P": load.pipeline, "n": requests}
    argv = [servers.tool("redis-benchmark"), *(str(word) for k, v in options.items() for word in (f"-{k}", v))]
    argv += ["--csv", *load.command]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
        timer = threading.Timer(limit, child.kill)
        timer.start()
        try:
            # wait4, because it tells the CPU of just this child.
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        finally:
            timer.cancel()
            if child.returncode is None:
                child.kill()
                child.wait()
        out.seek(0)
        err.seek(0)
        printed, complaints = out.read(), [line for line in err.read().splitlines() if line not in HARMLESS]
    rows = list(csv.DictReader(printed.splitlines()))
    # It ends with code 1 at the first error reply.
    if child.returncode != 0 or complaints or len(rows) != 1:
        said = " / ".join([*printed.strip().splitlines(), *complaints])[-400:]
        why = f"was stopped after {limit:.0f} s" if child.returncode == -9 else f"ended with code {child.returncode}"
        raise BenchError(f"redis-benchmark {' '.join(load.command)[:60]} -P {load.pipeline} {why}: {said}")
    return rows[0], usage.ru_utime + usage.ru_stime


def calibrate(side, command, pipeline, seconds):
    """How many requests take about this long; warms both ends up, too."""
    requests = 5_000 * pipeline
    while True:
        row, _ = redis_benchmark(side.front.port, Load(("-t", command), pipeline), requests, 60)
        rate = float(row["rps"])
        if rate <= 0:
            raise BenchError(f"{side.name}: redis-benchmark saw no requests")
        if requests / rate > min(0.1, seconds / 3):
            # Whole batches of all connections, so that none idles long before the end.
            batch = CONNECTIONS * pipeline
            return max(1, round(rate * seconds / batch)) * batch
        requests *= 4


def turn(key, side, which, requests, limit):
    """Drives one side once and measures."""
    comparison, pipeline, command, number = key
    before = side.cpu()
    row, generator = redis_benchmark(side.front.port, Load(("-t", command), pipeline), requests, limit)
    cpu = side.cpu() - before
    rps = float(row["rps"])
    p50, p99 = float(row["p50_latency_ms"]), float(row["p99_latency_ms"])
    if min(rps, cpu, generator, p50, p99) <= 0:
        raise BenchError(f"{side.name}, {command}, pipeline {pipeline}: a figure is zero: {row}, CPU {cpu} s")
    names = (comparison, pipeline, command, number, which, side.name)
    return Turn(*names, requests, requests / rps, rps, cpu, generator, p50, p99)


def keys():
    """redis-benchmark's keys, in batches."""
    for first in range(0, KEYS, 1000):
        yield [f"key:{i:012d}" for i in range(first, first + 1000)]


def fill(side):
    """Stores every key, so that all GETs hit."""
    value = b"x" * VALUE_BYTES
    with side.front.conversation() as sock:
        for batch in keys():
            asked = b"".join(servers.request("SET", key, value) for key in batch)
            servers.exchange(sock, asked, b"+OK\r\n" * len(batch))


def check(side):
    """After the load: every key is still there at its full length, and no other key is."""
    with side.front.conversation() as sock:
        for batch in keys():
            asked = b"".join(servers.request("STRLEN", key) for key in batch)
            servers.exchange(sock, asked, b":%d\r\n" % VALUE_BYTES * len(batch))
    stored = [server.dbsize() for server in side.stores]
    if stored and (sum(stored) != KEYS or 0 in stored):
        raise BenchError(f"{side.name}: {KEYS} keys were stored, its servers have {stored}")


def node(fleet):
    """(a) One node against redis-server."""
    larder, redis = fleet.node(), fleet.redis()
    return Side("larder node", larder, [larder], [larder]), Side("redis-server", redis, [redis], [redis])


def coordinator(fleet):
    """(b) The coordinator against nutcracker, over the same two redis-servers; the proxies' CPU alone."""
    backends = [fleet.redis("redis-server 1"), fleet.redis("redis-server 2")]
    larder, nutcracker = fleet.coordinator(backends), fleet.nutcracker(backends)
    return (
        # Each spreads the keys in its own way, so the two servers hold some of them twice.
        Side("larder coordinator", larder, [larder], []),
        Side("nutcracker", nutcracker, [nutcracker], []),
    )


def cluster(fleet):
    """(c) A coordinator and two nodes against one redis-server reached directly; CPU of all processes."""
    nodes = [fleet.node("larder node 1"), fleet.node("larder node 2")]
    larder, redis = fleet.coordinator(nodes), fleet.redis()
    return (
        Side("larder coordinator + 2 nodes", larder, [larder, *nodes], nodes),
        Side("redis-server", redis, [redis], [redis]),
    )


COMPARISONS = {"node": node, "coordinator": coordinator, "cluster": cluster}


def compare(name, make_fleet, rounds, seconds, say):
    """Runs one comparison over all pipelines and commands: its turns, and its servers' memory."""
    turns = []
    with make_fleet() as fleet:
        sides = dict(zip(("larder", "peer"), COMPARISONS[name](fleet)))
        for side in sides.values():
            say(f"{name}: storing {KEYS} keys through {side.name}")
            side.front.wait_for_backends()
            fill(side)
        loaded = [server.rss() for server in fleet.servers]
        for pipeline in PIPELINES:
            for command in COMMANDS:
                requests = {which: calibrate(side, command, pipeline, seconds) for which, side in sides.items()}
                for number in range(1, rounds + 1):
                    for which, side in sides.items():
                        key = (name, pipeline, command, number)
                        turns.append(turn(key, side, which, requests[which], 30 + 10 * seconds))
                say(f"{name}: {command}, pipeline {pipeline}: {glance(turns[-2 * rounds :])}")
        for side in sides.values():
            check(side)
        memory = [
            Memory(name, server.name, server.start_rss, rss, server.rss())
            for server, rss in zip(fleet.servers, loaded)
        ]
    return turns, memory


def glance(turns):
    """Medians of some turns in a few words, for the progress."""
    words = []
    for which in ("larder", "peer"):
        mine = [turn for turn in turns if turn.side == which]
        rps = statistics.median(turn.rps for turn in mine)
        cpu = statistics.median(turn.cpu_us for turn in mine)
        words.append(f"{mine[0].server} {rps:,.0f}/s {cpu:.2f} us")
    return ", ".join(words)


def starts(make_fleet, say):
    """Starts servers in turns: `larder up` (four servers in one process), one node, redis-server."""
    found = []
    began = time.monotonic()
    for repeat in range(1, STARTS + 1):
        for kind in ("up", "node", "redis"):
            with make_fleet() as fleet:
                server = getattr(fleet, kind)()
                found.append(Start(server.name, repeat, server.start_seconds, server.start_rss))
    say(f"{len(found)} starts in {time.monotonic() - began:.1f} s")
    return found
