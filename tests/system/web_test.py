"""The server's pages: health, readiness and metrics over HTTP on the port of the native protocol.

Each function below whose name begins with `web_` is one test.

    web_test.py NAME ...    only these, without `web_`
"""
import os
import shutil
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

FLAGS = ["--log-segment-bytes=4m", "--store-map-bytes=256m", "--log-level=warn"]
WAIT_SECONDS_MAX = 120
HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(port, path, method="GET", data=None):
    """(status, headers, body) of one request."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=data, method=method)
    try:
        with HTTP.open(request, timeout=WAIT_SECONDS_MAX) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode()


def metrics(port):
    status, headers, body = ask(port, "/metrics")
    assert status == 200, (status, body)
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8", headers
    return prometheus_text.parse(body)


def wait_for(what, seconds=WAIT_SECONDS_MAX):
    """Until what() is true."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def can_read_pages(port):
    """Whether the server lets another HTTP connection in, to be asked again."""
    def ask_once():
        try:
            return ask(port, "/readyz")[0] == 200
        except OSError:
            return False
    return ask_once


def server_of(folder, *flags):
    return native.Server(os.path.join(folder, "data"), [*FLAGS, *flags])


def raw(port, data, timeout=WAIT_SECONDS_MAX):
    """What the server says to these bytes until it closes the connection."""
    got = b""
    with socket.create_connection(("127.0.0.1", port), timeout) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        try:
            while True:
                data = connection.recv(65536)
                if not data:
                    return got
                got += data
        except ConnectionResetError:
            return got


# ---- pages --------------------------------------------------------------------------------------

def web_pages(folder):
    with server_of(folder).start() as server:
        assert ask(server.port, "/healthz")[::2] == (200, "ok\n")
        assert ask(server.port, "/readyz")[::2] == (200, "ok\n")
        status, headers, body = ask(server.port, "/")
        assert status == 200 and headers["Content-Type"].startswith("text/html"), headers
        for path in ("/healthz", "/readyz", "/metrics"):
            assert f'href="{path}"' in body, body
            status, headers, nothing = ask(server.port, path, "HEAD")
            assert status == 200 and nothing == "" and int(headers["Content-Length"]) > 0
        assert ask(server.port, "/favicon.ico")[0] == 404
        status, headers, _ = ask(server.port, "/metrics", "POST", b"x" * 100000)
        assert status == 405 and headers["Allow"] == "GET, HEAD", headers
        server.stop()


def web_one_connection_many_requests(folder):
    with server_of(folder).start() as server:
        request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        got = raw(server.port, request * 1000)
        assert got.count(b"HTTP/1.1 200 OK\r\n") == 1000, len(got)
        got = raw(server.port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        assert got.count(b"\r\n\r\n# HELP") == 50, got.count(b"HTTP/1.1")
        server.stop()


def web_hostile_requests(folder):
    """Garbage is answered or closed; memory does not grow; others are served meanwhile."""
    with server_of(folder).start() as server:
        metrics(server.port)
        before = server.memory_bytes()
        assert raw(server.port, b"GET nonsense\r\n\r\n").startswith(b"HTTP/1.1 400")
        assert raw(server.port, b"GET / HTTP/9.9\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 505")
        assert raw(server.port, b"GET / HTTP/1.1\r\nx: " + b"y" * 100000).startswith(b"HTTP/1.1 431")
        assert raw(server.port, b"DELETE " + os.urandom(1 << 20)).startswith(b"HTTP/1.1 4")
        assert raw(server.port, b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n123456789"
                   ).startswith(b"HTTP/1.1 413")
        assert raw(server.port, b"GET / HTTP/1.1\r\nHo") == b""
        # Clients that ask for thousands of pages and never read one.
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(40)]
        for connection in silent:
            connection.setblocking(False)
            try:
                connection.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 5000)
            except BlockingIOError:
                pass
        wait_for(lambda: metrics(server.port).value("cellar_connections_open", protocol="http") > 40)
        assert ask(server.port, "/healthz")[0] == 200
        # More connections than there may be: the last ones get a 503, native clients are served.
        idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(40)]
        for connection in idle:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert any(connection.recv(12) == b"HTTP/1.1 503" for connection in idle)
        with server.connect() as client:
            assert client.call(native.PING, {})[1] is True
        growth = server.memory_bytes() - before
        assert growth < 64 << 20, f"memory grew by {growth} bytes"
        for connection in silent + idle:
            connection.close()
        wait_for(lambda: ask(server.port, "/healthz")[0] == 200)
        server.stop()


# ---- metrics ------------------------------------------------------------------------------------

def count_of(page, operation, code="OK"):
    return page.value("cellar_requests_total", operation=operation, code=code)


def use(server):
    """A known number of requests: 1 create, 12 puts, 2 batches, 30 gets, 3 of them for no table."""
    with server.connect() as client:
        client.create_table("t", {"cf": None})
        for i in range(12):
            client.mutate_row("t", b"row%d" % i, [[0, "cf", b"q", 1000, b"v" * 100]])
        for i in range(2):
            client.mutate_rows("t", [[b"batch%d" % i, [[0, "cf", b"q", 1000, b"v"]]]])
        for i in range(27):
            client.read_rows("t", row_keys=[b"row%d" % (i % 12)])
        for _ in range(3):
            try:
                client.read_rows("nowhere", row_keys=[b"x"])
            except native.NativeError as error:
                assert error.code == native.NOT_FOUND
        try:
            client.call(77, {})
        except native.NativeError:
            pass


