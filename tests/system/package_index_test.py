# ctest-timeout: 900
"""The main job on real input: this machine's package index through `cellar import` and back.

The index that apt keeps is read here by a parser of its own and is the oracle: every stanza's fields, by
package, newest stanza's timestamp rules as `cellar help import` states them. Then the server is killed with SIGKILL in the
middle of an import, started again, and the import is run again.

Skips where apt has no index.
"""
import collections
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_native as native  # noqa: E402

CELLAR = os.environ["CELLAR"]
HELPER = "/usr/lib/apt/apt-helper"
DEPENDENCIES = {"Depends", "Pre-Depends", "Recommends", "Suggests", "Enhances", "Breaks",
                "Conflicts", "Replaces", "Provides"}
SPLITS = ("g", "libm", "p")


def index_file():
    """The largest index file that apt names, or None."""
    if not os.path.exists(HELPER) or shutil.which("apt-get") is None:
        return None
    named = subprocess.run(["apt-get", "indextargets", "--format", "$(FILENAME)",
                            "Created-By: Packages"], capture_output=True, text=True, check=False)
    files = [name for name in named.stdout.split("\n") if name and os.path.exists(name)]
    return max(files, key=os.path.getsize, default=None)


def parse(text, timestamp_us):
    """{package: {(family, field): {timestamp: value}}}, by the rules of the import."""
    rows = collections.defaultdict(lambda: collections.defaultdict(dict))
    seen = collections.Counter()
    for stanza in re.split(rb"\n\n+", text.strip(b"\n")):
        fields = []
        for line in stanza.split(b"\n"):
            if line[:1] in b" \t" and fields:
                fields[-1][1] += b"\n" + line
            else:
                name, _, value = line.partition(b":")
                fields.append([name, value.strip(b" \t")])
        package = dict((name, value) for name, value in fields)[b"Package"]
        time_us = timestamp_us + 1000 * seen[package]
        seen[package] += 1
        for name, value in fields:
            family = b"d" if name.decode() in DEPENDENCIES else b"f"
            rows[package][(family, name)][time_us] = value
    return rows


def cellar(server, *arguments, stdin=None, check=True):
    done = subprocess.run([CELLAR, *arguments, "--endpoint", f"127.0.0.1:{server.port}"],
                          input=stdin, capture_output=True, check=False, timeout=600)
    if check:
        assert done.returncode == 0, (arguments, done.returncode, done.stderr[-2000:])
    return done


def text_of(value):
    if isinstance(value, dict):
        import base64
        return base64.b64decode(value["b64"])
    return value.encode()


def rows_of(output):
    """JSONL as {row: {(family, qualifier): {timestamp: value}}}."""
    rows = {}
    for line in output.splitlines():
        row = json.loads(line)
        cells = collections.defaultdict(dict)
        for cell in row["cells"]:
            key = (cell["family"].encode(), text_of(cell["qualifier"]))
            assert cell["timestamp"] not in cells[key]
            cells[key][cell["timestamp"]] = text_of(cell["value"])
        assert text_of(row["row"]) not in rows, "a row came twice"
        rows[text_of(row["row"])] = cells
    return rows


def scan(server, *arguments):
    return rows_of(cellar(server, "scan", "packages", "--format", "jsonl", *arguments).stdout)


def table_make(server):
    splits = [word for split in SPLITS for word in ("--split", split)]
    cellar(server, "table", "create", "packages", "--family", "f", "--family", "d", *splits)


