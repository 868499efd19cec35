"""What the store is measured by, beside redis-server: memory an item, hit ratios, memory under drifting sizes, how late
expired keys free their memory, and how long other clients wait meanwhile."""

import json
import lzma
import random
import socket
import struct
import subprocess
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from servers import HOST, BenchError, free_ports, request

TRACE = Path(__file__).resolve().parent / "traces" / "orm-busy.trace.xz"
BATCH = 50  # GETs sent together in most loads, then the SETs of those that missed.
MIB = 1 << 20
LRU, S3FIFO = "allkeys-lru", "allkeys-s3fifo"
# One exact LRU for all keys, at a flat cost an item: what shards and size classes are to be judged by.
SIMULATED, SIMULATED_BYTES = "one exact LRU at 26 bytes an item, simulated", 26


@dataclass
class Figure:
    """One measured number."""

    benchmark: str
    load: str
    server: str
    what: str
    value: float


@dataclass
class Sample:
    """Memory at a time, in bytes."""

    server: str
    seconds: float
    rss: int
    used: int
    limit: int


class Client:
    """A connection that sends requests and reads simple replies."""

    def __init__(self, port):
        self.socket = socket.create_connection((HOST, port), timeout=120)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb", buffering=1 << 18)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def read(self):
        """One reply: bytes, int or None."""
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b":":
            return int(rest)
        if kind == b"+":
            return rest
        raise BenchError(f"unexpected reply: {line!r}")

    def ask(self, *words):
        """One request and its reply."""
        self.socket.sendall(request(*(str(w) if isinstance(w, int) else w for w in words)))
        return self.read()

    def info(self, section="memory"):
        """A section of INFO."""
        text = self.ask("INFO", section).decode()
        return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)

    def used(self):
        """used_memory in bytes."""
        return int(self.info()["used_memory"])


