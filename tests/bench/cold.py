#!/usr/bin/env python3
"""Reads of what is not in memory: full scans against the disk's own speed, and hot gets beside cold ones.

    CELLARD=build/release/bin/cellard tests/bench/cold.py [--rows 1000000] [--rounds 3] [--seconds 5] [--data DIR]
                                                          [--readme]

Loads rows of one 1000-byte cell in random order, compacts, and then in each round: stops the server, drops its files
from the page cache (and proves by mincore that they are gone), reads them in order past the cache (O_DIRECT) for the
disk's speed, starts the server, and scans the whole table. After that, with one event loop: paced gets of a small table
that is in memory, alone, beside as many random gets of the same table, and beside random gets of the large one, which
is not in memory. --readme writes the figures into README.md, between their marks.

The page cache must be able to let go of the files: DIR (or TMPDIR) on a disk, not on tmpfs.
"""
import argparse
import ctypes
import gc
import glob
import mmap
import os
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import cellar_native as native  # noqa: E402

MARK_START, MARK_END = "<!-- figures of cold.py -->", "<!-- end of figures of cold.py -->"
VALUE_BYTES = 1000
BATCH_ROWS = 500
DEVICE_BYTES = 4 << 20  # of one read past the cache
HOT_ROWS = 1000
HOT_EVERY_SECONDS = 0.001
OTHERS_RATE = 2000
OTHERS_BURST = 8
OTHERS_IN_FLIGHT = 64
ENDLESS = 1 << 60


# ---- the page cache

def pages_resident(path):
    """How many pages of a file are in memory."""
    size = os.path.getsize(path)
    if size == 0:
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    with open(path, "rb") as file:
        # A private map that may be written has an address that ctypes can give.
        with mmap.mmap(file.fileno(), size, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as area:
            count = (size + mmap.PAGESIZE - 1) // mmap.PAGESIZE
            pages = (ctypes.c_ubyte * count)()
            first = ctypes.c_char.from_buffer(area)
            failed = libc.mincore(ctypes.c_void_p(ctypes.addressof(first)), ctypes.c_size_t(size), pages)
            del first
            if failed:
                raise OSError(ctypes.get_errno(), "mincore")
            return sum(page & 1 for page in bytes(pages))


def drop(folder):
    """Lets the page cache forget every file of a data directory that nobody has mapped."""
    left = 0
    for path in glob.glob(os.path.join(folder, "**"), recursive=True):
        if os.path.isfile(path):
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)
            left += pages_resident(path)
    if left > 0:
        raise SystemExit(f"{left} pages of {folder} stay in the page cache: is it on tmpfs, or in use?")


def largest(folder):
    """The environment that holds the table."""
    return max(glob.glob(os.path.join(folder, "**", "data.mdb"), recursive=True), key=os.path.getsize)


def device_rate(path):
    """Bytes a second of reading a file from its beginning to its end past the cache."""
    buffer = mmap.mmap(-1, DEVICE_BYTES)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
    start, at = time.monotonic(), 0
    while True:
        got = os.preadv(descriptor, [buffer], at)
        at += got
        if got < DEVICE_BYTES:
            break
    os.close(descriptor)
    return at / (time.monotonic() - start)


# ---- rows

def key_of(number):
    return b"user%010d" % number


def load(connection, table, count):
    """Every row once, in random order, eight requests in flight; what is refused for a while comes again."""
    pool = random.Random(1).randbytes(1 << 20)
    order = list(range(count))
    random.Random(2).shuffle(order)
    in_flight = {}
    start = 0
    while start < count or in_flight:
        if start < count and len(in_flight) < 8:
            entries = [[key_of(n), [[0, "f", b"q", 1000, pool[n * 13 % 1000000:][:VALUE_BYTES]]]]
                       for n in order[start:start + BATCH_ROWS]]
            start += BATCH_ROWS
        else:
            entries = refused(connection, in_flight)
        if entries:
            in_flight[connection.submit(native.MUTATE_ROWS, {1: table, 2: entries})] = entries


def refused(connection, in_flight):
    """Waits for the end of any one request. Its entries that were refused for a while."""
    number, _, kind, payload = connection.receive()
    if kind == native.ERROR:
        raise native.error_of(payload)
    if kind != native.REPLY:
        return []
    entries = in_flight.pop(number)
    again = []
    for entry, result in zip(entries, native.body_decode(payload)[1], strict=True):
        if result != 0 and result[0] != native.UNAVAILABLE:
            raise SystemExit(f"a row was refused: {result}")
        again += [entry] if result != 0 else []
    if again:
        time.sleep(0.02)
    return again


def finish(connection):
    """The end of any one request."""
    while True:
        _, _, kind, payload = connection.receive()
        if kind == native.ERROR:
            raise native.error_of(payload)
        if kind == native.REPLY:
            return


