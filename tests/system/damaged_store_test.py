"""A store's file is cut off, or changed, under a running server: its table answers DATA_LOSS, the others are served.

The server is a process of its own, with its own threads and signals, so that what would end it ends it here, too.
"""
import os
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_native as native  # noqa: E402

CELLAR = os.environ.get("CELLAR", "cellar")
FLAGS = ("--store-map-bytes", "268435456", "--checkpoint-records-max", "100")
ROWS = 1000
PAGE = 4096
DATA_LOSS = 12


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


def metric(server, name):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10) as page:
        for line in page.read().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
    raise AssertionError(f"no metric {name}")


def metric_await(server, name, wanted):
    deadline = time.monotonic() + 30
    while not wanted(metric(server, name)):
        assert time.monotonic() < deadline, (name, metric(server, name), server.output())
        time.sleep(0.05)


def refused(call, *words):
    """The write is refused as DATA_LOSS, in words that say where and what to do."""
    try:
        call()
    except native.NativeError as error:
        assert error.code == DATA_LOSS and all(word in error.text for word in words), error
        return
    raise AssertionError("a write to a damaged store was acknowledged")


def writes_refuse(connection, table):
    words = (f"table {table}", 'tablet "" to ""', "store 1", "restore a backup")
    refused(lambda: connection.mutate_row(table, b"new", [[0, "f", b"q", 1000, b"v"]]), *words)
    refused(lambda: connection.mutate_row(table, b"r00001", [[3]]), *words)
    refused(lambda: connection.call(native.DROP_ROWS, {1: table, 2: b"r0000"}), *words)
    results = connection.mutate_rows(table, [[b"new", [[0, "f", b"q", 1000, b"v"]]]])
    assert results[0][0] == DATA_LOSS and b"tablet" in results[0][1], results


def cut_off(data):
    """A file that was cut off: nothing of its store can be read, and none of its writes is taken."""
    with native.Server(data, FLAGS).start() as server:
        fill(server)
        await_checkpoints(data)
        os.truncate(data_file(data, 1), 3 * PAGE)
        for _ in range(3):
            done = cellar(server, "count", "cut")
            assert done.returncode == 1 and "DATA_LOSS" in done.stderr and "cut" in done.stderr, done
        done = cellar(server, "get", "cut", "r00001")
        assert done.returncode == 1 and "DATA_LOSS" in done.stderr, done
        with server.connect() as connection:
            writes_refuse(connection, "cut")
        metric_await(server, "cellar_stores_damaged", lambda value: value == 1)
        done = cellar(server, "count", "sound")
        assert done.returncode == 0 and done.stdout.strip() == str(ROWS), done
        assert cellar(server, "set", "sound", "more", "f:q=1").returncode == 0
        done = cellar(server, "get", "sound", "more")
        assert done.returncode == 0 and "more" in done.stdout, done
        assert "stores damaged" in cellar(server, "info").stdout
        done = cellar(server, "table", "drop", "cut", "--yes")
        assert done.returncode == 0, done
        metric_await(server, "cellar_stores_damaged", lambda value: value == 0)
        done = cellar(server, "count", "sound")
        assert done.returncode == 0 and done.stdout.strip() == str(ROWS + 1), done
        assert server.output().count(" environment_damaged ") == 1, server.output()
        assert server.output().count(" store_damaged ") == 1, server.output()


def item_spoil(path, row):
    """Changes a byte of a value, which lies behind the row's key in its page."""
    with open(path, "r+b") as file:
        content = file.read()
        at = content.find(row)
        found = 0
        while at >= 0:
            value = content.find(b"vvvv", at)
            file.seek(value + 2)
            file.write(b"X")
            found += 1
            at = content.find(row, at + 1)
        assert found > 0


def bent(data):
    """An item that a checkpoint comes upon: whole rows are read, the log keeps what the store lacks."""
    with native.Server(data, FLAGS).start() as server:
        fill(server)
        await_checkpoints(data)
        item_spoil(data_file(data, 1), b"r00500")
        with server.connect() as connection:
            connection.mutate_row("cut", b"r00500", [[0, "f", b"other", 1000, b"acknowledged"]])
            connection.mutate_rows("cut", [[b"r9%04d" % i, [[0, "f", b"q", 1000, b"kept" * 200]]]
                                           for i in range(200)])
            metric_await(server, "cellar_stores_damaged", lambda value: value == 1)
            writes_refuse(connection, "cut")
            low_lsn = metric(server, "cellar_log_low_water_lsn")
            assert metric(server, "cellar_memtable_size_bytes") < 100000
            for round_ in range(3):
                connection.mutate_rows("sound", [[b"s%05d" % i, [[0, "f", b"q", 1000, b"%d" % round_]]]
                                                 for i in range(300)])
            checkpoints = metric(server, "cellar_checkpoints_total")
            failures = metric(server, "cellar_checkpoint_failures_total")
            connection.mutate_rows("sound", [[b"s%05d" % i, [[0, "f", b"q", 1000, b"3"]]]
                                             for i in range(300)])
            metric_await(server, "cellar_checkpoints_total", lambda value: value > checkpoints)
            assert metric(server, "cellar_checkpoint_failures_total") == failures == 1
            assert metric(server, "cellar_log_low_water_lsn") == low_lsn
            assert set(connection.read_rows("cut", row_keys=[b"r00001", b"r90001"])) == {b"r00001", b"r90001"}
            refused(lambda: connection.read_rows("cut", row_keys=[b"r00500"]), "cut", "r00500")
            done = cellar(server, "compact", "cut")
            assert done.returncode != 0 and "damaged" in done.stdout + done.stderr, done
        assert server.output().count(" store_damaged ") == 1 and "log_kept_from_lsn=" in server.output()
        assert server.output().count(" checkpoint_failed ") == 1, server.output()
        server.stop()
    with native.Server(data, FLAGS).start() as server:  # nothing of the log was lost
        with server.connect() as connection:
            assert connection.read_rows("cut", row_keys=[b"r90001"])[b"r90001"][0][3] == b"kept" * 200
            metric_await(server, "cellar_stores_damaged", lambda value: value == 1)
            connection.drop_table("cut")
            metric_await(server, "cellar_stores_damaged", lambda value: value == 0)
            metric_await(server, "cellar_log_low_water_lsn", lambda value: value > low_lsn)


def main():
    for case in (cut_off, bent):
        with tempfile.TemporaryDirectory() as folder:
            case(os.path.join(folder, "data"))
    print("the server outlived its files")


main()
