# ctest-timeout: 1800
"""cellard --check-data: sound directories are sound, every damaged byte that matters is named.

Builds data directories with a real server (tables, tablets, wide rows, long keys; killed and stopped),
then spoils them one place at a time: bits of every kind of place in the environments' pages and in
the log, files cut off and removed. Each time the checker must name the damage, with the right store
and row where they can be known, must not end by a signal, and must leave the directory as it was.

    CELLAR_TEST_SEED=N     the same choices again
    CELLAR_CHECK_FLIPS=N   bits flipped in each kind of place (4)
"""
import hashlib
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_native as native  # noqa: E402
import lmdb_pages  # noqa: E402

SET, DELETE_COLUMN = 0, 1
FLAGS = ["--log-segment-bytes", 1 << 19, "--checkpoint-records-max", 120,
         "--store-map-bytes", 64 << 20]
FLIPS = int(os.environ.get("CELLAR_CHECK_FLIPS", "4"))


# ---- directories

def mutations_make(rng, count):
    made = []
    for _ in range(count):
        family, qualifier = rng.choice([b"f", b"g"]), b"q%d" % rng.randrange(60)
        if rng.random() < 0.05:
            made.append([DELETE_COLUMN, family, qualifier, None, None])
            continue
        size = rng.choice([3, 20, 100, 900, 3000, 12000]) if rng.random() < 0.4 else 8
        made.append([SET, family, qualifier, rng.randrange(1, 50) * 1000, rng.randbytes(size)])
    return made


def row_make(rng):
    kind = rng.random()
    if kind < 0.1:
        return b"wide%d" % rng.randrange(3), 40
    if kind < 0.35:
        size = rng.choice([240, 250, 260, 499, 500, 501, 900, 3000])
        return (rng.choice([b"a", b"h", b"z\0"]) * size)[:size] + b"%d" % rng.randrange(12), 3
    return bytes([rng.randrange(256) if rng.random() < 0.3 else rng.randrange(97, 123)]) + \
        b"%d" % rng.randrange(300), 4


def build(data_dir, rng, writes, is_stopped):
    with native.Server(data_dir, FLAGS) as server:
        server.start()
        with server.connect() as connection:
            connection.create_table("plain", {"f": None, "g": None})
            connection.create_table("split", {"f": None, "g": None}, [b"f", b"m"], 2)
            connection.create_table("gone", {"f": None, "g": None})
            connection.mutate_row("gone", b"x", [[SET, b"f", b"q", 1000, b"v"]])
            for at in range(writes):
                row, count = row_make(rng)
                body = {1: rng.choice(["plain", "split"]), 2: row,
                        3: mutations_make(rng, count)}
                if rng.random() < 0.3:
                    body[4] = rng.randbytes(rng.randrange(8, 129))  # a token
                connection.call(native.MUTATE_ROW, body)
                if at == writes // 2:
                    connection.drop_table("gone")
        if is_stopped:
            server.stop()
        else:
            server.kill()


# ---- running the checker

def tree_facts(data_dir, with_content):
    """Every name below: kind, size, times, and its bytes' hash; but for the lock file's."""
    facts = {}
    for folder, folders, files in os.walk(data_dir):
        for name in folders + files:
            path = os.path.join(folder, name)
            stat = os.stat(path)
            content = b""
            if with_content and name in files:
                with open(path, "rb") as file:
                    content = hashlib.sha256(file.read()).digest()
            facts[path] = (stat.st_mode, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns,
                           stat.st_ino, content)
    return facts


class Result:
    def __init__(self, code, lines, errors):
        self.code, self.errors = code, errors
        self.findings = [line for line in lines if "severity" in line]
        self.summary = next((line for line in lines if "problems" in line), None)
        self.damage = [line for line in self.findings if line["severity"] == "damage"]
        self.notes = [line for line in self.findings if line["severity"] == "note"]


