"""Power loss: whatever a disk could hold when the power goes, every acknowledged write is there.

The server runs under support/io_recorder.c with writers, readers, an administrator, who makes and drops
tables, drops rows and changes families, and bulk loads of a table, large values among them; it is killed
and restarted a few times, and leaves one trace of its writes, syncs and answers. At random points of it a
disk is built as it could be then (support/disk_model.py), the real server is started on it, and everything
it holds is compared with the ledger (support/cellar_ledger.py): nothing acknowledged or ever shown to a
reader is lost, rows are whole, nothing is there that nobody wrote, what was dropped stays dropped, a load
is there as a whole or not at all, and the server does start. On some of them it is stopped again, and no
file may be left that belongs to nothing.
From some of these disks the server goes on under the recorder, with more writes, and loses power a
second time, also during its recovery.

    CELLAR_TEST_SEED=N              the same choices again
    CELLAR_POWER_LOSS_STATES=N      how many disks; 1,000 unless said otherwise
"""
# ctest-timeout: 900
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_ledger as ledgers  # noqa: E402
import cellar_native as native  # noqa: E402
import disk_model as disks  # noqa: E402

FLAGS = ["--log-segment-bytes", 65536, "--checkpoint-records-max", 50,
         "--store-map-bytes", 64 << 20]
TABLES = {"plain": (), "split": (b"f", b"m"), "wide": (b"j",)}
LIFE_WRITES = (3000, 2000, 2000, 2000)
LIFE_SECONDS_MAX = 20
PROCESSES = 2
SECOND_EVERY = 16  # from so many disks one is taken where the server goes on
CHECK_EVERY = 4    # of the disks: looked through for what belongs to nothing
COMMITS_SHARE = 0.15  # of the cuts: around commits of bulk loads, and so many records before
COMMIT_RECORDS = 300
SECOND_CUTS = 5    # and that second life gives so many disks
FAILURES_MAX = 3


class Failure(Exception):
    """A disk that the server must not make this of."""


class Recorder:
    """A data directory whose server runs under the recorder."""

    def __init__(self, folder, data_dir):
        self.data_dir = data_dir
        self.trace = os.path.join(folder, "trace")
        self.control = os.path.join(folder, "control")
        self.records, self.read_to = [], 0
        self.environment = {"LD_PRELOAD": native.RECORDER, "CELLAR_RECORD_DIR": data_dir,
                            "CELLAR_RECORD_TRACE": self.trace, "CELLAR_RECORD_CONTROL": self.control}
        open(self.trace, "wb").close()

    def server(self):
        self.set_control(b"\0")
        return native.Server(self.data_dir, FLAGS, environment=self.environment)

    def set_control(self, byte):
        """b"\\1" makes the server kill itself right behind its next record."""
        if not os.path.exists(self.control):
            with open(self.control, "wb") as file:
                file.write(b"\0\0")
        with open(self.control, "r+b") as file:
            file.write(byte)

    def update(self):
        """Reads what the trace has got; returns the position: how many records there are."""
        records, self.read_to = disks.read_trace(self.trace, self.read_to)
        self.records += records
        return len(self.records)

    def sends(self, start):
        """What the server sent from a position on: [(position, port, bytes)]."""
        return [(at, record[2], record[5])
                for at, record in enumerate(self.records[start:], start + 1)
                if record[0] == disks.SEND]


def read_and_compare(server, ledger, position):
    with server.connect() as connection:
        actual = ledgers.read_everything(connection)
    difference = ledger.difference(actual, position)
    if difference:
        raise Failure(difference)
    return actual


# ---- the recording ------------------------------------------------------------------------------

def record_life(recorder, ledger, rng, index, values_from):
    """One run of the server: reads what is there, writes, and ends. Returns the load."""
    start = recorder.update()
    with recorder.server() as server:
        server.start()
        if index > 0:
            actual = read_and_compare(server, ledger, ledgers.NEVER)
            ledger.settle(actual, recorder.update())
        load = ledgers.Load(server, ledger, rng, values_from=values_from, position=ledgers.NEVER)
        for name, split_keys in TABLES.items() if index == 0 else ():
            load.create_and_wait(name, split_keys)
        end = time.monotonic() + LIFE_SECONDS_MAX
        wanted = LIFE_WRITES[index] + rng.randrange(1000)
        is_killed = index + 1 < len(LIFE_WRITES) and index != 1

        def is_over():
            if load.acknowledged < wanted and time.monotonic() < end:
                return False
            if is_killed:
                recorder.set_control(b"\1")
            return not is_killed

        load.run(is_over, keep=TABLES, admin_share=0.2)
        load.close()
        if is_killed:
            server.process.wait(20)
        elif index == 1:
            server.stop()
        server.kill()
    recorder.update()
    ledgers.take_answers(load, recorder.sends(start))
    return load


