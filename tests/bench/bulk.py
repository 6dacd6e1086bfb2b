#!/usr/bin/env python3
"""Bytes that reach the device for each byte of users' data, and rows a second: bulk loads and ordinary imports.

    CELLARD=build/release/bin/cellard CELLAR=build/release/bin/cellar tests/bench/bulk.py [--rows 200000] [--cells 10]
                                                                                       [--data DIR]

Imports the same rows of 1000 bytes, in so many cells, into an empty table of a fresh server, in the order of their keys and in
random order, by `cellar import --bulk` (--sorted where they are in order) and without. Behind each the server is
stopped, which writes down what it still holds. Device bytes are write_bytes of /proc/PID/io, of the server from the
import's begin to its end of stop, and of the client, whose file for sorting counts there; logical bytes are those of
keys, qualifiers and values. DIR (or TMPDIR) on a disk, not on tmpfs.
"""
import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import cellar_native as native  # noqa: E402

VALUE_BYTES = 1000
SORT_MEBIBYTES = 64


def write_bytes(pid):
    with open(f"/proc/{pid}/io", encoding="ascii") as file:
        return int(next(line for line in file if line.startswith("write_bytes:")).split()[1])


def input_write(path, order, cell_count):
    generator = random.Random(1)
    with open(path, "w", encoding="ascii") as file:
        for number in order:
            cells = [{"family": "f", "qualifier": f"field{cell:02}", "timestamp": 1000,
                      "value": generator.randbytes(VALUE_BYTES // cell_count // 2).hex()}
                     for cell in range(cell_count)]
            file.write(json.dumps({"row": f"user{number:012}", "cells": cells}) + "\n")
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    return path


def last_write_bytes(process):
    """What a process has written when it has ended; its entry in /proc stays until it is waited for."""
    found = 0
    while True:
        try:
            found = write_bytes(process.pid)
        except (OSError, StopIteration):
            pass
        if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return found
        time.sleep(0.02)


def run(folder, path, options):
    """(seconds, device bytes of the server, of the client)"""
    data = os.path.join(folder, "data")
    with native.Server(data) as server:
        server.start()
        with server.connect() as connection:
            connection.create_table("t", {"f": None})
        before = write_bytes(server.pid)
        started = time.monotonic()
        with subprocess.Popen([native.CELLAR, "--endpoint", f"127.0.0.1:{server.port}", "import", "t", path,
                               *options, "--tmp-dir", folder] if "--bulk" in options else
                              [native.CELLAR, "--endpoint", f"127.0.0.1:{server.port}", "import", "t", path,
                               "--progress", os.path.join(folder, "progress")],
                              stdout=subprocess.DEVNULL) as client:
            client_bytes = last_write_bytes(client)
            assert client.wait() == 0
        seconds = time.monotonic() - started
        os.kill(server.pid, signal.SIGTERM)
        server_bytes = last_write_bytes(server.process) - before
        assert server.process.wait() == 0
    subprocess.run(["rm", "-rf", data], check=True)
    return seconds, server_bytes, client_bytes


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200000)
    parser.add_argument("--cells", type=int, default=10)
    parser.add_argument("--data", default=None)
    arguments = parser.parse_args()
    order = list(range(arguments.rows))
    shuffled = order[:]
    random.Random(2).shuffle(shuffled)
    logical = arguments.rows * (16 + 7 * arguments.cells + VALUE_BYTES)
    bulk = ["--bulk", "--sort-memory", str(SORT_MEBIBYTES)]
    print("| import | rows/s | server, device bytes a byte | client, the same |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=arguments.data) as folder:
        paths = {"in key order": input_write(os.path.join(folder, "sorted.jsonl"), order, arguments.cells),
                 "random order": input_write(os.path.join(folder, "random.jsonl"), shuffled, arguments.cells)}
        for name, options in (("in key order", bulk + ["--sorted"]), ("random order", bulk), ("in key order", []),
                              ("random order", [])):
            seconds, server_bytes, client_bytes = run(folder, paths[name], options)
            kind = "ordinary" if not options else "`--bulk --sorted`" if "--sorted" in options else "`--bulk`"
            print(f"| {kind}, {name} | {arguments.rows / seconds:,.0f} | {server_bytes / logical:.2f} | "
                  f"{client_bytes / logical:.2f} |", flush=True)


if __name__ == "__main__":
    main()
