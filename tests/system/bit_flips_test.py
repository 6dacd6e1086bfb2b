# ctest-timeout: 300
"""Bits flipped anywhere in a data directory: never a wrong value, never a process that a signal ends.

A directory of a killed server is copied, one bit of one file is flipped, of the log, the stores, the catalog, the
files of large values or FORMAT, and a server is started on the copy; or the bit is flipped under a running server.
Then every row is either what was acknowledged or refused as DATA_LOSS, or the start is refused in words that name
a file and what to do. What is not as it was is named by `cellar check`, and other rows stay readable.

    CELLAR_TEST_SEED=N     the same choices again
    CELLAR_FLIP_SECONDS=N  how long (40)
"""
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_native as native  # noqa: E402

SECONDS = float(os.environ.get("CELLAR_FLIP_SECONDS", "40"))
FLAGS = ("--log-segment-bytes", "4m", "--store-map-bytes", "67108864", "--log-level", "warn")
ROWS = 400
LARGE_BYTES = 1500000
DATA_LOSS, IO_ERROR, RESOURCE_EXHAUSTED = 12, 15, 7
KINDS = ("log", "store", "item", "catalog", "blob", "format")


def value_of(row, version):
    return b"%s is %d " % (row, version) * 12


# ---- the directory that is copied

