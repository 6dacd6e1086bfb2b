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
        difference = disks.image_difference(disk.current_image(), disks.read_image(data_dir))
        if difference and index + 1 < len(LIFE_WRITES):
            raise RuntimeError(f"the recorder missed something: {difference}")
    if acknowledged < 2000:
        raise RuntimeError(f"only {acknowledged} writes were acknowledged; too few to say anything")
    return recorder, ledger, values


# ---- cuts ---------------------------------------------------------------------------------------

def load_commits(ledger):
    """Where the commits of bulk loads were answered."""
    steps = [step for segment in ledger.name(ledgers.LOADED).segments for step in segment.steps]
    return [step.acknowledged for step in steps
            if step.change is not None and step.change.rows and step.acknowledged != ledgers.NEVER]


def choose_cuts(records, rng, count, first=0, commits=()):
    """Positions: anywhere, behind answers, inside syncs, around changes of names, at commits of loads."""
    answers, inside, names = [], [], []
    begun = {}
    for at, record in enumerate(records, 1):
        kind = record[0]
        if at <= first:
            continue
        if kind == disks.SEND:
            answers.append(at)
        elif kind == disks.SYNC_BEGIN:
            begun[record[3]] = at
        elif kind == disks.SYNC_END and record[3] in begun:
            inside.append((begun.pop(record[3]), at - 1))
        elif kind in (disks.MAKE, disks.REMOVE, disks.UNLINK, disks.RENAME) or (
                kind == disks.OPEN and record[1] & disks.CREATED):
            names.append(at)
    cuts = []
    while len(cuts) < count:
        kind = rng.random()
        if commits and rng.random() < COMMITS_SHARE:
            cuts.append(max(first, min(rng.choice(commits) - rng.randint(-20, COMMIT_RECORDS), len(records))))
        elif kind < 0.3 and answers:
            cuts.append(rng.choice(answers))
        elif kind < 0.55 and inside:
            cuts.append(rng.randint(*rng.choice(inside)))
        elif kind < 0.7 and names:
            cuts.append(min(rng.choice(names) + rng.randint(0, 12), len(records)))
        else:
            cuts.append(rng.randint(first, len(records)))
    return sorted(cuts)


class Checker:
    """Builds disks at cuts of one recording, starts the server on each and compares."""

    def __init__(self, scratch, seed, values_from):
        self.scratch, self.seed, self.values_from = scratch, seed, values_from
        self.counts = {"states": 0, "second": 0, "modes": {}}
        self.failures = []

    def run(self, records, ledger, cuts, image=None, label="first"):
        """Checks the cuts, in order; returns nothing: see failures and counts."""
        disk, replayed = disks.Disk(image), 0
        for index, cut in enumerate(cuts):
            for record in records[replayed:cut]:
                disk.step(record)
            replayed = cut
            name = f"{label}-{index}-at-{cut}"
            rng = random.Random(f"{self.seed}.{name}")
            chosen, mode = disk.choose_image(rng)
            self.counts["states"] += 1
            self.counts["modes"][mode] = self.counts["modes"].get(mode, 0) + 1
            is_second = label.startswith("first") and index % SECOND_EVERY == 0
            try:
                if is_second:
                    self.second_life(chosen, ledger, cut, name, rng)
                else:
                    self.check(chosen, ledger, cut, index % CHECK_EVERY == 1)
            except (Failure, native.ServerError, RuntimeError, ValueError, AssertionError,
                    EOFError, OSError, native.NativeError) as error:
                self.fail(name, mode, chosen, records[max(0, cut - 6):cut], error)
            if len(self.failures) >= FAILURES_MAX:
                return

    def check(self, image, ledger, cut, is_looked_through):
        """The server starts on a disk and shows what it may; when it has stopped nothing is left over."""
        data_dir = os.path.join(self.scratch, "state")
        disks.write_image(image, data_dir)
        try:
            with native.Server(data_dir, FLAGS) as server:
                server.start()
                read_and_compare(server, ledger, cut)
                if is_looked_through:
                    server.stop()
            if is_looked_through:
                output, _ = native.tool_offline("check", data_dir)
                if "leftover" in output:
                    raise Failure(output)
        finally:
            shutil.rmtree(data_dir)

    def second_life(self, image, ledger, cut, name, rng):
        """The server goes on from a disk, is written to, and loses power again."""
        folder = os.path.join(self.scratch, "second")
        data_dir = os.path.join(folder, "data")
        os.mkdir(folder)
        disks.write_image(image, data_dir)
        fork = ledger.fork(cut)
        recorder = Recorder(folder, data_dir)
        try:
            with recorder.server() as server:
                server.start()
                actual = read_and_compare(server, fork, ledgers.NEVER)
                served = recorder.update()
                fork.settle(actual, served)
                load = ledgers.Load(server, fork, rng, writers=3, depth=4,
                                    values_from=self.values_from, position=ledgers.NEVER)
                if not load.open_tables:
                    load.create_and_wait("late")
                wanted = rng.randint(1, 250)
                load.run(lambda: load.acknowledged >= wanted, keep=TABLES, admin_share=0.1)
                load.close()
            recorder.update()
            ledgers.take_answers(load, recorder.sends(0))
            records = recorder.records
            cuts = choose_cuts(records[:served], rng, SECOND_CUTS // 2)
            cuts += choose_cuts(records, rng, SECOND_CUTS - len(cuts), served)
            self.counts["second"] += len(cuts)
            self.run(records, fork, cuts, image, f"second-{name}")
        finally:
            shutil.rmtree(folder)

    def fail(self, name, mode, image, last, error):
        """Keeps the disk as it was before the server saw it."""
        kept = os.path.join(native.BUILD_DIR, "power-loss", f"{self.seed}-{name}")
        shutil.rmtree(kept, ignore_errors=True)
        disks.write_image(image, kept)
        lines = [f"power loss: disk {name} ({mode}) is not recovered: {error}",
                 f"  the disk is kept in {kept}", "  the last records before the cut:"]
        lines += [f"    {chr(r[0])} flags {r[1]} descriptor {r[2]} offset {r[3]} {r[4]!r} "
                  f"{len(r[5])} bytes" for r in last]
        if not isinstance(error, (Failure, native.ServerError)):
            lines.append("".join(traceback.format_exception(error)))
        print("\n".join(lines), flush=True)
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