class Bench:
    """The measurements; each answers figures."""

    def __init__(self, fleet, tool, smoke, say):
        self.fleet, self.tool, self.smoke, self.say = fleet, tool, smoke, say
        self.figures, self.samples, self.lags = [], [], {}

    def add(self, *fields):
        """Keeps a figure, and says it."""
        figure = Figure(*fields)
        self.figures.append(figure)
        self.say(f"{figure.benchmark}, {figure.load}: {figure.server}: {figure.what} {figure.value:,.4g}")

    def scaled(self, full, smoke):
        """A number of items: few of them only show that everything works."""
        return smoke if self.smoke else full

    def fill(self, server, count, *options):
        """Sets keys as fast as the server takes them."""
        argv = [self.tool, "fill", f"{HOST}:{server.port}", "--count", count, *options]
        done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=900)
        if done.returncode != 0:
            raise BenchError(f"filling {server.name}: {done.stderr.strip()}")

    def both(self):
        """A node and a redis-server, one after the other, each alone and new."""
        for start in ("node", "redis"):
            with self.fleet() as fleet:
                yield getattr(fleet, start)()

    def memory(self):
        """Resident bytes an item beside its key and value."""
        loads = [
            ("32 bytes", 2_000_000, 32, []),
            ("32 bytes, TTL", 2_000_000, 32, ["--ttl", 100_000]),
            ("100 bytes", 1_000_000, 100, []),
            ("1,000 bytes", 400_000, 1000, []),
            ("30 to 600 bytes", 1_000_000, None, ["--mixed"]),
        ]
        for load, count, value, options in loads:
            count = self.scaled(count, 20_000)
            options = [*options, *(["--value-bytes", value] if value else [])]
            for server in self.both():
                with Client(server.port) as client:
                    used, rss = client.used(), server.rss()
                    self.fill(server, count, *options)
                    time.sleep(0.1 if self.smoke else 1)
                    grown, counted = server.rss() - rss, client.used() - used
                    # u^3 of a uniform u is a quarter on average.
                    payload = 16 + (value or 30 + 570 / 4)
                    self.add("memory", load, server.name, "overhead", grown / count - payload)
                    self.add("memory", load, server.name, "uncounted", (server.rss() - client.used()) / MIB)
                    self.add("memory", load, server.name, "counted", counted / grown)

    def hits(self):
        """Hit ratios at the same memory, look-aside."""
        for load, budget, batch, ids, sizes in hit_loads(self.scaled(1, 40)):
            self.add("hits", load, SIMULATED, "hit ratio", simulated(budget, batch, ids, sizes))
            for server in self.both():
                policies = [LRU] if server.name == "redis-server" else [LRU, S3FIFO]
                for policy in policies:
                    with Client(server.port) as client:
                        client.ask("FLUSHALL")
                        client.ask("CONFIG", "SET", "maxmemory-policy", policy)
                        client.ask("CONFIG", "SET", "maxmemory", client.used() + budget)
                        ratio = look_aside(client, batch, ids, sizes)
                        client.ask("CONFIG", "SET", "maxmemory", 0)
                        self.add("hits", load, f"{server.name}, {policy}", "hit ratio", ratio)

    def churn(self):
        """Resident memory under a limit while the sizes of values drift."""
        limit = self.scaled(256, 32) * MIB
        count = self.scaled(2_500_000, 25_000)
        phases = [(50, 1500, count), (1500, 100, count), (20_000, 20_000, count // 40), (60, 700, count), (700, 30, count)]
        for server in self.both():
            with Client(server.port) as client:
                start = server.rss()
                client.ask("CONFIG", "SET", "maxmemory-policy", LRU)
                client.ask("CONFIG", "SET", "maxmemory", limit)
                began, most = time.monotonic(), 0
                for seed, (first, last, sets) in enumerate(phases):
                    options = ["--random", 4_000_000, "--seed", seed, "--value-bytes", first, "--value-to", last]
                    argv = [self.tool, "fill", f"{HOST}:{server.port}", "--count", sets, *options]
                    filling = subprocess.Popen([str(word) for word in argv])
                    while filling.poll() is None:
                        rss = server.rss()
                        most = max(most, rss - start)
                        seconds = time.monotonic() - began
                        self.samples.append(Sample(server.name, seconds, rss, client.used(), limit))
                        time.sleep(0.05)
                    if filling.returncode != 0:
                        raise BenchError(f"filling {server.name} failed")
                sets = sum(sets for _, _, sets in phases)
                self.add("churn", f"{sets:,} SETs", server.name, "limit", limit / MIB)
                self.add("churn", f"{sets:,} SETs", server.name, "most resident", most / MIB)
                ratio = float(client.info()["mem_fragmentation_ratio"])
                self.add("churn", f"{sets:,} SETs", server.name, "fragmentation at the end", ratio)

    def expiry(self):
        """How long after its time an expired key that nobody asks for still takes memory."""
        keys, over = self.scaled(1_000_000, 20_000), self.scaled(60_000, 2_000)
        for server in self.both():
            with Client(server.port) as client:
                first = int(time.time() * 1000) + self.scaled(10_000, 1_500)
                self.fill(server, keys, "--expire-from", first, "--expire-over", over)
                if time.time() * 1000 > first:
                    raise BenchError(f"{server.name}: filling took longer than the keys live")
                lags, gone = [], 0
                end = first + over + self.scaled(20_000, 2_000)
                while gone < keys and (now := time.time() * 1000) < end:
                    left = client.ask("DBSIZE")
                    # Known after the reply: what is gone may have gone a little earlier, never later.
                    lags += [max(0.0, now - (first + over * k / keys)) for k in range(gone, keys - left)]
                    gone = keys - left
                    time.sleep(0.002)
                # What is still there is at least so late.
                lags += [end - (first + over * k / keys) for k in range(gone, keys)]
                lags.sort()
                self.lags[server.name] = lags[:: max(1, len(lags) // 1000)]
                load = f"{keys:,} keys in {over // 1000} s"
                for what, part in (("p50, ms", 0.5), ("p99, ms", 0.99), ("longest, ms", 1)):
                    self.add("expiry", load, server.name, what, lags[min(len(lags) - 1, int(len(lags) * part))])
                self.add("expiry", load, server.name, "left at the end", keys - gone)

    def spikes(self):
        """The longest wait of a client while the server does something large for another."""
        keys = self.scaled(10_000_000, 100_000)
        for start in ("bare", "node", "redis"):
            with self.fleet() as fleet:
                if start == "bare":
                    port = free_ports(1)
                    server = fleet.run("bare server", [self.tool, "bare", f"{HOST}:{port}"], port)
                else:
                    server = getattr(fleet, start)()
                with Client(server.port) as client:
                    self.spikes_of(server, client, keys, start != "bare")

    def spikes_of(self, server, client, keys, stores):
        """All the large things that one server is asked for."""
        client.ask("CONFIG", "SET", "maxmemory-policy", LRU)
        self.probe(server, f"growing to {keys:,} keys", lambda: self.fill(server, keys))
        self.probe(server, f"FLUSHALL of {keys:,} keys", lambda: client.ask("FLUSHALL"))
        large = b"x" * (100 * MIB // (100 if self.smoke else 1))
        for _ in range(self.scaled(3, 1)):
            client.ask("SET", "large", large)
            self.probe(server, "DEL of 100 MB", lambda: client.ask("DEL", "large"))
        self.fill(server, keys)
        limit = client.used() // 2 if stores else 0

        def halve():
            client.ask("CONFIG", "SET", "maxmemory", limit)
            end = time.monotonic() + self.scaled(60, 5)
            while stores and client.used() > limit * 1.01 and time.monotonic() < end:
                time.sleep(0.05)

        self.probe(server, "halving maxmemory", halve)

    def probe(self, server, load, action):
        """Lets a client send GETs, one after another, while `action` runs and for half a second more."""
        argv = [str(self.tool), "probe", f"{HOST}:{server.port}"]
        probing = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        time.sleep(0.2)
        began = time.monotonic()
        action()
        took = time.monotonic() - began
        time.sleep(0.5)
        out, _ = probing.communicate(timeout=60)
        if probing.returncode != 0:
            raise BenchError(f"probing {server.name} failed")
        waits = json.loads(out)
        self.add("spikes", load, server.name, "longest, ms", waits["max_ms"])
        self.add("spikes", load, server.name, "p99.99, ms", waits["p9999_ms"])
        self.add("spikes", load, server.name, "took, s", took)


BENCHMARKS = {name: getattr(Bench, name) for name in ("memory", "hits", "churn", "expiry", "spikes")}


def hit_loads(part):
    """The loads: name, budget in bytes, requests sent together, ids in the order they are asked for, and the bytes of an id's value."""
    numbers = random.Random(1)
    ids, requests = 500_000, 400_000 // part
    weights, total = [], 0.0
    for rank in range(1, ids + 1):
        total += 1 / rank
        weights.append(total)
    ranks = list(range(ids))
    numbers.shuffle(ranks)
    zipf = [ranks[rank] for rank in numbers.choices(range(ids), cum_weights=weights, k=requests)]
    fresh = iter(range(ids, ids + requests))
    scan = [next(fresh) if numbers.random() < 0.3 else key for key in zipf]

    def cubed(key):
        return int(30 + 570 * ((key * 2654435761 % 2**32) / 2**32) ** 3)

    yield "zipf", 16 * MIB, BATCH, zipf, cubed
    yield "scan", 16 * MIB, BATCH, scan, cubed
    with lzma.open(TRACE) as file:
        busy = [key for (key,) in struct.iter_unpack(">I", file.read(4 * (1_000_000 // part)))]
    yield "orm-busy", MIB, BATCH, busy, lambda _: 128
    # A quarter of its requests are repeated within fifty: what misses there is not set before it is asked for again.
    yield "orm-busy one at a time", MIB, 1, busy, lambda _: 128


def simulated(budget, together, ids, sizes):
    """The hit ratio of one exact LRU, asked as `look_aside` asks."""
    keys, used, hits = OrderedDict(), 0, 0
    for at in range(0, len(ids), together):
        missed = []
        for key in ids[at : at + together]:
            if key in keys:
                keys.move_to_end(key)
                hits += 1
            else:
                missed.append(key)
        for key in missed:
            if key in keys:
                keys.move_to_end(key)
                continue
            keys[key] = 17 + sizes(key) + SIMULATED_BYTES
            used += keys[key]
            while used > budget:
                used -= keys.popitem(last=False)[1]
    return hits / len(ids)


def look_aside(client, together, ids, sizes):
    """The hit ratio of a client that asks for all these, so many at once, and sets what it misses."""
    hits, value = 0, b"v" * 1000
    for at in range(0, len(ids), together):
        batch = ids[at : at + together]
        keys = [b"object:%010d" % key for key in batch]
        client.socket.sendall(b"".join(b"*2\r\n$3\r\nGET\r\n$17\r\n%s\r\n" % key for key in keys))
        missed = [place for place in range(len(keys)) if client.read() is None]
        hits += len(keys) - len(missed)
        if missed:
            client.socket.sendall(b"".join(request("SET", keys[p], value[: sizes(batch[p])]) for p in missed))
            for _ in missed:
                client.read()
    return hits / len(ids)