def check_reads(server, oracle, numbers):
    """Gets, prefixes, columns and versions against the index itself."""
    names = sorted(oracle)
    for name in numbers.sample(names, 25):
        got = rows_of(cellar(server, "get", "packages", name.decode(), "--format", "jsonl").stdout)
        assert got == {name: oracle[name]}, name
    for prefix in (b"zs", b"libm", b"python3-a", b"g", b"0ad"):
        want = {name: oracle[name] for name in names if name.startswith(prefix)}
        assert scan(server, "--prefix", prefix.decode()) == want, prefix
    want = {name: {(b"f", b"Version"): cells[(b"f", b"Version")]} for name, cells in oracle.items()
            if name.startswith(b"lib")}
    assert scan(server, "--prefix", "lib", "--column", "f:Version") == want
    want = {}
    for name, cells in oracle.items():
        kept = {key: {max(cells[key]): cells[key][max(cells[key])]} for key in cells
                if key[0] == b"d"}
        if kept and name.startswith(b"c"):
            want[name] = kept
    assert scan(server, "--prefix", "c", "--column", "d", "--versions", "1") == want
    backwards = list(scan(server, "--prefix", "py", "--reverse", "--limit", "50",
                          "--column", "f:Package"))
    assert backwards == [name for name in reversed(names) if name.startswith(b"py")][:50]
    assert int(cellar(server, "count", "packages").stdout) == len(oracle)
    print(f"reads agree with the index: {len(oracle)} packages", flush=True)


def import_plainly(server, text, timestamp, oracle, numbers):
    started = time.monotonic()
    table_make(server)
    arguments = ("import", "packages", "-", "--format", "deb822", "--timestamp", timestamp)
    said = cellar(server, *arguments, stdin=text).stdout.decode()
    print(said.strip(), f"({time.monotonic() - started:.1f} s)", flush=True)
    check_reads(server, oracle, numbers)
    everything = scan(server)
    assert everything == oracle, "the table is not the index"
    cellar(server, *arguments, stdin=text)
    assert scan(server) == everything, "a second import changed something"
    print("a second import changes nothing", flush=True)


def import_killed(folder, text, timestamp, oracle, numbers):
    """Kills the server in the middle of the import; the import is run again."""
    with native.Server(os.path.join(folder, "killed")).start() as server:
        table_make(server)
        path = os.path.join(folder, "index")
        with open(path, "wb") as file:
            file.write(text)
        command = [CELLAR, "import", "packages", path, "--format", "deb822", "--timestamp",
                   timestamp, "--endpoint", f"127.0.0.1:{server.port}", "--timeout", "3s"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as importer:
            with server.connect() as connection:
                enough = len(oracle) * numbers.uniform(0.3, 0.6)
                while records(connection) < enough and importer.poll() is None:
                    time.sleep(0.01)
            server.kill()
            output, errors = importer.communicate(timeout=300)
        assert importer.returncode != 0, "the import did not notice that the server was gone"
        acknowledged = int(re.search(rb"wrote (\d+) rows", output + errors).group(1))
        server.launch().wait()
        there = scan(server)
        assert len(there) >= acknowledged > 0, (len(there), acknowledged)
        for name, cells in there.items():
            for key, versions in cells.items():
                assert versions.items() <= oracle[name][key].items(), (name, key)
        print(f"killed: {acknowledged} rows acknowledged, {len(there)} there", flush=True)
        cellar(server, *command[1:command.index("--endpoint")])
        assert scan(server) == oracle, "after the second run the table is not the index"
        assert int(cellar(server, "count", "packages").stdout) == len(oracle)
        server.stop()
        server.launch().wait()
        assert int(cellar(server, "count", "packages").stdout) == len(oracle)
        print("after the kill the import ran again: all there, nothing doubled", flush=True)


def records(connection):
    for name, value in connection.call(3, {})[4]:
        if name in ("log_records", b"log_records"):
            return value
    raise AssertionError("the server does not tell how many records it wrote")


def main():
    path = index_file()
    if path is None:
        native.skip("apt has no package index here")
    numbers = random.Random(native.test_seed())
    text = subprocess.run([HELPER, "cat-file", path], capture_output=True, check=True).stdout
    timestamp = str(int(os.path.getmtime(path)) * 1000000)
    oracle = parse(text, int(timestamp))
    folder = tempfile.mkdtemp(prefix="cellar-index-")
    try:
        with native.Server(os.path.join(folder, "plain")).start() as server:
            import_plainly(server, text, timestamp, oracle, numbers)
            server.stop()
        import_killed(folder, text, timestamp, oracle, numbers)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
