#!/usr/bin/env python3
"""import --bulk: what it loads is what the ordinary import writes, whatever the order of the input and
the memory for sorting, and however large its rows; what it refuses; and that a kill at any moment leaves all of it or
nothing, of its files, too."""
# ctest-timeout: 300
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_native as native  # noqa: E402

ROW_COUNT = 20000
VALUE_BYTES_MAX = 100 << 20
PEAK_BYTES_MAX = 1100 << 20  # of the tool: about five times the largest row
CELLAR = os.environ["CELLAR"]


def told(server, *arguments):
    """All that cellar says, which does not end well."""
    done = subprocess.run([CELLAR, "--endpoint", "127.0.0.1:%d" % server.port, *arguments], check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=120)
    assert done.returncode != 0, (arguments, done)
    return done.stdout


def lines_make(order):
    """Rows of two cells; every tenth key comes a second time, with one cell that replaces another."""
    lines = []
    for number in order:
        key = "row%06d" % number
        cells = [{"family": "f", "qualifier": "z", "timestamp": 2000, "value": "v%d" % number},
                 {"family": "f", "qualifier": "a", "timestamp": 1000, "value": "x" * 60}]
        lines.append(json.dumps({"row": key, "cells": cells}))
        if number % 10 == 0:
            cells = [{"family": "f", "qualifier": "a", "timestamp": 1000, "value": "later"},
                     {"family": "f", "qualifier": "a", "timestamp": 3000, "value": "newest"}]
            lines.append(json.dumps({"row": key, "cells": cells}))
    return lines


def file_write(path, lines):
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in lines))
    return path


def scanned(server, table):
    return native.tool_bytes(server, "scan", table, "--format", "jsonl")


def table_make(server, table, splits=True):
    with server.connect() as connection:
        keys = [b"row005000", b"row015000"] if splits else []
        connection.create_table(table, {"f": None}, split_keys=keys)


def loads_equal_imports(server, folder):
    order = list(range(ROW_COUNT))
    random.Random(native.test_seed()).shuffle(order)
    shuffled = file_write(os.path.join(folder, "shuffled.jsonl"), lines_make(order))
    in_order = file_write(os.path.join(folder, "sorted.jsonl"), lines_make(range(ROW_COUNT)))
    for table in ("ordinary", "memory", "spilled", "streamed"):
        table_make(server, table)
    native.tool(server, "import", "ordinary", shuffled)
    native.tool(server, "import", "memory", shuffled, "--bulk")
    native.tool(server, "import", "spilled", shuffled, "--bulk", "--sort-memory", "1", "--tmp-dir", folder)
    native.tool(server, "import", "streamed", in_order, "--bulk", "--sorted")
    expected = scanned(server, "ordinary")
    assert expected.count(b"\n") == ROW_COUNT
    for table in ("memory", "spilled", "streamed"):
        assert scanned(server, table) == expected, table
    assert not [name for name in os.listdir(folder) if name.startswith("cellar-sort")]
    native.tool(server, "scrub")
    native.tool(server, "compact", "memory")
    assert scanned(server, "memory") == expected
    return shuffled, in_order, expected


def mistakes_are_refused(server, folder, shuffled):
    table_make(server, "mistakes")
    text = told(server, "import", "memory", shuffled, "--bulk")
    assert "needs a range without rows, but there is row row000000" in text, text
    text = told(server, "import", "mistakes", shuffled, "--bulk", "--sorted")
    assert "order of their keys" in text and "Nothing was loaded" in text, text
    for wrong in (["--bulk", "--progress", "p"], ["--sorted"], ["--tmp-dir", "."], ["--sort-memory", "5"]):
        text = told(server, "import", "mistakes", shuffled, *wrong)
        assert "--bulk" in text, text
    text = told(server, "import", "mistakes", shuffled, "--bulk", "--sort-memory", "1", "--tmp-dir",
                       os.path.join(folder, "none"))
    assert "Sorting needs a file in" in text, text
    assert scanned(server, "mistakes") == b""
    # Refused lines are told and kept, the others loaded.
    lines = lines_make(range(100))
    lines[7] = "no json"
    lines[9] = json.dumps({"row": "other", "cells": [{"family": "none", "qualifier": "", "timestamp": 1000,
                                                      "value": ""}]})
    path = file_write(os.path.join(folder, "some.jsonl"), lines)
    rejects = os.path.join(folder, "rejects")
    text = told(server, "import", "mistakes", path, "--bulk", "--rejects", rejects, "--max-errors", "1")
    assert "Stopped by 2 refusals" in text and "Nothing was loaded" in text, text
    assert scanned(server, "mistakes") == b""
    text = told(server, "import", "mistakes", path, "--bulk", "--rejects", rejects)
    assert "line 8 refused" in text and "refused 2" in text, text
    with open(rejects, encoding="utf-8") as file:
        assert file.read() == lines[7] + "\n" + lines[9] + "\n"
    assert scanned(server, "mistakes").count(b"\n") == 98  # two of the 100 rows had a wrong line each
    text = told(server, "import", "ordinary", path, "--bulk", "--dry-run")
    assert "would write 108 rows" in text, text