def build(data):
    """Rows in two tablets, some written twice; half in the stores, half in the log; one large value. Returns all."""
    rows = {}
    with native.Server(data, FLAGS).start() as server, server.connect() as connection:
        connection.create_table("t", {"f": None}, [b"r0200"])
        for version, numbers in ((1, range(ROWS)), (2, range(0, ROWS, 3))):
            for row in [b"r%04d" % number for number in numbers]:
                rows[row] = value_of(row, version)
                connection.mutate_row("t", row, [[0, "f", b"q", 1000, rows[row]]])
        rows[b"r0100large"] = b"large " * (LARGE_BYTES // 6)
        connection.mutate_row("t", b"r0100large", [[0, "f", b"q", 1000, rows[b"r0100large"]]])
        server.stop()
    with native.Server(data, FLAGS).start() as server, server.connect() as connection:
        for row in [b"r%04d" % number for number in range(0, ROWS, 5)]:
            rows[row] = value_of(row, 3)
            connection.mutate_row("t", row, [[0, "f", b"q", 1000, rows[row]]])
        server.kill()
    return rows


def files_of(data, kind):
    top = {"log": "log", "store": "stores", "item": "stores", "catalog": "stores/0", "blob": "blobs", "format": ""}[kind]
    found = []
    for folder, _, names in os.walk(os.path.join(data, top)):
        for name in names:
            path = os.path.join(folder, name)
            is_catalog = os.path.relpath(path, data).startswith("stores/0/")
            if name in ("lock.mdb", "LOCK") or (kind in ("store", "item") and is_catalog):
                continue
            if (kind == "format") == (name == "FORMAT") and os.path.getsize(path) > 0:
                found.append(path)
    assert found, (kind, data)
    return sorted(found)


class Flip:
    """One bit of one file; most often of bytes that are not zero."""

    def __init__(self, data, kind, rng):
        self.kind = kind
        self.path = rng.choice(files_of(data, kind))
        with open(self.path, "rb") as file:
            content = file.read()
        if kind == "item":
            spots = [at for at in (content.find(b" is ", rng.randrange(len(content))),) if at >= 0]
            self.offset = spots[0] if spots else content.find(b" is ")
        else:
            self.offset = rng.randrange(len(content))
            for _ in range(200 if rng.random() < 0.9 else 0):
                if content[self.offset] != 0:
                    break
                self.offset = rng.randrange(len(content))
        self.bit = rng.randrange(8)
        self.name = f"{kind}: bit {self.bit} of {os.path.relpath(self.path, data)} at {self.offset}"
        self.byte = content[self.offset] ^ (1 << self.bit)

    def make(self):
        with open(self.path, "r+b") as file:
            file.seek(self.offset)
            file.write(bytes([self.byte]))


# ---- what is asked

def cell_values(cells):
    return [value for _, _, _, value in cells]


class Reading:
    """What a server said of all rows: refused ones by key; wrong ones are those that differ without a word."""

    def __init__(self, server, rows):
        self.refused, self.wrong = {}, []
        with server.connect() as connection:
            try:
                whole = connection.read_rows("t", credit_bytes=1 << 24)
                self.compare(rows, whole)
            except native.NativeError as error:
                self.refusal(error)
                for row in rows:
                    self.single(connection, row, rows)

    def single(self, connection, row, rows):
        try:
            got = connection.read_rows("t", row_keys=[row], credit_bytes=1 << 24)
            self.compare({row: rows[row]}, got)
        except native.NativeError as error:
            self.refusal(error)
            self.refused[row] = error.text

    @staticmethod
    def refusal(error):
        named = error.code == native.NOT_FOUND or "t" in error.text
        assert error.code in (DATA_LOSS, IO_ERROR, RESOURCE_EXHAUSTED, native.NOT_FOUND) and named, error

    def compare(self, rows, got):
        for row, cells in got.items():
            if cell_values(cells) != [rows.get(row)]:
                self.wrong.append((row, cell_values(cells)))
        self.wrong += [(row, None) for row in rows if row not in got]


def is_sound(data):
    """What `cellar check` says: whether nothing is damaged."""
    done = subprocess.run([native.CELLAR, "check", data], stdin=subprocess.DEVNULL, capture_output=True, check=False,
                          timeout=60, text=True)
    assert done.returncode in (0, 1, 2), done  # 2: by its FORMAT it is of another version
    return done.returncode == 0, done.stdout + done.stderr


def started(data):
    """A server, or None and what a refused start said."""
    server = native.Server(data, FLAGS)
    try:
        return server.start(), ""
    except native.ServerError:
        code, output = server.process.returncode, server.output()
        server.close()
        assert code == 1, (code, output)
        return None, output


def refusal_check(output, data):
    """The last line says which file, and what to do."""
    line = output.strip().splitlines()[-1]
    assert line.startswith("cellard: ") and data in line, output
    assert any(word in line for word in ("restore", "cellar check", "backup", "start the cellard that wrote it")), line


def wrong_check(reading, rows, said):
    """A page's former version, which LMDB's own pointers may lead to, is told by a check alone."""
    for row, values in reading.wrong:
        stale = [value_of(row, version) for version in (1, 2, 3)]
        assert values is None or all(value in stale for value in values), (row, values)
    assert not reading.wrong or not said[0], (reading.wrong[:3], said)
    assert all(row in rows for row, _ in reading.wrong), reading.wrong[:3]


def flip_before_start(base, data, rows, flip_kind, rng):
    shutil.copytree(base, data)
    flip = Flip(data, flip_kind, rng)
    print(flip.name, flush=True)
    flip.make()
    said = is_sound(data)
    server, output = started(data)
    if server is None:
        assert not said[0], (output, said)
        refusal_check(output, data)
        return "refused"
    with server:
        reading = Reading(server, rows)
        wrong_check(reading, rows, said)
        assert not said[0] or not (reading.refused or reading.wrong), (said, reading.refused, reading.wrong[:3])
        if flip.kind == "item" and reading.refused:
            assert len(reading.refused) == 1, reading.refused
        if flip.kind in ("blob", "item"):
            assert len(reading.refused) <= 1, reading.refused
        server.stop()
        return "served" if not reading.refused else f"{len(reading.refused)} rows refused"


def flip_under_server(base, data, rows, flip_kind, rng):
    shutil.copytree(base, data)
    server, output = started(data)
    assert server is not None, output
    with server:
        Reading(server, rows)
        flip = Flip(data, flip_kind, rng)
        print("running,", flip.name, flush=True)
        flip.make()
        reading = Reading(server, rows)
        done = subprocess.run([native.CELLAR, "--endpoint", f"127.0.0.1:{server.port}", "scrub"], text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
        if reading.refused and flip_kind != "log":
            assert done.returncode != 0, (reading.refused, done)
        again = Reading(server, rows)
        with server.connect() as connection:
            try:
                connection.mutate_row("t", b"new", [[0, "f", b"q", 1000, b"v"]])
                connection.mutate_row("t", b"new", [[3]])
            except native.NativeError as error:
                assert error.code in (DATA_LOSS, IO_ERROR), error
        server.process.poll()
        assert server.process.returncode is None, server.output()
        server.kill()
    said = is_sound(data)
    for each in (reading, again):
        wrong_check(each, rows, said)
    return "served" if not reading.refused else f"{len(reading.refused)} rows refused"


def main():
    rng = random.Random(native.test_seed())
    end = time.monotonic() + SECONDS
    told = {}
    with tempfile.TemporaryDirectory(prefix="cellar-flips-") as folder:
        base = os.path.join(folder, "base")
        rows = build(base)
        number = 0
        while time.monotonic() < end:
            number += 1
            data = os.path.join(folder, f"data{number}")
            kind = rng.choice(KINDS)
            case = flip_under_server if rng.random() < 0.3 else flip_before_start
            result = case(base, data, rows, kind, rng)
            print("   ", result, flush=True)
            key = (kind, case.__name__, "refused" if result == "refused" else result.split(" ")[-1])
            told[key] = told.get(key, 0) + 1
            shutil.rmtree(data)
    for key, count in sorted(told.items()):
        print(count, *key)
    print(f"{number} flipped bits, no wrong value")


main()
