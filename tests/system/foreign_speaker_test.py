"""Every operation of the native protocol, spoken by a program that shares nothing with the project.

What is here was written from common/PROTOCOL.md, with a socket and Debian's python3-msgpack: if
this passes, any MessagePack library in any language can talk to a server. Only starting and
stopping the server is borrowed (tests/support). Each function below whose name begins with
`speak_` is one test.

    foreign_speaker_test.py NAME ...    only these, without `speak_`
"""
import os
import select
import socket
import struct
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_native as support  # noqa: E402  (skips when msgpack is missing)

import msgpack  # noqa: E402

REQUEST, REPLY, PART, ERROR, CREDIT, CANCEL, GOAWAY = 1, 2, 3, 4, 5, 6, 7
HELLO, PING, INFO, CREATE, DESCRIBE, LIST, DROP = 1, 2, 3, 16, 17, 18, 19
MODIFY, DROP_ROWS = 20, 21
MUTATE_ROW, MUTATE_ROWS, READ_ROWS = 32, 33, 34
INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, FAILED_PRECONDITION = 1, 2, 3, 4
DEADLINE_EXCEEDED, UNIMPLEMENTED, CANCELLED = 8, 13, 14
MIB = 1 << 20
QUIET_SECONDS = 0.3


class Refused(Exception):
    def __init__(self, number, body):
        super().__init__(f"id {number}: {body}")
        self.number, self.code, self.text = number, body[1], body.get(2, "")


class Speaker:
    """One connection."""

    def __init__(self, port, greet=True):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.input = b""
        self.halves = {}
        self.number = 0
        self.socket.sendall(bytes([0x93]) + b"CELLAR\n")
        if greet:
            self.hello = self.ask(HELLO, {1: 1, 2: 1, 3: "foreign"})

    def frame(self, number, operation, kind, payload=b"", more=0):
        self.socket.sendall(struct.pack(">IIHBB", len(payload), number, operation, kind, more)
                            + payload)

    def message(self, number, operation, kind, body):
        payload = msgpack.packb(body)
        pieces = [payload[at:at + MIB] for at in range(0, len(payload), MIB)]
        for index, piece in enumerate(pieces):
            self.frame(number, operation, kind, piece, int(index + 1 < len(pieces)))

    def send(self, operation, body):
        self.number += 1
        self.message(self.number, operation, REQUEST, body)
        return self.number

    def take(self, size):
        while len(self.input) < size:
            data = self.socket.recv(1 << 18)
            if not data:
                raise EOFError
            self.input += data
        taken, self.input = self.input[:size], self.input[size:]
        return taken

    def receive(self):
        """The next whole message: (id, operation, kind, body); the frame count in self.frames."""
        while True:
            size, number, operation, kind, flags = struct.unpack(">IIHBB", self.take(12))
            assert size <= MIB and flags in (0, 1), (size, flags)
            piece = self.take(size)
            whole = self.halves.pop((number, kind), []) + [piece]
            if flags:
                self.halves[number, kind] = whole
                continue
            self.frames = len(whole)
            payload = b"".join(whole)
            body = msgpack.unpackb(payload, strict_map_key=False) if payload else {}
            return number, operation, kind, body

    def answer(self, number):
        """The one REPLY of a request; its ERROR is raised."""
        got, _, kind, body = self.receive()
        if kind == ERROR:
            raise Refused(got, body)
        assert (got, kind) == (number, REPLY), (got, kind, body)
        return body

    def ask(self, operation, body):
        return self.answer(self.send(operation, body))

    def is_quiet(self):
        return not self.input and not select.select([self.socket], [], [], QUIET_SECONDS)[0]

    def is_closed(self):
        try:
            self.take(1)
        except (EOFError, ConnectionResetError):
            return True
        return False

    def read(self, body):
        """All rows of a read, credit given as parts come: [(key, [cell, ...])]."""
        number = self.send(READ_ROWS, body)
        rows, part = [], 0
        while True:
            got, _, kind, answer = self.receive()
            if kind == ERROR:
                raise Refused(got, answer)
            assert got == number and kind in (PART, REPLY)
            assert answer.get(1, 0) == part, (answer.get(1), part)
            part += 1
            join_rows(rows, answer.get(2, []))
            if kind == REPLY:
                return [(key, cells) for key, cells, _ in rows]
            self.message(number, 0, CREDIT, {1: 1 << 20})


