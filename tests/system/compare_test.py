# ctest-timeout: 900
"""The comparison with other servers (tests/bench/compare.py), for a moment and with few rows.

Its drivers check every answer, so a run that ends well says that Cellar, and those of the other servers that are
installed here, were written to and read from as they were meant to be. Figures are not looked at.
"""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_native as native  # noqa: E402

COMPARE = os.path.join(native.ROOT, "tests", "bench", "compare.py")
COMPARISONS = {"row", "get", "scan", "full-scan", "slice", "put", "put-64", "put-256", "timeline", "ycsb-a",
               "ycsb-e"}


def compare(*arguments):
    return subprocess.run([sys.executable, COMPARE, "--build", native.BUILD_DIR, *arguments],
                          capture_output=True, text=True, check=False, timeout=800)


def main():
    with tempfile.TemporaryDirectory(prefix="cellar-compare-test-") as folder:
        path = os.path.join(folder, "all.json")
        done = compare("--rounds", "1", "--seconds", "0.2", "--records", "200", "--json", path, "--data", folder)
        assert done.returncode == 0, (done.stdout[-3000:], done.stderr[-3000:])
        print(done.stdout)
        with open(path, encoding="utf-8") as file:
            rows = json.load(file)
        assert os.listdir(folder) == ["all.json"], "its directory is gone"
    assert {row["comparison"] for row in rows} == COMPARISONS
    for row in rows:
        assert row["server"] != "cellar" or row["ratio"] is None, row
        assert len(row["runs"]) == 1 and row["runs"][0]["elapsed_us"] >= 199999, row
    for server in ("cellar", "null", "lmdb"):  # these need nothing installed
        assert any(row["server"] == server and row["runs"][0]["operations"] > 0 for row in rows), server
    done = compare("--only", "nonsense")
    assert done.returncode != 0 and "nonsense" in done.stderr, done


main()
