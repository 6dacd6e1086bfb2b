"""The native protocol (common/PROTOCOL.md) and a server to speak it with, for the system tests.

Connection is one blocking connection with any number of requests in flight; Server starts cellard in
a directory and always ends it by its process id. Nothing here retries: a test sees what happened.
"""
import itertools
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

try:
    import msgpack
except ImportError:
    print("python3-msgpack is not installed (docker/packages.txt): skipped")
    sys.exit(77)

REQUEST, REPLY, PART, ERROR, CREDIT, CANCEL, GOAWAY = range(1, 8)
HELLO, PING, SERVER_INFO = 1, 2, 3
CREATE_TABLE, DESCRIBE_TABLE, LIST_TABLES, DROP_TABLE = 16, 17, 18, 19
MODIFY_FAMILIES, DROP_ROWS = 20, 21
COMPACT = 23
BULK_BEGIN, BULK_ROWS, BULK_COMMIT, BULK_ABORT = 24, 25, 26, 27
MUTATE_ROW, MUTATE_ROWS, READ_ROWS = 32, 33, 34

NOT_FOUND, ALREADY_EXISTS, UNAVAILABLE = 2, 3, 6
# The write was not applied: 1-7, 10, 11, 15 and 16; after any other code nobody knows.
NOT_APPLIED = frozenset([1, 2, 3, 4, 5, 6, 7, 10, 11, 15, 16])

MAGIC = b"\x93CELLAR\n"
FRAME_BYTES_MAX = 1 << 20
MORE = 1
HEADER = struct.Struct(">IIHBB")
START_SECONDS_MAX = 60

# ctest says where the programs are; by hand it is the build of every day.
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD_DIR = os.environ.get("CELLAR_BUILD_DIR", os.path.join(ROOT, "build", "dev"))
CELLARD = os.environ.get("CELLARD", os.path.join(BUILD_DIR, "bin", "cellard"))
CELLAR = os.environ.get("CELLAR", "cellar")
RECORDER = os.path.join(BUILD_DIR, "tests", "cellar_io_recorder.so")


class NativeError(Exception):
    """An ERROR frame."""

    def __init__(self, code, text, retry_ms=0):
        super().__init__(f"code {code}: {text}")
        self.code, self.text, self.retry_ms = code, text, retry_ms


class ServerError(Exception):
    """A server that did not start or did not stop as it should."""


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def test_seed():
    """The seed of a random test: CELLAR_TEST_SEED, else from the time; printed."""
    text = os.environ.get("CELLAR_TEST_SEED")
    seed = int(text, 0) if text else time.time_ns() & 0xFFFFFFFF
    print(f"CELLAR_TEST_SEED={seed}", flush=True)
    return seed


def tool(server, *arguments, code=0):
    """(output, errors) of cellar without a terminal, which ends with the code."""
    done = subprocess.run([CELLAR, "--endpoint", f"127.0.0.1:{server.port}", *arguments],
                          stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=120,
                          text=True)
    assert done.returncode == code, (arguments, done)
    return done.stdout, done.stderr


def tool_bytes(server, *arguments):
    """The output of cellar, which ends well, byte by byte."""
    done = subprocess.run([CELLAR, "--endpoint", f"127.0.0.1:{server.port}", *arguments],
                          stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=120)
    return done.stdout


def tool_offline(*arguments, code=0):
    """(output, errors) of cellar where it needs no server."""
    done = subprocess.run([CELLAR, *arguments], stdin=subprocess.DEVNULL, capture_output=True, check=False,
                          timeout=120, text=True)
    assert done.returncode == code, (arguments, done)
    return done.stdout, done.stderr


def frame_encode(number, operation, kind, payload):
    """One message as one or more frames."""
    pieces = [payload[at:at + FRAME_BYTES_MAX] for at in range(0, len(payload), FRAME_BYTES_MAX)]
    pieces = pieces or [b""]
    frames = []
    for index, piece in enumerate(pieces):
        flags = MORE if index + 1 < len(pieces) else 0
        frames += [HEADER.pack(len(piece), number, operation, kind, flags), piece]
    return b"".join(frames)


def body_encode(body):
    return msgpack.packb(body, use_bin_type=True)


def body_decode(payload):
    """A body with text as bytes: names and values compare without guessing."""
    if not payload:
        return {}
    return msgpack.unpackb(payload, raw=True, strict_map_key=False,
                           max_bin_len=1 << 30, max_str_len=1 << 30, max_array_len=1 << 28)


