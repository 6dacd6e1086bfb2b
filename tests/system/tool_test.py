"""cellar as a program among others: pipes, exit codes, the programs it runs, what it costs.

Each function below whose name begins with `tool_` is one test.

    tool_test.py NAME ...    only these, without `tool_`
"""
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_native as native  # noqa: E402

CELLAR = os.path.abspath(os.environ.get("CELLAR", "cellar"))


def run(*arguments, program=CELLAR, environment=None, **settings):
    """cellar to its end: (exit code, output, errors)."""
    done = subprocess.run([program, *arguments], stdin=subprocess.DEVNULL, check=False, timeout=300,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, **(environment or {})}, **settings)
    return done.returncode, done.stdout, done.stderr


def endpoint(server):
    return {"CELLAR_ENDPOINT": f"127.0.0.1:{server.port}"}


# ---- check --------------------------------------------------------------------------------------

def script(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write("#!/bin/sh\n" + text)
    os.chmod(path, 0o755)


def tool_check_runs_the_cellard_beside_it_or_in_path(folder):
    os.mkdir(folder + "/bin")
    os.mkdir(folder + "/path")
    shutil.copy(CELLAR, folder + "/bin/cellar")
    cellar = folder + "/bin/cellar"
    where = {"PATH": folder + "/path:/usr/bin:/bin"}
    code, output, errors = run("check", "x", program=cellar, environment=where)
    assert code == 4 and output == "", (code, output)
    assert "Cannot run cellard, which is looked for beside cellar and in PATH: No such" in errors
    assert "Install cellard beside cellar" in errors, errors
    script(folder + "/path/cellard", 'echo "path: $*"; echo complaint >&2; exit 1\n')
    code, output, errors = run("check", "-- x y\x1b", program=cellar, environment=where)
    assert code == 2 and "Unknown option" in errors, errors
    code, output, errors = run("check", "a dir", program=cellar, environment=where)
    assert (code, output, errors) == (1, "path: --check-data=a dir\n", "complaint\n")
    script(folder + "/bin/cellard", 'echo "beside: $*"; exit 42\n')
    code, output, errors = run("check", "--format", "json", "d", program=cellar, environment=where)
    assert (code, output, errors) == (42, "beside: --check-data=d --format=json\n", "")
    link = folder + "/link"
    os.symlink(cellar, link)
    assert run("check", "--", "--d", program=link)[:2] == (42, "beside: --check-data=--d\n")
    script(folder + "/bin/cellard", "kill -9 $$\n")
    code, output, errors = run("check", "d", program=cellar)
    assert code == 1 and "cellard was ended by signal 9" in errors, (code, errors)
    script(folder + "/bin/cellard", "exit 0\n")
    assert run("check", "d", program=cellar) == (0, "", "")


def tool_check_of_a_wrong_call_runs_nothing(_):
    for words in (["check"], ["check", ""], ["check", "a", "b"], ["check", "a", "--format", "csv"]):
        code, output, _ = run(*words)
        assert (code, output) == (2, ""), words


def tool_check_finds_a_servers_data_sound(folder):
    with native.Server(folder + "/data").start() as server:
        assert run("table", "create", "t", "--family", "f", environment=endpoint(server))[0] == 0
        assert run("set", "t", "r", "f:q=v", environment=endpoint(server))[0] == 0
        server.stop()
    code, output, errors = run("check", folder + "/data")
    assert code == 0, (output, errors)
    code, output, errors = run("check", folder + "/data", "--format", "json")
    assert code == 0 and [json.loads(line) for line in output.splitlines()], (output, errors)
    assert run("check", folder + "/nothing")[0] == 2


# ---- pipes --------------------------------------------------------------------------------------

def fill(server):
    with native.Connection(server.port) as client:
        client.create_table("wide", {"f": None})
        for row in range(200):
            client.mutate_row("wide", b"%03d" % row, [[0, "f", b"q", 0, b"v" * 10000]])


def tool_a_reader_that_leaves_is_no_error(folder):
    with native.Server(folder + "/data").start() as server:
        fill(server)
        for is_ignored in (False, True):
            def prepare(is_ignored=is_ignored):
                signal.signal(signal.SIGPIPE, signal.SIG_IGN if is_ignored else signal.SIG_DFL)
            with subprocess.Popen([CELLAR, "scan", "wide"], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, preexec_fn=prepare,
                                  env={**os.environ, **endpoint(server)}) as scan:
                assert scan.stdout.read(3) == b"000"
                scan.stdout.close()
                assert scan.stderr.read() == b"", is_ignored
                assert scan.wait(300) == (1 if is_ignored else -signal.SIGPIPE)


def tool_a_full_disk_is_an_error(folder):
    with native.Server(folder + "/data").start() as server:
        fill(server)
        for words in (["scan", "wide"], ["count", "wide"], ["info"], ["ping"], ["help"], ["man"],
                      ["--version"], ["completion", "bash"], ["table", "ls"], ["get", "wide", "1"],
                      ["table", "drop", "wide", "--dry-run"], ["delete", "wide", "1", "--dry-run"]):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([CELLAR, *words], stdout=full, stderr=subprocess.PIPE,
                                      env={**os.environ, **endpoint(server)}, check=False,
                                      stdin=subprocess.DEVNULL, timeout=300)
            if words[0] == "get":  # a row that is not there prints nothing
                assert done.returncode == 0, done
                continue
            assert done.returncode == 1, (words, done)
            assert b"Cannot write the output: No space left on device" in done.stderr, (words, done)


# ---- what it costs ------------------------------------------------------------------------------

# A script calls cellar thousands of times. Its processor time is a matter of what it asks of the
# system: libraries to load, files to open, memory to map. These can be counted, also on a machine
# that is busy; the time itself is printed.
CALLS_MAX = {"--version": 150, "ping": 200, "complete": 200}


def system_calls(words, environment):
    """How many system calls a run makes, or None where strace cannot count them."""
    with tempfile.NamedTemporaryFile(mode="r", encoding="utf-8", suffix=".strace") as file:
        done = subprocess.run(["strace", "-f", "-qq", "-o", file.name, CELLAR, *words], check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=300,
                              env={**os.environ, **environment})
        lines = file.read().splitlines()
    if not lines:  # no ptrace here
        print(f"skipped: strace counts nothing: {done.stderr.decode()}")
        return None
    assert done.returncode == 0, done
    return len(lines)


def processor_ms(words, environment):
    """User and system time of a run, the median of 50."""
    times = []
    for _ in range(50):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run(*words, environment=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return statistics.median(times) * 1000


def tool_it_starts_with_few_system_calls(folder):
    if shutil.which("strace") is None:
        print("skipped: strace is not installed")
        return
    with native.Server(folder + "/data").start() as server:
        for words in (["--version"], ["ping"], ["complete", "--", "scan", ""]):
            count = system_calls(words, endpoint(server))
            if count is None:
                return
            print(f"{' '.join(words)}: {count} system calls, "
                  f"{processor_ms(words, endpoint(server)):.2f} ms of processor time")
            assert 20 < count <= CALLS_MAX[words[0]], (words, count)


def main():
    tests = [(name[5:], run_test) for name, run_test in globals().items()
             if name.startswith("tool_")]
    wanted = sys.argv[1:] or [name for name, _ in tests]
    for name, run_test in tests:
        if name in wanted:
            with tempfile.TemporaryDirectory(prefix="cellar-tool-") as folder:
                run_test(folder)
            print(f"ok {name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
