#!/usr/bin/env python3
"""Where the server's time goes, by function, while `cellar bench` runs a workload against it.

    CELLAR_BUILD_DIR=$PWD/build/release tests/bench/profile.py row put scan full-scan

With perf, which samples the running server once its rows are loaded and checkpointed; without it use
instructions.py --functions, which counts with callgrind.
"""
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import cellar_native as native  # noqa: E402

SECONDS = 6
LINES = 30


def profile(workload, folder):
    with native.Server(os.path.join(folder, workload)).start() as server:
        connections = "1" if workload == "full-scan" else "32"
        command = [os.path.join(native.BUILD_DIR, "bin", "cellar"), "bench", workload, "--endpoint",
                   f"127.0.0.1:{server.port}", "--connections", connections, "--seconds",
                   str(SECONDS), "--warmup", "3"]
        bench = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        lines = [bench.stdout.readline() for _ in range(2)]  # the head, and the load that is over
        data = os.path.join(folder, workload + ".perf")
        subprocess.run(["perf", "record", "-g", "-o", data, "-p", str(server.pid), "--delay", "3000",
                        "--", "sleep", str(2 + SECONDS)], check=False, stderr=subprocess.DEVNULL)
        print("".join(lines) + bench.stdout.read(), flush=True)
        bench.wait()
    for keys, count in (("dso", 6), ("dso,symbol", LINES)):
        report = subprocess.run(["perf", "report", "-i", data, "--no-children", "-g", "none", "--stdio",
                                 "--sort", keys], capture_output=True, text=True, check=False)
        lines = [line.rstrip(" -")[:100] for line in report.stdout.splitlines()
                 if line.strip() and line[0] != "#"]
        print("\n".join(lines[:count]) + "\n", flush=True)


def main():
    if shutil.which("perf") is None:
        print("perf is not installed; instructions.py --functions counts with callgrind")
        return 77
    folder = tempfile.mkdtemp(prefix="cellar-profile-")
    try:
        for workload in sys.argv[1:] or ["row", "put", "scan", "full-scan"]:
            profile(workload, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