def web_metrics_count_what_was_done(folder):
    with server_of(folder).start() as server:
        before = metrics(server.port)
        use(server)
        after = metrics(server.port)
        prometheus_text.check_growth(before, after)
        for operation, code, count in (("CREATE_TABLE", "OK", 1), ("MUTATE_ROW", "OK", 12),
                                       ("MUTATE_ROWS", "OK", 2), ("READ_ROWS", "OK", 27),
                                       ("READ_ROWS", "NOT_FOUND", 3), ("HELLO", "OK", 1),
                                       ("PING", "OK", 0), ("other", "UNIMPLEMENTED", 1)):
            grown = count_of(after, operation, code) - count_of(before, operation, code)
            assert grown == count, (operation, code, grown)
        assert after.value("cellar_request_duration_seconds_count", operation="READ_ROWS") == 30
        assert 0 < after.value("cellar_request_duration_seconds_sum", operation="MUTATE_ROW")
        assert after.value("cellar_requests_in_flight") == 0
        assert after.value("cellar_tables") == 1
        assert after.value("cellar_stores") == 2
        assert after.value("cellar_log_records_total") >= 15
        assert after.value("cellar_log_durable_lsn") >= 15
        assert after.value("cellar_log_sync_duration_seconds_count") >= 13
        assert after.value("cellar_memtable_entries") >= 14
        assert after.value("cellar_network_received_bytes_total") > 12 * 100
        assert after.value("cellar_http_answers_total", status="200") == 1
        assert after.value("cellar_connections_served_total", protocol="native") == 1
        assert after.value("cellar_memory_anonymous_bytes") > 1 << 17  # what it is depends on malloc
        assert after.value("cellar_ready") == 1 and after.value("cellar_healthy") == 1
        assert abs(after.value("process_start_time_seconds") - time.time()) < 3600
        server.stop()


def web_metrics_of_a_checkpoint(folder):
    with server_of(folder, "--checkpoint-records-max=10").start() as server:
        use(server)
        wait_for(lambda: metrics(server.port).value("cellar_checkpoints_total") >= 1)
        page = metrics(server.port)
        assert page.value("cellar_checkpoint_records_total") >= 10
        assert page.value("cellar_checkpoint_items_total") >= 1
        assert page.value("cellar_checkpoint_bytes_total") > 0
        assert page.value("cellar_checkpoint_seconds_total") > 0
        server.stop()


def web_metrics_of_requests_in_flight(folder):
    with server_of(folder).start() as server:
        with server.connect() as client:
            client.create_table("t", {"cf": None})
            client.submit(native.READ_ROWS, {1: "t", 9: 0})  # waits for credit
            client.call(native.PING, {})
            page = metrics(server.port)
            assert page.value("cellar_requests_in_flight") == 1
            assert page.value("cellar_connections_open", protocol="native") == 1
        wait_for(lambda: metrics(server.port).value("cellar_connections_open", protocol="native") == 0)
        page = metrics(server.port)
        assert page.value("cellar_requests_in_flight") == 0
        assert count_of(page, "READ_ROWS", "CANCELLED") == 1
        server.stop()


def web_metrics_of_refused_connections(folder):
    with server_of(folder).start() as server:
        assert raw(server.port, b"\x16\x03\x01") == b""
        assert raw(server.port, b"PRI * HTTP/2.0\r\n") == b""
        assert raw(server.port, b"hello") == b""
        page = metrics(server.port)
        for reason in ("tls", "http2", "unknown_protocol"):
            assert page.value("cellar_connections_refused_total", reason=reason) == 1, reason
        raw(server.port, native.MAGIC + b"\0" * 12)
        page = metrics(server.port)
        assert page.total("cellar_session_errors_total") == 1
        server.stop()


def web_pages_are_there_above_the_limit_of_connections(folder):
    with server_of(folder, "--connections-max=2").start() as server:
        with server.connect() as one, server.connect() as two:
            page = metrics(server.port)
            assert page.value("cellar_connections_open", protocol="native") == 2
            try:
                server.connect().close()
                raise AssertionError("a third native connection was let in")
            except (EOFError, ConnectionError):
                pass
            page = metrics(server.port)
            assert page.value("cellar_connections_refused_total", reason="connections_max") == 1
            silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(40)]
            for client in (one, two):
                assert client.call(native.PING, {})[1] is True
            for connection in silent:
                connection.close()
        wait_for(can_read_pages(server.port))
        page = metrics(server.port)
        assert page.value("cellar_connections_refused_total", reason="connections_max") >= 20
        server.stop()


def web_promtool_finds_nothing(folder):
    promtool = shutil.which("promtool")
    if promtool is None:
        print("promtool is not installed (package prometheus): not asked")
        return
    with server_of(folder).start() as server:
        use(server)
        body = ask(server.port, "/metrics")[2]
        done = subprocess.run([promtool, "check", "metrics"], input=body, text=True,
                              capture_output=True, timeout=WAIT_SECONDS_MAX, check=False)
        assert done.returncode == 0 and done.stdout + done.stderr == "", done.stdout + done.stderr
        server.stop()


def main():
    tests = [(name[4:], run_test) for name, run_test in globals().items() if name.startswith("web_")]
    wanted = sys.argv[1:] or [name for name, _ in tests]
    for name, run_test in tests:
        if name in wanted:
            with tempfile.TemporaryDirectory(prefix="cellar-web-") as folder:
                run_test(folder)
            print(f"ok {name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