def join_rows(rows, pieces):
    for key, flags, arrays in pieces:
        if flags & 2:
            assert rows and rows[-1][0] == key and rows[-1][2], "a piece of no row"
            rows[-1][2] = bool(flags & 1)
        else:
            assert not rows or not rows[-1][2], "a row without its end"
            rows.append([key, [], bool(flags & 1)])
        for array in arrays:
            family = qualifier = None
            assert array[0] is not None and array[1] is not None
            for at in range(0, len(array), 4):
                family = array[at] if array[at] is not None else family
                qualifier = array[at + 1] if array[at + 1] is not None else qualifier
                rows[-1][1].append((family, qualifier, array[at + 2], array[at + 3]))


def refused(code, text, action, *arguments):
    """The action must be answered with that code and the text in its sentence."""
    try:
        action(*arguments)
    except Refused as refusal:
        assert refusal.code == code, refusal
        assert text in refusal.text, refusal
        assert refusal.text, "an error without a sentence"
        return refusal
    raise AssertionError(f"{arguments} was not refused")


def table_of(speaker, name, families=("cf", "g")):
    speaker.ask(CREATE, {1: name, 2: [[family, None] for family in families]})
    return name


def put(family, qualifier, timestamp, value):
    return [0, family, qualifier, timestamp, value]


# ---- the connection -----------------------------------------------------------------------------

def speak_hello(server):
    speaker = Speaker(server.port)
    assert speaker.hello[1] == 1 and speaker.hello[2].startswith("cellard "), speaker.hello
    assert speaker.hello.get(3, []) == [] and speaker.hello[4] == MIB, speaker.hello
    assert speaker.hello[5] >= MIB and speaker.hello[6] >= 1, speaker.hello
    refused(FAILED_PRECONDITION, "HELLO", speaker.ask, HELLO, {1: 1, 2: 1})
    assert speaker.ask(PING, {})[1] is True
    for body, code in (({1: 2, 2: 9}, UNIMPLEMENTED), ({1: 3, 2: 2}, INVALID_ARGUMENT),
                       ({1: 1, 2: 1, 5: b"x"}, UNIMPLEMENTED), ({1: "x"}, INVALID_ARGUMENT)):
        speaker = Speaker(server.port, greet=False)
        refused(code, "", speaker.ask, HELLO, body)
        assert speaker.is_closed()
    speaker = Speaker(server.port, greet=False)
    refused(FAILED_PRECONDITION, "HELLO", speaker.ask, PING, {})
    assert speaker.is_closed()


def speak_server(server):
    speaker = Speaker(server.port)
    assert speaker.ask(PING, {15: 1000000}) == {1: True}
    info = speaker.ask(INFO, {})
    assert info[1] and info[2] > 0 and os.path.samefile(info[3], server.data_dir), info
    assert all(isinstance(name, str) and number >= 0 for name, number in info.get(4, [])), info
    refused(UNIMPLEMENTED, "99", speaker.ask, 99, {})
    refused(UNIMPLEMENTED, "7", speaker.ask, PING, {7: 1})
    refused(INVALID_ARGUMENT, "", speaker.ask, PING, [])
    refused(INVALID_ARGUMENT, "", speaker.ask, PING, {15: "soon"})
    speaker.number += 1
    speaker.frame(speaker.number, PING, REQUEST)
    refused(INVALID_ARGUMENT, "map", speaker.answer, speaker.number)
    assert speaker.ask(PING, {}) == {1: True}


