"""Group commit shares its syncs: with 64 writers at most one fdatasync for 8 puts, and not none.

The server runs under `strace -f -c -e trace=fdatasync`. Each of the 64 connections has four puts in
flight: with one, what is measured is how fast a test in Python can send, not how the log shares. The
count holds the syncs of the start, of checkpoints and of the end as well.
"""
import os
import re
import selectors
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_native as native  # noqa: E402

WRITERS = 64
DEPTH = 4
PUTS = 64 * 200
PUTS_PER_SYNC_MIN = 8


def check_strace():
    if shutil.which("strace") is None:
        native.skip("strace is not installed")
    trial = subprocess.run(["strace", "-f", "-c", "-e", "trace=fdatasync", "true"],
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if trial.returncode != 0:
        native.skip(f"strace may not trace here: {trial.stderr.strip()}")


def take(frames, count):
    """The next frames, joined; fewer at the end."""
    some = frames[-count:] if count else []
    del frames[len(frames) - len(some):]
    return b"".join(some)


def write(server):
    """PUTS rows through WRITERS connections; returns how many were answered well.

    The frames are made before: the load must not be what keeps puts apart.
    """
    frames = [native.frame_encode(number, native.MUTATE_ROW, native.REQUEST, native.body_encode(
        {1: "t", 2: b"row-%06d" % number, 3: [[0, b"f", b"q", 1000, b"value" * 20]]}))
        for number in range(2, PUTS + 2)]
    selector = selectors.DefaultSelector()
    connections = [server.connect() for _ in range(WRITERS)]
    for connection in connections:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        connection.socket.sendall(take(frames, DEPTH))
    answered = 0
    while answered < PUTS:
        for key, _ in selector.select(60):
            count = 0
            for _, operation, kind, payload in key.data.reader.feed(key.fileobj.recv(4096)):
                if operation != native.MUTATE_ROW or kind != native.REPLY:
                    raise RuntimeError(f"a put was answered by kind {kind}: {payload!r}")
                count += 1
            answered += count
            key.fileobj.send(take(frames, count))
    selector.close()
    for connection in connections:
        connection.close()
    return answered


def read_count(path):
    """Calls of fdatasync in strace's table: "% time, seconds, usecs/call, calls, errors, syscall"."""
    with open(path, encoding="ascii") as file:
        text = file.read()
    print(text)
    match = re.search(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?fdatasync$", text, re.M)
    return int(match.group(1)) if match else 0


def main():
    check_strace()
    folder = tempfile.mkdtemp(prefix="cellar-sync-count-")
    counts = os.path.join(folder, "counts")
    try:
        wrapper = ["strace", "-f", "-c", "-e", "trace=fdatasync", "-o", counts]
        with native.Server(os.path.join(folder, "data"), wrapper=wrapper) as server:
            server.start()
            with server.connect() as connection:
                connection.create_table("t", {"f": None})
            puts = write(server)
            server.stop()
        syncs = read_count(counts)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{puts} puts, {syncs} syncs: {puts / max(syncs, 1):.1f} puts a sync")
    if syncs == 0 or syncs * PUTS_PER_SYNC_MIN > puts:
        print(f"expected more than 0 and at most {puts // PUTS_PER_SYNC_MIN} syncs")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
