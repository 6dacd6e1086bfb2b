"""A server among clients that mean no good, or are broken.

Each function below whose name begins with `attack_` is one attack on a server with a small memory.
After each, the server must still answer a well-behaved client within seconds, and its anonymous
memory (RssAnon) must not have grown beyond a bound.

    hostile_input_test.py NAME ...    only these, without `attack_`
    CELLAR_TEST_SEED=N                the random frames of an earlier run again
"""
import os
import random
import socket
import struct
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_native as native  # noqa: E402

MIB = 1 << 20
FLAGS = ["--memory-bytes-max=128m", "--request-bytes-max-total=16m",
         "--answer-bytes-max-total=8m", "--memtable-bytes-max=8m",
         "--log-segment-bytes=4m", "--store-map-bytes=256m", "--log-level=warn"]
GROWTH_BYTES_MAX = 48 * MIB  # both budgets, a memtable and its checkpoint
ANSWER_SECONDS_MAX = 10
TABLE = "hostile"


def raw(server, data=b"", timeout=20):
    connection = socket.create_connection(("127.0.0.1", server.port), timeout)
    if data:
        connection.sendall(data)
    return connection


def greeted(server):
    connection = raw(server, native.MAGIC)
    connection.sendall(native.frame_encode(1, native.HELLO, native.REQUEST,
                                           native.body_encode({1: 1, 2: 1})))
    take_answer(connection)
    return connection


def take_answer(connection):
    """The next message of a raw connection; EOFError when there is none."""
    reader = native.FrameReader()
    while True:
        data = connection.recv(1 << 16)
        if not data:
            raise EOFError
        messages = reader.feed(data)
        if messages:
            return messages[0]


def closes(connection, seconds):
    """Whether the server closes the connection in that time, whatever it says before."""
    connection.settimeout(seconds)
    try:
        while connection.recv(1 << 16):
            pass
    except ConnectionResetError:
        pass
    except socket.timeout:
        return False
    return True


def header(size, number=2, operation=native.PING, kind=native.REQUEST, flags=0):
    return struct.pack(">IIHBB", size, number, operation, kind, flags)


def request(number, operation, payload):
    return native.frame_encode(number, operation, native.REQUEST, payload)


def check(server, name, memory_before):
    """A well-behaved client is served, and memory is bounded."""
    start = time.monotonic()
    with server.connect(ANSWER_SECONDS_MAX) as client:
        assert client.call(native.PING, {})[1] is True
        client.mutate_row(TABLE, name.encode(), [[0, "cf", b"q", 1000, b"v"]])
        assert name.encode() in client.read_rows(TABLE, row_keys=[name.encode()])
    seconds = time.monotonic() - start
    growth = server.memory_bytes() - memory_before
    print(f"ok {name}: answered after {seconds:.2f} s, memory grew by {growth // 1024} KiB",
          flush=True)
    assert seconds < ANSWER_SECONDS_MAX
    assert growth <= GROWTH_BYTES_MAX, f"{name}: memory grew by {growth} bytes"


# ---- frames -------------------------------------------------------------------------------------

def attack_oversized(server):
    """Lengths and joined messages above every limit."""
    for size in (MIB + 1, 1 << 31, (1 << 32) - 1):
        connection = greeted(server)
        connection.sendall(header(size))
        assert closes(connection, 10)
    connection = greeted(server)
    piece = header(MIB, flags=1) + bytes(MIB)
    for _ in range(260):  # a request has 256 MiB at most, whatever memory there is
        connection.sendall(piece)
    number, _, kind, payload = take_answer(connection)
    assert (number, kind) == (2, native.ERROR), (number, kind)
    assert native.error_of(payload).code == 7, native.error_of(payload)
    connection.close()


def attack_truncated(server):
    """Every prefix of a good conversation, then the end."""
    whole = native.MAGIC + request(1, native.HELLO, native.body_encode({1: 1, 2: 1}))
    whole += request(2, native.MUTATE_ROW, native.body_encode(
        {1: TABLE, 2: b"r", 3: [[0, "cf", b"q", 1000, b"value"]]}))
    whole += request(3, native.READ_ROWS, native.body_encode({1: TABLE, 2: [b"r"]}))
    for length in range(0, len(whole), 3):
        raw(server, whole[:length]).close()
    for length in range(20, len(whole), 17):
        connection = raw(server, whole[:length])
        connection.shutdown(socket.SHUT_WR)
        assert closes(connection, 10), length


def attack_nested(server):
    """Arrays and maps a million deep, in every field that takes any value."""
    deep = b"\x91" * 1000000
    connection = greeted(server)
    number = 2
    for operation, fields in ((native.CREATE_TABLE, (2, 3)), (native.MUTATE_ROW, (3, 4)),
                              (native.MUTATE_ROWS, (2,)), (native.READ_ROWS, (2, 3, 6, 8)),
                              (native.PING, (15, 3))):
        for field in fields:
            connection.sendall(request(number, operation, b"\x81" + bytes([field]) + deep))
            got, _, kind, _ = take_answer(connection)
            assert (got, kind) == (number, native.ERROR), (operation, field, got, kind)
            number += 1
    connection.close()


