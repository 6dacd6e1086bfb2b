#!/usr/bin/env python3
"""Cellar beside other servers, on this machine, driven by one program with one workload.

    tests/bench/compare.py [--build build/release] [--rounds 5] [--seconds 1.5] [--only row,put,...]
                           [--json FILE] [--readme] [--data DIR]

Every server is started privately: a free port of 127.0.0.1, its data in a temporary directory (below DIR, or
TMPDIR), settings that keep what was acknowledged. All get the same rows, then each workload runs in rounds, one
server after the other (A B A B ...), so that what else the machine does meets all alike. Of each pair of a round
the ratio is taken; the table shows their median, least and greatest. Servers that are not installed are skipped,
with the reason. Nothing is installed, and no service of the system is started or touched. --readme writes the table
into README.md, between its marks, with the machine and how busy it was.
"""
import argparse
import collections
import glob
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
MARK_START, MARK_END = "<!-- figures of compare.py -->", "<!-- end of figures -->"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
START_SECONDS_MAX = 60


class Skipped(Exception):
    """A server that cannot be had here."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(condition, process, what):
    end = time.monotonic() + START_SECONDS_MAX
    while True:
        found = condition()
        if found:
            return found
        if process.poll() is not None:
            raise Skipped(f"{what} ended with {process.returncode} at its start")
        if time.monotonic() > end:
            raise Skipped(f"{what} does not answer after {START_SECONDS_MAX} s")
        time.sleep(0.02)


def answers(port):
    def probe():
        try:
            with socket.create_connection(("127.0.0.1", port), 1):
                return True
        except OSError:
            return False
    return probe


def line_of(path):
    def probe():
        try:
            with open(path, encoding="ascii") as file:
                text = file.read()
        except FileNotFoundError:
            return None
        return text.strip() if text.endswith("\n") else None
    return probe


class Peer:
    """One server: process, address and directory."""
    name = ""
    what = ""

    def __init__(self, folder, build):
        self.folder = os.path.join(folder, self.name)
        self.build = build
        self.process = None
        self.port = None
        self.pid = 0
        os.mkdir(self.folder)
        self.start()

    def run(self, command, **options):
        log = open(os.path.join(self.folder, "log"), "wb")
        if shutil.which("setpriv"):
            command = ["setpriv", "--pdeathsig", "KILL", *command]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                        stderr=subprocess.STDOUT, cwd=self.folder, **options)
        self.pid = self.process.pid

    def start(self):
        raise NotImplementedError

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def argument(self):
        return f"{self.name}=127.0.0.1:{self.port}={self.pid}"


class Cellar(Peer):
    name = "cellar"
    what = "cellard, as it comes"

    def start(self):
        port_file = os.path.join(self.folder, "port")
        self.run([os.path.join(self.build, "bin", "cellard"), "--listen", "127.0.0.1:0", "--data-dir",
                  os.path.join(self.folder, "data"), "--port-file", port_file])
        self.port = int(wait_for(line_of(port_file), self.process, "cellard").split(":")[-1])
        subprocess.run([os.path.join(self.build, "bin", "cellar"), "--endpoint",
                        f"127.0.0.1:{self.port}", "table", "create", "bench", "--family",
                        "f:max-versions=1"], check=True, stdout=subprocess.DEVNULL, timeout=60)


class Null(Peer):
    name = "null"
    what = "canned answers from one epoll loop: what the machine itself costs"

    def start(self):
        port_file = os.path.join(self.folder, "port")
        self.run([os.path.join(self.build, "tests", "bench_null_server"), port_file])
        self.port = int(wait_for(line_of(port_file), self.process, "null_server"))


class Redis(Peer):
    name = "redis"
    what = "append-only file, appendfsync always, no snapshots"

    def start(self):
        if shutil.which("redis-server") is None:
            raise Skipped("redis-server is not installed")
        self.port = free_port()
        self.run(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder,
                  "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--daemonize", "no",
                  "--protected-mode", "no"])
        wait_for(answers(self.port), self.process, "redis-server")


class Postgres(Peer):
    name = "postgres"
    what = "synchronous_commit on, as initdb makes it, 128 MB of shared buffers, prepared statements"

    def user(self, command):
        """The server refuses to run as root: another user then."""
        if os.geteuid() != 0:
            return command
        # A change of user forgets the signal of the parent's death: it is asked for again.
        return ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--pdeathsig",
                "KILL", *command]

    def start(self):
        found = shutil.which("postgres")
        folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        folder = folders[-1] if folders else os.path.dirname(os.path.realpath(found or ""))
        initdb, server = os.path.join(folder, "initdb"), os.path.join(folder, "postgres")
        psql = shutil.which("psql") or os.path.join(folder, "psql")
        if not os.access(initdb, os.X_OK) or not os.access(server, os.X_OK):
            raise Skipped("postgresql is not installed")
        if os.geteuid() == 0:
            try:
                shutil.chown(self.folder, "postgres", "postgres")
                os.chmod(os.path.dirname(self.folder), 0o755)
            except (LookupError, OSError) as reason:
                raise Skipped(f"there is no user to run it as: {reason}") from reason
        data = os.path.join(self.folder, "data")
        done = subprocess.run(self.user([initdb, "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8",
                                         "--no-locale", "--no-instructions"]), capture_output=True,
                              text=True, check=False, cwd="/", timeout=120)
        if done.returncode != 0:
            raise Skipped(f"initdb failed: {done.stderr.strip()[-200:]}")
        self.port = free_port()
        self.run(self.user([server, "-D", data, "-p", str(self.port), "-c", "listen_addresses=127.0.0.1",
                            "-c", "unix_socket_directories=", "-c", "max_connections=300"]))
        wait_for(answers(self.port), self.process, "postgres")
        fields = ", ".join(f"field{i} bytea" for i in range(10))
        tables = (f'create table records (k text collate "C" primary key, {fields}); '
                  'create table events (k text collate "C", s integer, v bytea, primary key (k, s))')

        def made():
            return subprocess.run([psql, "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-q",
                                   "-c", tables], capture_output=True, check=False).returncode == 0
        wait_for(made, self.process, "postgres")

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # its fast way to stop
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Memcached(Peer):
    name = "memcached"
    what = "1 GB, in memory only: a ceiling, nothing is kept"

    def start(self):
        if shutil.which("memcached") is None:
            raise Skipped("memcached is not installed")
        self.port = free_port()
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        self.run(["memcached", "-l", "127.0.0.1", "-p", str(self.port), "-U", "0", "-m", "1024", "-t", "2",
                  *user])
        wait_for(answers(self.port), self.process, "memcached")


class Lmdb(Peer):
    name = "lmdb"
    what = "in the driver's process, one writer, a commit and sync a put"

    def start(self):
        pass

    def argument(self):
        return f"lmdb={self.folder}=0"


PEERS = (Cellar, Null, Redis, Postgres, Memcached, Lmdb)

# What is compared: name, workload, connections, peers, what is divided, and the project's goals.
Comparison = collections.namedtuple("Comparison", "name workload connections peers kind goals")
COMPARISONS = tuple(Comparison(*entry) for entry in (
    ("row", "row", 32, ("null", "redis", "postgres", "memcached"), "cpu",
     {"redis": "<= 1.0", "null": "<= 2.5"}),
    ("get", "get", 32, ("null", "redis", "postgres", "memcached"), "cpu", {}),
    ("scan", "scan", 32, ("null", "redis", "postgres"), "cpu", {"redis": "<= 0.15"}),
    ("full-scan", "full-scan", 1, ("postgres",), "row_cpu", {"": ">= 700000"}),
    ("slice", "slice", 32, ("redis",), "cpu", {}),
    ("put", "put", 32, ("null", "redis", "postgres", "memcached"), "cpu", {"redis": "<= 0.8"}),
    ("put-64", "put", 64, ("redis", "postgres"), "rate", {"redis": ">= 1.3"}),
    ("put-256", "put", 256, ("lmdb",), "rate", {"lmdb": ">= 3"}),
    ("timeline", "timeline", 32, ("redis", "postgres"), "cpu", {}),
    ("ycsb-a", "a", 32, ("redis", "postgres"), "cpu", {}),
    ("ycsb-e", "e", 32, ("redis", "postgres"), "cpu", {}),
))

UNITS = {"cpu": "server us/op", "rate": "op/s", "row_cpu": "rows/s a core"}


def figure(kind, run):
    if kind == "rate":
        return run["operations_a_second"]
    if kind == "row_cpu":
        return run["rows"] * 1e6 / run["server_cpu_us"] if run["server_cpu_us"] else None
    return run["server_cpu_us_an_operation"]


def drive(build, peers, chosen, options):
    """Runs the comparisons and yields each one with its runs: {server: [run of round 1, ...]}."""
    command = [os.path.join(build, "tests", "bench_peers"), "--records", str(options.records),
               "--seconds", str(options.seconds), "--rounds", str(options.rounds)]
    for peer in peers.values():
        command += ["--peer", peer.argument()]
    for entry in chosen:
        names = ",".join(name for name in ("cellar", *entry.peers) if name in peers)
        command += ["--run", f"{entry.workload}:{entry.connections}:{names}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        for entry in chosen:
            runs = {}
            for line in iter(process.stdout.readline, ""):
                if line == "\n":
                    break
                run = json.loads(line)
                if run["workload"] != "load":
                    runs.setdefault(run["server"], []).append(run)
            else:
                raise SystemExit(f"the driver ended early, with {process.wait()}")
            yield entry, runs
    finally:
        process.kill()
        process.wait()


def compare(name, kind, runs, goals):
    """The rows of the table for one comparison."""
    ours = [figure(kind, run) for run in runs.get("cellar", [])]
    rows = []
    for server, theirs in runs.items():
        figures = [figure(kind, run) for run in theirs]
        known = [value for value in figures if value is not None]
        ratios = [a / b for a, b in zip(ours, figures) if a is not None and b]
        is_ours = server == "cellar"
        rows.append({
            "comparison": name, "unit": UNITS[kind], "server": server,
            "median": statistics.median(known) if known else None,
            "ratio": statistics.median(ratios) if ratios and not is_ours else None,
            "ratio_least": min(ratios) if ratios and not is_ours else None,
            "ratio_greatest": max(ratios) if ratios and not is_ours else None,
            "goal": goals.get("" if is_ours else server), "runs": theirs})
    return rows


def row_words(row):
    def text(value, form):
        return form.format(value) if value is not None else ""
    ratio = ""
    if row["ratio"] is not None:
        ratio = f"{row['ratio']:.2f} ({row['ratio_least']:.2f} .. {row['ratio_greatest']:.2f})"
    p99 = [run[kind]["p99_us"] for run in row["runs"] for kind in ("reads", "writes")
           if run[kind]["count"]]
    return [row["comparison"], row["unit"], row["server"],
            text(row["median"], "{:.1f}" if row["unit"] == "server us/op" else "{:.0f}"), ratio,
            row["goal"] or "", f"{statistics.median(p99):.0f}" if p99 else ""]


def row_text(words):
    return "{:<10} {:<13} {:<9} {:>10} {:>23} {:>9} {:>10}".format(*words).rstrip()


def machine_text(options, load_before):
    """One paragraph: what was measured, on what."""
    cpu = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                cpu = " ".join(line.split(":", 1)[1].split())
    load_after = os.getloadavg()[0]
    return (f"{options.records:,} rows, {options.rounds} rounds of {options.seconds:g} s each, {os.cpu_count()} "
            f"cores ({cpu}), Linux {os.uname().release.split('-')[0]}; load average {load_before:.1f} before, "
            f"{load_after:.1f} after.")


def readme_write(rows, paragraph):
    """Replaces what stands between the marks of README.md."""
    path = os.path.join(HERE, "README.md")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    head, _, rest = text.partition(MARK_START)
    _, mark, tail = rest.partition(MARK_END)
    if not mark:
        raise SystemExit(f"{path} has no marks")
    lines = [paragraph, "", "| what | unit | server | median | cellar / it (range) | goal | p99 us |",
             "|---|---|---|---|---|---|---|"]
    lines += ["| " + " | ".join(row_words(row)) + " |" for row in rows]
    with open(path, "w", encoding="utf-8") as file:
        file.write(head + MARK_START + "\n" + "\n".join(lines) + "\n" + mark + tail)


def peers_start(folder, build, wanted):
    peers = {}
    for kind in PEERS:
        if wanted and kind.name not in wanted and kind.name != "cellar":
            continue
        try:
            peers[kind.name] = kind(folder, build)
            print(f"# {kind.name}: {kind.what}", flush=True)
        except Skipped as reason:
            print(f"# {kind.name}: skipped: {reason}", flush=True)
    return peers


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--records", type=int, default=100000)
    parser.add_argument("--only", default="", help="comparisons, by name, separated by commas")
    parser.add_argument("--peers", default="", help="servers, by name; default all")
    parser.add_argument("--json", default="", help="a file for everything that was measured")
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    parser.add_argument("--data", default=None, help="where the temporary directory is made")
    return parser.parse_args()


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers are stopped on the way out
    only = [name for name in options.only.split(",") if name]
    unknown = set(only) - {entry.name for entry in COMPARISONS}
    if unknown:
        raise SystemExit(f"no such comparison: {', '.join(sorted(unknown))}")
    folder = tempfile.mkdtemp(prefix="cellar-compare-", dir=options.data)
    peers = {}
    rows = []
    load_before = os.getloadavg()[0]
    try:
        peers = peers_start(folder, options.build, [n for n in options.peers.split(",") if n])
        print(row_text(("what", "unit", "server", "median", "cellar / it (range)", "goal", "p99 us")),
              flush=True)
        chosen = [entry for entry in COMPARISONS if not only or entry.name in only]
        for entry, runs in drive(options.build, peers, chosen, options):
            added = compare(entry.name, entry.kind, runs, entry.goals)
            print("\n".join(row_text(row_words(row)) for row in added), flush=True)
            rows += added
        print(machine_text(options, load_before))
        if options.json:
            with open(options.json, "w", encoding="utf-8") as file:
                json.dump(rows, file, indent=1)
        if options.readme:
            readme_write(rows, machine_text(options, load_before))
    finally:
        for peer in peers.values():
            peer.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