def speak_broken_frames(server):
    broken = [struct.pack(">IIHBB", MIB + 1, 2, PING, REQUEST, 0),
              struct.pack(">IIHBB", 0, 2, PING, 0, 0),
              struct.pack(">IIHBB", 0, 2, PING, REQUEST, 2),
              struct.pack(">IIHBB", 0, 2, PING, REPLY, 0),
              struct.pack(">IIHBB", 1, 0, PING, REQUEST, 0) + b"\x80",
              struct.pack(">IIHBB", 1, 2, 0, CREDIT, 0) + b"\xc1"]
    for data in broken:
        speaker = Speaker(server.port)
        speaker.socket.sendall(data)
        number, _, kind, body = speaker.receive()
        assert (number, kind, body[1]) == (0, ERROR, INVALID_ARGUMENT), (data, number, kind, body)
        assert speaker.is_closed()


# ---- tables -------------------------------------------------------------------------------------

def speak_tables(server):
    speaker = Speaker(server.port)
    rule = [3, [[1, 3], [4, [[2, 7000000], [1, 10]]]]]
    made = speaker.ask(CREATE, {1: "ta/ble/tables", 2: [["cf", rule], ["a.b-c_D", None]],
                                3: [b"m", b"d", b"m"], 4: 2})
    assert made[1] == "projects/ta/instances/ble/tables/tables", made
    assert made[2] == [["a.b-c_D", None], ["cf", rule]] and made[3] == 2, made
    assert [tablet[:2] for tablet in made[4]] == [[b"", b"d"], [b"d", b"m"], [b"m", b""]], made
    assert speaker.ask(DESCRIBE, {1: made[1]}) == made
    refused(ALREADY_EXISTS, "", speaker.ask, CREATE, {1: made[1], 2: []})
    for number in range(3):
        speaker.ask(CREATE, {1: f"ta/ble/page{number}", 2: []})
    first = speaker.ask(LIST, {1: "ta/ble", 2: 3})
    rest = speaker.ask(LIST, {1: "projects/ta/instances/ble", 2: 3, 3: first[2]})
    names = first[1] + rest[1]
    assert names == sorted(names) and len(names) == 4 and not rest.get(2), names
    assert speaker.ask(LIST, {1: "ta/nowhere"}).get(1, []) == []
    refused(INVALID_ARGUMENT, "", speaker.ask, LIST, {2: -1})
    refused(INVALID_ARGUMENT, "", speaker.ask, LIST, {1: "a/b/c/d"})
    for bad in ({1: ""}, {1: "-x"}, {1: "t", 2: [["a b", None]]}, {1: "t", 2: [["cf", [1, 0]]]},
                {1: "t", 2: [["cf", [3, []]]]}, {1: "t", 2: [["cf", None]], 3: [b""]},
                {1: "t", 2: "cf"}, {1: "t", 2: [], 4: 3}):
        refused(INVALID_ARGUMENT, "", speaker.ask, CREATE, bad)
    assert speaker.ask(DROP, {1: "ta/ble/tables"}) == {}
    refused(NOT_FOUND, "", speaker.ask, DROP, {1: "ta/ble/tables"})
    refused(NOT_FOUND, "", speaker.ask, DESCRIBE, {1: "ta/ble/tables"})


