"""Servers under test: starts them on free loopback ports, reads their CPU and memory, stops them."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

HOST = "127.0.0.1"
READY_SECONDS = 15  # to the first PONG, and to the first reply from behind a proxy
STOP_SECONDS = 5  # from SIGTERM to SIGKILL
SOCKET_SECONDS = 10
TICKS = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """Something that makes the figures worthless: said on stderr, exit code 1."""


def tool(name):
    """The path of a program from a Debian package."""
    # nutcracker is in /usr/sbin, which is not in everybody's PATH.
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if path is None:
        raise BenchError(f"{name} is not installed: apt-get install redis-server redis-tools nutcracker")
    return path


def free_ports(count):
    """The first of `count` free ports in a row.

    Below the range the system gives to outgoing connections, or one of the load generator's thousands
    could take a port between this check and the server's start.
    """
    for _ in range(200):
        base = random.randrange(20000, 32000 - count)
        try:
            for port in range(base, base + count):
                with socket.socket() as probe:
                    probe.bind((HOST, port))
        except OSError:
            continue
        return base
    raise BenchError(f"found no {count} free ports in a row")


def request(*words):
    """One RESP request."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        word = word.encode() if isinstance(word, str) else word
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


def exchange(sock, requests, expected):
    """Sends requests and reads their replies, which must be `expected` to the byte."""
    sock.sendall(requests)
    got = b""
    while len(got) < len(expected):
        chunk = sock.recv(1 << 20)
        if not chunk:
            raise BenchError("the connection was closed in the middle of replies")
        got += chunk
        # An error's reply may be shorter than what is awaited: do not wait for the rest.
        if not expected.startswith(got):
            at = next((i for i, (a, b) in enumerate(zip(got, expected)) if a != b), len(expected))
            raise BenchError(f"unexpected reply: {got[max(0, at - 1) : at + 120]!r}")


