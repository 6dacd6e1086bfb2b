"""scrub of cellar on a server whose file was damaged while it was stopped: the row is named, it alone is not served.

Bits are flipped in the copies of one row's value in a store's file. The server starts all the same; then
`cellar scrub` names table, tablet and row, a get of the row answers DATA_LOSS, and all others are there.
"""
import csv
import io
import json
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_native as native  # noqa: E402

FULL = "projects/default/instances/default/tables/t"
WHY = "the item's checksum does not fit"
ROWS = [f"row{number:04}" for number in range(400)]


def fill(server):
    native.tool(server, "table", "create", "t", "--family", "f", "--split", "row0200")
    native.tool(server, "table", "create", "other", "--family", "f")
    with server.connect() as connection:
        for row in ROWS:
            value = f"the value of {row}, long enough to be found".encode()
            connection.mutate_row("t", row.encode(), [[0, "f", b"q", 1000, value]])
        connection.mutate_row("other", b"x", [[0, "f", b"q", 1000, b"v"]])


def spoil(data, row):
    """Flips one bit in each copy of a row's value in all stores. Returns how many."""
    needle = f"the value of {row}".encode()
    count = 0
    for folder, _, names in os.walk(os.path.join(data, "stores")):
        if "data.mdb" not in names:
            continue
        with open(os.path.join(folder, "data.mdb"), "r+b") as file:
            content = file.read()
            at = content.find(needle)
            while at >= 0:
                file.seek(at + 4)
                file.write(bytes([content[at + 4] ^ 1]))
                count += 1
                at = content.find(needle, at + 1)
    return count


def sound(server):
    output, errors = native.tool(server, "scrub")
    assert output.startswith("ended: ") and output.endswith(" bytes of everything, 0 problems\n"), output
    assert errors == "", errors
    output, _ = native.tool(server, "scrub", "t", "--format", "json")
    told = json.loads(output)
    assert told["state"] == "ended" and told["table"] == FULL and told["problems"] == 0, told
    assert told["items"] == told["items_total"] >= len(ROWS), told


def damaged(server):
    output, _ = native.tool(server, "scrub", code=1)
    lines = output.splitlines()
    assert lines[0] == f'damage: {FULL} tablet "" to "row0200" row "row0123": {WHY}', output
    assert len(lines) == 2 and lines[1].endswith(", 1 problem"), output
    output, _ = native.tool(server, "scrub", "--status", "--format", "jsonl", code=1)
    problem, summary = map(json.loads, output.splitlines())
    assert problem == {"table": FULL, "tablet_start": "", "tablet_end": "row0200", "row": "row0123",
                       "damage": WHY}, problem
    assert summary["problems"] == 1 and summary["state"] == "ended", summary
    output, _ = native.tool(server, "scrub", "--status", "--format", "csv", code=1)
    assert next(csv.DictReader(io.StringIO(output)))["problems"] == "1", output
    native.tool(server, "scrub", "other")


def slowed(server):
    """The rate is the server's to keep: the same bytes take the longer, as --rate says."""
    start = time.monotonic()
    output, _ = native.tool(server, "scrub", "t", "--rate", "40000", "--format", "json")
    told = json.loads(output)
    assert told["state"] == "ended" and told["bytes"] > 15000, told
    assert time.monotonic() - start >= told["bytes"] / 40000 - 0.1, told


def served(server):
    """All rows but one."""
    for row in ROWS:
        if row != "row0123":
            output, _ = native.tool(server, "get", "t", row) if row in ("row0122", "row0124") else (row, "")
            assert row in output, output
    _, errors = native.tool(server, "get", "t", "row0123", code=1)
    assert "DATA_LOSS" in errors, errors
    with server.connect() as connection:
        for row in (ROWS[0], ROWS[122], ROWS[399]):
            assert len(connection.read_rows("t", row_keys=[row.encode()])) == 1, row


def refused(server):
    for words in (["--status", "--cancel"], ["t", "--status"], ["t", "--cancel"], ["a", "b"],
                  ["--status", "--rate", "4096"], ["--cancel", "--rate", "4096"], ["--rate", "1023"],
                  ["--rate", "fast"]):
        native.tool(server, "scrub", *words, code=2)
    _, errors = native.tool(server, "scrub", "nothing", code=3)
    assert "NOT_FOUND" in errors, errors
    output, _ = native.tool(server, "scrub", "--cancel")
    assert "ended" in output, output


def main():
    with tempfile.TemporaryDirectory(prefix="cellar-scrub-") as folder:
        data = os.path.join(folder, "data")
        with native.Server(data).start() as server:
            output, _ = native.tool(server, "scrub", "--status")
            assert output == "none since the server started\n", output
            fill(server)
            server.stop()
        with native.Server(data).start() as server:
            sound(server)
            slowed(server)
            server.stop()
        assert spoil(data, "row0123") > 0
        with native.Server(data).start() as server:
            damaged(server)
            served(server)
            refused(server)
            server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
