# ctest-timeout: 180
"""Writes and syncs that fail below a running server, seen from its clients (R-ERR-03, R-ERR-04, R-ERR-07).

A library in the server (support/io_faults.c) lets calls on some files fail while a test wants it to. Nothing is
acknowledged behind a failure, reads go on, the pages for monitoring say why, and the next start has all that was
acknowledged. A compaction that meets one leaves no trace but its reason.
"""
import errno
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_native as native  # noqa: E402

LIBRARY = os.path.join(native.BUILD_DIR, "tests", "cellar_io_faults.so")
FLAGS = ("--store-map-bytes", "268435456", "--log-segment-bytes", "1m", "--compact-garbage", "0")
EAGER = ("--checkpoint-records-max", "1")
FAULT_BYTES = 256
RESOURCE_EXHAUSTED, OUTCOME_UNKNOWN, IO_ERROR = 7, 9, 15
UNKNOWN = "the write may or may not have been applied"
PARTLY = 0  # a write takes a part of its bytes


class Faults:
    """The file by which the library is told."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "faults")
        self.none()

    def none(self):
        with open(self.path, "wb" if not os.path.exists(self.path) else "r+b") as file:
            file.write(bytes(FAULT_BYTES))

    def set(self, call, code, part):
        text = f"{call} {code} {part}".encode()
        with open(self.path, "r+b", buffering=0) as file:
            os.pwrite(file.fileno(), text[1:] + b"\0", 1)
            os.pwrite(file.fileno(), text[:1], 0)


class Stage:
    """A data directory with a table, and the rows that were acknowledged."""

    def __init__(self, folder, flags=()):
        self.data = os.path.join(folder, "data")
        self.faults = Faults(folder)
        self.flags = FLAGS + tuple(flags)
        self.rows = {}

    def start(self):
        environment = {"LD_PRELOAD": LIBRARY, "CELLAR_IO_FAULTS": self.faults.path}
        return native.Server(self.data, self.flags, environment=environment).start()

    def put(self, connection, row, value):
        connection.mutate_row("t", row, [[0, "f", b"q", 1000, value]])
        self.rows[row] = value

    def check(self, connection, unknown=()):
        """All that was acknowledged is there, and nothing else but rows whose outcome nobody knows."""
        got = {row: cells[0][3] for row, cells in connection.read_rows("t").items()}
        for row, value in self.rows.items():
            assert got.pop(row, None) == value, row
        for row, value in unknown:
            assert got.pop(row, value) == value, row
        assert not got, got


def refused(call, codes, *words):
    try:
        call()
    except native.NativeError as error:
        assert error.code in codes and all(word in error.text for word in words), error
        return error.code
    raise AssertionError("a write was acknowledged")


def page(server, name):
    """(status, text) of a page for monitoring."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/{name}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def metric(server, name):
    for line in page(server, "metrics")[1].splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    raise AssertionError(f"no metric {name}")


def metric_await(server, name, wanted):
    deadline = time.monotonic() + 30
    while not wanted(metric(server, name)):
        assert time.monotonic() < deadline, (name, metric(server, name), server.output())
        time.sleep(0.02)


def sick_check(server, reason):
    for name in ("healthz", "readyz"):
        status, text = page(server, name)
        assert status == 503 and reason in text, (name, status, text)
    assert metric(server, "cellar_healthy") == 0 and metric(server, "cellar_ready") == 0


def log_fails(stage, call, code):
    """The group's outcome is unknown, and nothing is acknowledged behind it, whatever the disk does then."""
    with stage.start() as server, server.connect() as connection:
        connection.create_table("t", {"f": None})
        for number in range(20):
            stage.put(connection, b"r%02d" % number, b"first")
        time.sleep(1.3)  # the empty group behind the last one is not what fails
        stage.faults.set(call, code, "/log/")
        refused(lambda: stage.put(connection, b"u", b"unknown"), (OUTCOME_UNKNOWN,), UNKNOWN)
        for _ in range(2):
            refused(lambda: stage.put(connection, b"never", b"x"), (IO_ERROR,), "commit log", "started again")
            stage.faults.none()
        refused(lambda: connection.mutate_row("t", b"r00", [[3]]), (IO_ERROR,), "commit log")
        stage.check(connection)
        sick_check(server, "commit log")
        assert metric(server, "cellar_log_failed") == 1
        assert " log_failed " in server.output()
        server.stop()
    with stage.start() as server, server.connect() as connection:
        stage.check(connection, unknown=[(b"u", b"unknown")])
        assert page(server, "healthz")[0] == 200
        connection.mutate_row("t", b"u", [[3]])
        stage.put(connection, b"r00", b"second")
        stage.check(connection)
        server.stop()


def store_fails(stage, call, code):
    """What was acknowledged is in the log; writes end with the store's first failure."""
    with stage.start() as server, server.connect() as connection:
        connection.create_table("t", {"f": None})
        stage.put(connection, b"a", b"first")
        metric_await(server, "cellar_checkpoints_total", lambda value: value >= 2)
        stage.faults.set(call, code, "/stores/1/")
        stage.put(connection, b"b", b"in the log")
        metric_await(server, "cellar_store_failed", lambda value: value == 1)
        stage.faults.none()
        refused(lambda: stage.put(connection, b"never", b"x"), (IO_ERROR,), "store 1", "started again")
        stage.check(connection)
        sick_check(server, "store 1")
        server.kill()
    with stage.start() as server, server.connect() as connection:
        stage.check(connection)
        stage.put(connection, b"c", b"again")
        metric_await(server, "cellar_memtable_stores", lambda value: value == 0)
        stage.check(connection)
        server.stop()