class Server:
    """One server process."""

    def __init__(self, name, argv, port, folder):
        self.name, self.argv, self.port = name, [str(word) for word in argv], port
        self.log = folder / f"{name.replace(' ', '-')}-{port}.log"
        self.process = None
        self.start_seconds = None
        self.start_rss = None

    def start(self):
        """Starts the process and waits for its first PONG."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("LARDER_")}
        with self.log.open("wb") as log:
            began = time.monotonic()
            # A session of its own: Ctrl-C comes to the runner, which then stops the servers itself.
            self.process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.log.parent,
                env=env,
                start_new_session=True,
            )
        while not self.answers(b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n"):
            if self.process.poll() is not None:
                raise BenchError(f"{self.name} ended with code {self.process.returncode}: {self.tail()}")
            if time.monotonic() - began > READY_SECONDS:
                raise BenchError(f"{self.name} did not answer PING in {READY_SECONDS} s: {self.tail()}")
            time.sleep(0.0005)
        self.start_seconds = time.monotonic() - began
        self.start_rss = self.rss()

    def answers(self, asked, expected):
        """Whether the server gives this reply now."""
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as sock:
                exchange(sock, asked, expected)
        except (OSError, BenchError):
            return False
        return True

    def wait_for_backends(self):
        """Waits until a proxy reaches what is behind it: keys all over are answered, with nothing."""
        keys = 64
        asked = b"".join(request("GET", f"no-such-key:{i}") for i in range(keys))
        end = time.monotonic() + READY_SECONDS
        while not self.answers(asked, b"$-1\r\n" * keys):
            if time.monotonic() > end:
                raise BenchError(f"{self.name} did not reach its servers in {READY_SECONDS} s: {self.tail()}")
            time.sleep(0.01)

    @contextlib.contextmanager
    def conversation(self):
        """A connection for `exchange`; what goes wrong on it is told with the server's name."""
        try:
            with socket.create_connection((HOST, self.port), timeout=SOCKET_SECONDS) as sock:
                yield sock
        except (OSError, BenchError) as error:
            raise BenchError(f"{self.name}: {error}") from error

    def dbsize(self):
        """How many keys the server has."""
        with self.conversation() as sock:
            sock.sendall(request("DBSIZE"))
            reply = sock.makefile("rb").readline()
            if not reply.startswith(b":"):
                raise BenchError(f"unexpected reply to DBSIZE: {reply!r}")
            return int(reply[1:])

    def tail(self):
        """The end of what the server printed."""
        return self.log.read_text(errors="replace").strip()[-600:] or "(it printed nothing)"

    def cpu(self):
        """Seconds of user and system time so far, of all threads, ended ones too."""
        self.check()
        try:
            stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        except OSError as error:
            raise BenchError(f"{self.name} is gone: {self.tail()}") from error
        # The command's name, in parentheses, may hold anything: fields are counted after it.
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss(self):
        """Resident memory in bytes."""
        self.check()
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise BenchError(f"{self.name} has no resident memory")

    def check(self):
        """Fails if the process has ended: a zombie still has a /proc entry."""
        if self.process.poll() is not None:
            raise BenchError(f"{self.name} ended in the run, code {self.process.returncode}: {self.tail()}")

    def stop(self):
        """Stops the process, by force if it does not obey."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Fleet:
    """Starts servers and, at the end of its `with` block, stops all it has started."""

    def __init__(self, larder, folder, workers):
        self.larder, self.folder, self.workers = larder, folder, workers
        self.servers = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # A second Ctrl-C must not leave half of them running.
        handlers = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            for server in reversed(self.servers):
                server.stop()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def run(self, name, argv, port):
        """Starts one server of any kind."""
        server = Server(name, argv, port, self.folder)
        self.servers.append(server)
        server.start()
        return server

    def redis(self, name="redis-server"):
        """redis-server with no snapshots, no log and no memory limit."""
        port = free_ports(1)
        options = ["--bind", HOST, "--save", "", "--appendonly", "no", "--maxmemory", 0, "--loglevel", "warning"]
        return self.run(name, [tool("redis-server"), "--port", port, *options], port)

    def nutcracker(self, backends):
        """twemproxy over redis-servers, with its defaults and one connection to each."""
        port = free_ports(2)
        config = self.folder / f"nutcracker-{port}.yml"
        lines = [
            "bench:",
            f"  listen: {HOST}:{port}",
            "  redis: true",
            "  hash: fnv1a_64",
            "  distribution: ketama",
            "  auto_eject_hosts: false",
            "  preconnect: true",
            "  servers:",
            *[f"   - {HOST}:{backend.port}:1" for backend in backends],
        ]
        config.write_text("\n".join(lines) + "\n")
        argv = [tool("nutcracker"), "-c", config, "-a", HOST, "-s", port + 1]
        return self.run("nutcracker", argv, port)

    def node(self, name="larder node", workers=None, under=(), flags=()):
        """A node with no memory limit, run under another program maybe."""
        port = free_ports(1)
        argv = [*under, self.larder, "node", f"{HOST}:{port}", *self.parameters(workers), *flags]
        return self.run(name, argv, port)

    def coordinator(self, backends, under=(), flags=()):
        """A coordinator over nodes or redis-servers, run under another program maybe."""
        port = free_ports(1)
        nodes = [f"{HOST}:{backend.port}" for backend in backends]
        argv = [*under, self.larder, "coordinator", f"{HOST}:{port}", *nodes, *self.parameters(memory=False), *flags]
        return self.run("larder coordinator", argv, port)

    def up(self):
        """`larder up`: a coordinator and three nodes in one process."""
        port = free_ports(4)
        argv = [self.larder, "up", "--host", HOST, "--port", port, "--nodes", 3, *self.parameters()]
        return self.run("larder up", argv, port)

    def parameters(self, workers=None, memory=True):
        """What every Larder server is started with; a coordinator stores nothing, so has no memory limit."""
        return ["--workers", workers or self.workers, *(["--maxmemory", 0] if memory else [])]
