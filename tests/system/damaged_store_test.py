"""A store's file is cut off under a running server: its table answers DATA_LOSS, the others are served.

The server is a process of its own, with its own threads and signals, so that what would end it ends it here, too.
"""
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_native as native  # noqa: E402

CELLAR = os.environ.get("CELLAR", "cellar")
FLAGS = ("--store-map-bytes", "268435456", "--checkpoint-records-max", "100")
ROWS = 1000
PAGE = 4096


def cellar(server, *arguments):
    return subprocess.run([CELLAR, "--endpoint", f"127.0.0.1:{server.port}", *arguments],
                          stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60,
                          text=True)


def fill(server):
    with server.connect() as connection:
        for table in ("cut", "sound"):
            connection.create_table(table, {"f": None})
            connection.mutate_rows(table, [[b"r%05d" % i, [[0, "f", b"q", 1000, b"v" * 100]]]
                                           for i in range(ROWS)])


def data_file(data, store):
    return os.path.join(data, "stores", str(store), "1", "data.mdb")


def await_checkpoints(data):
    deadline = time.monotonic() + 30
    while any(os.path.getsize(data_file(data, store)) < 20 * PAGE for store in (1, 2)):
        assert time.monotonic() < deadline, "no checkpoints"
        time.sleep(0.05)
    time.sleep(1.2)  # what a keeper finds idle is written, too


def main():
    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, "data")
        with native.Server(data, FLAGS).start() as server:
            fill(server)
            await_checkpoints(data)
            os.truncate(data_file(data, 1), 3 * PAGE)
            for _ in range(3):
                done = cellar(server, "count", "cut")
                assert done.returncode == 1 and "DATA_LOSS" in done.stderr and "cut" in done.stderr, done
            done = cellar(server, "get", "cut", "r00001")
            assert done.returncode == 1 and "DATA_LOSS" in done.stderr, done
            done = cellar(server, "count", "sound")
            assert done.returncode == 0 and done.stdout.strip() == str(ROWS), done
            assert cellar(server, "set", "sound", "more", "f:q=1").returncode == 0
            done = cellar(server, "get", "sound", "more")
            assert done.returncode == 0 and "more" in done.stdout, done
            done = cellar(server, "table", "drop", "cut", "--yes")
            assert done.returncode == 0, done
            done = cellar(server, "count", "sound")
            assert done.returncode == 0 and done.stdout.strip() == str(ROWS + 1), done
            assert server.output().count(" environment_damaged ") == 1, server.output()
    print("the server outlived its file")


main()
