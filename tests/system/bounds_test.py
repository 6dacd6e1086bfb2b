"""Bounds that the server promises, measured from outside.

- One cell of a 100,000-cell row is changed and checkpointed: at most 48 KiB are written, log included
  (io_recorder.c counts; the zeroes of new log segments and their headers are not counted).
- A reader takes one message of a scan of a gigabyte and stops: at most 2 MiB more memory (RssAnon).
- 16 tablets are written at random: RssAnon stays under memory_bytes_max.
- 1,000 tablets are written at random, and read after a restart: so does it, and the number of descriptors is bounded,
  since idle stores are closed until they are needed.
- Four rows of 240 MiB in small cells are written at once: memory for one of them, and none of it is kept.

    CELLAR_BOUNDS_SECONDS=N     how long the random writes take; 60 unless said otherwise
    CELLAR_BOUNDS_SCAN_BYTES=N  how much the scan would read; 1,000,000,000 unless said otherwise
    bounds_test.py NAME ...     only these: cells, write, scan, memory, many
"""
# ctest-timeout: 900
import multiprocessing
import os
import random
import shutil
import socket
import sys
import tempfile
import threading
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_native as native  # noqa: E402
import disk_model as disks  # noqa: E402

HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))
MIB = 1 << 20
CHANGE_BYTES_MAX = 48 << 10
SCAN_GROWTH_BYTES_MAX = 2 * MIB
SCAN_LOAD_SECONDS_MAX = 180
SCAN_VALUE_BYTES = 100_000

CELL_COUNT = 100_000
CELLS_PER_REQUEST = 5000

ROW_COUNT = 1_000_000
ROWS_PER_REQUEST = 64
MEMORY_WRITERS = 2
ROWS_PER_SECOND_MIN = 500
CELLS_LIMIT = 512 * MIB
CELL_VALUE_BYTES = 2500
ROW_WRITERS = 4
# One row in memory is what the pool and the memtable hold of it, and the pages of its checkpoint.
CELLS_PEAK_BYTES_MAX = 1024 * MIB
CELLS_LEFT_BYTES_MAX = 64 * MIB

DESCRIPTORS_MAX = 900  # three for each of 256 open stores, connections, the log and little else


# ---- one cell of a wide row ---------------------------------------------------------------------

def write_wide_row(connection):
    for start in range(0, CELL_COUNT, CELLS_PER_REQUEST):
        connection.mutate_row("t", b"wide", [
            [0, b"f", b"column-%06d" % at, 1000, b"value-%09d" % at]
            for at in range(start, start + CELLS_PER_REQUEST)])


def written_bytes(records):
    """{what: bytes} that the records write."""
    paths, sums = {}, {"log": 0, "pages": 0, "other": 0, "not counted": 0}
    for kind, flags, descriptor, offset, name, data in records:
        if kind == disks.OPEN:
            paths[descriptor] = name
        elif kind == disks.WRITE:
            path = paths[descriptor]
            what = "other"
            if path.endswith("data.mdb"):
                what = "pages"
            elif path.endswith(".log"):
                what = "not counted" if flags & disks.ZERO or offset == 0 else "log"
            sums[what] += len(data)
    return sums


