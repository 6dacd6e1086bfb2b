"""cellard under an operator's hands: settings checked and reloaded, start and stop as others see them.

Each function below whose name begins with `operate_` is one test.

    operate_test.py NAME ...    only these, without `operate_`
"""
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_native as native  # noqa: E402
import prometheus_text  # noqa: E402

os.environ.pop("CELLAR_WORKERS", None)  # which system tests have, and which wins over files

FLAGS = ["--log-segment-bytes=4m", "--store-map-bytes=256m"]
WAIT_SECONDS_MAX = 120
HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(port, path):
    """(status, body) of a page."""
    try:
        with HTTP.open(f"http://127.0.0.1:{port}{path}", timeout=WAIT_SECONDS_MAX) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def metrics(port):
    return prometheus_text.parse(ask(port, "/metrics")[1])


def wait_for(what, seconds=WAIT_SECONDS_MAX):
    """Until what() is true; returns it."""
    end = time.monotonic() + seconds
    while True:
        result = what()
        if result:
            return result
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def server_of(folder, *flags, **more):
    return native.Server(os.path.join(folder, "data"), [*FLAGS, *flags], **more)


def log_lines(server, event):
    """What was logged under that event so far: the text behind its name, a line each."""
    lines = [line.split(" ", 3) for line in server.output().splitlines()]
    return [line[3] if len(line) > 3 else "" for line in lines if len(line) > 2 and line[2] == event]


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def run(*arguments, environment=None):
    done = subprocess.run([native.CELLARD, *arguments], env={**os.environ, **(environment or {})},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=WAIT_SECONDS_MAX, check=False)
    return done.returncode, done.stdout, done.stderr


# ---- settings -----------------------------------------------------------------------------------

def operate_check_config(folder):
    path = os.path.join(folder, "cellar.conf")
    data = os.path.join(folder, "never")
    write(path, f"data_dir = {data}\nlog_level = debug\n")
    code, output, errors = run("--config", path, "--check-config")
    assert (code, errors) == (0, "") and "ok" in output, (code, output, errors)
    write(path, f"data_dir = {data}\ncolour = red\nworkers = many\nlog_level = loud\n"
                "listen = 0.0.0.0:1\nno equals\nlog_segment_bytes = 70000\n")
    code, output, errors = run("--config", path, "--check-config", "--connections-max=0",
                               environment={"CELLAR_DRAIN_TIMEOUT": "soon"})
    assert code == 2 and output == "", (code, output)
    expected = [f"{path}:2: there is no setting 'colour'", f"{path}:3: workers: 'many'",
                f"{path}:4: log_level: 'loud'", f"{path}:5: listen: other machines",
                f"{path}:6: expected key = value", "log_segment_bytes must be a multiple",
                "--connections-max: 0 is out of bounds", "CELLAR_DRAIN_TIMEOUT: 'soon'"]
    for text in expected:
        assert text in errors, (text, errors)
    assert len(errors.splitlines()) == len(expected), errors
    assert all(line.startswith("cellard: ") for line in errors.splitlines()), errors
    # A start tells them all too, and does nothing.
    assert run("--config", path, "--connections-max=0",
               environment={"CELLAR_DRAIN_TIMEOUT": "soon"}) == (2, "", errors)
    assert not os.path.exists(data)


def operate_print_config(folder):
    code, output, _ = run("--print-config", "--workers=3", environment={"CELLAR_LOG_LEVEL": "warn"})
    assert code == 0
    lines = output.splitlines()
    assert "workers = 3 # flag" in lines and "log_level = warn # environment" in lines, output
    assert "drain_timeout = 5s # default" in lines, output
    path = os.path.join(folder, "again.conf")
    write(path, output)
    code, again, _ = run("--print-config", "--config", path)
    values = [line.split(" #")[0] for line in lines if not line.startswith("config")]
    assert code == 0 and all(line + f" # file {path}:" in again for line in values), again


