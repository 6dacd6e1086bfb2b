"""Reads of what is not in memory, against a real server with one event loop.

support/read_gate.c holds the steps of reads of cold tablets on their threads, as a disk that does not answer would:
meanwhile everything else on the same loop is answered, what is held can be cancelled, can lose its connection and
meets its time limit, and a server that stops waits for it. Without the gate, a table that was dropped from the page
cache is read whole, and right, on the read pool. Nothing here is measured in time.
"""
import glob
import os
import select
import shutil
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_native as native  # noqa: E402

GATE_LIBRARY = os.path.join(native.BUILD_DIR, "tests", "cellar_read_gate.so")
FLAGS = ["--workers=1", "--log-segment-bytes=4m", "--store-map-bytes=256m"]
ROWS = 8000  # of a kilobyte: too many to be read ahead whole
POOL_THREADS = 8
WAIT_SECONDS_MAX = 60
ANONYMOUS_BYTES_MAX = 200 << 20
CANCELLED, DEADLINE_EXCEEDED = 14, 8
HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def wait_for(what):
    end = time.monotonic() + WAIT_SECONDS_MAX
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def metric(server, name):
    with HTTP.open(f"http://127.0.0.1:{server.port}/metrics", timeout=WAIT_SECONDS_MAX) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(name + " "))


def value(number):
    return (b"%08d " % number) * 110


def fill(server):
    with server.connect() as connection:
        for table, count in (("cold", ROWS), ("hot", 10)):
            connection.create_table(table, {"f": None})
            for start in range(0, count, 250):
                entries = [[b"row%06d" % n, [[0, "f", b"q", 1000, value(n)]]]
                           for n in range(start, min(start + 250, count))]
                connection.mutate_rows(table, entries)
    native.tool(server, "compact", "cold")


def get(connection, table, number, timeout_us=0):
    body = {1: table, 2: [b"row%06d" % number]}
    return connection.submit(native.READ_ROWS, {**body, 15: timeout_us} if timeout_us else body)


def check(connection, numbers):
    """Takes the answers of gets by {id: row number}, each of which must be that row's."""
    while numbers:
        got, _, kind, payload = connection.receive()
        assert kind == native.REPLY, (kind, payload)
        number = numbers.pop(got)
        assert value(number) in payload, number


def warm_up(server, connection):
    """Reads the hot table until its reads stay on the loop."""
    def is_warm():
        before = metric(server, "cellar_cold_reads_total")
        check(connection, {get(connection, "hot", n): n for n in range(10)})
        return metric(server, "cellar_cold_reads_total") == before
    wait_for(is_warm)


def is_silent(connection):
    return not connection.messages and not select.select([connection.socket], [], [], 0)[0]


def error_code(connection, number):
    got, _, kind, payload = connection.receive()
    assert (got, kind) == (number, native.ERROR), (got, kind)
    return native.error_of(payload).code


def held_reads(server, gate):
    """What goes on while cold reads are held, and what becomes of them."""
    with server.connect() as hot, server.connect() as cold, server.connect() as lost:
        warm_up(server, hot)
        with open(gate, "wb"):
            pass
        numbers = {get(cold, "cold", 7): 7}
        wait_for(lambda: os.path.exists(gate + ".held"))
        for _ in range(20):
            check(hot, {get(hot, "hot", n): n for n in range(10)})
        hot.call(native.PING, {})
        assert is_silent(cold)

        # More than there are threads: some wait, and all of them leave the loop alone.
        for number in range(100, 100 + POOL_THREADS + 4):
            numbers[get(cold, "cold", number)] = number
        get(lost, "cold", 5)
        wait_for(lambda: metric(server, "cellar_cold_reads_waiting") > 0)
        cancelled = get(cold, "cold", 9)
        cold.socket.sendall(native.frame_encode(cancelled, 0, native.CANCEL, b""))
        assert error_code(cold, cancelled) == CANCELLED
        late = get(cold, "cold", 11, timeout_us=1000)
        assert error_code(cold, late) == DEADLINE_EXCEEDED
        lost.close()
        check(hot, {get(hot, "hot", n): n for n in range(10)})
        assert is_silent(cold)
        os.remove(gate)
        check(cold, numbers)
        check(hot, {get(hot, "hot", 3): 3})


def held_stop(server, gate):
    """A server that is told to stop answers what is held before it goes."""
    with server.connect() as cold:
        os.remove(gate + ".held")
        with open(gate, "wb"):
            pass
        numbers = {get(cold, "cold", ROWS - 1): ROWS - 1}
        wait_for(lambda: os.path.exists(gate + ".held"))
        server.process.terminate()
        wait_for(lambda: " drain_begun " in server.output())
        assert server.process.poll() is None
        os.remove(gate)
        while numbers:
            got, _, kind, payload = cold.receive()
            if kind != native.GOAWAY:
                assert kind == native.REPLY and value(numbers.pop(got)) in payload
    assert server.process.wait(WAIT_SECONDS_MAX) == 0


def drop(folder):
    """Has the page cache forget the stores' files."""
    for path in glob.glob(os.path.join(folder, "**", "data.mdb"), recursive=True):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def whole_scan(folder):
    """A table that is not in memory is read whole on the read pool."""
    drop(folder)
    with native.Server(folder, FLAGS).start() as server:
        with server.connect() as connection:
            rows = connection.read_rows("cold")
            assert list(rows) == [b"row%06d" % n for n in range(ROWS)]
            assert all(row[0][3] == value(n) for n, row in enumerate(rows.values()))
        assert metric(server, "cellar_cold_reads_total") > 16
        assert metric(server, "cellar_memory_anonymous_bytes") < ANONYMOUS_BYTES_MAX
        server.stop()


def main():
    if not os.path.exists(GATE_LIBRARY):
        native.skip("there is no cellar_read_gate.so in this build")
    folder = tempfile.mkdtemp(prefix="cellar-cold-")
    try:
        data, gate = os.path.join(folder, "data"), os.path.join(folder, "gate")
        with native.Server(data, FLAGS).start() as server:
            fill(server)
            server.stop()
        environment = {"LD_PRELOAD": GATE_LIBRARY, "CELLAR_READ_GATE": gate}
        with native.Server(data, FLAGS, environment=environment).start() as server:
            held_reads(server, gate)
            held_stop(server, gate)
        whole_scan(data)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


main()
