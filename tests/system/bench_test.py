# ctest-timeout: 900
"""`cellar bench` against a server: every workload for a moment, what it prints, and what it refuses.

A cell that is changed behind its back must be noticed, in every kind of read.
"""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_native as native  # noqa: E402

CELLAR = os.environ["CELLAR"]
WORKLOADS = ["get", "row", "put", "scan", "full-scan", "slice", "timeline", "a", "b", "c", "d", "e", "f"]
SMALL = ("--records", "300", "--connections", "4", "--warmup", "0.05")
SECONDS_MAX = 400


def command(server, *arguments):
    return [CELLAR, "bench", "--endpoint", f"127.0.0.1:{server.port}", *arguments]


def bench(server, *arguments):
    return subprocess.run(command(server, *arguments), capture_output=True, text=True, check=False,
                          timeout=SECONDS_MAX)


def tables(server):
    with server.connect() as connection:
        return [name.rsplit("/", 1)[1] for name in connection.list_tables()]


def check_latencies(side):
    if side["count"]:
        values = [side[name] for name in ("p50_us", "p99_us", "p999_us", "max_us")]
        assert values == sorted(values) and values[0] > 0, side
    return side["count"]


def every_workload_runs(server, folder):
    picture = os.path.join(folder, "picture.svg")
    done = bench(server, *WORKLOADS, *SMALL, "--seconds", "0.3", "--format", "json", "--svg", picture)
    assert done.returncode == 0, done
    report = json.loads(done.stdout)
    assert report["records"] == 300 and report["server_pid"] == server.pid, report
    results = [run for run in report["results"] if run["workload"] != "load"]
    loads = [run for run in report["results"] if run["workload"] == "load"]
    assert [run["workload"] for run in results] == WORKLOADS
    assert [run["rows"] for run in loads] == [300, 10 * 10000, 4 * 50], loads
    for run in results:
        count = check_latencies(run["reads"]) + check_latencies(run["writes"])
        assert run["operations"] >= 1 and abs(count - run["operations"]) <= 4, run
        assert run["rows"] >= run["operations"] and run["server_cpu_us"] >= 0, run
        assert run["elapsed_us"] >= 299999, run
        is_mixed = run["workload"] in ("timeline", "a", "b", "d", "e", "f")
        assert is_mixed or not (run["reads"]["count"] and run["writes"]["count"]), run
    assert tables(server) == [], "the table was not dropped"
    document = xml.etree.ElementTree.parse(picture).getroot()
    bars = document.findall("{http://www.w3.org/2000/svg}rect")
    assert document.tag.endswith("svg") and len(bars) == len(results) + len(loads)


def text_has_a_line_a_workload(server):
    done = bench(server, "a", *SMALL, "--seconds", "0.1")
    assert done.returncode == 0, done
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0][:2] == ["workload", "op/s"], lines
    assert [line[0] for line in lines[1:]] == ["load", "a", "write"], lines
    assert all(float(word) >= 0 for line in lines[1:] for word in line[2:]), lines


def an_open_loop_keeps_its_rate(server):
    done = bench(server, "row", *SMALL, "--rate", "200", "--seconds", "1", "--format", "json")
    assert done.returncode == 0, done
    run = json.loads(done.stdout)["results"][1]
    # What is due in the second is measured, however late it was answered.
    assert abs(run["reads"]["count"] + run["never_sent"] - 200) <= 1, run
    assert run["rate_wanted"] == 200, run


def other_tables_are_not_touched(server):
    with server.connect() as connection:
        connection.create_table("mine", {"f": None})
        connection.mutate_row("mine", b"row", [[0, "f", b"q", 1000, b"v"]])
        done = bench(server, "get", *SMALL, "--table", "mine")
        assert done.returncode == 4 and "ALREADY_EXISTS" in done.stderr and not done.stdout, done
        assert connection.read_rows("mine") == {b"row": [(b"f", b"q", 1000, b"v")]}
        connection.drop_table("mine")


def wrong_arguments_are_refused(server):
    for arguments, text in ((("nonsense",), "no workload 'nonsense'"),
                            (("get", "--rate", "0"), "--rate"), (("get", "--rate", "x"), "--rate"),
                            (("get", "--seconds", "-1"), "--seconds"),
                            (("get", "--connections", "0"), "--connections"),
                            (("get", "--table", "a b"), "a b"), (("get", "--format", "csv"), "--format")):
        done = bench(server, *arguments)
        assert done.returncode == 2 and text in done.stderr and not done.stdout, (arguments, done)
    assert tables(server) == []
    done = bench(server, "get", *SMALL, "--seconds", "0.1", "--table", "p/i/other", "--keep")
    assert done.returncode == 0, done
    with server.connect() as connection:
        assert len(connection.read_rows("p/i/other")) == 300
        connection.drop_table("p/i/other")


def wait_for_rows(connection, table, count):
    end = time.monotonic() + SECONDS_MAX
    while time.monotonic() < end:
        try:
            rows = connection.read_rows(table, ranges=[[b"user", True, b"user:", False]])
            if len(rows) >= count:
                return sorted(rows)
        except native.NativeError as error:
            assert error.code == native.NOT_FOUND, error
        time.sleep(0.01)
    raise AssertionError(f"{table} has no {count} rows")


def changes_behind_its_back_are_noticed(server):
    """A value that was never written, a cell that is gone, a row that is gone."""
    changes = ([0, "f", b"field3", None, b"x" * 100], [1, "f", b"field3", None, None], [3])
    for workload, change in (("get", changes[0]), ("row", changes[1]), ("row", changes[2]),
                             ("scan", changes[0]), ("full-scan", changes[2])):
        process = subprocess.Popen(command(server, workload, "--records", "100", "--connections", "2",
                                           "--seconds", str(SECONDS_MAX)),
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            with server.connect() as connection:
                rows = wait_for_rows(connection, "cellar-bench", 100)
                connection.mutate_row("cellar-bench", rows[50], [change])
            _, errors = process.communicate(timeout=SECONDS_MAX)
            assert process.returncode == 1 and "DATA_LOSS" in errors, (workload, errors)
            assert tables(server) == ["cellar-bench"], "the table is there for a look"
        finally:
            process.kill()
            process.wait()
        with server.connect() as connection:
            connection.drop_table("cellar-bench")


def an_interrupt_drops_the_table(server):
    process = subprocess.Popen(command(server, "row", *SMALL, "--seconds", str(SECONDS_MAX)),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().startswith("workload")
        assert process.stdout.readline().startswith("load")
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=SECONDS_MAX)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 1 and "CANCELLED" in errors, (output, errors)
    assert tables(server) == []


def main():
    with tempfile.TemporaryDirectory(prefix="cellar-bench-") as folder:
        with native.Server(os.path.join(folder, "data")).start() as server:
            every_workload_runs(server, folder)
            text_has_a_line_a_workload(server)
            an_open_loop_keeps_its_rate(server)
            other_tables_are_not_touched(server)
            wrong_arguments_are_refused(server)
            changes_behind_its_back_are_noticed(server)
            an_interrupt_drops_the_table(server)
            server.stop()


main()
