# ctest-timeout: 1800
"""What a get, a put and a scanned row cost the whole server in instructions, held below a bound.

The counts are callgrind's (tests/bench/instructions.py): they hardly depend on what else the machine does. The bounds
are for the optimised build and stand a little above what it reaches; lower them when it gets better. Skips without
valgrind and in other builds.
"""
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "bench"))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import cellar_native as native  # noqa: E402
import instructions  # noqa: E402

# A checkpoint that falls into one of the two runs counts, too: what is above its bound is counted again.
ATTEMPTS_MAX = 3
BOUNDS = {"get of a ten-cell row, in LMDB": 12200,
          "get of a ten-cell row, in a memtable": 20500,
          "put of one cell": 10100,
          "row of ten cells in a scan of 100, in LMDB": 2750}


def build_type():
    """CMAKE_BUILD_TYPE of the programs under test."""
    try:
        with open(os.path.join(native.BUILD_DIR, "CMakeCache.txt"), encoding="utf-8") as file:
            lines = [line.strip() for line in file if line.startswith("CMAKE_BUILD_TYPE:")]
    except FileNotFoundError:
        return ""
    return lines[0].split("=", 1)[1] if lines else ""


def main():
    if shutil.which("valgrind") is None:
        native.skip("valgrind is not installed (docker/packages.txt)")
    if build_type() != "RelWithDebInfo":
        native.skip(f"the bounds are for preset release, and this build is '{build_type()}'")
    failed = []
    for kind in instructions.KINDS:
        name, counts = kind[0], []
        while len(counts) < ATTEMPTS_MAX and not any(0 < count <= BOUNDS[name] for count in counts):
            counts.append(instructions.measure_kind(kind))
            print(f"{name}: {counts[-1]:.0f} instructions, at most {BOUNDS[name]}", flush=True)
        if len(counts) == ATTEMPTS_MAX and not 0 < counts[-1] <= BOUNDS[name]:
            failed.append(name)
    assert not failed, failed


main()