def store_is_full(stage, call, code):
    """No space for a checkpoint is no failure: it comes when there is some."""
    with stage.start() as server, server.connect() as connection:
        connection.create_table("t", {"f": None})
        stage.put(connection, b"a", b"first")
        metric_await(server, "cellar_checkpoints_total", lambda value: value >= 2)
        stage.faults.set(call, code, "/stores/1/")
        stage.put(connection, b"b", b"in the log")
        metric_await(server, "cellar_checkpoint_failures_total", lambda value: value >= 3)
        stage.put(connection, b"c", b"in the log, too")
        stage.check(connection)
        assert page(server, "healthz")[0] == 200
        assert server.output().count(" checkpoint_failed ") == 1, server.output()
        stage.faults.none()
        metric_await(server, "cellar_memtable_stores", lambda value: value == 0)
        stage.check(connection)
        server.stop()


def generations(stage):
    return sorted(os.listdir(os.path.join(stage.data, "stores", "1")))


def compact_under_fault(stage, server, fault, is_made):
    """What `cellar compact` says when its new generation meets a fault: while it is made, or in its middle."""
    call, code = fault
    rate = "400000" if is_made else "100000000"
    if not is_made:
        stage.faults.set(call, code, "/stores/1/2/")
    process = subprocess.Popen([native.CELLAR, "--endpoint", f"127.0.0.1:{server.port}", "compact", "t", "--rate", rate],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    made = os.path.join(stage.data, "stores", "1", "2", "data.mdb")
    deadline = time.monotonic() + 30
    while is_made and not (os.path.exists(made) and os.path.getsize(made) > 200000):
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.002)
    stage.faults.set(call, code, "/stores/1/2/")
    output, _ = process.communicate(timeout=60)
    stage.faults.none()
    assert process.returncode == 4 and "failed: 0 of 1 tablets" in output, output
    return output


def compaction_fails(stage):
    """Each way to fail in one life of a server: none leaves a file, or anything else, behind."""
    with stage.start() as server, server.connect() as connection:
        connection.create_table("t", {"f": None})
        for number in range(300):
            stage.put(connection, b"r%04d" % number, b"v" * 3000)
        assert generations(stage) == ["1"]
        faults = [("write", errno.EIO), ("write", errno.ENOSPC), ("sync", errno.EIO), ("write", PARTLY)]
        for fault, is_made in [(fault, is_made) for fault in faults for is_made in (False, True)]:
            output = compact_under_fault(stage, server, fault, is_made)
            words = ("RESOURCE_EXHAUSTED", "No space") if fault[1] == errno.ENOSPC else ("IO_ERROR", "Input/output")
            assert any(word in output for word in words) or fault[1] == PARTLY, (fault, is_made, output)
            assert generations(stage) == ["1"], generations(stage)
            stage.put(connection, b"r0000", b"%d" % fault[1])
            stage.check(connection)
            assert page(server, "healthz")[0] == 200
        assert metric(server, "cellar_compaction_failures_total") == 8
        native.tool(server, "compact", "t")
        assert generations(stage) == ["2"], generations(stage)
        stage.check(connection)
        server.stop()
    with stage.start() as server, server.connect() as connection:
        stage.check(connection)


def making_fails(stage, call, code):
    """A table whose store cannot be made is none, and the next try makes it."""
    with stage.start() as server, server.connect() as connection:
        connection.create_table("t", {"f": None})
        stage.put(connection, b"a", b"first")
        stores = sorted(os.listdir(os.path.join(stage.data, "stores")))
        for part in ("/stores/2/", "/stores/3/"):
            stage.faults.set(call, code, part)
            refused(lambda: connection.create_table("u", {"f": None}), (IO_ERROR, RESOURCE_EXHAUSTED), "store")
            stage.faults.none()
            assert sorted(os.listdir(os.path.join(stage.data, "stores"))) == stores
            assert len(connection.list_tables()) == 1
        connection.create_table("u", {"f": None})
        stage.put(connection, b"b", b"second")
        stage.check(connection)
        server.stop()


def main():
    if not os.path.exists(LIBRARY):
        native.skip("the library of faults is not built with sanitizers")
    cases = [(log_fails, (), call, code) for call in ("write", "sync") for code in (errno.EIO, errno.ENOSPC)]
    cases += [(log_fails, (), "write", PARTLY)]
    cases += [(store_fails, EAGER, call, errno.EIO) for call in ("write", "sync")]
    cases += [(making_fails, (), "write", errno.ENOSPC), (making_fails, (), "sync", errno.EIO)]
    cases += [(store_is_full, EAGER, "write", errno.ENOSPC), (compaction_fails, ())]
    for case, flags, *arguments in cases:
        print(case.__name__, *arguments, flush=True)
        with tempfile.TemporaryDirectory(prefix="cellar-faults-") as folder:
            case(Stage(folder, flags), *arguments)
    print("no failure of the disk was acknowledged")


main()