def speak_changes(server):
    """Families change as a whole; rows go by a prefix or all, and nothing else means either."""
    speaker = Speaker(server.port)
    table = table_of(speaker, "changes")
    for key in (b"a1", b"a2", b"b"):
        speaker.ask(MUTATE_ROW, {1: table, 2: key, 3: [put("cf", b"q", 1000, b"v"),
                                                       put("g", b"q", 1000, b"v")]})
    changed = speaker.ask(MODIFY, {1: table, 2: [[0, "h", [1, 3]], [1, "cf", [2, 7000000]], [2, "g", None],
                                                 [0, "g"]]})
    assert changed[2] == [["cf", [2, 7000000]], ["g", None], ["h", [1, 3]]], changed
    assert changed == speaker.ask(DESCRIBE, {1: table}) and changed[5] > 1, changed
    assert speaker.ask(MODIFY, {1: table, 2: [[1, "cf"]]})[2][0] == ["cf", None]
    for changes, code in (([], INVALID_ARGUMENT), (None, INVALID_ARGUMENT), ([[3, "x"]], INVALID_ARGUMENT),
                          ([[2, "g", [1, 1]]], INVALID_ARGUMENT), ([[0]], INVALID_ARGUMENT),
                          ([[2, "g"], [0, "cf"]], ALREADY_EXISTS), ([[2, "g"], [2, "g"]], NOT_FOUND),
                          ([[1, "nope", None]], NOT_FOUND)):
        refused(code, "", speaker.ask, MODIFY, {1: table, 2: changes})
    refused(INVALID_ARGUMENT, "changes", speaker.ask, MODIFY, {1: table})
    refused(NOT_FOUND, "", speaker.ask, MODIFY, {1: "nowhere", 2: [[2, "g"]]})
    assert [name for name, _ in speaker.ask(DESCRIBE, {1: table})[2]] == ["cf", "g", "h"]
    assert all(cells == [("cf", b"q", 1000, b"v")] for _, cells in speaker.read({1: table}))
    for target in ({}, {2: b""}, {2: b"a", 3: True}, {3: False}, {2: b"a" * 4097}, {2: 5}):
        refused(INVALID_ARGUMENT, "", speaker.ask, DROP_ROWS, {1: table, **target})
    refused(NOT_FOUND, "", speaker.ask, DROP_ROWS, {1: "nowhere", 3: True})
    assert [key for key, _ in speaker.read({1: table})] == [b"a1", b"a2", b"b"]
    assert speaker.ask(DROP_ROWS, {1: table, 2: b"a"}) == {}
    assert [key for key, _ in speaker.read({1: table})] == [b"b"]
    assert speaker.ask(DROP_ROWS, {1: table, 3: True, 15: 5000000}) == {}
    assert speaker.read({1: table}) == []


# ---- writes -------------------------------------------------------------------------------------

def speak_mutations(server):
    speaker = Speaker(server.port)
    table = table_of(speaker, "mutations")
    row = {1: table, 2: b"\x00row\xff"}
    mutations = [put("cf", b"a", 1000, b"old"), put("cf", b"a", 2000, b"new"),
                 put("cf", b"", 0, b""), put("g", b"\x00", 5000, b"x")]
    assert speaker.ask(MUTATE_ROW, {**row, 3: mutations}) == {}
    cells = [("cf", b"", 0, b""), ("cf", b"a", 2000, b"new"), ("cf", b"a", 1000, b"old"),
             ("g", b"\x00", 5000, b"x")]
    assert speaker.read({1: table}) == [(row[2], cells)]
    assert speaker.ask(MUTATE_ROW, {**row, 3: [[1, "cf", b"a", 1000, 2000], [2, "g"]]}) == {}
    assert speaker.read({1: table}) == [(row[2], cells[:2])]
    assert speaker.ask(MUTATE_ROW, {**row, 3: [[3], put("cf", "n", None, "text")]}) == {}
    (key, [(family, qualifier, timestamp, value)]), = speaker.read({1: table})
    assert (key, family, qualifier, value) == (row[2], "cf", b"n", b"text")
    assert timestamp > 1500000000000000 and timestamp % 1000 == 0, timestamp
    assert speaker.ask(MUTATE_ROW, {**row, 3: [[1, "cf", b"n", None, None]]}) == {}
    assert speaker.read({1: table}) == []


