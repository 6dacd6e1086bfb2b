"""kill -9, fifty times: nothing acknowledged is lost, no row is half there, nobody's data appears.

Each cycle starts the server on the same directory, compares everything it holds with an outside
ledger (support/cellar_ledger.py), writes through several pipelined connections, creates and drops
tables, drops rows by prefix or all, changes families, reads, and kills the server at a random moment,
now and then while it is still starting.

    CELLAR_TEST_SEED=N    the same choices again
    CELLAR_KILL_CYCLES=N  50 unless said otherwise
"""
import os
import random
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_ledger as ledgers  # noqa: E402
import cellar_native as native  # noqa: E402

# Small enough that kills fall into checkpoints and the reuse of segments as well.
FLAGS = ["--log-segment-bytes", 1 << 20, "--checkpoint-records-max", 200,
         "--store-map-bytes", 256 << 20]
TABLES = {"plain": (), "split": (b"f", b"m")}
LOAD_SECONDS_MAX = 0.6
EARLY_KILL_SHARE = 0.2


def early_kill(data_dir, rng):
    """A start that is killed before, or just when, it serves."""
    with native.Server(data_dir, FLAGS) as server:
        server.launch()
        time.sleep(rng.uniform(0, 0.06))
        server.kill()


def cycle(data_dir, ledger, rng, index, values_from):
    """Start, compare, write, kill; returns the load."""
    with native.Server(data_dir, FLAGS) as server:
        server.start()
        with server.connect() as connection:
            actual = ledgers.read_everything(connection)
        difference = ledger.difference(actual)
        if difference:
            raise AssertionError(difference)
        ledger.settle(actual)
        load = ledgers.Load(server, ledger, rng, rows_per_writer=30, values_from=values_from)
        for name, split_keys in TABLES.items() if index == 0 else ():
            load.create_and_wait(name, split_keys)
        end = time.monotonic() + rng.uniform(0.02, LOAD_SECONDS_MAX)

        def is_over():
            if time.monotonic() >= end:
                server.kill()
            return False

        load.run(is_over, keep=TABLES, admin_share=0.1)
        load.close()
    ledger.compute()
    return load


def main():
    seed = native.test_seed()
    cycles = int(os.environ.get("CELLAR_KILL_CYCLES", "50"))
    rng = random.Random(seed)
    folder = tempfile.mkdtemp(prefix="cellar-kill-")
    data_dir = os.path.join(folder, "data")
    ledger = ledgers.Ledger()
    acknowledged = reads = values = early = events = 0
    start = time.monotonic()
    try:
        for index in range(cycles + 1):
            try:
                load = cycle(data_dir, ledger, rng, index, values)
            except (AssertionError, native.ServerError, RuntimeError, ValueError,
                    native.NativeError, EOFError, OSError) as error:
                kept = os.path.join(native.BUILD_DIR, "kill", str(seed))
                shutil.rmtree(kept, ignore_errors=True)
                shutil.copytree(data_dir, kept)
                print(f"cycle {index}: {error}\nthe directory is kept in {kept}")
                return 1
            acknowledged += load.acknowledged
            reads += load.rows_read
            events += load.events
            values = load.value_count
            if rng.random() < EARLY_KILL_SHARE:
                early_kill(data_dir, rng)
                early += 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{cycles} kills and {early} during a start; {acknowledged} writes acknowledged, none lost; "
          f"{events} drops and changes of families; {reads} reads; errors {load.errors}; "
          f"{time.monotonic() - start:.1f} s")
    if acknowledged < 100 * cycles:
        print("too few writes to say anything")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
