"""cellard as people and scripts meet it: options, messages, exit codes, files, signals.

Each function below whose name begins with `cli_` is one test.

    server_cli_test.py NAME ...    only these, without `cli_`
"""
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_native as native  # noqa: E402

CELLARD = native.CELLARD
STOPPED, FAILED, USAGE = 0, 1, 2
WAIT_SECONDS_MAX = 30


def run(*arguments, environment=None, folder="."):
    """Runs cellard to its end: (exit code, standard output, standard error)."""
    done = subprocess.run([CELLARD, *arguments], cwd=folder, timeout=WAIT_SECONDS_MAX,
                          env={**os.environ, **(environment or {})}, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr


def expect(code, text, *arguments, **settings):
    """It must end with that code and the text in what it says."""
    got, output, errors = run(*arguments, **settings)
    assert got == code, (arguments, got, output, errors)
    assert text in output + errors, (arguments, text, output, errors)
    return output


class Running:
    """A cellard with its standard output and its log in files."""

    def __init__(self, folder, *arguments):
        self.output_path = os.path.join(folder, "output")
        self.port_path = os.path.join(folder, "port")
        if os.path.exists(self.port_path):
            os.unlink(self.port_path)
        self.log_path = os.path.join(folder, "log")
        with open(self.output_path, "wb") as output, open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [CELLARD, "--port-file", self.port_path, *arguments], cwd=folder, stdout=output,
                stderr=log, stdin=subprocess.DEVNULL)

    def __enter__(self):
        end = time.monotonic() + WAIT_SECONDS_MAX
        while not os.path.exists(self.port_path):
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < end, self.output()
            time.sleep(0.005)
        with open(self.port_path, encoding="ascii") as file:
            text = file.read()
        assert text.endswith("\n") and text[:-1].isdigit(), repr(text)
        self.port = int(text)
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def output(self):
        """What people see, then the log."""
        texts = []
        for path in (self.output_path, self.log_path):
            with open(path, encoding="utf-8") as file:
                texts.append(file.read())
        return "".join(texts)

    def wait_for(self, text):
        end = time.monotonic() + WAIT_SECONDS_MAX
        while text not in self.output():
            assert time.monotonic() < end, self.output()
            time.sleep(0.005)

    def stop(self):
        self.process.terminate()
        return self.process.wait(WAIT_SECONDS_MAX)


# ---- options ------------------------------------------------------------------------------------

def cli_help_and_version(_):
    text = expect(STOPPED, "usage: cellard", "--help")
    for option in ("listen", "port-file", "data-dir", "config", "print-config", "insecure",
                   "workers", "memory-bytes-max", "memtable-bytes-max", "log-unapplied-bytes-max",
                   "log-unapplied-records-max", "log-segment-bytes", "store-map-bytes",
                   "checkpoint-records-max", "implicit-instances", "log-level", "version", "help"):
        assert f"--{option}" in text, option
    expect(STOPPED, "cellard ", "--version")


def cli_wrong_options(folder):
    expect(USAGE, "there is no option --nonsense; --help lists them", "--nonsense")
    expect(USAGE, "'data' is not an option", "data")
    expect(USAGE, "--workers: 'many' is not a number", "--workers", "many")
    expect(USAGE, "--memory-bytes-max: 5 is out of bounds", "--memory-bytes-max=5")
    expect(USAGE, "--data-dir needs a value", "--data-dir")
    expect(USAGE, "'nowhere' is not HOST:PORT", "--listen", "nowhere")
    expect(USAGE, "--insecure", "--listen", "0.0.0.0:0", "--data-dir", folder + "/never")
    assert not os.path.exists(folder + "/never")
    expect(USAGE, "CELLAR_WORKERS: 'x'", environment={"CELLAR_WORKERS": "x"})


