#!/usr/bin/env python3
"""Instructions per request and per scanned row, counted by callgrind over the whole server.

    CELLARD=build/release/bin/cellard tests/bench/instructions.py [--functions]

Two runs of the server that differ only in the number of requests; the difference of their counts, by the
difference of the requests, is what one request costs: receiving, checking, storage, answering. Counts repeat
within a few percent, whatever else the machine does. --functions also lists the functions in which they were spent.
tests/system/instructions_test.py holds the counts below a bound.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import cellar_native as native  # noqa: E402

FEW, MANY = 500, 2500
SCAN_ROWS = 100
WARMING = 100  # requests until a tablet that was just opened is known to be in memory
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


def scan_request(i):
    row = b"row%06d" % (i * 7919 % (1000 - SCAN_ROWS))
    return 34, {1: "t", 3: [[row, True, None, False]], 4: SCAN_ROWS}


# Name, request, rows or requests that one is counted as, and whether the server starts anew before: then the rows
# are in LMDB and the memtables empty.
KINDS = (("get of a ten-cell row, in LMDB", get_request, 1, True),
         ("get of a ten-cell row, in a memtable", get_request, 1, False),
         ("put of one cell", put_request, 1, False),
         ("row of ten cells in a scan of 100, in LMDB", scan_request, SCAN_ROWS, True))


def functions_print(path):
    """The functions that took the most instructions of a whole run, with its start and end."""
    done = subprocess.run(["callgrind_annotate", "--threshold=80", path], capture_output=True, text=True,
                          check=False)
    lines = [line for line in done.stdout.splitlines() if re.match(r" *[0-9,]+ +\(", line)]
    print("\n".join(line[:110] for line in lines[:25]), flush=True)


def count_instructions(count, request, restart, functions=False):
    """Total instructions of one run of the server."""
    folder = tempfile.mkdtemp(prefix="cellar-bench-")
    out = os.path.join(folder, "callgrind.out.%p")
    wrapper = ("valgrind", "--tool=callgrind", "--trace-children=yes", "--callgrind-out-file=" + out)
    try:
        data = os.path.join(folder, "data")
        if restart:
            with native.Server(data, FLAGS).start() as server:
                with server.connect() as connection:
                    fill(connection)
                server.stop()
        with native.Server(data, FLAGS, wrapper=wrapper).start() as server:
            with server.connect(600) as connection:
                if not restart:
                    fill(connection)
                pipelined(connection, WARMING, get_request)
                pipelined(connection, count, request)
            server.process.terminate()  # valgrind runs in the same process
            server.process.wait(300)
        # One file for each process of the wrapper; the server's is the one that counts.
        names = [name for name in os.listdir(folder) if name.startswith("callgrind.out")]
        path = os.path.join(folder, max(names, key=lambda name: total_of(os.path.join(folder, name))))
        if functions:
            functions_print(path)
        return total_of(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def total_of(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        found = re.search(r"^(?:summary|totals): (\d+)", file.read(), re.M)
    return int(found.group(1)) if found else 0


def measure_kind(kind, functions=False):
    """Instructions a request, or row, of one of KINDS."""
    _, request, rows, restart = kind
    few = count_instructions(FEW // rows + 1, request, restart)
    many = count_instructions(MANY // rows + 1, request, restart, functions)
    return (many - few) / ((MANY // rows - FEW // rows) * rows)


def main():
    if shutil.which("valgrind") is None:
        print("skipped: valgrind is not installed")
        return 77
    for kind in KINDS:
        count = measure_kind(kind, "--functions" in sys.argv[1:])
        print("%-44s %6.0f instructions" % (kind[0], count), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