def check_write(folder):
    data_dir = os.path.join(folder, "write")
    os.mkdir(data_dir)
    trace = os.path.join(folder, "trace")
    with native.Server(data_dir) as server:
        server.start()
        with server.connect() as connection:
            connection.create_table("t", {"f": None})
            write_wide_row(connection)
        server.stop()
    environment = {"LD_PRELOAD": native.RECORDER, "CELLAR_RECORD_DIR": data_dir,
                   "CELLAR_RECORD_TRACE": trace}
    changed = [0, b"f", b"column-%06d" % (CELL_COUNT // 2), 1000, b"changed"]
    with native.Server(data_dir, environment=environment) as server:
        server.start()
        before = len(disks.read_trace(trace)[0])
        with server.connect() as connection:
            connection.mutate_row("t", b"wide", [changed])
        server.stop()
    records = disks.read_trace(trace)[0]
    opened = [record for record in records[:before] if record[0] == disks.OPEN]
    sums = written_bytes(opened + records[before:])
    total = sums["log"] + sums["pages"] + sums["other"]
    print(f"write: one of {CELL_COUNT} cells changed and checkpointed: {total} bytes "
          f"(at most {CHANGE_BYTES_MAX}); {sums}")
    with native.Server(data_dir) as server:
        server.start()
        with server.connect() as connection:
            cells = connection.read_rows("t", row_keys=[b"wide"])[b"wide"]
    if len(cells) != CELL_COUNT or cells[CELL_COUNT // 2][3] != b"changed":
        return f"write: the row has {len(cells)} cells, or its change is not there"
    if sums["pages"] == 0:
        return "write: no checkpoint was seen"
    return "" if total <= CHANGE_BYTES_MAX else "write: too much is written"


# ---- a reader that stops ------------------------------------------------------------------------

def load_scan(server, wanted):
    """Rows of 100 KB until `wanted` bytes are in, or the time is over; returns the bytes."""
    value = random.Random(1).randbytes(SCAN_VALUE_BYTES)
    end = time.monotonic() + SCAN_LOAD_SECONDS_MAX
    loaded = sent = waiting = 0
    with server.connect() as connection:
        connection.create_table("t", {"f": None})
        while waiting > 0 or loaded < wanted and time.monotonic() < end:
            while waiting < 16 and loaded + waiting * SCAN_VALUE_BYTES < wanted:
                connection.submit(native.MUTATE_ROW, {
                    1: "t", 2: b"row-%06d" % sent, 3: [[0, b"f", b"q", 1000, value]]})
                sent += 1
                waiting += 1
            _, _, kind, payload = connection.receive()
            waiting -= 1
            if kind == native.REPLY:
                loaded += SCAN_VALUE_BYTES
            elif native.error_of(payload).code == native.UNAVAILABLE:
                time.sleep(0.05)  # refused for now; another row takes its place
            else:
                raise native.error_of(payload)
    return loaded


def stopped_reader(server, credit_bytes):
    """How much the server grows while a reader has taken one message and takes no more."""
    before = server.memory_bytes()
    with server.connect() as connection:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.submit(native.READ_ROWS, native.read_body("t", credit_bytes=credit_bytes))
        _, _, kind, payload = connection.receive()
        if kind != native.PART:
            raise RuntimeError(f"expected a part of a scan, got kind {kind}, {len(payload)} bytes")
        highest, end = before, time.monotonic() + 2
        while time.monotonic() < end:
            highest = max(highest, server.memory_bytes())
            time.sleep(0.01)
    return highest - before


def check_scan(folder):
    data_dir = os.path.join(folder, "scan")
    wanted = int(os.environ.get("CELLAR_BOUNDS_SCAN_BYTES", "1000000000"))
    start = time.monotonic()
    with native.Server(data_dir) as server:
        server.start()
        loaded = load_scan(server, wanted)
        server.stop()
    print(f"scan: {loaded} bytes loaded in {time.monotonic() - start:.1f} s", flush=True)
    failure = "" if loaded * 2 >= wanted else "scan: loading was too slow to say anything"
    for what, credit_bytes in (("its first credit", None), ("credit for everything", 1 << 31)):
        with native.Server(data_dir) as server:
            server.start()
            # Each worker has met a connection; none has read what it could keep memory of.
            for _ in range(8):
                with server.connect() as connection:
                    connection.read_rows("t", row_keys=[b"absent"])
            growth = stopped_reader(server, credit_bytes)
        print(f"scan: a reader with {what} that stops costs {growth} bytes "
              f"(at most {SCAN_GROWTH_BYTES_MAX})", flush=True)
        if growth > SCAN_GROWTH_BYTES_MAX:
            failure = "scan: a stopped reader costs too much"
    shutil.rmtree(data_dir)
    return failure


# ---- random writes to many tablets --------------------------------------------------------------

def row_key(number):
    """Neighbours fall into different tablets: those are cut by the first two bytes."""
    return (number * 40503 % 65536).to_bytes(2, "big") + b"-row-%06d" % number


def split_keys(tablet_count):
    return [(at * 65536 // tablet_count).to_bytes(2, "big") for at in range(1, tablet_count)]


def write_at_random(port, seed, seconds, results):
    """Batches of random rows over a few connections; puts (rows written, rows refused)."""
    rng = random.Random(seed)
    values = [rng.randbytes(rng.randint(200, 1800)) for _ in range(256)]
    connections = [native.Connection(port) for _ in range(4)]
    written = refused = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for connection in connections:
            for _ in range(4):
                connection.submit(native.MUTATE_ROWS, {1: "t", 2: [
                    [row_key(rng.randrange(ROW_COUNT)), [[0, b"f", b"q", 1000, rng.choice(values)]]]
                    for _ in range(ROWS_PER_REQUEST)]})
        for connection in connections:
            for _ in range(4):
                _, _, kind, payload = connection.receive()
                results_of = native.body_decode(payload).get(1, []) if kind == native.REPLY else []
                good = sum(1 for result in results_of if result == 0)
                written += good
                refused += ROWS_PER_REQUEST - good
    results.put((written, refused))


def read_all_tablets(server, tablet_count):
    """Reads around the start of every tablet; returns the most memory and descriptors meanwhile."""
    memory = descriptors = 0
    with server.connect() as connection:
        for key in [b"\x00"] + split_keys(tablet_count):
            connection.read_rows("t", row_keys=[key])
            memory = max(memory, server.memory_bytes())
            descriptors = max(descriptors, server.descriptor_count())
    return memory, descriptors


def write_for(folder, limit, seconds, tablet_count=16):
    """Random writes under a memory limit; returns why it failed, or an empty text."""
    data_dir = os.path.join(folder, f"memory-{limit}-{tablet_count}")
    fork = multiprocessing.get_context("fork")
    results = fork.Queue()
    flags = ["--memory-bytes-max", limit] if limit else []
    limit = limit or 1 << 30
    with native.Server(data_dir, flags) as server:
        server.start()
        with server.connect() as connection:
            tablets = connection.create_table("t", {"f": None}, split_keys(tablet_count))[4]
        workers = [fork.Process(target=write_at_random, daemon=True,
                                args=(server.port, index, seconds, results))
                   for index in range(MEMORY_WRITERS)]
        for worker in workers:
            worker.start()
        highest, samples, descriptors = 0, 0, 0
        while any(worker.is_alive() for worker in workers) and results.qsize() < MEMORY_WRITERS:
            highest = max(highest, server.memory_bytes())
            descriptors = max(descriptors, server.descriptor_count())
            samples += 1
            time.sleep(0.02)
        done = [results.get(timeout=60) for _ in workers]
        for worker in workers:
            worker.join()
        server.stop()
    with native.Server(data_dir, flags) as server:
        server.start()
        read_memory, read_descriptors = read_all_tablets(server, tablet_count)
        server.stop()
    highest, descriptors = max(highest, read_memory), max(descriptors, read_descriptors)
    shutil.rmtree(data_dir)
    written, refused = (sum(numbers) for numbers in zip(*done))
    print(f"memory: {len(tablets)} tablets, {written / seconds:.0f} rows/s for {seconds:.0f} s "
          f"({refused} refused): at most {highest / MIB:.1f} MiB in {samples} samples and {descriptors} descriptors; "
          f"the limit is {limit / MIB:.0f} MiB", flush=True)
    if len(tablets) != tablet_count:
        return f"memory: the table does not have {tablet_count} tablets"
    if written < ROWS_PER_SECOND_MIN * seconds:
        return "memory: too few rows were written to say anything"
    if descriptors > DESCRIPTORS_MAX:
        return "memory: too many descriptors are open"
    return "" if highest < limit else "memory: over the limit"


def check_memory(folder):
    seconds = float(os.environ.get("CELLAR_BOUNDS_SECONDS", "60"))
    tight = write_for(folder, 256 * MIB, seconds)
    return tight or write_for(folder, 0, seconds / 3)


def check_many(folder):
    seconds = float(os.environ.get("CELLAR_BOUNDS_SECONDS", "60"))
    return write_for(folder, 256 * MIB, seconds / 2, 1000)


# ---- rows of very many small cells --------------------------------------------------------------

def watch_memory(server, results):
    """The most memory until results has everybody's."""
    highest = 0
    while len(results) < ROW_WRITERS:
        highest = max(highest, server.memory_bytes())
        time.sleep(0.01)
    return highest


def memtable_bytes(server):
    with HTTP.open(f"http://127.0.0.1:{server.port}/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("cellar_memtable_size_bytes "))


def wait_for_checkpoints(server):
    end = time.monotonic() + 120
    while memtable_bytes(server) > 0:
        assert time.monotonic() < end, "no checkpoint"
        time.sleep(0.05)
    time.sleep(0.5)  # what the keeper does behind it


def check_cells(folder):
    """Rows of 240 MiB in 99,000 cells each, which no file of a value keeps out of memory."""
    request = native.body_encode({1: "t", 2: b"row", 3: [
        [0, "f", b"column-%06d" % at, 1000, b"v" * CELL_VALUE_BYTES] for at in range(99_000)]})
    with native.Server(os.path.join(folder, "cells"), ["--memory-bytes-max", CELLS_LIMIT]) as server:
        server.start()
        with server.connect() as connection:
            connection.create_table("t", {"f": None})
        results = []

        def write():
            with server.connect() as connection:
                connection.socket.sendall(native.frame_encode(
                    9, native.MUTATE_ROW, native.REQUEST, request))
                _, _, kind, payload = connection.receive()
                results.append(0 if kind == native.REPLY else native.error_of(payload).code)

        writers = [threading.Thread(target=write) for _ in range(ROW_WRITERS)]
        for writer in writers:
            writer.start()
        highest = watch_memory(server, results)
        wait_for_checkpoints(server)
        left = server.memory_bytes()
        server.stop()
    print(f"cells: {ROW_WRITERS} rows of {len(request)} bytes at once took {highest / MIB:.0f} MiB and left "
          f"{left / MIB:.0f} MiB; answers {results}", flush=True)
    if not set(results) <= {0, native.UNAVAILABLE} or 0 not in results:
        return f"cells: answers {results}"
    if left > CELLS_LEFT_BYTES_MAX:
        return "cells: memory is kept that nobody uses"
    return "" if highest < CELLS_PEAK_BYTES_MAX else "cells: too much memory at once"


CHECKS = {"cells": check_cells, "write": check_write, "scan": check_scan, "memory": check_memory, "many": check_many}


def main():
    folder = os.path.realpath(tempfile.mkdtemp(prefix="cellar-bounds-"))
    failures = []
    try:
        for name in sys.argv[1:] or CHECKS:
            failure = CHECKS[name](folder)
            if failure:
                print(f"FAILED: {failure}", flush=True)
                failures.append(failure)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