class FrameReader:
    """Bytes in, joined messages out: (id, operation, kind, payload)."""

    def __init__(self):
        self.buffer = bytearray()
        self.partial = {}

    def feed(self, data):
        self.buffer += data
        messages = []
        at = 0
        while len(self.buffer) - at >= HEADER.size:
            size, number, operation, kind, flags = HEADER.unpack_from(self.buffer, at)
            if size > FRAME_BYTES_MAX:
                raise ValueError(f"a frame of {size} bytes")
            if len(self.buffer) - at - HEADER.size < size:
                break
            payload = bytes(self.buffer[at + HEADER.size:at + HEADER.size + size])
            at += HEADER.size + size
            key = (number, operation, kind)
            if flags & MORE:
                self.partial.setdefault(key, bytearray()).extend(payload)
                continue
            if kind == ERROR:  # it cuts a part off
                self.partial.pop((number, operation, PART), None)
            begun = self.partial.pop(key, None)
            messages.append((number, operation, kind, payload if begun is None else bytes(begun) + payload))
        del self.buffer[:at]
        return messages


def error_of(payload):
    body = body_decode(payload)
    text = body.get(2, b"")
    return NativeError(body.get(1, 0), text.decode("utf-8", "replace"), body.get(3, 0))


class Connection:
    """One connection, past HELLO."""

    def __init__(self, port, timeout=60, host="127.0.0.1"):
        self.socket = socket.create_connection((host, port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.local_port = self.socket.getsockname()[1]
        self.reader = FrameReader()
        self.messages = []
        self.numbers = itertools.count(1)
        self.socket.sendall(MAGIC)
        self.hello = self.call(HELLO, {1: 1, 2: 1, 3: "cellar tests"})

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def submit(self, operation, body):
        """Sends a request without waiting; returns its id."""
        number = next(self.numbers)
        self.socket.sendall(frame_encode(number, operation, REQUEST, body_encode(body)))
        return number

    def credit(self, number, size):
        self.socket.sendall(frame_encode(number, READ_ROWS, CREDIT, body_encode({1: size})))

    def receive(self):
        """The next message: (id, operation, kind, payload); EOFError at the end."""
        while not self.messages:
            data = self.socket.recv(1 << 18)
            if not data:
                raise EOFError("the server closed the connection")
            self.messages = self.reader.feed(data)
        return self.messages.pop(0)

    def call(self, operation, body):
        """One request, its reply's body; PARTs are not expected."""
        number = self.submit(operation, body)
        while True:
            got, _, kind, payload = self.receive()
            if kind == ERROR and got in (0, number):
                raise error_of(payload)
            if kind == REPLY and got == number:
                return body_decode(payload)

    # ---- the operations

    def create_table(self, table, families, split_keys=(), granularity=1):
        """families: {name: GC rule or None}."""
        rules = [[name, rule] for name, rule in families.items()]
        return self.call(CREATE_TABLE, {1: table, 2: rules, 3: list(split_keys), 4: granularity})

    def drop_table(self, table):
        return self.call(DROP_TABLE, {1: table})

    def families(self, table):
        """The names of a table's families."""
        return [family[0] for family in self.call(DESCRIBE_TABLE, {1: table})[2]]

    def list_tables(self):
        """Full names, all pages."""
        names, token = [], None
        while True:
            body = self.call(LIST_TABLES, {} if token is None else {3: token})
            names += [name.decode() for name in body.get(1, [])]
            token = body.get(2)
            if not token:
                return names

    def mutate_row(self, table, row, mutations):
        self.call(MUTATE_ROW, {1: table, 2: row, 3: mutations})

    def mutate_rows(self, table, entries):
        """The results: 0 or [code, text, delay] an entry."""
        return self.call(MUTATE_ROWS, {1: table, 2: entries}).get(1, [])

    def read_rows(self, table, **fields):
        """All rows asked for: {key: [(family, qualifier, timestamp, value), ...]} in order."""
        rows = RowCollector()
        number = self.submit(READ_ROWS, read_body(table, **fields))
        while True:
            got, _, kind, payload = self.receive()
            if got != number:
                continue
            if kind == ERROR:
                raise error_of(payload)
            rows.add(body_decode(payload))
            if kind == REPLY:
                return rows.finish()
            self.credit(number, len(payload))


def read_body(table, row_keys=None, ranges=None, rows_limit=0, reversed_=False, columns=None,
              versions=0, credit_bytes=None):
    body = {1: table}
    for number, value in ((2, row_keys), (3, ranges), (4, rows_limit), (5, reversed_),
                          (6, columns), (7, versions), (9, credit_bytes)):
        if value:
            body[number] = value
    return body


class RowCollector:
    """Joins the rows of the parts of one read."""

    def __init__(self):
        self.rows = {}
        self.open = None

    def add(self, body):
        for key, flags, pieces in body.get(2, []):
            if flags & 2 and self.open != key:
                raise ValueError(f"a continuation of row {key!r} that was not open")
            if not flags & 2:
                if key in self.rows:
                    raise ValueError(f"row {key!r} came twice")
                self.rows[key] = []
            cells = self.rows[key]
            for piece in pieces:
                family = qualifier = None
                for at in range(0, len(piece), 4):
                    if piece[at] is not None:
                        family = piece[at]
                    if piece[at + 1] is not None:
                        qualifier = piece[at + 1]
                    cells.append((family, qualifier, piece[at + 2], piece[at + 3]))
            self.open = key if flags & 1 else None

    def finish(self):
        if self.open is not None:
            raise ValueError(f"row {self.open!r} has no last piece")
        return self.rows


class Server:
    """One cellard process on a free port of 127.0.0.1. Use it as a context: it ends with it.

    wrapper stands before the program (strace ...); environment is added to the program's own, not
    to the wrapper's.
    """

    def __init__(self, data_dir, flags=(), wrapper=(), environment=None, program=None):
        self.data_dir = data_dir
        self.program = program or CELLARD
        self.flags = [str(flag) for flag in flags]
        self.wrapper = list(wrapper)
        self.environment = dict(environment or {})
        self.process = None
        self.private = None
        self.port = None

    def launch(self):
        """Starts the process without waiting until it serves."""
        self.private = tempfile.mkdtemp(prefix="cellar-server-")
        self.port_file = os.path.join(self.private, "port")
        self.log_path = os.path.join(self.private, "log")
        command = list(self.wrapper)
        if shutil.which("setpriv"):
            command += ["setpriv", "--pdeathsig", "KILL"]
        if self.environment:
            command += ["env"] + [f"{name}={value}" for name, value in self.environment.items()]
        command += [self.program, "--data-dir", self.data_dir, "--listen", "127.0.0.1:0",
                    "--port-file", self.port_file, *self.flags]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, cwd=self.private)
        return self

    def wait(self, seconds=START_SECONDS_MAX):
        """Until the server serves; ServerError with its output when it does not."""
        end = time.monotonic() + seconds
        while True:
            self.port = self._read_port()
            if self.port:
                return self
            if self.process.poll() is not None:
                raise ServerError(f"cellard ended with {self.process.returncode} before it "
                                   f"served; its output:\n{self.output()}")
            if time.monotonic() > end:
                raise ServerError(f"cellard does not serve after {seconds} s; its output:\n"
                                   f"{self.output()}")
            time.sleep(0.002)

    def start(self):
        return self.launch().wait()

    def _read_port(self):
        try:
            with open(self.port_file, encoding="ascii") as file:
                text = file.read()
        except FileNotFoundError:
            return None
        return int(text.split(":")[-1]) if text.endswith("\n") else None

    def output(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()[-8000:]

    @property
    def pid(self):
        """The process id of cellard itself, below any wrapper."""
        pid = self.process.pid
        while self.wrapper:
            with open(f"/proc/{pid}/comm", encoding="ascii") as file:
                if file.read().strip() == os.path.basename(self.program)[:15]:
                    return pid
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
                children = file.read().split()
            if not children:
                raise RuntimeError("the wrapper has no child")
            pid = int(children[0])
        return pid

    def connect(self, timeout=60):
        return Connection(self.port, timeout)

    def stop(self, seconds=60):
        """SIGTERM, waits; ServerError unless the exit code is 0."""
        os.kill(self.pid, signal.SIGTERM)
        self.process.wait(seconds)
        if self.process.returncode != 0:
            raise ServerError(f"cellard ended with {self.process.returncode}; its output:\n"
                               f"{self.output()}")

    def kill(self):
        """SIGKILL, at once; fine when it is gone already."""
        if self.process is not None and self.process.poll() is None:
            if self.wrapper:
                try:
                    os.kill(self.pid, signal.SIGKILL)
                    self.process.wait(5)
                except (OSError, RuntimeError, subprocess.TimeoutExpired):
                    pass
            self.process.kill()
            self.process.wait()

    def close(self):
        self.kill()
        if self.private is not None:
            shutil.rmtree(self.private, ignore_errors=True)
            self.private = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def descriptor_count(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def memory_bytes(self):
        """RssAnon."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            for line in file:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024
        raise RuntimeError("no RssAnon in /proc; is the server running?")