def cli_layers(folder):
    """Flags win over the environment, the environment over the file, each with its origin."""
    path = os.path.join(folder, "cellar.conf")
    with open(path, "w", encoding="ascii") as file:
        file.write("# ours\nworkers = 3\nlog_level = warn # quiet\nstore-map-bytes = 1g\n")
    output = expect(STOPPED, "", "--config", path, "--workers=5", "--print-config",
                    environment={"CELLAR_LOG_LEVEL": "error"})
    for line in ("workers = 5 # flag", "log_level = error # environment",
                 f"store_map_bytes = 1g # file {path}:4", "listen = 127.0.0.1:8086 # default",
                 "data_dir = ./cellar-data # default", f"config = {path} # flag"):
        assert line in output.splitlines(), (line, output)
    with open(path, "a", encoding="ascii") as file:
        file.write("colour = red\n")
    expect(USAGE, f"{path}:5: there is no setting 'colour'", "--config", path)
    expect(USAGE, "/no/such/file", "--config", "/no/such/file")


# ---- start --------------------------------------------------------------------------------------

def cli_start_says_where(folder):
    with Running(folder, "--listen", "127.0.0.1:0") as server:
        server.wait_for("next: ")
        lines = server.output().splitlines()
        assert lines[0].endswith(f"serves on 127.0.0.1:{server.port}"), lines
        assert lines[1] == f"data directory: {os.path.realpath(folder)}/cellar-data", lines
        assert lines[2] == f"next: cellar ping --endpoint 127.0.0.1:{server.port}", lines
        with native.Connection(server.port) as client:
            assert client.call(native.PING, {})[1] is True
        assert server.stop() == STOPPED


def cli_address_in_use(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        expect(FAILED, f"cannot listen on {address}", "--listen", address, folder=folder)
        expect(FAILED, "--listen HOST:PORT", "--listen", address, folder=folder)
        assert not os.path.exists(os.path.join(folder, "cellar-data")), "data touched too early"


def cli_data_directory_in_use(folder):
    with Running(folder, "--listen", "127.0.0.1:0") as server:
        expect(FAILED, "cellar-data", "--listen", "127.0.0.1:0", folder=folder)
        with native.Connection(server.port) as client:
            assert client.call(native.PING, {})[1] is True
        assert server.stop() == STOPPED


def cli_port_file_that_cannot_be_written(folder):
    expect(FAILED, "/no/such/folder/port", "--listen", "127.0.0.1:0", "--port-file",
           "/no/such/folder/port", folder=folder)


def cli_ipv6(folder):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return
    with Running(folder, "--listen", "[::1]:0") as server:
        with native.Connection(server.port, host="::1") as client:
            assert client.call(native.PING, {})[1] is True
        assert server.stop() == STOPPED


# ---- stop ---------------------------------------------------------------------------------------

def cli_signals(folder):
    for number in (signal.SIGTERM, signal.SIGINT):
        with Running(folder, "--listen", "127.0.0.1:0") as server:
            server.process.send_signal(number)
            assert server.process.wait(WAIT_SECONDS_MAX) == STOPPED, server.output()


def open_stuck_read(server):
    """A read that waits for credit: what a stopping server waits for, for a while."""
    client = native.Connection(server.port)
    client.create_table("stuck", {"cf": None})
    client.submit(native.READ_ROWS, {1: "stuck", 9: 0})
    client.call(native.PING, {})
    return client


def cli_stop_does_not_wait_for_ever(folder):
    with Running(folder, "--listen", "127.0.0.1:0") as server:
        with open_stuck_read(server):
            start = time.monotonic()
            assert server.stop() == STOPPED, server.output()
            assert 3 < time.monotonic() - start < 20


def cli_second_signal_ends_at_once(folder):
    with Running(folder, "--listen", "127.0.0.1:0") as server:
        with open_stuck_read(server):
            server.process.terminate()
            server.wait_for("stopping")
            start = time.monotonic()
            while server.process.poll() is None and time.monotonic() - start < 3:
                server.process.terminate()
                time.sleep(0.01)
            assert server.process.poll() == -signal.SIGTERM, server.output()
    with Running(folder, "--listen", "127.0.0.1:0") as server:  # and the data survives it
        with native.Connection(server.port) as client:
            assert client.list_tables() == ["projects/default/instances/default/tables/stuck"]
        assert server.stop() == STOPPED


def main():
    tests = [(name[4:], run_test) for name, run_test in globals().items()
             if name.startswith("cli_")]
    wanted = sys.argv[1:] or [name for name, _ in tests]
    for name, run_test in tests:
        if name in wanted:
            with tempfile.TemporaryDirectory(prefix="cellar-cli-") as folder:
                run_test(folder)
            print(f"ok {name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
