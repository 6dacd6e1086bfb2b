# ctest-timeout: 1200
"""import and export of random bytes and large rows, stopped in every way in the middle.

The oracle is made here; tables are read back over the native protocol by the tests' own client. An
import and an export each are killed with SIGKILL, interrupted with SIGINT and see their server die,
wherever they happen to be; then the same command runs again, and the table (the file) must be what
it would have been: every cell once, rows without a timestamp in one version, refused lines once and
in order. Every packing and both formats are among them.
"""
import base64
import collections
import gzip
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_native as native  # noqa: E402
import cellar_terminal  # noqa: E402

CELLAR = os.environ["CELLAR"]
ROWS = 110_000
WAIT_SECONDS_MAX = 300
STARTED = time.monotonic()
SLOWLY = ("--parallel", "1", "--batch", "20")  # so that there is a middle to be stopped in


def say(text):
    print(f"{time.monotonic() - STARTED:6.1f} s  {text}", flush=True)


# ---- the oracle ---------------------------------------------------------------------------------

def random_cells(numbers):
    """{(family, qualifier): {timestamp or None: value}} of one row."""
    cells = collections.defaultdict(dict)
    for _ in range(numbers.choice((1, 1, 1, 2, 3))):
        column = (numbers.choice((b"f", b"g")), numbers.randbytes(numbers.choice((0, 1, 5))))
        stamp = None if numbers.random() < 0.3 else numbers.randrange(0, 2**50)
        cells[column][stamp] = numbers.randbytes(numbers.choice((0, 1, 10, 30)))
    return dict(cells)


def make_oracle(numbers):
    """{key: cells}; most rows small, some wide, one above what one write may hold."""
    oracle = {}
    while len(oracle) < ROWS:
        oracle[numbers.randbytes(numbers.choice((2, 4, 8, 8, 8, 40)))] = random_cells(numbers)
    oracle[b"\xff" * 4096] = {(b"f", b""): {0: b""}}
    oracle[b"\x00"] = {(b"f", b"q" * 16384): {2**53: numbers.randbytes(1 << 20)}}
    oracle[b"wide\n"] = {(b"f", b"%d" % index): {index: numbers.randbytes(30)}
                         for index in range(30000)}
    oracle[b"heavy,\""] = {(b"g", b"\\%d" % index): {7: numbers.randbytes(900_000)}
                           for index in range(8)}
    return oracle


def json_bytes(data):
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(data).decode()}


def json_line(key, items):
    cells = []
    for (family, qualifier), stamp, value in items:
        cell = {"family": family.decode(), "qualifier": json_bytes(qualifier),
                "value": json_bytes(value)}
        if stamp is not None:
            cell["timestamp"] = stamp
        cells.append(cell)
    return json.dumps({"row": json_bytes(key), "cells": cells}).encode() + b"\n"


def write_input(path, oracle, numbers, packing):
    """The oracle as JSON lines in any order, bad lines between; returns those."""
    lines, bad = [], []
    for key, cells in oracle.items():
        items = [(column, stamp, value) for column, versions in cells.items()
                 for stamp, value in versions.items()]
        step = 2 if len(items) == 8 else 10000  # rows above 4 MiB take several lines
        for at in range(0, len(items), step):
            lines.append(json_line(key, items[at:at + step]))
    numbers.shuffle(lines)
    for index in range(40):
        at = numbers.randrange(len(lines))
        kind = index % 3
        lines.insert(at, b"bad %d\n" % index if kind == 0 else
                     json_line(b"refused", [((b"nope", b"%d" % index), 1, b"v")]) if kind == 1 else
                     b'{"row":"","cells":[]} %d\n' % index)
    bad = [line for line in lines if line.startswith((b"bad", b'{"row":"",'))
           or b'"nope"' in line]
    with open(path, "wb") as file:
        file.write(gzip.compress(b"".join(lines), 1) if packing == "gzip" else b"".join(lines))
    return bad


# ---- tables -------------------------------------------------------------------------------------