def operate_reload(folder):
    """SIGHUP applies what can change, names what cannot, and refuses a file with mistakes whole."""
    path = os.path.join(folder, "cellar.conf")
    write(path, "log_level = info\nconnections_max = 50\nworkers = 1\n")
    with server_of(folder, "--config", path).start() as server:
        assert metrics(server.port).value("cellar_connections_max") == 50
        write(path, "log_level = warn\nconnections_max = 60\nworkers = 2\ndrain_timeout = 1m\n"
                    "request_bytes_max_total = 100m\nmemtable_bytes_max = 16m\n")
        os.kill(server.pid, signal.SIGHUP)
        wait_for(lambda: log_lines(server, "config_reloaded"))
        page = metrics(server.port)
        assert page.value("cellar_budget_max_bytes", budget="requests") == 100 << 20
        assert page.value("cellar_memtable_max_bytes") == 16 << 20
        assert page.value("cellar_loops") == 1
        assert log_lines(server, "config_needs_restart") == \
            ['setting=workers running="1" wanted="2"'], server.output()
        assert 'setting=connections_max running="50" wanted="60"' in \
            log_lines(server, "config_changed"), server.output()
        # A mistake: nothing of the file is taken.
        write(path, "log_level = info\nconnections_max = 70\ncolour = red\nworkers = x\n")
        os.kill(server.pid, signal.SIGHUP)
        wait_for(lambda: log_lines(server, "config_reload_failed"))
        assert len(log_lines(server, "config_error")) == 2, server.output()
        assert f"{path}:3: there is no setting 'colour'" in server.output()
        assert metrics(server.port).value("cellar_connections_max") == 60
        # Back: what is live is held against what runs now, and the level against what it was.
        write(path, "log_level = info\nconnections_max = 50\nworkers = 1\n")
        os.kill(server.pid, signal.SIGHUP)
        wait_for(lambda: len(log_lines(server, "config_reloaded")) == 2)
        assert metrics(server.port).value("cellar_connections_max") == 50
        assert len(log_lines(server, "config_needs_restart")) == 1, server.output()
        with server.connect() as client:
            assert client.call(native.PING, {})[1] is True
        server.stop()


def operate_memory_is_divided_at_the_start(folder):
    """Budgets trade memory with each other; more than both had, or another total, needs a restart."""
    path = os.path.join(folder, "cellar.conf")
    write(path, "request_bytes_max_total = 100m\nanswer_bytes_max_total = 50m\n")

    def reload(text, count):
        write(path, text)
        os.kill(server.pid, signal.SIGHUP)
        wait_for(lambda: len(log_lines(server, "config_reloaded")) == count)
        page = metrics(server.port)
        return [page.value("cellar_budget_max_bytes", budget=name) >> 20
                for name in ("requests", "answers")]

    with server_of(folder, "--config", path).start() as server:
        got = reload("request_bytes_max_total = 60m\nanswer_bytes_max_total = 90m\n", 1)
        assert got == [60, 90] and not log_lines(server, "config_needs_restart"), server.output()
        got = reload("request_bytes_max_total = 101m\nanswer_bytes_max_total = 50m\n", 2)
        assert got == [60, 90], got
        assert log_lines(server, "config_needs_restart") == \
            ['setting=request_bytes_max_total running="60m" wanted="101m"',
             'setting=answer_bytes_max_total running="90m" wanted="50m"'], server.output()
        got = reload("memory_bytes_max = 2g\nrequest_bytes_max_total = 60m\n"
                     "answer_bytes_max_total = 90m\n", 3)
        assert got == [60, 90], got
        assert log_lines(server, "config_needs_restart")[2:] == \
            ['setting=memory_bytes_max running="1g" wanted="2g"'], server.output()
        assert server.pid and ask(server.port, "/readyz")[0] == 200
        server.stop()


def operate_lowered_limits_hold(folder):
    """After a reload fewer connections are let in, and a small budget still serves."""
    path = os.path.join(folder, "cellar.conf")
    write(path, "connections_max = 50\n")
    with server_of(folder, "--config", path).start() as server:
        with server.connect() as client:
            client.create_table("t", {"cf": None})
            write(path, "connections_max = 1\nrequest_bytes_max_total = 4m\n"
                        "answer_bytes_max_total = 4m\n")
            os.kill(server.pid, signal.SIGHUP)
            wait_for(lambda: log_lines(server, "config_reloaded"))
            client.mutate_row("t", b"r", [[0, "cf", b"q", 1000, b"v" * 900000]])
            assert len(client.read_rows("t", row_keys=[b"r"])) == 1
            try:
                server.connect().close()
                raise AssertionError("a second connection was let in")
            except (EOFError, ConnectionError):
                pass
        wait_for(lambda: log_lines(server, "connection_refused"))
        server.stop()