def check(data_dir, with_content=False):
    """Runs the checker; it must end by itself and leave everything as it was."""
    before = tree_facts(data_dir, with_content)
    run = subprocess.run([native.CELLARD, "--check-data", data_dir, "--format", "json"],
                         stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert tree_facts(data_dir, with_content) == before, "the checker changed the directory"
    assert run.returncode in (0, 1, 2), f"exit code {run.returncode}: {run.stderr}"
    result = Result(run.returncode, [json.loads(line) for line in run.stdout.splitlines()],
                    run.stderr)
    if result.code == 2:
        assert result.errors.startswith("cellard: "), result.errors
        return result
    assert not result.errors, result.errors
    assert result.summary["problems"] == len(result.damage) or len(result.damage) >= 1000
    assert (result.code == 1) == bool(result.damage), result.findings
    return result


def unescape(text):
    """\\xNN back to bytes."""
    made, at = bytearray(), 0
    while at < len(text):
        if text[at] == "\\":
            made.append(int(text[at + 2:at + 4], 16))
            at += 4
        else:
            made.append(ord(text[at]))
            at += 1
    return bytes(made)


class Spoiled:
    """Bytes of a file changed, and put back with all times at the end."""

    def __init__(self, path, offset, data):
        self.path, self.offset, self.data = path, offset, data

    def __enter__(self):
        with open(self.path, "r+b") as file:
            file.seek(self.offset)
            self.old = file.read(len(self.data))
            file.seek(self.offset)
            file.write(self.data)
        return self

    def __exit__(self, *_):
        with open(self.path, "r+b") as file:
            file.seek(self.offset)
            file.write(self.old)


class Missing:
    """A file or folder of a data directory that is beside it meanwhile."""

    def __init__(self, data_dir, path):
        self.path, self.elsewhere = path, data_dir + "-elsewhere"

    def __enter__(self):
        os.rename(self.path, self.elsewhere)

    def __exit__(self, *_):
        os.rename(self.elsewhere, self.path)


class Cut:
    """A file cut off."""

    def __init__(self, path, size):
        self.path, self.size = path, size

    def __enter__(self):
        with open(self.path, "r+b") as file:
            file.seek(self.size)
            self.rest = file.read()
            file.truncate(self.size)

    def __exit__(self, *_):
        with open(self.path, "r+b") as file:
            file.seek(self.size)
            file.write(self.rest)


def flipped(data, bit):
    made = bytearray(data)
    made[bit // 8] ^= 1 << bit % 8
    return bytes(made)


# ---- environments

def generations(data_dir):
    """Paths of all data.mdb: (store id, path)."""
    stores = os.path.join(data_dir, "stores")
    return [(int(store), os.path.join(stores, store, generation, "data.mdb"))
            for store in sorted(os.listdir(stores), key=int)
            for generation in os.listdir(os.path.join(stores, store))]


def rows_are_named(result, store, pages, spot):
    """Whether some finding names the row of a spot, or a range of rows that holds it. Where an
    entry of a long key cannot be read at all, the beginning of its row is named."""
    keys = [key if spot.kind == "item" else pages.whole_key(key, spot.database)
            for key in spot.rows]
    wanted = [lmdb_pages.row_of(key) for key in keys]
    for finding in result.damage:
        if finding.get("store") != store:
            continue
        if "row" in finding:
            row = unescape(finding["row"])
            if row in wanted or (spot.database == "layers" and wanted[0].startswith(row)):
                return True
        if "rows_start" in finding:
            start, end = unescape(finding["rows_start"]), unescape(finding["rows_end"])
            if start <= wanted[0] and (not end or wanted[1] <= end):
                return True
    return False


def spot_flip(data_dir, store, path, pages, spot, rng):
    """One bit of a spot; returns whether it mattered."""
    old = pages.data[spot.offset:spot.offset + spot.size]
    bit = rng.randrange(spot.size * 8)
    new = flipped(old, bit)
    if spot.accepts and spot.accepts(new):
        return False
    with Spoiled(path, spot.offset, new):
        result = check(data_dir)
    where = f"{path} offset {spot.offset} bit {bit} ({spot.kind} of {spot.database})"
    if spot.kind in ("meta last page", "free list"):  # it may cost space only: a note will do
        assert result.findings, f"{where}: not noticed"
        return True
    assert result.damage, f"{where}: not noticed; {result.findings}"
    assert any(finding.get("store") == store for finding in result.damage), \
        f"{where}: another store is named: {result.damage}"
    if spot.kind in ("item", "overflow link", "overflow page number") or (
            spot.database == "cells" and "page" in spot.kind):
        assert rows_are_named(result, store, pages, spot), \
            f"{where}: row {spot.rows} is not named: {result.damage}"
    return True


def environments_spoil(data_dir, rng):
    """Bits of every kind of place in every environment."""
    flips = {}
    for store, path in generations(data_dir):
        pages = lmdb_pages.Lmdb(path).load()
        by_kind = {}
        for spot in pages.spots:
            if spot.size > 0:
                by_kind.setdefault((spot.kind, spot.database), []).append(spot)
        for (kind, database), spots in sorted(by_kind.items(), key=str):
            for _ in range(FLIPS if kind != "item" else 3 * FLIPS):
                if spot_flip(data_dir, store, path, pages, rng.choice(spots), rng):
                    flips[kind] = flips.get(kind, 0) + 1
        whole_pages_spoil(data_dir, store, path, pages, rng)
    return flips


def whole_pages_spoil(data_dir, store, path, pages, rng):
    """Pages of noise, of zeroes, of another page; free pages; the file cut off; many bits."""
    size = lmdb_pages.PAGE
    used = sorted(pages.used)
    others = [page for page in range(2, len(pages.data) // size) if page not in pages.used]
    for page in rng.sample(used, min(3, len(used))):
        other = rng.choice([at for at in used if at != page])
        for data in (rng.randbytes(size), bytes(size),
                     pages.data[other * size:(other + 1) * size]):
            if data == pages.data[page * size:(page + 1) * size]:
                continue
            with Spoiled(path, page * size, data):
                result = check(data_dir)
            is_overflow_end = page not in (0, 1) and not result.damage
            assert not is_overflow_end, f"{path} page {page}: not noticed"
    for page in rng.sample(others, min(2, len(others))):
        with Spoiled(path, page * size, rng.randbytes(size)):
            result = check(data_dir)
        assert not result.damage, f"{path} page {page} is free: {result.damage}"
    for page in rng.sample(used, min(2, len(used))):
        with Cut(path, page * size + rng.randrange(size)):
            result = check(data_dir)
        assert any(found.get("store") == store for found in result.damage), f"{path} cut at {page}"
    for _ in range(2):
        noise = bytearray(pages.data)
        for _ in range(200):
            at = rng.choice(used) * size + rng.randrange(size)
            noise[at] ^= 1 << rng.randrange(8)
        with Spoiled(path, 0, bytes(noise)):
            assert check(data_dir).damage


# ---- the log

class Segment:
    """A sound segment file and its groups: (offset, size, first LSN, last LSN)."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        self.path = path
        self.is_sound = self.data[:8] == b"CELLARLG"
        if not self.is_sound:
            return
        self.alignment = struct.unpack_from("<I", self.data, 12)[0]
        self.number, self.incarnation, self.previous, self.first, self.low_water = \
            struct.unpack_from("<QQQQQ", self.data, 32)
        self.groups = []
        expected, at = self.first, self.alignment
        while at + 40 <= len(self.data):
            magic, size, first = struct.unpack_from("<4sIQ", self.data, at)
            count = struct.unpack_from("<I", self.data, at + 24)[0]
            if magic != b"CGRP" or first != expected:
                break
            self.groups.append((at, size, first, first + count - 1))
            expected = first + count
            at += -(-size // self.alignment) * self.alignment


def log_segments(data_dir):
    folder = os.path.join(data_dir, "log")
    segments = [Segment(os.path.join(folder, name)) for name in sorted(os.listdir(folder))]
    chain = sorted((seg for seg in segments if seg.is_sound), key=lambda seg: seg.number)
    first = len(chain) - 1
    while first > 0 and chain[first - 1].incarnation == chain[first].previous:
        first -= 1
    return chain[first:]


def lsn_is_named(result, path, first, last):
    name = "log/" + os.path.basename(path)
    return any(finding.get("first_lsn", last + 1) <= last and finding["last_lsn"] >= first
               and finding.get("file", name) in (name, "log") for finding in result.findings)


def group_flip(data_dir, segment, group, needed, rng):
    at, size, first, last = group
    bit = rng.randrange(size * 8)
    with Spoiled(segment.path, at, flipped(segment.data[at:at + size], bit)):
        result = check(data_dir)
    where = f"{segment.path} group at {at} bit {bit}, LSN {first} to {last}, needed above {needed}"
    assert bool(result.damage) == (last > needed), f"{where}: {result.findings}"
    assert lsn_is_named(result, segment.path, first, last), f"{where}: {result.findings}"


def log_spoil(data_dir, rng):
    """Bits of headers and groups, needed and not; files cut off and removed."""
    chain = log_segments(data_dir)
    applied = [lmdb_pages.Lmdb(path).load().applied_lsn for _, path in generations(data_dir)]
    needed = max(min(applied), chain[-1].low_water)
    groups = [(segment, group) for segment in chain for group in segment.groups]
    last_group = groups[-1][1]
    of_need = [pair for pair in groups[:-1] if pair[1][3] > needed]
    spent = [pair for pair in groups[:-1] if pair[1][3] <= needed]
    for pairs in (of_need, spent):
        for segment, group in rng.sample(pairs, min(4 * FLIPS, len(pairs))):
            group_flip(data_dir, segment, group, needed, rng)
    with Spoiled(groups[-1][0].path, last_group[0], b"\0"):
        assert not check(data_dir).damage, "the last group looks like a torn end"
    at = last_group[0] + 40
    with Spoiled(groups[-1][0].path, at, flipped(groups[-1][0].data[at:at + 8], 3)):
        result = check(data_dir)
        assert not result.damage and any("torn end" in note["why"] for note in result.notes)
    for segment in chain:
        is_needed = any(last > needed for _, _, _, last in segment.groups)
        bit = rng.randrange(512 * 8)
        with Spoiled(segment.path, 0, flipped(segment.data[:512], bit)):
            result = check(data_dir)
        assert result.findings, f"{segment.path} header bit {bit}"
        assert bool(result.damage) >= is_needed, f"{segment.path} header bit {bit}"
        with Cut(segment.path, rng.randrange(512, len(segment.data))):
            result = check(data_dir)
        assert segment is not chain[-1] or result.damage, f"{segment.path} cut off"
        if is_needed and segment is not chain[-1]:
            with Missing(data_dir, segment.path):
                assert check(data_dir).damage, f"{segment.path} missing"
    return len(of_need)


# ---- the frame

def frame_spoil(data_dir, rng):
    """FORMAT, LOCK, folders, names that do not belong there."""
    path = os.path.join(data_dir, "FORMAT")
    with open(path, "rb") as file:
        line = file.read()
    for bit in rng.sample(range(len(line) * 8), 8):
        with Spoiled(path, 0, flipped(line, bit)):
            result = check(data_dir)
        assert result.code == 2 or any(found.get("file") == "FORMAT" for found in result.damage)
    with Cut(path, 5):
        assert check(data_dir).damage
    with Missing(data_dir, path):
        assert check(data_dir).damage
    for name in ("LOCK", "stores/0/1/lock.mdb", "stores/1/1/lock.mdb"):
        with Missing(data_dir, os.path.join(data_dir, name)):
            assert check(data_dir).code == 0, name
    for store, path in generations(data_dir):
        with Missing(data_dir, path):
            result = check(data_dir)
            assert any(found.get("store") == store for found in result.damage), path
        with Missing(data_dir, os.path.dirname(os.path.dirname(path))):
            result = check(data_dir)
            assert any(found.get("store") == store for found in result.damage), path
    with Missing(data_dir, os.path.join(data_dir, "log")):
        assert check(data_dir).damage
    with Missing(data_dir, os.path.join(data_dir, "stores")):
        assert check(data_dir).damage
    leftovers = [os.path.join(data_dir, name) for name in ("stores/77/3", "stores/1/2", "stores/78",
                                                           "other", "log/notes")]
    for leftover in leftovers:
        os.makedirs(leftover)
    result = check(data_dir)
    assert result.code == 0, result.damage
    for leftover in leftovers:
        name = os.path.relpath(leftover, data_dir)
        assert any(note.get("file") == name for note in result.notes), name
        os.removedirs(leftover)


def refusals(data_dir, folder):
    """What is no damage but cannot be checked: exit code 2 and a sentence."""
    empty = os.path.join(folder, "empty")
    os.mkdir(empty)
    assert check(empty).code == 2
    assert check(os.path.join(folder, "nothing")).code == 2 and \
        not os.path.exists(os.path.join(folder, "nothing"))
    with open(os.path.join(empty, "FORMAT.new"), "wb") as file:
        file.write(b"cellar data directory, format 1\n")
    result = check(empty)
    assert result.code == 0 and result.notes[0]["file"] == "FORMAT.new"
    run = subprocess.run([native.CELLARD, "--check-data", data_dir, "--format", "xml"],
                         capture_output=True, text=True, check=False)
    assert run.returncode == 2 and "format" in run.stderr, run.stderr
    copy = os.path.join(folder, "copy")
    shutil.copytree(data_dir, copy)
    with native.Server(copy, FLAGS) as server:
        server.start()
        result = check_running(copy)
        assert result.returncode == 2 and "is in use" in result.stderr, result.stderr
        server.stop()
    result = check(copy)
    assert result.code == 0 and result.summary["unapplied_records"] == 0, result.findings


def check_running(data_dir):
    return subprocess.run([native.CELLARD, "--check-data", data_dir], capture_output=True,
                          text=True, check=False)


def text_form(data_dir):
    """The lines for people."""
    run = check_running(data_dir)
    lines = run.stdout.splitlines()
    assert run.returncode == 0 and lines[-1] == "OK" and lines[-2].startswith("checked: "), lines
    store, path = generations(data_dir)[1]
    pages = lmdb_pages.Lmdb(path).load()
    key, offset, size = pages.items[0]
    with Spoiled(path, offset + size - 1, flipped(pages.data[offset + size - 1:offset + size], 0)):
        run = check_running(data_dir)
    lines = run.stdout.splitlines()
    row = "".join(chr(byte) if 0x20 <= byte < 0x7F and byte not in b"\"\\" else f"\\x{byte:02x}"
                  for byte in lmdb_pages.row_of(key))
    assert run.returncode == 1 and lines[-1] == "1 problem", lines
    assert f'store {store} table default/default/plain tablet "" to "" row "{row}": ' in lines[0]
    assert lines[0].startswith(f"damage: stores/{store}/1/data.mdb offset "), lines[0]


def main():
    rng = random.Random(native.test_seed())
    folder = tempfile.mkdtemp(prefix="cellar-check-")
    try:
        killed = os.path.join(folder, "killed", "data")
        stopped = os.path.join(folder, "stopped", "data")
        for path, writes, is_stopped in ((killed, 500, False), (stopped, 150, True)):
            os.makedirs(os.path.dirname(path))
            build(path, rng, writes, is_stopped)
            result = check(path, with_content=True)
            assert result.code == 0 and not result.findings, result.findings
            print(result.summary)
            assert (result.summary["unapplied_records"] == 0) == is_stopped
            before = tree_facts(path, True)
            text_form(path)
            flips = environments_spoil(path, rng)
            print("flips that mattered:", flips)
            assert is_stopped or sum(flips.values()) >= 100 * min(FLIPS, 3)
            print("groups that are needed:", log_spoil(path, rng))
            frame_spoil(path, rng)
            after = tree_facts(path, True)
            assert {name: fact[5] for name, fact in before.items()} == \
                {name: fact[5] for name, fact in after.items()}
            assert check(path).code == 0
        refusals(killed, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
