# ctest-timeout: 180
"""A disk that is really full: a small file system of its own below the data directory.

Below the reserve sets are refused by the limit's name, and everything that makes space goes on; filled to the last
byte from outside, no request hangs; when space is back, writes are taken without a restart. Nothing acknowledged is
lost, by a kill in the full state either.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_native as native  # noqa: E402

DISK_BYTES = 64 << 20
FLAGS = ("--store-map-bytes", "268435456", "--log-segment-bytes", "1m", "--memtable-bytes-max", "2m",
         "--log-unapplied-bytes-max", "2m", "--compact-garbage", "0")
RESOURCE_EXHAUSTED = 7
VALUE_BYTES = 4000
BATCH_ROWS = 50


def own_file_system():
    """Runs this script again where it may mount; skips where nobody lets it."""
    if os.environ.get("CELLAR_OWN_MOUNTS") == "1":
        return
    tried = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], stdin=subprocess.DEVNULL,
                           capture_output=True, check=False)
    if tried.returncode != 0:
        native.skip("no private file system can be mounted here")
    os.environ["CELLAR_OWN_MOUNTS"] = "1"
    os.execvp("unshare", ["unshare", "-rm", sys.executable, os.path.abspath(__file__)])


def row_key(number):
    return b"r%07d" % number


def value_of(number):
    return (b"%07d" % number) * (VALUE_BYTES // 7)


class Load:
    """What was acknowledged: rows below `count` are there, but for those that were deleted."""

    def __init__(self):
        self.count = 0
        self.deleted = set()

    def put_batch(self, connection):
        """None, or the refusal."""
        numbers = range(self.count, self.count + BATCH_ROWS)
        results = connection.mutate_rows("t", [[row_key(n), [[0, "f", b"q", 1000, value_of(n)]]] for n in numbers])
        good = 0
        while good < len(results) and results[good] == 0:
            good += 1
        if not results or good == len(results):
            self.count += BATCH_ROWS
            return None
        self.count += good
        refused = [result for result in results[good:] if result != 0]
        for number, result in zip(numbers[good:], results[good:]):
            if result == 0:  # one behind a refused one; it is not ours any more
                connection.mutate_row("t", row_key(number), [[3]])
        return refused[0]

    def fill(self, connection):
        """Puts until the server refuses for good; back-pressure is waited for."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            refusal = self.put_batch(connection)
            if refusal is not None and refusal[0] != native.UNAVAILABLE:
                return refusal
            if refusal is not None:
                time.sleep(0.05)
        raise AssertionError("the disk was never full")

    def drop_most(self, connection):
        """By prefixes, all but one or two hundred rows: a compaction needs room for what is left."""
        keep = (self.count - 1) // 100 - 1
        for prefix in ([b"r%04d" % n for n in range(keep // 10)] +
                       [b"r%05d" % n for n in range(keep // 10 * 10, keep)]):
            connection.call(native.DROP_ROWS, {1: "t", 2: prefix})
        self.deleted |= {row_key(n) for n in range(keep * 100)}

    def check(self, connection):
        rows = connection.read_rows("t", ranges=None, credit_bytes=1 << 20)
        wanted = {row_key(n) for n in range(self.count)} - self.deleted
        assert set(rows) == wanted, (len(rows), len(wanted))
        for key, cells in rows.items():
            if key[:1] == b"r":
                assert cells[0][3] == value_of(int(key[1:])), key


def refusal_check(refusal, *words):
    code, text = refusal[0], refusal[1].decode()
    assert code == RESOURCE_EXHAUSTED, refusal
    assert all(word in text for word in words), text


def patiently(call, seconds=20):
    """Calls until it is not refused; what it last said when it is for so long."""
    end = time.monotonic() + seconds
    while True:
        try:
            return call()
        except native.NativeError as error:
            if error.code not in (native.UNAVAILABLE, RESOURCE_EXHAUSTED) or time.monotonic() > end:
                raise
        time.sleep(0.05)


def delete(connection, load, number):
    connection.mutate_row("t", row_key(number), [[3]])
    load.deleted.add(row_key(number))


def hog(folder, is_there):
    """Takes all that is left of the disk, or gives it back."""
    path = os.path.join(folder, "hog")
    if not is_there:
        os.unlink(path)
        return
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65536))
        except OSError:
            pass


def below_the_reserve(server, load):
    """Sets are refused; reads, deletes, drops and compaction go on and make space."""
    with server.connect() as connection:
        refusal_check(load.fill(connection), "reserve")
        load.check(connection)
        for number in range(10):
            delete(connection, load, number)
        load.check(connection)
        assert native.tool(server, "set", "t", "more", "f:q=1", code=5)[1].find("reserve") >= 0
        load.drop_most(connection)
        load.check(connection)
        native.tool(server, "compact", "t")
        refusal = "never tried"
        end = time.monotonic() + 20
        while refusal is not None and time.monotonic() < end:
            refusal = load.put_batch(connection)
            time.sleep(0.05)
        assert refusal is None, refusal
        load.check(connection)


def to_the_last_byte(server, load, disk):
    """Somebody else takes the rest: deletions go on in the log's own files, no request hangs, reads are served."""
    with server.connect(timeout=30) as connection:
        hog(disk, True)
        refusal_check(load.fill(connection), "disk")
        for number in range(load.count - 1, load.count - 2000, -1):
            try:
                delete(connection, load, number)
            except native.NativeError as error:
                if error.code != native.UNAVAILABLE:
                    refusal_check([error.code, error.text.encode()], "disk")
                    break
                time.sleep(0.01)
        load.check(connection)


def large_values_make_room(data):
    """Deleting values that are files makes room in seconds, not when a checkpoint comes by itself."""
    def put(number, size):
        connection.mutate_row("t", row_key(number), [[0, "f", b"q", 1000, b"x" * size]])

    with native.Server(data, FLAGS).start() as server, server.connect() as connection:
        connection.create_table("t", {"f": None})
        count, refusal = 0, None
        while refusal is None or "reserve" not in str(refusal):
            try:
                put(count, 2 << 20)
                count += 1
            except native.NativeError as error:
                refusal = error
                assert error.code in (native.UNAVAILABLE, RESOURCE_EXHAUSTED), error
            time.sleep(0.05)
        for number in range(8):
            connection.mutate_row("t", row_key(number), [[3]])
        patiently(lambda: put(count, 2 << 20))
        connection.drop_table("t")
        server.stop()


def start_on_full_disk(data, disk):
    """A start needs a file of the log; without one it says so and changes nothing, and a little space is enough."""
    server = native.Server(data, FLAGS)
    try:
        return server.start()
    except native.ServerError as error:
        assert "the disk is full" in str(error), error
        server.close()
    path = os.path.join(disk, "hog")
    os.truncate(path, os.path.getsize(path) - (1 << 20))
    return native.Server(data, FLAGS).start()


def run(disk):
    data = os.path.join(disk, "data")
    load = Load()
    with native.Server(data, FLAGS).start() as server:
        with server.connect() as connection:
            connection.create_table("t", {"f": None})
        below_the_reserve(server, load)
        with server.connect() as connection:
            refusal_check(load.fill(connection), "reserve")
        to_the_last_byte(server, load, disk)
        server.kill()
    with start_on_full_disk(data, disk) as server:
        with server.connect() as connection:
            load.check(connection)
            refusal_check(load.fill(connection), "disk")
        server.stop()
    with start_on_full_disk(data, disk) as server:
        with server.connect() as connection:
            load.check(connection)
            hog(disk, False)
            patiently(lambda: delete(connection, load, 2000))
            load.drop_most(connection)
            patiently(lambda: native.tool(server, "compact", "t"))
            patiently(lambda: connection.mutate_row("t", row_key(load.count), [[0, "f", b"q", 1000, b"v"]]))
            connection.mutate_row("t", row_key(load.count), [[3]])
            load.check(connection)
            assert "log_failed" not in server.output(), server.output()
        server.stop()


def main():
    own_file_system()
    with tempfile.TemporaryDirectory() as folder:
        disk = os.path.join(folder, "disk")
        os.mkdir(disk)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", disk], check=True)
        try:
            large_values_make_room(os.path.join(disk, "large"))
            shutil.rmtree(os.path.join(disk, "large"))
            run(disk)
        finally:
            subprocess.run(["umount", "--lazy", disk], check=True)
    print("a full disk ends nothing")


main()
