"""No write and no read waits for a compaction's chunk, or for a checkpoint.

The server runs under support/io_recorder.c, which holds writes to a store's file back for as long as the test
says: first those of a checkpoint, then those of a chunk that a compaction copies. Meanwhile 64 writers and 8
scanners go on to their ends, every answer right; the trace shows their groups synced while the file stood
still. Then the compaction ends, the server is killed, and every row is there.
"""
import os
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_native as native  # noqa: E402
import disk_model as disks  # noqa: E402

FLAGS = ["--checkpoint-records-max", 3000, "--log-segment-bytes", 16 << 20]
ROWS = 6000
WRITERS, WRITES = 64, 20
SCANNERS, SCANS = 8, 3
SECONDS_MAX = 60
CHECKPOINT, CHUNK = 1, 2  # whose writes are held: of the first generation, of a later one


class Held:
    """A server whose stores' files can be made to stand still."""

    def __init__(self, folder):
        self.data = os.path.join(folder, "data")
        self.trace = os.path.join(folder, "trace")
        self.control = os.path.join(folder, "control")
        with open(self.trace, "wb"), open(self.control, "wb") as control:
            control.write(b"\0\0")
        self.read_to = 0

    def server(self):
        return native.Server(self.data, FLAGS, environment={
            "LD_PRELOAD": native.RECORDER, "CELLAR_RECORD_DIR": self.data,
            "CELLAR_RECORD_TRACE": self.trace, "CELLAR_RECORD_CONTROL": self.control})

    def hold(self, what):
        with open(self.control, "r+b") as control:
            control.write(bytes([0, what]))

    def records(self):
        """What happened since the last call: (syncs of the log, writes to files of the stores but the catalog's)."""
        records, self.read_to = disks.read_trace(self.trace, self.read_to)
        syncs, writes = 0, 0
        for record in records:
            if record[0] == disks.OPEN:
                self.names[record[2]] = record[4]
            name = self.names.get(record[2], "")
            syncs += record[0] == disks.SYNC_END and name.startswith("log/")
            writes += record[0] == disks.WRITE and name.startswith("stores/1/")
        return syncs, writes

    names = {}


def row_key(number):
    return b"row%06d" % (number * 7919 % 1000003)


def load(server):
    with server.connect() as connection:
        for at in range(0, ROWS, 200):
            results = connection.mutate_rows("t", [[row_key(number), [[0, "f", b"q", 1000, b"v" * 300]]]
                                                   for number in range(at, at + 200)])
            assert not any(results), results


class Crowd:
    """Writers and scanners; each ends by itself."""

    def __init__(self, server, name):
        self.server, self.name, self.failures = server, name, []
        self.threads = [threading.Thread(target=self.run, args=(self.write, index)) for index in range(WRITERS)]
        self.threads += [threading.Thread(target=self.run, args=(self.scan, index)) for index in range(SCANNERS)]

    def run(self, work, index):
        try:
            with self.server.connect() as connection:
                work(connection, index)
        except Exception as failure:  # pylint: disable=broad-except
            self.failures.append(failure)

    def write(self, connection, index):
        for number in range(WRITES):
            connection.mutate_row("t", b"%s-%02d-%02d" % (self.name, index, number),
                                  [[0, "f", b"q", 1000, b"w"]])

    def scan(self, connection, _):
        for _ in range(SCANS):
            rows = connection.read_rows("t")
            assert sum(key.startswith(b"row") for key in rows) == ROWS, len(rows)

    def gather(self, what):
        end = time.monotonic() + SECONDS_MAX
        for thread in self.threads:
            thread.start()
        for thread in self.threads:
            thread.join(max(0.0, end - time.monotonic()))
        waiting = sum(thread.is_alive() for thread in self.threads)
        assert waiting == 0, f"{waiting} writers and scanners wait for {what}"
        assert not self.failures, self.failures[0]


def beside_a_chunk(held, server):
    """A chunk has begun and does not get on."""
    held.hold(CHUNK)
    native.tool(server, "compact", "t", "--no-wait")
    held.records()
    quiet = 0
    while quiet < 5:  # until the chunk stands still
        time.sleep(0.1)
        quiet = quiet + 1 if held.records()[1] == 0 else 0
    assert os.path.exists(os.path.join(held.data, "stores", "1", "2", "data.mdb"))
    Crowd(server, b"chunk").gather("a chunk")
    syncs, writes = held.records()
    assert syncs > WRITES and writes == 0, (syncs, writes)
    output, _ = native.tool(server, "compact", "--status")
    assert output.startswith("running"), output
    held.hold(0)
    while "running" in native.tool(server, "compact", "--status")[0]:
        time.sleep(0.02)
    output, _ = native.tool(server, "compact", "--status")
    assert output.startswith("ended"), output


def beside_a_checkpoint(held, server):
    """A checkpoint has begun and does not get on."""
    held.hold(CHECKPOINT)
    Crowd(server, b"before").gather("a checkpoint that is to come")
    with server.connect() as connection:  # more than a checkpoint waits for
        for at in range(0, 4000, 200):
            connection.mutate_rows("t", [[b"more%06d" % number, [[0, "f", b"q", 1000, b"m"]]]
                                         for number in range(at, at + 200)])
    time.sleep(0.5)
    held.records()
    Crowd(server, b"checkpoint").gather("a checkpoint")
    syncs, writes = held.records()
    assert syncs > WRITES and writes == 0, (syncs, writes)
    held.hold(0)


def main():
    with tempfile.TemporaryDirectory(prefix="cellar-held-") as folder:
        held = Held(folder)
        with held.server().start() as server:
            native.tool(server, "table", "create", "t", "--family", "f")
            load(server)
            beside_a_checkpoint(held, server)
            beside_a_chunk(held, server)
            server.kill()
        with native.Server(held.data, FLAGS).start() as server:
            with server.connect() as connection:
                rows = connection.read_rows("t")
            server.stop()
        wanted = ROWS + 3 * WRITERS * WRITES + 4000
        assert len(rows) == wanted, (len(rows), wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
