#!/usr/bin/env python3
"""Instructions per request, counted by callgrind over the whole server.

    CELLARD=build/release/bin/cellard tests/bench/instructions.py

Two runs of the server that differ only in the number of requests; the difference of their counts, by the
difference of the requests, is what one request costs: receiving, checking, storage, answering. Counts repeat
within a few percent, whatever else the machine does.
"""
import os
import re
import shutil
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import cellar_native as native  # noqa: E402

FEW, MANY = 1000, 5000
FLAGS = ("--workers", "1", "--log-segment-bytes", "16777216", "--store-map-bytes", "268435456")


def ten_cells(row):
    return [[0, "cf", b"column%02d" % i, 1000, b"value of %s %02d" % (row, i)] for i in range(10)]


def fill(connection):
    connection.create_table("t", {"cf": None})
    for start in range(0, 1000, 250):
        rows = [b"row%06d" % i for i in range(start, start + 250)]
        connection.mutate_rows("t", [[row, ten_cells(row)] for row in rows])


def pipelined(connection, count, request):
    """Keeps 32 requests in flight."""
    sent = done = 0
    while done < count:
        while sent < count and sent - done < 32:
            connection.submit(*request(sent))
            sent += 1
        kind = connection.receive()[2]
        done += kind == 2
        if kind == 4:
            raise SystemExit("a request failed")


def get_request(i):
    return 34, {1: "t", 2: [b"row%06d" % (i * 7919 % 1000)]}


def put_request(i):
    row = b"row%06d" % (i * 7919 % 1000)
    return 32, {1: "t", 2: row, 3: [[0, "cf", b"column03", 2000 + 1000 * i, b"value of a put"]]}


def count_instructions(count, request, restart):
    """Total instructions of one run of the server."""
    folder = tempfile.mkdtemp(prefix="cellar-bench-")
    out = os.path.join(folder, "callgrind.out.%p")
    wrapper = ("valgrind", "--tool=callgrind", "--trace-children=yes", "--callgrind-out-file=" + out)
    try:
        data = os.path.join(folder, "data")
        if restart:  # rows in LMDB, memtables empty
            with native.Server(data, FLAGS).start() as server:
                with server.connect() as connection:
                    fill(connection)
                server.stop()
        with native.Server(data, FLAGS, wrapper=wrapper).start() as server:
            with server.connect() as connection:
                if not restart:
                    fill(connection)
                pipelined(connection, count, request)
            server.process.terminate()  # valgrind runs in the same process
            server.process.wait(120)
        name = [name for name in os.listdir(folder) if name.startswith("callgrind.out")][-1]
        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
            return int(re.search(r"^(?:summary|totals): (\d+)", file.read(), re.M).group(1))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main():
    if shutil.which("valgrind") is None:
        print("skipped: valgrind is not installed")
        return 77
    for name, request, restart in (("get of a ten-cell row, in LMDB", get_request, True),
                                   ("get of a ten-cell row, in a memtable", get_request, False),
                                   ("put of one cell", put_request, False)):
        few = count_instructions(FEW, request, restart)
        many = count_instructions(MANY, request, restart)
        print("%-40s %6.0f instructions" % (name, (many - few) / (MANY - FEW)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