def a_range_is_loaded_beside_other_rows(server, folder, shuffled, expected):
    """What of a file lies in the range is loaded, the rest refused and kept; the table's other rows stay."""
    table_make(server, "range")
    # Bounds are escaped bytes, as everywhere; the range spans the border of two tablets.
    bounds = ["--start", "row0049\\x35\\x30", "--end", "row005100"]
    for row in ("row004949", "row005100"):
        native.tool(server, "set", "range", row, "f:z=old", "--timestamp", "1000")
    rejects = os.path.join(folder, "outside")
    text = told(server, "import", "range", shuffled, "--bulk", *bounds, "--rejects", rejects)
    assert "Stopped by" in text and "more than --max-errors 1000" in text and "Nothing was loaded" in text, text
    dry = told(server, "import", "range", shuffled, "--bulk", *bounds, "--dry-run", "--max-errors", "100000")
    text = told(server, "import", "range", shuffled, "--bulk", *bounds, "--rejects", rejects, "--max-errors", "100000")
    assert "lies outside of --start and --end" in text and "wrote 165 rows" in text, text
    assert "would write 165 rows" in dry and "refused 21835" in dry, dry
    rows = scanned(server, "range").splitlines(True)
    inside = expected.splitlines(True)[4950:5100]
    assert rows[1:-1] == inside and len(rows) == 152 and b"old" in rows[0] and b"old" in rows[-1], rows[:2]
    with open(shuffled, encoding="utf-8") as file:
        outside = [line for line in file if not "row004950" <= json.loads(line)["row"] < "row005100"]
    with open(rejects, encoding="utf-8") as file:
        assert file.read() == "".join(outside)
    text = told(server, "import", "range", shuffled, "--bulk", *bounds, "--max-errors", "100000")
    assert "needs a range without rows, but there is row row004950" in text, text
    for wrong, answer in ((["--bulk", "--start", "b", "--end", "a"], "must be less than --end"),
                          (["--start", "a"], "--start belongs to --bulk")):
        text = told(server, "import", "range", shuffled, *wrong)
        assert answer in text, text


def an_interrupt_leaves_nothing(server, folder, shuffled):
    table_make(server, "interrupted")
    reader, writer = os.pipe()
    process = subprocess.Popen([CELLAR, "--endpoint", "127.0.0.1:%d" % server.port, "import", "interrupted", "-",
                                "--bulk"], stdin=reader, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    os.close(reader)
    with open(shuffled, "rb") as file:
        os.write(writer, file.read(50000))
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60)[0].decode()
    os.close(writer)
    assert process.returncode != 0 and "Nothing was loaded" in output, output
    assert scanned(server, "interrupted") == b""