def speak_bad_mutations(server):
    speaker = Speaker(server.port)
    table = table_of(speaker, "badmutations")
    good = [put("cf", b"q", 1000, b"v")]
    cases = [
        ({1: "nowhere", 2: b"r", 3: good}, NOT_FOUND, ""),
        ({1: table, 2: b"", 3: good}, INVALID_ARGUMENT, "Row keys must be non-empty"),
        ({1: table, 2: b"k" * 4097, 3: good}, INVALID_ARGUMENT, ""),
        ({1: table, 2: b"r", 3: []}, INVALID_ARGUMENT, "No mutations provided"),
        ({1: table, 2: b"r"}, INVALID_ARGUMENT, ""),
        ({1: table, 2: b"r", 3: [put("no", b"q", 1000, b"v")]}, NOT_FOUND, ""),
        ({1: table, 2: b"r", 3: [put("cf", b"q", -2, b"v")]}, INVALID_ARGUMENT,
         "Timestamps must be >= -1, but got -2"),
        ({1: table, 2: b"r", 3: [put("cf", b"q", 1001, b"v")]}, INVALID_ARGUMENT, ""),
        ({1: table, 2: b"r", 3: [put("cf", b"q" * 16385, 1000, b"v")]}, INVALID_ARGUMENT, ""),
        ({1: table, 2: b"r", 3: [[1, "cf", b"q", 2000, 1000]]}, INVALID_ARGUMENT, ""),
        ({1: table, 2: b"r", 3: [[4, "cf", b"q", 0, 1]]}, UNIMPLEMENTED, ""),
        ({1: table, 2: b"r", 3: [["what"]]}, INVALID_ARGUMENT, ""),
        ({1: table, 2: b"r", 3: good, 4: b"token"}, INVALID_ARGUMENT, "8 to 128 bytes"),
        ({1: table, 2: b"r", 3: good, 4: b"token678", 5: 1}, FAILED_PRECONDITION, "token"),
        ({1: table, 2: b"r", 3: good, 7: 1}, UNIMPLEMENTED, ""),
        ({1: 5, 2: b"r", 3: good}, INVALID_ARGUMENT, ""),
    ]
    for body, code, text in cases:
        refused(code, text, speaker.ask, MUTATE_ROW, body)
    assert speaker.read({1: table}) == []
    try:
        speaker.ask(MUTATE_ROW, {1: table, 2: b"r", 3: good, 15: 1})
    except Refused as refusal:
        assert refusal.code == DEADLINE_EXCEEDED, refusal


def speak_tokens(server):
    """A write repeated with its token, on any connection, is applied once."""
    table = table_of(Speaker(server.port), "tokens")
    now = [put("cf", b"q", None, b"v")]
    for _ in range(3):
        speaker = Speaker(server.port)
        for start in (None, int(time.time() * 1e6) - 60000000):
            body = {1: table, 2: b"r", 3: now, 4: b"0123456789abcdef"}
            if start is not None:
                body[5] = start
            assert speaker.ask(MUTATE_ROW, body) == {}
        entries = [[b"s", now, b"token-of-s"], [b"s", now, b"token-of-s"], [b"plain", now, None]]
        assert speaker.ask(MUTATE_ROWS, {1: table, 2: entries, 4: 60000000}) == {1: [0, 0, 0]}
    rows = {key: len(cells) for key, cells in speaker.read({1: table})}
    assert rows[b"r"] == 1 and rows[b"s"] == 1 and rows[b"plain"] in (1, 2, 3), rows


def speak_many_rows(server):
    speaker = Speaker(server.port)
    table = table_of(speaker, "manyrows")
    entries = [[b"row%03d" % i, [put("cf" if i % 7 else "no", b"q", 1000, b"v%d" % i)]]
               for i in range(100)]
    results = speaker.ask(MUTATE_ROWS, {1: table, 2: entries})[1]
    assert len(results) == 100
    for i, result in enumerate(results):
        assert (result == 0) if i % 7 else (result[0] == NOT_FOUND and result[1]), (i, result)
    assert len(speaker.read({1: table})) == 85
    bad = [[b"new", [put("cf", b"q", 1000, b"v")]], [b"new2", [put("cf", b"q", -5, b"v")]]]
    refused(INVALID_ARGUMENT, "Error in field 'Entry list' : Error in element #1 : Error in field "
            "'Mutation list' : Error in element #0 : Timestamps must be >= -1, but got -5",
            speaker.ask, MUTATE_ROWS, {1: table, 2: bad})
    refused(INVALID_ARGUMENT, "", speaker.ask, MUTATE_ROWS, {1: table, 2: []})
    refused(NOT_FOUND, "", speaker.ask, MUTATE_ROWS, {1: "nowhere", 2: bad[:1]})
    assert len(speaker.read({1: table})) == 85


def speak_order(server):
    """Writes of one connection to one row enter in the order they were sent, answered or not."""
    speaker = Speaker(server.port)
    table = table_of(speaker, "order")
    numbers = [speaker.send(MUTATE_ROW, {1: table, 2: b"row%d" % (i % 3),
                                         3: [put("cf", b"q", 1000, b"%d" % i)]})
               for i in range(3000)]
    waiting = set(numbers)
    while waiting:
        number, operation, kind, body = speaker.receive()
        assert (operation, kind, body) == (MUTATE_ROW, REPLY, {}), (operation, kind, body)
        waiting.remove(number)
    rows = speaker.read({1: table})
    assert [cells[0][3] for _, cells in rows] == [b"2997", b"2998", b"2999"], rows


