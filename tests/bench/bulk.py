#!/usr/bin/env python3
"""Bytes that reach the device for each byte of users' data, and rows a second: bulk loads and ordinary imports.

    CELLARD=build/release/bin/cellard CELLAR=build/release/bin/cellar tests/bench/bulk.py [--rows 450000] [--cells 10]
                                                                                       [--rounds 1] [--data DIR]

Imports the same rows of 1000 bytes, in so many cells, into an empty table of a fresh server, in the order of their keys and in
random order, by `cellar import --bulk` (--sorted where they are in order) and without. Behind each the server is
stopped, which writes down what it still holds, and everything is synced. Device bytes are the sectors that the disk's
own count says were written meanwhile, by whomever: the client's file for sorting is among them, as far as it is not
gone before the kernel writes it. (What the kernel charges to a process, write_bytes of /proc/PID/io, counts a whole
large page of the page cache for each part of it that gets dirty, several times of what is written.) Logical bytes are
those of keys, qualifiers and values.

Part of the bytes are the log's files, which are filled with zeros once and then used again for as long as the server
lives: what they grew by stands beside the whole. Others can only add to a disk's count, so that of several rounds the
one with the fewest bytes is given; and before each import the disk is watched for a moment, and the most that others
wrote is told below the table. DIR (or TMPDIR) is on a disk that nobody else writes much to.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import cellar_native as native  # noqa: E402

VALUE_BYTES = 1000
SORT_MEBIBYTES = 64
WATCH_SECONDS = 3


def device_bytes(folder):
    """Bytes that were ever written to the disk of a folder."""
    os.sync()
    device = os.stat(folder).st_dev
    with open("/proc/diskstats", encoding="ascii") as file:
        for line in file:
            words = line.split()
            if (int(words[0]), int(words[1])) == (os.major(device), os.minor(device)):
                return int(words[9]) * 512
    sys.exit(f"the disk of {folder} has no count of its own: give a folder on another by --data")


def others_rate(folder):
    """Bytes a second that others write."""
    before = device_bytes(folder)
    time.sleep(WATCH_SECONDS)
    return (device_bytes(folder) - before) / WATCH_SECONDS


def log_bytes(data):
    """What the files of the log have, used or not."""
    folder = os.path.join(data, "log")
    return sum(os.stat(os.path.join(folder, name)).st_blocks * 512 for name in os.listdir(folder))


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


def run(folder, path, options):
    """(device bytes, bytes that the log's files grew by, seconds)"""
    data = os.path.join(folder, "data")
    with native.Server(data) as server:
        server.start()
        with server.connect() as connection:
            connection.create_table("t", {"f": None})
        before, log_before = device_bytes(folder), log_bytes(data)
        started = time.monotonic()
        more = ["--tmp-dir", folder] if "--bulk" in options else ["--progress", os.path.join(folder, "progress")]
        subprocess.run([native.CELLAR, "--endpoint", f"127.0.0.1:{server.port}", "import", "t", path, *options,
                        *more], stdout=subprocess.DEVNULL, check=True)
        seconds = time.monotonic() - started
        server.stop()
    written, filled = device_bytes(folder) - before, log_bytes(data) - log_before
    subprocess.run(["rm", "-rf", data], check=True)
    return written, filled, seconds


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=450000)
    parser.add_argument("--cells", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--data", default=None)
    arguments = parser.parse_args()
    order = list(range(arguments.rows))
    shuffled = order[:]
    random.Random(2).shuffle(shuffled)
    logical = arguments.rows * (16 + 7 * arguments.cells + VALUE_BYTES)
    bulk = ["--bulk", "--sort-memory", str(SORT_MEBIBYTES)]
    others = 0
    print("| import | rows/s | device bytes a byte | of them the log's first filling |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=arguments.data) as folder:
        paths = {"in key order": input_write(os.path.join(folder, "sorted.jsonl"), order, arguments.cells),
                 "random order": input_write(os.path.join(folder, "random.jsonl"), shuffled, arguments.cells)}
        for name, options in (("in key order", bulk + ["--sorted"]), ("random order", bulk), ("in key order", []),
                              ("random order", [])):
            rounds = []
            for _ in range(arguments.rounds):
                others = max(others, others_rate(folder))
                rounds.append(run(folder, paths[name], options))
            written, filled, seconds = min(rounds)
            kind = "ordinary" if not options else "`--bulk --sorted`" if "--sorted" in options else "`--bulk`"
            print(f"| {kind}, {name} | {arguments.rows / seconds:,.0f} | {written / logical:.2f} | {filled / logical:.2f} |",
                  flush=True)
    print(f"\nothers wrote up to {others / 1e6:.1f} MB/s to the disk meanwhile")


if __name__ == "__main__":
    main()