def compact(server, table):
    native.tool(server, "compact", table)


def scan(server, table):
    """Reads a whole table; what comes is counted and not decoded. (rows, bytes, seconds)"""
    with server.connect(600) as connection:
        start = time.monotonic()
        connection.submit(native.READ_ROWS, {1: table, 9: ENDLESS})
        rows, total = count_rows(connection.socket)
        return rows, total, time.monotonic() - start


def count_rows(plug):
    """Frames of one scan up to its reply: only their headers and counts of rows are looked at."""
    buffer = bytearray(1 << 21)
    view = memoryview(buffer)
    have = rows = total = 0
    while True:
        have += plug.recv_into(view[have:])
        at = 0
        while have - at >= native.HEADER.size:
            size, _, _, kind, _ = native.HEADER.unpack_from(buffer, at)
            if have - at < native.HEADER.size + size:
                break
            body = at + native.HEADER.size
            if kind == native.ERROR:
                raise native.error_of(bytes(buffer[body:body + size]))
            # 82 01 part 02 DD count: the part's number says how long it is.
            head = body + 3 + {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}.get(buffer[body + 2], 0)
            rows += int.from_bytes(buffer[head + 2:head + 6], "big")
            total += size
            at = body + size
            if kind == native.REPLY:
                return rows, total
        view[:have - at] = view[at:have]
        have -= at


# ---- latency

def paced_gets(connection, table, count, seconds):
    """Latencies in microseconds of single gets that are due at fixed times; a late one counts from then."""
    latencies, random_row = [], random.Random(3)
    start = time.monotonic()
    due = start
    while due < start + seconds:
        now = time.monotonic()
        if now < due:
            time.sleep(due - now)
        connection.submit(native.READ_ROWS, {1: table, 2: [key_of(random_row.randrange(count))]})
        finish(connection)
        latencies.append((time.monotonic() - due) * 1e6)
        due += HOT_EVERY_SECONDS
    return latencies


def others(port, table, count, seconds):
    """Random gets at a fixed rate, some at once, however long they take: how many were answered in time."""
    random_row, sent, answered = random.Random(4), 0, 0
    with native.Connection(port) as connection:
        start = time.monotonic()
        while (now := time.monotonic()) < start + seconds:
            due = int((now - start) * OTHERS_RATE)
            if due - sent >= OTHERS_BURST and sent - answered < OTHERS_IN_FLIGHT:
                for _ in range(OTHERS_BURST):
                    connection.submit(native.READ_ROWS, {1: table, 2: [key_of(random_row.randrange(count))]})
                sent += OTHERS_BURST
            elif sent > answered:
                finish(connection)
                answered += 1
            else:
                time.sleep(0.0005)
    return answered


def beside(server, table, count, seconds, measure):
    """Runs `measure` beside gets of a table by another process. (what it returned, those gets a second)"""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write_end, str(others(server.port, table, count, seconds + 0.5)).encode())
        os._exit(0)
    os.close(write_end)
    time.sleep(0.25)
    result = measure()
    with os.fdopen(read_end, "rb") as answer:
        answered = int(answer.read() or 0)
    os.waitpid(child, 0)
    return result, answered / (seconds + 0.5)


def metric(server, name):
    """A figure of the server's page of metrics."""
    with native.socket.create_connection(("127.0.0.1", server.port), 10) as plug:
        plug.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: plug.recv(1 << 16), b"")).decode()
    return next((float(line.split()[-1]) for line in text.splitlines() if line.split(" ")[0] == name), 0.0)


def anonymous_bytes(server):
    """RssAnon: memory of the process itself, without the pages of mapped files."""
    with open(f"/proc/{server.pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon"))


class Peak:
    """The greatest RssAnon while it lives."""

    def __init__(self, server):
        self.server, self.bytes, self.ended = server, 0, False
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def watch(self):
        while not self.ended:
            self.bytes = max(self.bytes, anonymous_bytes(self.server))
            time.sleep(0.05)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended = True
        self.thread.join()


def percentiles(latencies):
    ordered = sorted(latencies)
    return [ordered[min(len(ordered) - 1, int(len(ordered) * part))] for part in (0.5, 0.99, 0.999)] + [ordered[-1]]


# ---- the measurement