def a_kill_leaves_all_or_nothing(server, in_order, expected):
    outcomes = set()
    started = time.monotonic()
    table_make(server, "timed")
    native.tool(server, "import", "timed", in_order, "--bulk", "--sorted")
    whole = time.monotonic() - started
    for number in range(12):
        table = "killed%d" % number
        table_make(server, table)
        process = subprocess.Popen([CELLAR, "--endpoint", "127.0.0.1:%d" % server.port, "import", table, in_order,
                                    "--bulk", "--sorted", "--timeout", "1s"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if number == 11:
            assert process.wait(timeout=60) == 0  # behind the answer of the commit
        else:
            time.sleep(whole * (0.3 + 0.09 * number))
        server.kill()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        server.start()
        rows = scanned(server, table)
        assert rows in (b"", expected), (table, len(rows))
        outcomes.add(rows == expected)
    assert True in outcomes
    print("bulk import: outcomes of kills", sorted(outcomes))


def large_lines_make():
    """Lines in key order, the last one of a row that has 200 MB before it already."""
    def line(row, cells):
        return json.dumps({"row": row, "cells": [{"family": "f", "qualifier": qualifier, "timestamp": 1000,
                                                  "value": value} for qualifier, value in cells]})
    return [line("big", [("q", "b" * VALUE_BYTES_MAX), ("r", "small")]),
            line("full", [("a%03d" % number, chr(97 + number % 26) * 1000000) for number in range(100)]),
            line("full", [("b", "x" * 100000000)]),
            line("full", [("c%03d" % number, chr(97 + number % 26) * 1000000) for number in range(100)]),
            line("full", [("d", "is taken")]),
            line("small", [("q", "v")])]


def peak_bytes(pid):
    """The most memory that a process has had so far. (What wait4 tells begins with that of its parent.)"""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        return sum(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


def bulk_run(server, folder, *arguments):
    """What import --bulk says, and the most memory that it had."""
    peak = 0
    with open(os.path.join(folder, "said"), "w+", encoding="utf-8") as said:
        with subprocess.Popen([CELLAR, "--endpoint", "127.0.0.1:%d" % server.port, "import", *arguments, "--bulk"],
                              stdin=subprocess.DEVNULL, stdout=said, stderr=said) as process:
            while process.poll() is None:
                peak = max(peak, peak_bytes(process.pid))
                time.sleep(0.005)
        said.seek(0)
        return said.read(), peak


def row_facts(lines):
    """{row: [(column, bytes of the value, its first byte)]}"""
    rows = {}
    for line in lines:
        row = json.loads(line)
        rows.setdefault(row["row"], []).extend((cell["qualifier"], len(cell["value"]), cell["value"][:1])
                                               for cell in row["cells"])
    return rows


def files_await(blobs, count, low=None):
    """Files of large values go soon behind what they belonged to."""
    end = time.monotonic() + 60
    while not (low or count) <= len(os.listdir(blobs)) <= count and time.monotonic() < end:
        time.sleep(0.01)
    assert (low or count) <= len(os.listdir(blobs)) <= count, os.listdir(blobs)


def large_rows_are_loaded(server, folder, blobs):
    """Values of 100 MiB, rows of several lines and parts; the line that makes a row too large is refused, also when
    some of it was taken before."""
    lines = large_lines_make()
    expected = row_facts(lines[:3] + lines[4:])
    rejects = os.path.join(folder, "large.rejects")
    for name, options in (("large", ["--sort-memory", "1", "--tmp-dir", folder]), ("flowing", ["--sorted"])):
        order = lines if name == "flowing" else lines[-1:] + lines[1:-1] + lines[:1]
        path = file_write(os.path.join(folder, "large.jsonl"), order)
        table_make(server, name, splits=False)
        text, peak = bulk_run(server, folder, name, path, "--rejects", rejects, *options)
        print("bulk import: %s rows took %d MiB of the tool" % (name, peak >> 20))
        assert "line 4 refused: Its row has more than 255 MiB" in text and "wrote 5 rows" in text, text
        assert peak < PEAK_BYTES_MAX, peak
        with open(rejects, encoding="utf-8") as file:
            assert file.read() == lines[3] + "\n"
        os.unlink(rejects)
        assert row_facts(scanned(server, name).splitlines()) == expected
    files_await(blobs, 4)  # two values above a megabyte in either table
    native.tool(server, "scrub")
    native.tool(server, "compact", "large")
    assert row_facts(scanned(server, "large").splitlines()) == expected
    native.tool(server, "drop-rows", "large", "--prefix", "big", "--yes")
    native.tool(server, "table", "drop", "flowing", "--yes")
    files_await(blobs, 1)
    native.tool(server, "table", "drop", "large", "--yes")
    files_await(blobs, 0)
    return path


def what_was_not_committed_leaves_no_files(server, path, blobs):
    """An interrupt, and a kill of the server, while files of large values are there."""
    table_make(server, "left", splits=False)
    for is_killed in (False, True):
        process = subprocess.Popen([CELLAR, "--endpoint", "127.0.0.1:%d" % server.port, "import", "left", path,
                                    "--bulk", "--sorted", "--timeout", "1s"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        files_await(blobs, 2, low=1)
        if is_killed:
            server.kill()
        else:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if is_killed:
            server.start()
        files_await(blobs, 0)
        assert scanned(server, "left") == b""
    native.tool(server, "table", "drop", "left", "--yes")


def main():
    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, "data")
        with native.Server(data) as server:
            server.start()
            shuffled, in_order, expected = loads_equal_imports(server, folder)
            mistakes_are_refused(server, folder, shuffled)
            a_range_is_loaded_beside_other_rows(server, folder, shuffled, expected)
            an_interrupt_leaves_nothing(server, folder, shuffled)
            a_kill_leaves_all_or_nothing(server, in_order, expected)
            blobs = os.path.join(data, "blobs")
            what_was_not_committed_leaves_no_files(server, large_rows_are_loaded(server, folder, blobs), blobs)
            server.stop()
            native.tool_offline("check", data)
    print("bulk import: all as it should be")


if __name__ == "__main__":
    main()
