"""A cluster that forms itself: how long it takes to notice that members come, go, crash and freeze, and to serve all keys
again; how evenly slots lie; what the control plane costs when nothing happens; what clients see meanwhile."""

import binascii
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

from servers import HOST, BenchError, free_ports, request

SLOTS = 16384
COUNTS = (3, 10, 50)
IDLE_SECONDS = 20
POLL_SECONDS = 0.002  # Between two looks at what the coordinator knows, and between two probes of the slots.
PROBED = 2048  # Slots of a node that are probed at most: more would keep the coordinator busy with it.
PROBED_UNDER_LOAD = 16  # As many as to be seen in no picture.
LIMIT_SECONDS = 60
STEADY_RATE = 1000
ROUTED = (10, 30, 100, 300, 1000, 3000, 10_000)


@dataclass
class Figure:
    """One figure of one trial."""

    kind: str
    nodes: int
    event: str
    what: str
    trial: int
    value: float


class Talk:
    """A connection to one server."""

    def __init__(self, port):
        self.socket = socket.create_connection((HOST, port), timeout=LIMIT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def ask(self, *words):
        """The reply: bytes, or a list of them."""
        self.socket.sendall(request(*words))
        return self.reply()

    def reply(self):
        """The next reply."""
        line = self.file.readline().rstrip()
        if line[:1] == b"*":
            return [self.reply() for _ in range(int(line[1:]))]
        if line[:1] == b"$":
            return self.file.read(int(line[1:]) + 2)[:-2]
        if line[:1] not in (b"+", b":"):
            raise BenchError(f"unexpected reply: {line!r}")
        return line[1:]

    def close(self):
        """Ends it."""
        self.file.close()
        self.socket.close()


class Probe(threading.Thread):
    """Asks for keys of some slots again and again, all at once; notes when each turn ended and how many errors it had."""

    def __init__(self, port, keys):
        super().__init__(daemon=True)
        self.count = len(keys)
        self.asked = b"".join(request("EXISTS", key) for key in keys)
        self.turns, self.is_over = [], False
        self.socket = socket.create_connection((HOST, port), timeout=LIMIT_SECONDS)

    def run(self):
        """Goes on until `end`."""
        while not self.is_over:
            self.socket.sendall(self.asked)
            got = b""
            while got.count(b"\n") < self.count:
                chunk = self.socket.recv(1 << 20)
                if not chunk:
                    return
                got += chunk
            errors = got.count(b"\n-") + got.startswith(b"-")
            self.turns.append((time.monotonic(), errors))
            time.sleep(POLL_SECONDS)

    def end(self):
        """Ends it; (the end of the first turn with errors, the end of the first one after the last of those)."""
        self.is_over = True
        self.join(LIMIT_SECONDS)
        self.socket.close()
        bad = [at for at, (_, errors) in enumerate(self.turns) if errors]
        if not bad or bad[-1] + 1 == len(self.turns):
            raise BenchError(f"of {len(self.turns)} turns over a lost node's slots {len(bad)} had errors")
        return self.turns[bad[0]][0], self.turns[bad[-1] + 1][0]


class Steady:
    """`bench-tool steady`: clients that go on whatever happens."""

    def __init__(self, tool, port, *flags):
        argv = [str(word) for word in (tool, "steady", f"{HOST}:{port}", *flags)]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)

    def end(self):
        """What they have seen."""
        out, _ = self.process.communicate(timeout=30)
        if self.process.returncode != 0:
            raise BenchError(f"bench-tool steady ended with code {self.process.returncode}")
        return json.loads(out)

    def stop(self):
        """Stops it, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


class Cluster:
    """A coordinator, which decides, and its nodes."""

    def __init__(self, fleet, count):
        self.fleet, self.nodes = fleet, []
        self.key, port = fleet.folder / f"{time.monotonic_ns()}.key", free_ports(1)
        subprocess.run([str(fleet.larder), "cluster", "keygen", str(self.key)], check=True, capture_output=True, timeout=30)
        flags = ["--data-dir", self.key.with_suffix(".data"), "--workers", fleet.workers]
        self.front = fleet.run("authority", [*self.argv("coordinator", port), *flags], port)
        self.join = self.joined_at()
        self.talk = Talk(port)
        self.keys = {}
        for number in range(30 * SLOTS):
            # Redis Cluster's CRC16.
            self.keys.setdefault(binascii.crc_hqx(b"slot:%d" % number, 0) % SLOTS, b"slot:%d" % number)
        began = time.monotonic()
        for _ in range(count):
            self.start()
        self.wait(self.is_settled, "the cluster to form")
        self.asked = b"".join(request("EXISTS", key) for key in self.keys.values())
        while self.errors():
            if time.monotonic() - began > LIMIT_SECONDS:
                raise BenchError(f"not all slots are served after {LIMIT_SECONDS} s: {self.front.tail()}")
            time.sleep(POLL_SECONDS)
        self.formed = time.monotonic() - began

    def joined_at(self):
        """Where the coordinator listens for members, which it says when it is about to."""
        end = time.monotonic() + LIMIT_SECONDS
        while not (found := re.search(r"^member (\S+) ", self.front.log.read_text(), re.MULTILINE)):
            if time.monotonic() > end:
                raise BenchError(f"the coordinator takes no members: {self.front.tail()}")
            time.sleep(POLL_SECONDS)
        return found[1]

    def argv(self, role, port):
        """What both roles are started with."""
        control = ["--cluster-key-file", self.key, "--cluster-addr", f"{HOST}:0"]
        return [self.fleet.larder, role, f"{HOST}:{port}", *control]

    def start(self):
        """Starts one more node; it."""
        port = free_ports(1)
        flags = ["--join", self.join, "--workers", 1, "--maxmemory", "64mb"]
        self.nodes.append(self.fleet.run("member", [*self.argv("node", port), *flags], port))
        return self.nodes[-1]

    def overview(self):
        """What the coordinator knows."""
        return json.loads(self.talk.ask("LARDER", "CLUSTER"))

    def wait(self, is_so, what):
        """Looks until it is so; when that was."""
        end = time.monotonic() + LIMIT_SECONDS
        while not is_so(overview := self.overview()):
            if time.monotonic() > end:
                raise BenchError(f"waited {LIMIT_SECONDS} s for {what}: {json.dumps(overview)[:600]}; {self.front.tail()}")
            time.sleep(POLL_SECONDS)
        return time.monotonic()

    def errors(self):
        """How many slots are not served."""
        self.talk.socket.sendall(self.asked)
        return sum(self.talk.file.readline().startswith(b"-") for _ in self.keys)

    def is_settled(self, overview):
        """Whether all nodes that run have their shares, and leases."""
        slots, status = [slots for _, slots in overview["nodes"]], overview["status"]
        is_calm = not overview["down"] and status["unowned"] == status["releasing"] == 0
        leased = {member["address"] for member in status["members"] if member["lease_ms"]}
        owners = {member["address"] for member, _ in overview["nodes"]}
        is_all = owners == {address(node) for node in self.nodes} and owners <= leased
        # No share differs from another by more than a slot, since all have the same memory.
        return is_calm and is_all and sum(slots) == SLOTS and max(slots) - min(slots) <= 1

    def balance(self):
        """The largest share by the mean."""
        slots = [slots for _, slots in self.overview()["nodes"]]
        return max(slots) / (sum(slots) / len(slots))

    def keys_of(self, node, most):
        """A key in each slot of a node, of so many of its slots at most."""
        sets = b"".join(request("SET", key, "1") for key in self.keys.values())
        self.talk.socket.sendall(sets)
        for _ in self.keys:
            self.talk.reply()
        direct, end = Talk(node.port), time.monotonic() + LIMIT_SECONDS
        while True:
            try:
                found = direct.ask("KEYS", "slot:*")
                break
            except BenchError as error:
                # Its lease may have been late; what that does to clients is counted elsewhere.
                print(f"{node.name} {node.port}: {error}: {node.tail()[-300:]}", file=sys.stderr, flush=True)
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        direct.close()
        return found[:: -(-len(found) // most)]

    def close(self):
        """Stops the nodes at once: each would wait until others have its slots."""
        self.talk.close()
        for node in self.nodes:
            if node.process.poll() is None:
                node.process.kill()
                node.process.wait()


def address(server):
    """As members call it."""
    return f"{HOST}:{server.port}"


def share(overview, node):
    """How many slots a node owns; None if it is not in the table, or is down."""
    owned = [(member["id"], slots) for member, slots in overview["nodes"] if member["address"] == address(node)]
    return owned[0][1] if owned and owned[0][0] not in overview["down"] else None


class Trial:
    """One of each event in a cluster, timed; `figures` gets them, `marks` when each began and ended."""

    def __init__(self, cluster, trial, pause, probed):
        self.cluster, self.trial, self.pause, self.probed = cluster, trial, pause, probed
        self.nodes = len(cluster.nodes)
        self.figures, self.marks = [], []

    def add(self, event, what, value, kind="ms"):
        """Keeps a figure."""
        self.figures.append(Figure(kind, self.nodes, event, what, self.trial, value))

    def over(self, event, began, at, settled=None):
        """After an event: the balance; and some quiet."""
        settled = settled or self.cluster.wait(self.cluster.is_settled, f"shares after {event}")
        self.add(event, "evenly shared", (settled - at) * 1000)
        self.add(event, "largest share / mean", self.cluster.balance(), "balance")
        self.marks.append((event, began, time.time()))
        time.sleep(self.pause)

    def join(self):
        """A node comes."""
        cluster, began, at = self.cluster, time.time(), time.monotonic()
        node = cluster.start()
        full = SLOTS // len(cluster.nodes)

        def is_known(overview):
            return any(member["address"] == address(node) for member in overview["status"]["members"])

        self.add("join", "known", (cluster.wait(is_known, "a new node") - at) * 1000)
        has_all = cluster.wait(lambda overview: (share(overview, node) or 0) >= full, "its share")
        self.add("join", "has its share", (has_all - at) * 1000)
        self.over("join", began, at)

    def leave(self):
        """A node goes, as asked."""
        node = self.cluster.nodes.pop(0)
        began, at = time.time(), time.monotonic()
        node.process.terminate()
        while node.process.poll() is None:
            if time.monotonic() - at > LIMIT_SECONDS:
                raise BenchError(f"a node did not leave in {LIMIT_SECONDS} s: {node.tail()}")
            time.sleep(POLL_SECONDS)
        self.add("leave", "ended", (time.monotonic() - at) * 1000)
        self.over("leave", began, at)

    def lose(self, event, number):
        """A node gets a signal that it cannot answer; it."""
        cluster, node = self.cluster, self.cluster.nodes.pop(0)
        probe = Probe(cluster.front.port, cluster.keys_of(node, self.probed))
        probe.start()
        time.sleep(0.1)
        began, at = time.time(), time.monotonic()
        node.process.send_signal(number)
        noticed = cluster.wait(lambda overview: share(overview, node) is None, f"{event} to be noticed")
        self.add(event, "noticed", (noticed - at) * 1000)
        settled = cluster.wait(cluster.is_settled, f"shares after {event}")
        # The last of the slots may be told just now.
        time.sleep(0.2)
        failed, served = probe.end()
        self.add(event, "first error", (failed - at) * 1000)
        self.add(event, "all served again", (served - at) * 1000)
        self.over(event, began, at, settled)
        return node

    def crash(self):
        """A node ends without a word."""
        self.lose("crash", signal.SIGKILL).process.wait()

    def freeze(self):
        """A node is stopped, and goes on later."""
        node = self.lose("freeze", signal.SIGSTOP)
        began, at = time.time(), time.monotonic()
        node.process.send_signal(signal.SIGCONT)
        self.cluster.nodes.append(node)
        self.over("thaw", began, at)

    def run(self):
        """All of them. At the end there are as many nodes as at the beginning."""
        for event in (self.leave, self.join, self.crash, self.join, self.freeze):
            event()


class Membership:
    """The measurements."""

    def __init__(self, fleet, tool, rounds, smoke, say):
        self.fleet, self.tool, self.rounds, self.smoke, self.say = fleet, tool, rounds, smoke, say
        self.figures, self.timeline, self.marks, self.routing, self.kinds = [], [], [], [], {}

    def with_cluster(self, count, work, *flags):
        """Does something with a cluster and steady clients; what those have seen."""
        with self.fleet() as fleet:
            cluster = steady = None
            try:
                cluster = Cluster(fleet, count)
                steady = Steady(self.tool, cluster.front.port, *flags)
                time.sleep(0.5)
                work(cluster)
                seen = steady.end()
            finally:
                if steady:
                    steady.stop()
                if cluster:
                    cluster.close()
                # A stopped one would wait for its SIGKILL.
                for server in fleet.servers:
                    if server.process.poll() is None:
                        server.process.send_signal(signal.SIGCONT)
        return seen

    def times(self, count):
        """The events among so many nodes."""
        trials = []

        def work(cluster):
            self.figures.append(Figure("ms", count, "start of all", "evenly shared", 0, cluster.formed * 1000))
            for number in range(self.rounds):
                trials.append(Trial(cluster, number, 0.3, PROBED))
                trials[-1].run()

        seen = self.with_cluster(count, work, "--rate", STEADY_RATE)
        for trial in trials:
            self.figures += trial.figures + errors_of(trial, seen)
        mine = [figure for figure in self.figures if figure.nodes == count and figure.kind == "ms"]
        for event, what in dict.fromkeys((figure.event, figure.what) for figure in mine):
            values = sorted(f.value for f in mine if (f.event, f.what) == (event, what))
            self.say(f"{count} nodes, {event}, {what}: {values[len(values) // 2]:.0f} ms ({values[0]:.0f} to {values[-1]:.0f})")

    def idle(self, count):
        """What members cost that nobody asks anything."""
        seconds = 1 if self.smoke else IDLE_SECONDS
        with self.fleet() as fleet:
            cluster = Cluster(fleet, count)
            try:
                flags = ["--workers", 1, "--maxmemory", "64mb"]
                alone = fleet.run("alone", [fleet.larder, "node", f"{HOST}:{(port := free_ports(1))}", *flags], port)
                servers = [cluster.front, alone, *cluster.nodes]
                time.sleep(seconds / 5)
                before = [server.cpu() for server in servers]
                time.sleep(seconds)
                used = [(server.cpu() - cpu) / seconds * 100 for server, cpu in zip(servers, before)]
                rss = [server.rss() / 2**20 for server in servers]
            finally:
                cluster.close()
        for what, values in (("CPU, % of a core", used), ("resident, MiB", rss)):
            nodes = values[2:]
            for name, value in (
                ("coordinator", values[0]),
                ("a node (mean)", sum(nodes) / len(nodes)),
                ("a node (most)", max(nodes)),
                ("a node of no cluster", values[1]),
            ):
                self.figures.append(Figure("idle", count, name, what, 0, value))
                self.say(f"idle, {count} nodes: {name}: {value:.2f} {what}")

    def through(self):
        """Throughput through the events, with three nodes."""
        found = []

        def work(cluster):
            time.sleep(0.2 if self.smoke else 2)
            trial = Trial(cluster, 0, 0.2 if self.smoke else 1.5, PROBED_UNDER_LOAD)
            trial.run()
            found.append(trial)

        seen = self.with_cluster(3, work, "--connections", 16)
        zero, length = seen["start_ms"], seen["bin_ms"] / 1000
        # The last bin is not a whole one.
        columns = list(zip(seen["answered"], seen["errors"], seen["longest_us"]))[:-1]
        self.timeline = [(at * length, good / length, bad / length, worst / 1000) for at, (good, bad, worst) in enumerate(columns)]
        self.marks = [(event, began - zero / 1000, end - zero / 1000) for event, began, end in found[0].marks]
        self.kinds = seen["kinds"]
        for figure in errors_of(found[0], seen):
            self.figures.append(Figure("under load", 3, figure.event, figure.what, 0, figure.value))
        self.say(f"through the events: {sum(seen['answered']):,} answered, errors: {self.kinds or 'none'}")
        if self.smoke:
            self.figures += found[0].figures

    def route(self):
        """Thousands of members find each other, without a network."""
        for members in (10, 100) if self.smoke else ROUTED:
            argv = [str(self.tool), "routing", "--members", str(members), "--lookups", "100" if self.smoke else "1000"]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=600)
            if done.returncode != 0:
                raise BenchError(f"bench-tool routing failed: {done.stderr.strip()[-400:]}")
            self.routing.append(json.loads(done.stdout))
            told = self.routing[-1]
            self.say(f"routing, {members:,} members: hops {told['hops']}, table {told['table']}, {told['seconds']:.1f} s")

    def run(self):
        """All of them; the smoke test takes its times from the picture's events."""
        self.route()
        self.through()
        for count in () if self.smoke else COUNTS:
            self.times(count)
        self.idle(3 if self.smoke else COUNTS[-1])
        return self


def errors_of(trial, seen):
    """Errors that steady clients saw in each event of a trial."""
    found = []
    for event, began, end in trial.marks:
        first = int((began * 1000 - seen["start_ms"]) // seen["bin_ms"])
        last = int((end * 1000 - seen["start_ms"]) // seen["bin_ms"])
        for what, fold in (("errors", sum), ("longest_us", max)):
            value = fold(seen[what][first : last + 1])
            if what == "longest_us":
                found.append(Figure("wait", trial.nodes, event, "longest wait, ms", trial.trial, value / 1000))
            else:
                found.append(Figure("errors", trial.nodes, event, "errors", trial.trial, value))
    return found