def measure_scans(data, options):
    """A list of (disk's bytes a second, file's bytes a second of the scan, rows a second, RssAnon's peak)."""
    found = []
    for _ in range(options.rounds):
        drop(data)
        path = largest(data)
        device = device_rate(path)
        if pages_resident(path) > 0:
            raise SystemExit(f"reading {path} past the cache has filled it")
        with native.Server(data).start() as server:
            with Peak(server) as peak:
                rows, _, seconds = scan(server, "cold")
            assert rows == options.rows, rows
            found.append((device, os.path.getsize(path) / seconds, rows / seconds, peak.bytes))
            print("disk %4.0f MB/s  scan %4.0f MB/s of the file, %7.0f rows/s, ratio %.2f, RssAnon %.0f MiB, "
                  "steps on the read pool %.0f, stalls %.0f" %
                  (device / 1e6, found[-1][1] / 1e6, found[-1][2], found[-1][1] / device, peak.bytes / 2**20,
                   metric(server, "cellar_cold_reads_total"), metric(server, "cellar_read_stalls_total")), flush=True)
            server.stop()
    return found


def measure_gets(data, options):
    """Of each case: name, percentiles, other gets a second, stalls of the loop, peak of RssAnon."""
    found = []
    for name, table, count in (("alone", None, 0), ("beside hot ones", "hot", HOT_ROWS),
                               ("beside cold ones", "cold", options.rows)):
        drop(data)
        with native.Server(data, ("--workers", "1")).start() as server:
            with server.connect() as connection, Peak(server) as peak:
                paced_gets(connection, "hot", HOT_ROWS, 0.5)
                stalls = metric(server, "cellar_read_stalls_total")
                run = lambda: paced_gets(connection, "hot", HOT_ROWS, options.seconds)  # noqa: E731
                latencies, rate = (run(), 0.0) if table is None else \
                    beside(server, table, count, options.seconds, run)
            found.append((name, percentiles(latencies), rate, metric(server, "cellar_read_stalls_total") - stalls,
                          peak.bytes))
            print("hot gets %-16s p50 %4.0f  p99 %5.0f  p99.9 %5.0f  max %6.0f us; others/s %6.0f, "
                  "stalls %.0f, steps on the read pool %.0f, RssAnon %.0f MiB" %
                  (name, *found[-1][1], rate, found[-1][3], metric(server, "cellar_cold_reads_total"),
                   peak.bytes / 2**20), flush=True)
            server.stop()
    return found


def readme_text(options, scans, gets):
    """The tables of README.md."""
    machine = f"{options.rows:,} rows of 1000 bytes, {os.cpu_count()} cores, Linux {os.uname().release}"
    load_text = "%.1f before, %.1f after" % (options.load_before, os.getloadavg()[0])
    lines = [MARK_START, f"{machine}; load average {load_text}. Medians of {len(scans)} rounds, with the least and the",
             "greatest.", "",
             "| full scan of a compacted table | |", "|---|---|"]
    for name, values, form in (("the disk, MB/s", [s[0] / 1e6 for s in scans], "%.0f"),
                               ("the scan, MB/s of the file", [s[1] / 1e6 for s in scans], "%.0f"),
                               ("the scan, rows/s", [s[2] for s in scans], "%.0f"),
                               ("scan / disk (goal >= 0.6)", [s[1] / s[0] for s in scans], "%.2f"),
                               ("RssAnon at most, MiB", [s[3] / 2**20 for s in scans], "%.0f")):
        text = " .. ".join(form % v for v in (min(values), max(values)))
        lines.append(f"| {name} | {form % statistics.median(values)} ({text}) |")
    lines += ["", "| hot gets, us | p50 | p99 | p99.9 | max | other gets/s | loop's stalls |", "|---|---|---|---|---|---|---|"]
    for name, times, rate, stalls, _ in gets:
        lines.append("| %s | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f |" % (name, *times, rate, stalls))
    return "\n".join(lines + [MARK_END])


def readme_write(text):
    path = os.path.join(HERE, "README.md")
    with open(path, encoding="utf-8") as file:
        page = file.read()
    start, end = page.index(MARK_START), page.index(MARK_END) + len(MARK_END)
    with open(path, "w", encoding="utf-8") as file:
        file.write(page[:start] + text + page[end:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=1000000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--data", default=None)
    parser.add_argument("--readme", action="store_true")
    options = parser.parse_args()
    options.load_before = os.getloadavg()[0]
    gc.disable()
    folder = tempfile.mkdtemp(prefix="cellar-cold-", dir=options.data)
    try:
        data = os.path.join(folder, "data")
        start = time.monotonic()
        with native.Server(data).start() as server:
            with server.connect(600) as connection:
                for table, count in (("cold", options.rows), ("hot", HOT_ROWS)):
                    connection.create_table(table, {"f": None})
                    load(connection, table, count)
            loaded = time.monotonic()
            compact(server, "cold")
            print("loaded in %.0f s, compacted in %.0f s" % (loaded - start, time.monotonic() - loaded), flush=True)
            server.stop()
        scans = measure_scans(data, options)
        gets = measure_gets(data, options)
        if options.readme:
            readme_write(readme_text(options, scans, gets))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