class Table:
    """A server that comes back on its own port, and the tool against it."""

    def __init__(self, folder):
        self.server = native.Server(os.path.join(folder, "data"))
        self.server.start()
        self.endpoint = f"127.0.0.1:{self.server.port}"
        self.server.flags += ["--listen", self.endpoint]

    def restart_killed(self):
        """Kills the server and starts it again; another process may hold its port for a moment."""
        self.server.kill()
        end = time.monotonic() + WAIT_SECONDS_MAX
        while True:
            try:
                self.server.launch().wait()
                return
            except native.ServerError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def run(self, *arguments, code=0, stdin=None):
        done = subprocess.run([CELLAR, "--endpoint", self.endpoint, *arguments], stdin=stdin,
                              capture_output=True, check=False, timeout=WAIT_SECONDS_MAX)
        assert done.returncode == code, (arguments, done.returncode, done.stderr[-2000:])
        return done

    def start(self, *arguments, stdin=None):
        return subprocess.Popen([CELLAR, "--endpoint", self.endpoint, *arguments], stdin=stdin,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def make(self, name):
        self.run("table", "create", name, "--family", "f", "--family", "g", "--granularity",
                 "micros", "--split", "\\x40", "--split", "\\x80", "--split", "\\xc0")

    def read(self, name):
        """{key: {(family, qualifier): {timestamp: value}}} over the native protocol."""
        rows = {}
        with self.server.connect() as connection:
            for key, cells in connection.read_rows(
                    f"projects/default/instances/default/tables/{name}").items():
                row = collections.defaultdict(dict)
                for family, qualifier, stamp, value in cells:
                    family = family.encode() if isinstance(family, str) else family
                    assert stamp not in row[(family, qualifier)]
                    row[(family, qualifier)][stamp] = value
                rows[key] = dict(row)
        return rows


def check_table(rows, oracle):
    """Every cell once; all cells without a timestamp have the same one. Returns that."""
    assert rows.keys() == oracle.keys(), (len(rows), len(oracle))
    given = set()
    for key, cells in oracle.items():
        got = rows[key]
        assert got.keys() == cells.keys(), key[:50]
        for column, versions in cells.items():
            known = {stamp: value for stamp, value in versions.items() if stamp is not None}
            extra = {stamp: value for stamp, value in got[column].items()
                     if known.get(stamp) != value}
            assert len(got[column]) == len(versions), (key[:50], column[:50])
            if None in versions:
                assert list(extra.values()) == [versions[None]], key[:50]
                given |= extra.keys()
            else:
                assert not extra, key[:50]
    assert len(given) == 1, given
    return given.pop()


# ---- stopping -----------------------------------------------------------------------------------

def progress(path):
    """The lines of a progress file as a dictionary; empty where there is none."""
    try:
        with open(path, "rb") as file:
            lines = file.read().decode().splitlines()
    except FileNotFoundError:
        return {}
    assert re.fullmatch("cellar (import|export) progress 1", lines[0]), lines
    assert re.fullmatch("crc [0-9a-f]{8}", lines[-1]), lines
    return dict(line.split(" ", 1) for line in lines[1:-1])


def wait_for(process, condition, what):
    """Until the condition holds; false when the process ended before."""
    end = time.monotonic() + WAIT_SECONDS_MAX
    while not condition():
        if process.poll() is not None:
            say(f"it ended before {what}")
            return False
        assert time.monotonic() < end, what
        time.sleep(0.005)
    return True


def has_moved(path, name, before):
    return lambda: int(progress(path).get(name, -1)) > before


def end_of(process, codes):
    """Waits for the end; (exit code, standard output, standard error)."""
    out, err = process.communicate(timeout=WAIT_SECONDS_MAX)
    assert process.returncode in codes, (process.returncode, out[-500:], err[-2000:])
    return process.returncode, out, err


def stop(process, how, path, name, table):
    """Stops a command when its progress has moved on; true when it was stopped before its end."""
    before = int(progress(path).get(name, 0))
    if not wait_for(process, has_moved(path, name, before), f"{name} > {before}"):
        return False
    if how == "server":
        table.restart_killed()
        return False  # it waits for the server and goes on
    process.send_signal(signal.SIGKILL if how == "kill" else signal.SIGINT)
    return True


# ---- the tests ----------------------------------------------------------------------------------

def import_stopped(table, name, command, path, hows, refused, stdin_path=None):
    """Runs an import to its end through all the stops; every run but the last is stopped."""
    moved = 0
    done = False
    stops = []
    while not done:
        how = hows[len(stops)] if len(stops) < len(hows) else None
        stdin = open(stdin_path, "rb") if stdin_path else None
        slowly = SLOWLY if how and how != "server" else ()
        process = table.start("import", name, *command, *slowly, stdin=stdin)
        if stdin:
            stdin.close()
        is_stopped = how is not None and stop(process, how, path, "position", table)
        stops.append(how)
        code, out, err = end_of(process, (-signal.SIGKILL, 1) if is_stopped else
                                (1,) if refused else (0,))
        if b"CANCELLED" in err:
            assert b"Run the same command again to go on from there." in err, err
        done = not progress(path)
        if not done:
            now = int(progress(path)["position"])
            assert is_stopped and now >= moved, (how, now, moved)
            moved = now
        else:
            assert out.startswith(b"wrote "), (out, err)
            assert out.count(b"refused %d" % refused) == 1, out
    assert moved > 0, "nothing was stopped in the middle"
    say(f"import to {name} stopped by {[how for how in stops if how]}")


def check_imports(table, folder, oracle, numbers):
    path = os.path.join(folder, "input.jsonl")
    rejects = os.path.join(folder, "rejects")
    bad = write_input(path, oracle, numbers, "none")
    table.make("a")
    dry = table.run("import", "a", path, "--dry-run", code=1)
    assert dry.stdout.startswith(b"would write ") and b"refused 40" in dry.stdout, dry.stdout
    assert not table.read("a") and not os.path.exists(path + ".progress")
    import_stopped(table, "a", (path, "--rejects", rejects), path + ".progress",
                   ("kill", "int", "kill", "server"), 40)
    say("imported")
    stamp = check_table(table.read("a"), oracle)
    say("read")
    with open(rejects, "rb") as file:
        assert file.read() == b"".join(bad), "the rejects are not the bad lines in their order"
    # The same from compressed standard input, with a progress file that is named.
    packed = os.path.join(folder, "packed")
    bad = write_input(packed, oracle, numbers, "gzip")
    kept = os.path.join(folder, "kept")
    table.make("b")
    import_stopped(table, "b", ("-", "--progress", kept, "--timestamp", str(stamp)), kept,
                   ("int", "kill", "server"), 40, stdin_path=packed)
    assert check_table(table.read("b"), oracle) == stamp
    assert table.read("b") == table.read("a")


def export_stopped(table, command, path, hows):
    """Runs an export to its end through all the stops."""
    stops = []
    done = False
    while not done:
        how = hows[len(stops)] if len(stops) < len(hows) else None
        process = table.start("export", "a", path, *command)
        is_stopped = how is not None and stop(process, how, path + ".progress", "rows", table)
        if is_stopped and how == "kill":
            process.wait()
            assert not os.path.exists(path) or process.returncode == 0
        stops.append(how)
        _, out, err = end_of(process, (-signal.SIGKILL, 1, 0) if is_stopped else (0,))
        done = not os.path.exists(path + ".progress")
        if not done:
            assert is_stopped and not os.path.exists(path), (out, err)
    assert os.path.exists(path) and not os.path.exists(path + ".part")
    say(f"export to {os.path.basename(path)} stopped by {[how for how in stops if how]}")


def check_exports(table, folder, oracle):
    want = table.read("a")
    plain = os.path.join(folder, "plain.jsonl")
    table.run("export", "a", plain)
    with open(plain, "rb") as file:
        plain_lines = file.read()
    assert max(map(len, plain_lines.splitlines())) < 4 << 20, "a large row is not cut"
    for name, hows in (("out.jsonl.gz", ("kill", "int", "kill")),
                       ("out.csv.zst", ("int", "kill", "server")),
                       ("out.csv", ("kill", "server"))):
        path = os.path.join(folder, name)
        with open(path, "wb") as file:
            file.write(b"old")
        os.unlink(path)
        export_stopped(table, (), path, hows)
        if name == "out.jsonl.gz":
            with gzip.open(path, "rb") as file:
                assert file.read() == plain_lines, "the stopped export is another one"
        say(f"exported {name}")
        table.make("copy")
        import_stopped(table, "copy", (path,), path + ".progress", ("kill", "int"), 0)
        assert table.read("copy") == want, f"what {name} brings is not the table"
        table.run("table", "drop", "copy", "--yes")
        os.unlink(path)
    piped = table.run("export", "a", "--compress", "gzip")
    assert gzip.decompress(piped.stdout) == plain_lines
    assert piped.stderr.startswith(b"exported "), piped.stderr


def check_terminal(table, folder):
    """The bar on a terminal, Ctrl-C, and going on."""
    path = os.path.join(folder, "plain.jsonl")
    table.make("shown")
    command = [CELLAR, "--endpoint", table.endpoint, "import", "shown", path]
    with cellar_terminal.Terminal([*command, *SLOWLY]) as terminal:
        terminal.wait_for(" rows/s")
        terminal.type("\x03")
        assert terminal.end() == 1, terminal.output
        assert b"CANCELLED: Interrupted" in terminal.output, terminal.output
        assert b"MB/s" in terminal.output and b"[" in terminal.output
    assert table.run(*command[3:]).stderr == b"", "a pipe sees more than errors"
    assert table.read("shown") == table.read("a")


def peak_bytes(pid):
    """The most memory that a process has had so far."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        return sum(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


def import_peak(table, name, path, codes, *options):
    """Imports a file: what was printed, the errors, and the most memory it took."""
    process = table.start("import", name, path, *options)
    peak = 0
    while process.poll() is None:
        peak = max(peak, peak_bytes(process.pid))
        time.sleep(0.005)
    _, out, err = end_of(process, codes)
    assert peak > 0
    return out, err, peak


def check_large_rows(table, folder):
    """A row of a hundred megabytes is read in little more than its line, and written in parts."""
    path = os.path.join(folder, "large.jsonl")
    row = {(b"f", b"%03d" % number): {1: b"%c" % (97 + number % 26) * 1000000}
           for number in range(100)}
    with open(path, "wb") as file:
        file.write(json_line(b"large", [(column, 1, cells[1]) for column, cells in row.items()]))
        file.write(json_line(b"r", [((b"f", b"q"), 1, b"v")]))
    table.make("large")
    out, _, peak = import_peak(table, "large", path, (0,))
    assert b"wrote 2 rows, 101 cells, " in out, out
    assert peak < 260 << 20, peak
    assert table.read("large") == {b"large": row, b"r": {(b"f", b"q"): {1: b"v"}}}


def check_bounds(table, folder):
    """Lines of any length take bounded memory; foreign progress and a full disk are told."""
    path = os.path.join(folder, "long.jsonl")
    with open(path, "wb") as file:
        for _ in range(300):
            file.write(b"x" * (1 << 20))
        file.write(b"\n" + json_line(b"r", [((b"f", b"q"), 1, b"v")]))
    table.make("bounded")
    _, err, peak = import_peak(table, "bounded", path, (1,))
    assert b"line 1 refused: The line is longer than 256 MiB" in err, err
    assert peak < 600 << 20, peak
    assert table.read("bounded") == {b"r": {(b"f", b"q"): {1: b"v"}}}
    full = table.run("export", "a", "/dev/full", code=1)
    assert b"No space left on device" in full.stderr, full.stderr
    with open(path + ".progress", "wb") as file:
        file.write(b"cellar import progress 1\ntable x\ncrc 00000000\n")
    told = table.run("import", "bounded", path, code=4)
    assert b"is not the whole progress of an import" in told.stderr, told.stderr


def main():
    numbers = random.Random(native.test_seed())
    folder = tempfile.mkdtemp(prefix="cellar-import-")
    oracle = make_oracle(numbers)
    say("the oracle is there")
    table = Table(folder)
    try:
        with table.server:
            check_imports(table, folder, oracle, numbers)
            check_exports(table, folder, oracle)
            check_terminal(table, folder)
            say("the terminal showed it")
            check_large_rows(table, folder)
            check_bounds(table, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