# ---- the service manager ------------------------------------------------------------------------

class Manager:
    """A datagram socket as systemd has it, at a path or under an abstract name."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address[0] == "@" else address)
        self.socket.settimeout(WAIT_SECONDS_MAX)

    def next(self):
        """The next message that is no sign of life, as a dictionary."""
        while True:
            lines = self.socket.recv(4096).decode().splitlines()
            message = dict(line.split("=", 1) for line in lines)
            if "WATCHDOG" not in message:
                return message

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def notified(folder, address, **environment):
    with Manager(address) as manager:
        # env, not the wrapper's shell: WATCHDOG_PID stays away, as setpriv stands before the server.
        with server_of(folder, environment={"NOTIFY_SOCKET": address, **environment}).launch() as server:
            assert "STATUS" in manager.next()
            ready = manager.next()
            assert ready["READY"] == "1" and "127.0.0.1:" in ready["STATUS"], ready
            server.wait()
            before_us = time.monotonic_ns() // 1000
            os.kill(server.pid, signal.SIGHUP)
            reloading = manager.next()
            assert reloading["RELOADING"] == "1", reloading
            assert before_us <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
            assert manager.next()["READY"] == "1"
            if "WATCHDOG_USEC" in environment:
                for _ in range(3):
                    assert manager.socket.recv(4096) == b"WATCHDOG=1\n"
            os.kill(server.pid, signal.SIGTERM)
            stopping = manager.next()
            assert stopping["STOPPING"] == "1" and "STATUS" in stopping, stopping
            assert server.process.wait(WAIT_SECONDS_MAX) == 0


def operate_notify_by_path(folder):
    notified(folder, os.path.join(folder, "notify"))


def operate_notify_by_abstract_name(folder):
    notified(folder, f"@cellar-{os.getpid()}-{time.monotonic_ns()}")


def operate_notify_watchdog(folder):
    notified(folder, os.path.join(folder, "notify"), WATCHDOG_USEC="200000")


def operate_notify_without_manager(folder):
    """A socket that nobody reads, or that is none, does not keep the server from serving."""
    for address in (os.path.join(folder, "nobody"), "vsock:2:1", "@" + "x" * 200):
        with server_of(folder, environment={"NOTIFY_SOCKET": address}).start() as server:
            assert ask(server.port, "/readyz") == (200, "ok\n")
            assert log_lines(server, "notify_failed"), server.output()
            server.stop()


# ---- start and stop -----------------------------------------------------------------------------

def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def can_connect(port):
    try:
        socket.create_connection(("127.0.0.1", port), WAIT_SECONDS_MAX).close()
        return True
    except ConnectionRefusedError:
        return False


def operate_not_ready_while_starting(folder):
    """With a disk that takes its time, the port answers that the server is not ready yet."""
    if shutil.which("strace") is None:
        print("strace is not installed (docker/packages.txt): not tried")
        return
    port = free_port()
    wrapper = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e",
               "inject=fsync,fdatasync:delay_enter=1000000"]
    with server_of(folder, "--listen", f"127.0.0.1:{port}", wrapper=wrapper).launch() as server:
        wait_for(lambda: can_connect(port) or server.process.poll() is not None)
        assert server.process.poll() is None, server.output()
        assert ask(port, "/readyz") == (503, "the server is starting: its data is being recovered\n")
        assert ask(port, "/healthz") == (200, "ok\n")
        page = metrics(port)
        assert page.value("cellar_ready") == 0 and page.value("cellar_healthy") == 1
        try:
            with native.Connection(port) as client:
                client.call(native.PING, {})
            raise AssertionError("a request was taken")
        except native.NativeError as error:
            assert error.code == native.UNAVAILABLE and error.retry_ms > 0, error
        server.wait()
        assert ask(port, "/readyz") == (200, "ok\n")
        with native.Connection(port) as client:
            assert client.call(native.PING, {})[1] is True
        server.stop()


def stuck_read(server):
    """A connection with a read that waits for credit."""
    client = server.connect()
    client.create_table("t", {"cf": None})
    for i in range(50):
        client.mutate_row("t", b"row%02d" % i, [[0, "cf", b"q", 1000, b"v"]])
    number = client.submit(native.READ_ROWS, {1: "t", 9: 0})
    client.call(native.PING, {})
    return client, number


def operate_drain(folder):
    """Not ready, GOAWAY, no new requests; those in flight finish; everything is in the stores."""
    with server_of(folder, "--drain-timeout=1h").start() as server:
        client, number = stuck_read(server)
        with client:
            os.kill(server.pid, signal.SIGTERM)
            assert client.receive()[2] == native.GOAWAY
            status, body = ask(server.port, "/readyz")
            assert (status, body) == (503, "the server is stopping\n"), (status, body)
            assert ask(server.port, "/healthz")[0] == 200
            try:
                server.connect()
                raise AssertionError("a new connection was greeted")
            except native.NativeError as error:
                assert error.code == native.UNAVAILABLE and error.retry_ms > 0, error
            late = client.submit(native.PING, {})
            got, _, kind, payload = client.receive()
            assert (got, kind) == (late, native.ERROR)
            assert native.error_of(payload).code == native.UNAVAILABLE
            assert log_lines(server, "drain_begun") and not log_lines(server, "drain_ended")
            client.credit(number, 1 << 20)
            rows = native.RowCollector()
            got, _, kind, payload = client.receive()
            assert (got, kind) == (number, native.REPLY)
            rows.add(native.body_decode(payload))
            assert len(rows.finish()) == 50
        assert server.process.wait(WAIT_SECONDS_MAX) == 0, server.output()
        assert log_lines(server, "drain_ended")[0].startswith("connections_left=0 "), server.output()
    with server_of(folder).start() as server:
        started = log_lines(server, "storage_started")[0]
        assert " replayed_bytes=0" in started, started
        with server.connect() as client:
            assert len(client.read_rows("t")) == 50
        server.stop()


def operate_drain_is_bounded(folder):
    with server_of(folder, "--drain-timeout=50ms").start() as server:
        client, _ = stuck_read(server)
        with client:
            os.kill(server.pid, signal.SIGTERM)
            assert server.process.wait(WAIT_SECONDS_MAX) == 0, server.output()
            assert log_lines(server, "drain_ended")[0].startswith("connections_left=1 ")


def operate_second_signal_ends_at_once(folder):
    with server_of(folder, "--drain-timeout=1h").start() as server:
        client, _ = stuck_read(server)
        with client:
            os.kill(server.pid, signal.SIGTERM)
            assert client.receive()[2] == native.GOAWAY
            os.kill(server.pid, signal.SIGTERM)
            assert server.process.wait(WAIT_SECONDS_MAX) == -signal.SIGTERM, server.output()


def operate_log_tells_a_life(folder):
    """One line an event, with stable keys."""
    with server_of(folder).start() as server:
        with server.connect() as client:
            client.create_table("t", {"cf": None}, [b"m"])
            client.drop_table("t")
        server.stop()
        output = server.output()
        for event, text in (("starting", "version="), ("listening", "address=127.0.0.1:"),
                            ("storage_started", "data_dir="), ("ready", f"port={server.port}"),
                            ("table_created", "table=projects/default/instances/default/tables/t"),
                            ("table_dropped", "table=projects/default/instances/default/tables/t"),
                            ("stopping", "signal=TERM"), ("drain_begun", "connections="),
                            ("drain_ended", "connections_left="), ("stopped", "status=OK")):
            lines = log_lines(server, event)
            assert len(lines) == 1 and lines[0].startswith(text), (event, text, output)


def main():
    tests = [(name[8:], run_test) for name, run_test in globals().items()
             if name.startswith("operate_")]
    wanted = sys.argv[1:] or [name for name, _ in tests]
    for name, run_test in tests:
        if name in wanted:
            with tempfile.TemporaryDirectory(prefix="cellar-operate-") as folder:
                run_test(folder)
            print(f"ok {name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