def record(folder, seed):
    """The lives of a server on one directory; returns the recorder and the ledger."""
    rng = random.Random(f"{seed}.load")
    data_dir = os.path.join(folder, "data")
    os.mkdir(data_dir)
    recorder, ledger, disk = Recorder(folder, data_dir), ledgers.Ledger(), disks.Disk()
    values = replayed = acknowledged = 0
    for index in range(len(LIFE_WRITES)):
        load = record_life(recorder, ledger, rng, index, values)
        values = load.value_count
        acknowledged += load.acknowledged
        for step in recorder.records[replayed:]:
            disk.step(step)
        replayed = len(recorder.records)
        print(f"life {index}: {load.acknowledged} acknowledged, {load.events} of them drops and "
              f"changes of families, {load.loading.commits} bulk loads, {load.rows_read} reads, "
              f"errors {load.errors}, {replayed} records in all", flush=True)
        self.failures.append(name)


def run_process(results, checker, records, ledger, cuts, label):
    try:
        os.mkdir(checker.scratch)
        checker.run(records, ledger, cuts, None, label)
    finally:
        shutil.rmtree(checker.scratch, ignore_errors=True)
        results.put((checker.counts, checker.failures))


def check_all(recorder, ledger, values, scratch, seed, count):
    """All disks, in two processes; returns the number of failures."""
    rng = random.Random(f"{seed}.cuts")
    # Rounded up in each process; second lives make up the rest.
    firsts = PROCESSES * -(-count * SECOND_EVERY // (PROCESSES * (SECOND_EVERY + SECOND_CUTS)))
    cuts = choose_cuts(recorder.records, rng, firsts, commits=load_commits(ledger))
    fork = multiprocessing.get_context("fork")
    results = fork.Queue()
    workers = []
    for index in range(PROCESSES):
        checker = Checker(os.path.join(scratch, str(index)), seed, values)
        workers.append(fork.Process(target=run_process, daemon=True, args=(
            results, checker, recorder.records, ledger, cuts[index::PROCESSES],
            f"first-{index}")))
    for worker in workers:
        worker.start()
    counts, failures = {"states": 0, "second": 0}, []
    modes = {}
    for _ in workers:
        some, failed = results.get()
        failures += failed
        counts = {key: counts[key] + some[key] for key in counts}
        for mode, number in some["modes"].items():
            modes[mode] = modes.get(mode, 0) + number
    for worker in workers:
        worker.join()
    print(f"{counts['states']} disks checked, {counts['second']} of them of a second life; {modes}")
    return failures


def scratch_parent():
    """Memory when there is enough: the rebuilt disks are synced by the server a lot."""
    try:
        facts = os.statvfs("/dev/shm")
        if facts.f_bavail * facts.f_frsize > 512 << 20 and os.access("/dev/shm", os.W_OK):
            return "/dev/shm"
    except OSError:
        pass
    return None


def main():
    seed = native.test_seed()
    count = int(os.environ.get("CELLAR_POWER_LOSS_STATES", "1000"))
    folder = os.path.realpath(tempfile.mkdtemp(prefix="cellar-power-loss-"))
    scratch = tempfile.mkdtemp(prefix="cellar-power-loss-", dir=scratch_parent())
    start = time.monotonic()
    try:
        try:
            recorder, ledger, values = record(folder, seed)
        except (Failure, native.ServerError) as error:
            print(f"power loss: a killed server is not recovered: {error}")
            return 1
        print(f"recorded in {time.monotonic() - start:.1f} s; trace of "
              f"{os.path.getsize(recorder.trace) >> 20} MiB", flush=True)
        failures = check_all(recorder, ledger, values, scratch, seed, count)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(scratch, ignore_errors=True)
    print(f"{len(failures)} failed; {time.monotonic() - start:.1f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