# ---- reads --------------------------------------------------------------------------------------

def speak_reads(server):
    speaker = Speaker(server.port)
    table = table_of(speaker, "reads")
    keys = [b"a", b"b", b"b\x00", b"c", b"\xff"]
    entries = [[key, [put("cf", b"q", 1000 * n, b"v%d" % n) for n in (1, 2, 3)]
                + [put("g", b"h", 1000, key)]] for key in keys]
    assert speaker.ask(MUTATE_ROWS, {1: table, 2: entries})[1] == [0] * 5

    def found(**fields):
        body = {1: table, **{int(name[1:]): value for name, value in fields.items()}}
        return [key for key, _ in speaker.read(body)]

    assert found() == keys and found(f2=[], f3=[]) == keys
    assert found(f2=[b"c", b"a", b"c", b"no"]) == [b"a", b"c"]
    assert found(f2=[b"no"]) == []
    assert found(f3=[[b"b", True, b"c", False]]) == [b"b", b"b\x00"]
    assert found(f3=[[b"b", False, b"c", True]]) == [b"b\x00", b"c"]
    assert found(f3=[[None, True, b"a", True], [b"c", False, None, False]]) == [b"a", b"\xff"]
    assert found(f2=[b"a"], f3=[[b"c", True, b"", False]]) == [b"a", b"c", b"\xff"]
    assert found(f4=2) == [b"a", b"b"] and found(f4=2, f5=True) == [b"\xff", b"c"]
    assert found(f10=True) == keys
    assert all(not cells for _, cells in speaker.read({1: table, 10: True}))
    one = speaker.read({1: table, 2: [b"a"], 7: 1})
    assert one == [(b"a", [("cf", b"q", 3000, b"v3"), ("g", b"h", 1000, b"a")])], one
    assert speaker.read({1: table, 2: [b"a"], 6: [["g", None]]}) == [(b"a", one[0][1][1:])]
    two = speaker.read({1: table, 2: [b"a"], 6: [["cf", b"q"]], 7: 2})
    assert [cell[2] for cell in two[0][1]] == [3000, 2000], two
    assert speaker.read({1: table, 6: [["cf", b"other"]]}) == []
    for body, code in (({1: "nowhere"}, NOT_FOUND), ({1: table, 4: -1}, INVALID_ARGUMENT),
                       ({1: table, 7: -1}, INVALID_ARGUMENT),
                       ({1: table, 2: [b""]}, INVALID_ARGUMENT),
                       ({1: table, 3: [[b"b", True, b"a", True]]}, INVALID_ARGUMENT),
                       ({1: table, 2: b"a"}, INVALID_ARGUMENT), ({1: table, 8: {}}, UNIMPLEMENTED),
                       ({1: table, 6: [["cf"]]}, INVALID_ARGUMENT)):
        refused(code, "", speaker.read, body)


def fill(speaker, name, count, size):
    table = table_of(speaker, name)
    for at in range(0, count, 100):
        entries = [[b"row%06d" % i, [put("cf", b"q", 1000, bytes([i % 251]) * size)]]
                   for i in range(at, min(at + 100, count))]
        assert speaker.ask(MUTATE_ROWS, {1: table, 2: entries})[1] == [0] * len(entries)
    return table


