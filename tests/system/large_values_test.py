"""Values of up to 100 MiB: written and read beside other work, in little memory; no file is left over.

A value of 100 MiB and one row of many are written and read while small writes go on over other connections. The
server's own memory grows by some MiB, no small write waits for a large one, the values survive restarts and a
kill, and their files go with their cells. A server that is killed in the middle of an upload has nothing of it.
The tool takes and gives values as files, and imports them.
"""
import base64
import hashlib
import json
import os
import random
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_native as native  # noqa: E402

VALUE_BYTES = 100 << 20
ROW_VALUES = 30  # of ROW_VALUE_BYTES each in one mutation
ROW_VALUE_BYTES = 3 << 20
MEMORY_GROWTH_MAX = 24 << 20
FLAGS = ["--memory-bytes-max", 256 << 20]


class SmallWrites:
    """Writes small rows, one after the other, until it is told to end; keeps the longest wait."""

    def __init__(self, server):
        self.server = server
        self.is_over = threading.Event()
        self.count = 0
        self.failure = None
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            with self.server.connect() as connection:
                while not self.is_over.is_set():
                    connection.mutate_row("t", b"small%06d" % self.count, [[0, "f", b"q", 1000, b"v"]])
                    self.count += 1
        except Exception as failure:  # pylint: disable=broad-except
            self.failure = failure

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()


def memory_of(server):
    """(RssAnon, VmRSS)"""
    with open(f"/proc/{server.pid}/status", encoding="ascii") as file:
        facts = dict(line.split(":", 1) for line in file)
    return tuple(int(facts[name].split()[0]) * 1024 for name in ("RssAnon", "VmRSS"))


class Memory:
    """The most that was seen."""

    def __init__(self, server):
        self.server = server
        self.is_over = threading.Event()
        self.most = (0, 0)
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.is_over.is_set():
            self.most = tuple(map(max, self.most, memory_of(self.server)))
            time.sleep(0.002)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()


def blob_names(data):
    return sorted(os.listdir(os.path.join(data, "blobs")))


def digest(value):
    return hashlib.sha256(value).hexdigest()


def files_await(data, count):
    """Files go behind a checkpoint."""
    end = time.monotonic() + 60
    while len(blob_names(data)) != count and time.monotonic() < end:
        time.sleep(0.05)
    assert len(blob_names(data)) == count, blob_names(data)


def cells_of(server, row):
    with server.connect() as connection:
        return connection.read_rows("t", row_keys=[row]).get(row, [])


def beside_others(server, data, value, generator):
    """One value of the largest size, and a row of several, beside small writes."""
    parts = [generator.randbytes(ROW_VALUE_BYTES) for _ in range(ROW_VALUES)]
    with server.connect() as connection:  # what the server needs for a first write is not counted
        connection.mutate_row("t", b"small", [[0, "f", b"q", 1000, b"v"]])
        connection.mutate_row("t", b"first", [[0, "f", b"q", 1000, value[:3 << 20]]])
        connection.mutate_row("t", b"first", [[3]])
    before = memory_of(server)
    with SmallWrites(server) as small, Memory(server) as memory:
        with server.connect() as connection:
            connection.mutate_row("t", b"big", [[0, "f", b"q", 1000, value], [0, "f", b"r", 1000, b"small"]])
            written = small.count
            connection.mutate_row("t", b"wide", [[0, "f", b"%03d" % index, 1000, part]
                                                 for index, part in enumerate(parts)])
            read = small.count
        big = cells_of(server, b"big")
        wide = cells_of(server, b"wide")
    assert small.failure is None, small.failure
    # Hundreds in fact; had they waited for the value there would be one or two.
    assert written >= 20 and small.count - read >= 20, (written, read, small.count)
    assert [(cell[1], cell[2], digest(cell[3])) for cell in big] == [
        (b"q", 1000, digest(value)), (b"r", 1000, digest(b"small"))]
    assert [digest(cell[3]) for cell in wide] == [digest(part) for part in parts]
    growth, resident = (most - least for most, least in zip(memory.most, before))
    assert growth <= MEMORY_GROWTH_MAX, growth
    assert resident <= 2 * MEMORY_GROWTH_MAX, resident  # maps of files too
    files_await(data, 1 + ROW_VALUES)
    return growth, digest(value), [digest(part) for part in parts]


def upload_cut_off(server, value):
    """Half of a write; the server is killed."""
    payload = native.frame_encode(7, native.MUTATE_ROW, native.REQUEST, native.body_encode(
        {1: "t", 2: b"half", 3: [[0, "f", b"q", 1000, value]]}))
    with server.connect() as connection:
        connection.socket.sendall(payload[:len(payload) // 2])
        server.kill()


def check_directory(data):
    output, _ = native.tool_offline("check", data)
    assert "\nOK" in output or output.startswith("OK"), output
    assert "leftover" not in output, output


def tool_trip(server, folder, generator):
    """A value from a file and back, and one by import."""
    path = os.path.join(folder, "value")
    value = generator.randbytes(20 << 20)
    with open(path, "wb") as file:
        file.write(value)
    native.tool(server, "set", "t", "file", "--from", f"f:q={path}")
    back = native.tool_bytes(server, "get", "t", "file", "--column", "f:q", "--raw")
    assert digest(back) == digest(value)
    lines = os.path.join(folder, "rows.jsonl")
    with open(lines, "w", encoding="ascii") as file:
        for index in range(3):
            text = base64.b64encode(value[index:5000000 + index]).decode()
            print(json.dumps({"row": f"imported{index}", "cells": [
                {"family": "f", "qualifier": "q", "timestamp": 1000, "value": {"b64": text}}]}), file=file)
    native.tool(server, "import", "t", lines)
    for index in range(3):
        cells = cells_of(server, b"imported%d" % index)
        assert digest(cells[0][3]) == digest(value[index:5000000 + index])


def main():
    generator = random.Random(native.test_seed())
    value = generator.randbytes(VALUE_BYTES)
    with tempfile.TemporaryDirectory(prefix="cellar-large-") as folder:
        data = os.path.join(folder, "data")
        with native.Server(data, FLAGS).start() as server:
            native.tool(server, "table", "create", "t", "--family", "f")
            growth, big, wide = beside_others(server, data, value, generator)
            upload_cut_off(server, value)
        with native.Server(data, FLAGS).start() as server:
            assert len(blob_names(data)) == 1 + ROW_VALUES, blob_names(data)
            assert digest(cells_of(server, b"big")[0][3]) == big
            assert cells_of(server, b"half") == []
            server.stop()
        check_directory(data)
        with native.Server(data, FLAGS).start() as server:
            assert [digest(cell[3]) for cell in cells_of(server, b"wide")] == wide
            output, _ = native.tool(server, "scrub", "t", "--format", "json")
            assert json.loads(output)["problems"] == 0, output
            native.tool(server, "compact", "t")
            assert len(blob_names(data)) == 1 + ROW_VALUES, blob_names(data)
            assert digest(cells_of(server, b"big")[0][3]) == big
            native.tool(server, "delete", "t", "wide")
            tool_trip(server, folder, generator)
            native.tool(server, "table", "drop", "t", "--yes")
            files_await(data, 0)
            server.stop()
        check_directory(data)
    print(f"memory grew by {growth / (1 << 20):.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