def attack_counts(server):
    """Arrays, maps, texts and bytes that promise more than ever comes."""
    connection = greeted(server)
    number = 2
    for promise in (b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff",
                    b"\xc6\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff\x01", b"\xdc\xff\xff"):
        for operation in (native.CREATE_TABLE, native.LIST_TABLES, native.MUTATE_ROW,
                          native.MUTATE_ROWS, native.READ_ROWS, native.SERVER_INFO):
            for payload in (promise, b"\x81\x02" + promise, b"\x82\x01\xa1t\x03" + promise):
                connection.sendall(request(number, operation, payload))
                got, _, kind, _ = take_answer(connection)
                assert (got, kind) == (number, native.ERROR), (operation, payload, got, kind)
                number += 1
    connection.close()


def attack_random(server):
    """Random bytes as preface, as frames, and as bodies of every operation."""
    chance = random.Random(native.test_seed())
    for _ in range(150):
        connection = raw(server, chance.randbytes(chance.randrange(1, 64)))
        connection.close()
    for _ in range(150):
        connection = greeted(server)
        connection.sendall(chance.randbytes(chance.randrange(1, 4096)))
        connection.close()
    connection = greeted(server)
    for number in range(2, 2000):
        operation = chance.choice((1, 2, 3, 16, 17, 18, 32, 33, 34, chance.randrange(1 << 16)))
        body = bytes([0x80 + chance.randrange(4)]) + chance.randbytes(chance.randrange(40))
        try:
            connection.sendall(request(number, operation, body))
            take_answer(connection)
        except (EOFError, ConnectionError):
            connection = greeted(server)
    connection.close()


def attack_flood(server):
    """Thousands of requests without reading an answer, then the end without a word."""
    for _ in range(4):
        connection = greeted(server)
        connection.setblocking(False)
        ping = request(2, native.READ_ROWS, native.body_encode({1: TABLE, 4: 1}))
        data = b"".join(ping[:4] + struct.pack(">I", 2 + i) + ping[8:] for i in range(20000))
        try:
            connection.send(data)
            connection.send(data)
        except BlockingIOError:
            pass
        connection.close()


# ---- connections --------------------------------------------------------------------------------

def attack_silent(server):
    """Connections that never finish their first 8 bytes are closed after 5 seconds."""
    connections = [raw(server, native.MAGIC[:i % 8]) for i in range(64)]
    slow = raw(server)
    start = time.monotonic()
    try:
        for byte in native.MAGIC:  # one byte a second: too slow
            slow.sendall(bytes([byte]))
            time.sleep(1)
    except ConnectionError:
        pass
    for connection in connections:
        assert closes(connection, 10)
    assert closes(slow, 10)
    assert 4.5 < time.monotonic() - start < 15


def attack_half_open(server):
    """Many connections that each hold half of a large frame or message."""
    connections = []
    for i in range(100):
        connection = greeted(server)
        connection.settimeout(0.05)
        data = header(MIB, flags=i % 2) + bytes(MIB // 2 if i % 2 == 0 else MIB)
        try:
            connection.sendall(data)
        except socket.timeout:
            pass  # the server has stopped reading: no room
        connections.append(connection)
    growth_check(server, "half open")
    with server.connect(ANSWER_SECONDS_MAX) as client:
        assert client.call(native.PING, {})[1] is True
    for connection in connections:
        connection.close()


def growth_check(server, name):
    growth = server.memory_bytes() - server.memory_at_start
    assert growth <= GROWTH_BYTES_MAX, f"{name}: memory grew by {growth} bytes"


def attack_non_reader(server):
    """Clients that ask for a large table with endless credit and read nothing."""
    before = server.memory_bytes()
    connections = []
    for _ in range(30):
        connection = greeted(server)
        connection.sendall(request(2, native.READ_ROWS,
                                   native.body_encode({1: TABLE, 9: 1 << 40})))
        connections.append(connection)
    time.sleep(1)
    growth = server.memory_bytes() - before
    assert growth <= 30 * MIB, f"30 clients that do not read cost {growth} bytes"
    check(server, "beside non-readers", before)
    for connection in connections:
        connection.close()


def attack_http(server):
    """Other protocols on the port: HTTP/1 gets its pages, the rest is closed."""
    connection = raw(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = b""
    while data := connection.recv(4096):
        answer += data
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    head, text = answer.split(b"\r\n\r\n", 1)
    assert b"Content-Length: %d\r\n" % len(text) in head + b"\r\n", answer
    for data in (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01",
                 b"SSH-2.0-x\r\n", bytes(64)):
        assert closes(raw(server, data), 5), data


def main():
    attacks = [(name[7:], run) for name, run in globals().items() if name.startswith("attack_")]
    wanted = sys.argv[1:] or [name for name, _ in attacks]
    with tempfile.TemporaryDirectory(prefix="cellar-hostile-") as folder:
        with native.Server(os.path.join(folder, "data"), FLAGS) as server:
            server.start()
            with server.connect() as client:
                client.create_table(TABLE, {"cf": None})
                for at in range(0, 3000, 100):
                    client.mutate_rows(TABLE, [
                        [b"big%06d" % i, [[0, "cf", b"q", 1000, bytes(10000)]]]
                        for i in range(at, at + 100)])
            server.memory_at_start = server.memory_bytes()
            for name, run in attacks:
                if name in wanted:
                    run(server)
                    check(server, name, server.memory_at_start)
            server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