def speak_flow_control(server):
    speaker = Speaker(server.port)
    table = fill(speaker, "flow", 2000, 500)
    number = speaker.send(READ_ROWS, {1: table, 9: 1})
    got, _, kind, body = speaker.receive()
    assert (got, kind) == (number, PART)
    rows = []
    join_rows(rows, body[2])
    assert speaker.is_quiet(), "a part without credit"
    assert speaker.ask(PING, {}) == {1: True}, "a read that waits is in the way"
    part = 1
    while kind != REPLY:
        speaker.message(number, 0, CREDIT, {1: 300000})
        got, _, kind, body = speaker.receive()
        assert (got, body.get(1, 0)) == (number, part), (got, body.get(1))
        join_rows(rows, body.get(2, []))
        part += 1
    assert [row[0] for row in rows] == [b"row%06d" % i for i in range(2000)]
    number = speaker.send(READ_ROWS, {1: table, 9: 0, 4: 1})
    assert speaker.is_quiet(), "an answer without credit"
    speaker.message(number, 0, CREDIT, {1: 1})
    assert len(speaker.answer(number)[2]) == 1


def speak_cancel(server):
    speaker = Speaker(server.port)
    table = fill(speaker, "cancel", 1000, 500)
    number = speaker.send(READ_ROWS, {1: table, 9: 1})
    assert speaker.receive()[2] == PART
    speaker.frame(number, 0, CANCEL)
    refused(CANCELLED, "", speaker.answer, number)
    speaker.frame(number, 0, CANCEL)
    speaker.frame(777777, 0, CANCEL)
    assert speaker.ask(PING, {}) == {1: True}
    number = speaker.send(MUTATE_ROW, {1: table, 2: b"w", 3: [put("cf", b"q", 1000, b"v")]})
    speaker.frame(number, 0, CANCEL)
    assert speaker.answer(number) == {}
    refused(DEADLINE_EXCEEDED, "", wait_for_limit, speaker, table)


def wait_for_limit(speaker, table):
    number = speaker.send(READ_ROWS, {1: table, 9: 1, 15: 200000})
    assert speaker.receive()[2] == PART
    speaker.answer(number)


def speak_several_frames(server):
    """Requests and answers above 1 MiB travel in several frames, others between them."""
    speaker = Speaker(server.port)
    table = table_of(speaker, "frames")
    value = bytes(range(256)) * 4000
    body = msgpack.packb({1: table, 2: [[b"row%d" % i, [put("cf", b"q", 1000, value)]]
                                        for i in range(3)]})
    speaker.frame(500, MUTATE_ROWS, REQUEST, body[:MIB], 1)
    speaker.frame(501, PING, REQUEST, b"\x81", 1)
    assert speaker.ask(PING, {}) == {1: True}
    speaker.frame(500, MUTATE_ROWS, REQUEST, body[MIB:2 * MIB], 1)
    speaker.frame(501, PING, REQUEST, b"\x0f\x05")
    assert speaker.answer(501) == {1: True}
    speaker.frame(500, MUTATE_ROWS, REQUEST, body[2 * MIB:2 * MIB + 5], 1)
    speaker.frame(500, MUTATE_ROWS, REQUEST, body[2 * MIB + 5:])
    assert speaker.answer(500) == {1: [0, 0, 0]}
    assert [cells[0][3] for _, cells in speaker.read({1: table})] == [value] * 3
    half = MIB // 2
    mutations = [put("cf", b"q%d" % i, 1000, bytes([i]) * half) for i in range(6)]
    assert speaker.ask(MUTATE_ROW, {1: table, 2: b"wide", 3: mutations}) == {}
    (_, cells), = speaker.read({1: table, 2: [b"wide"]})
    assert [cell[3] for cell in cells] == [bytes([i]) * half for i in range(6)]


# ---- the end ------------------------------------------------------------------------------------

def speak_goaway(server):
    """A stopping server says so, finishes what is in flight, and ends with 0. Runs last."""
    speaker = Speaker(server.port)
    server.process.terminate()
    number, _, kind, body = speaker.receive()
    assert (number, kind, body) == (0, GOAWAY, {}), (number, kind, body)
    assert speaker.is_closed()
    assert server.process.wait(30) == 0, server.output()


def main():
    tests = [(name[6:], run) for name, run in globals().items() if name.startswith("speak_")]
    wanted = sys.argv[1:] or [name for name, _ in tests]
    with tempfile.TemporaryDirectory(prefix="cellar-foreign-") as folder:
        with support.Server(os.path.join(folder, "data")) as server:
            server.start()
            for name, run in tests:
                if name in wanted:
                    run(server)
                    print(f"ok {name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
