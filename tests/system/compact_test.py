"""compact of cellar: the files get small, the rows stay, the old generation and its descriptors go.

Rows of about 1 KB are written in random order and overwritten, twice; behind each compaction their tablets
take at most 1.25 bytes of disk a byte of data. Then a server is killed while it compacts: the next one
says so, has no stray folder and every row, and compacts to the end.
"""
import json
import os
import random
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_native as native  # noqa: E402

ROWS = 12000
FIELDS = [f"field{number}".encode() for number in range(10)]
FLAGS = ["--memtable-bytes-max", 2 << 20]
BATCH = 100


def row_key(number):
    return f"user{number * 7919 % 1000003:010}".encode()


def fill(server, generator, version):
    """Every row once, in random order, its values of this version."""
    numbers = list(range(ROWS))
    generator.shuffle(numbers)
    with server.connect() as connection:
        for at in range(0, ROWS, BATCH):
            entries = [[row_key(number), [[0, "f", field, version * 1000, value_of(number, version)]
                                          for field in FIELDS]] for number in numbers[at:at + BATCH]]
            while entries:
                results = connection.mutate_rows("t", entries)
                refused = [entry for entry, result in zip(entries, results) if result != 0]
                assert all(result[0] == native.UNAVAILABLE for result in results if result != 0), results
                entries = refused
                if refused:
                    time.sleep(0.02)


def value_of(number, version):
    return f"{version}-{number}-".encode().ljust(100, b"v")


def data_bytes():
    """Row keys once, and of each cell family, qualifier, 8 and value."""
    return sum(len(row_key(number)) for number in range(ROWS)) + ROWS * sum(
        1 + len(field) + 8 + 100 for field in FIELDS)


def generations(data):
    """{store: [generations]} without the catalog's."""
    stores = os.path.join(data, "stores")
    return {store: sorted(os.listdir(os.path.join(stores, store)))
            for store in os.listdir(stores) if store != "0"}


def disk_bytes(data):
    total = 0
    for store, found in generations(data).items():
        for generation in found:
            facts = os.stat(os.path.join(data, "stores", store, generation, "data.mdb"))
            total += facts.st_blocks * 512
    return total


def check_rows(server, version):
    with server.connect() as connection:
        rows = connection.read_rows("t")
    assert len(rows) == ROWS, len(rows)
    numbers = {row_key(number): number for number in range(ROWS)}
    for key, cells in rows.items() if isinstance(rows, dict) else rows:
        assert len(cells) == len(FIELDS), (key, cells)
        for cell in cells:
            assert cell[-1] == value_of(numbers[key], version), (key, cell)


def compacted(server, data, version):
    output, errors = native.tool(server, "compact", "t", "--format", "json")
    told = json.loads(output)
    assert told["state"] == "ended" and told["tablets"] == told["tablets_total"] == 2, told
    assert errors == "", errors
    assert all(len(found) == 1 for found in generations(data).values()), generations(data)
    ratio = disk_bytes(data) / data_bytes()
    assert ratio <= 1.25, ratio
    check_rows(server, version)
    return ratio


def killed(data):
    """A server that is killed while it compacts."""
    with native.Server(data, FLAGS).start() as server:
        native.tool(server, "compact", "t", "--rate", "200000", "--no-wait")
        while not any(len(found) > 1 for found in generations(data).values()):
            time.sleep(0.01)
        server.kill()


def main():
    generator = random.Random(native.test_seed())
    with tempfile.TemporaryDirectory(prefix="cellar-compact-") as folder:
        data = os.path.join(folder, "data")
        with native.Server(data, FLAGS).start() as server:
            native.tool(server, "table", "create", "t", "--family", "f:max-versions=1", "--split",
                   row_key(500).decode())
            fill(server, generator, 1)
            ratios = [compacted(server, data, 1)]
            descriptors = server.descriptor_count()
            for version in (2, 3):
                fill(server, generator, version)
                ratios.append(compacted(server, data, version))
            # A generation that was left open would cost three.
            assert server.descriptor_count() < descriptors + 3, (server.descriptor_count(), descriptors)
            _, errors = native.tool(server, "compact", "nothing", code=3)
            assert "NOT_FOUND" in errors, errors
            for words in (["--status", "--cancel"], ["t", "--status"], ["--cancel", "--rate", "4096"],
                          ["--status", "--no-wait"], ["--rate", "1023"]):
                native.tool(server, "compact", *words, code=2)
            server.stop()
        killed(data)
        with native.Server(data, FLAGS).start() as server:
            output, _ = native.tool(server, "compact", "--status")
            assert output == "abandoned: the server's end cut off the last one, 1 tablet is as before\n", output
            assert all(len(found) == 1 for found in generations(data).values()), generations(data)
            check_rows(server, 3)
            ratios.append(compacted(server, data, 3))
            native.tool(server, "compact", "t", "--rate", "100000", "--no-wait")
            output, _ = native.tool(server, "compact", "--cancel")
            while "running" in output:
                output, _ = native.tool(server, "compact", "--status")
            assert output.startswith("cancelled: "), output
            check_rows(server, 3)
            server.stop()
    print(f"disk bytes a byte of data: {', '.join(f'{ratio:.3f}' for ratio in ratios)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
