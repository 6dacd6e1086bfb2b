"""An outside ledger of what a server was asked to write, and the load that fills it.

Each row belongs to one connection, whose writes to it enter the log in the order they were sent. So
after any crash a row must be in the state after its first k writes, for some k not below its last
acknowledged one, with the drops of rows and changes of families that one more connection asked for
somewhere among them: nothing acknowledged is lost, nothing is half there, nothing is there that
nobody sent. Tables are followed in the same way through their creations and drops. What is allowed
when is cellar_history's.
"""
import selectors
import time

import cellar_native as native
from cellar_history import (ABSENT_FAMILY, FAMILIES, FAMILY_CREATE, FAMILY_DROP, NEVER,
                            SERVER_TIME_FAMILY, Event, History, Table, explain, state_of)
from cellar_loading import NAME as LOADED, Loading

SILENCE_SECONDS_MAX = 60
COMPACT_SHARE = 0.2
LOADING_SHARE = 0.8
EVENT_SHARE = 0.7  # of what the administrator does: drops of rows and changes of families


class Ledger:
    """All table names and their histories; a name's state is a Table or None."""

    def __init__(self):
        self.names = {}

    def name(self, name):
        if name not in self.names:
            self.names[name] = History(None, lambda _, change: change)
        return self.names[name]

    def tables(self):
        """Every table there ever was."""
        found = {}
        for history in self.names.values():
            for segment in history.segments:
                for table in segment.bases + [step.change for step in segment.steps]:
                    if table is not None:
                        found[id(table)] = table
        return list(found.values())

    def compute(self):
        for history in self.names.values():
            history.compute()
        for table in self.tables():
            table.compute()

    def difference(self, actual, position=NEVER):
        """Why {name: (families, rows)} read from a server is not allowed at a position; empty when
        it is."""
        for name in actual:
            if name not in self.names:
                return f"table {name} is there and nobody created it"
        for name, history in self.names.items():
            allowed = history.allowed(position)
            if name not in actual:
                if None not in allowed:
                    return f"table {name} is gone"
                continue
            tables = [table for table in allowed if table is not None]
            if not tables:
                return f"table {name} is there after its drop"
            found = [table.difference(actual[name], position) for table in tables]
            if all(found):
                return found[-1]
        return ""

    def settle(self, actual, position=NEVER):
        """Takes what a server shows, which must be allowed, as the base of what follows."""
        for name, history in self.names.items():
            table = None
            if name in actual:
                table = next(t for t in history.allowed(NEVER)
                             if t is not None and not t.difference(actual[name], NEVER))
                table.settle(actual[name], position)
            history.settle(table, position)

    def fork(self, position):
        """A ledger that begins where a crash at a position left this one."""
        other = Ledger()
        for name, history in self.names.items():
            fork = other.names[name] = history.fork(position)
            fork.segments[0].bases = [table.fork(position) if table else None
                                      for table in fork.segments[0].bases]
        return other


def read_everything(connection):
    """{name: (families, {row key: state})} of all tables, checked for order."""
    actual = {}
    for full in connection.list_tables():
        name = full.split("/")[-1]
        rows = connection.read_rows(name)
        if list(rows) != sorted(rows):
            raise ValueError(f"the rows of {name} are not in key order")
        actual[name] = (frozenset(connection.families(name)),
                        {key: state_of(cells) for key, cells in rows.items()})
    return actual


# ---- the load -----------------------------------------------------------------------------------

class Writer:
    """One connection of the load: its rows, what it has in flight and how it makes changes."""

    def __init__(self, load, index):
        self.load, self.index = load, index
        self.random = load.random
        self.connection = load.server.connect()
        self.waiting = {}  # request id -> [(step, ...)] in the order of its entries

    def row_key(self):
        """Rows of one writer only, spread over the tablets."""
        number = self.random.randrange(self.load.rows_per_writer)
        return b"%c-row-%02d-%d" % (97 + number % 26, number, self.index)

    def value(self, size=None):
        return self.load.value_make(self.random.choice((8, 20, 60, 150)) if size is None else size)

    def change(self):
        """A mutation list; see the module's comment for what a row may become."""
        random, kind = self.random, self.random.random()
        if kind < 0.40:
            return [[0, b"a", b"q%d" % random.randrange(6), random.randrange(1, 9) * 1000,
                     self.value()] for _ in range(random.randint(1, 4))]
        if kind < 0.55:
            return [[3]] + [[0, b"a", b"q%d" % at, 5000, self.value()] for at in range(3)]
        if kind < 0.65:
            start = random.randrange(1, 6) * 1000
            return [[1, b"a", b"q%d" % random.randrange(6), start, start + 3000],
                    [0, b"a", b"q7", 1000, self.value()]]
        if kind < 0.72:
            return [[2, b"b"]] + [[0, b"b", b"k%02d" % at, 1000, self.value(40)]
                                  for at in range(random.randint(1, 30))]
        if kind < 0.84:
            qualifier = b"t%d" % random.randrange(2)
            return [[1, SERVER_TIME_FAMILY, qualifier, None, None],
                    [0, SERVER_TIME_FAMILY, qualifier, None, self.value()]]
        if kind < 0.92:
            return [[0, b"b", b"k%02d" % random.randrange(30), random.randrange(1, 3) * 1000,
                     self.value()]]
        if kind < 0.96:
            return [[0, b"b", b"big%d" % random.randrange(2), 1000,
                     self.value(random.randint(2500, 6000))]]
        if kind < 0.98:  # where log segments are small: a value, or a whole mutation, that is a file
            size = random.choice((9000, 30000))
            return [[0, b"b", b"big%d" % at, 1000, self.value(size if at == 0 else 7000)]
                    for at in range(random.choice((1, 3)))]
        return [[3]]

    def send(self):
        """Sends one request: one row, or several in one."""
        table = self.random.choice(self.load.open_tables)
        if self.random.random() < 0.7:
            keys = [self.row_key()]
        else:
            keys = sorted({self.row_key() for _ in range(self.random.randint(2, 6))})
        entries = [[key, self.change()] for key in keys]
        steps = [table.row(key).add(change, table) for key, change in entries]
        if len(entries) == 1:
            number = self.connection.submit(native.MUTATE_ROW, {1: table.name, 2: keys[0],
                                                                3: entries[0][1]})
        else:
            number = self.connection.submit(native.MUTATE_ROWS, {1: table.name, 2: entries})
        self.waiting[number] = steps
        self.load.note(self.connection, number, steps)


def take_reply(steps, operation, kind, payload, position):
    """Writes one answer to the steps of its request; returns how many were acknowledged."""
    if kind == native.ERROR:
        code = native.error_of(payload).code
        results = [code] * len(steps)
    elif operation == native.MUTATE_ROWS:
        results = [result if result == 0 else result[0]
                   for result in native.body_decode(payload)[1]]
        if len(results) != len(steps):
            raise ValueError(f"{len(results)} results for {len(steps)} entries")
    else:
        results = [0] * len(steps)
    for step, result in zip(steps, results):
        step.is_answered = step.is_answered or result == 0
        if result == native.NOT_FOUND and not step.may_be_missing():
            raise ValueError(f"NOT_FOUND for a write to families that are there: {step.change}")
        if result == 0:
            step.acknowledged = min(step.acknowledged, position)
        elif result in native.NOT_APPLIED:
            step.is_refused = True
    return results.count(0)


class Load:
    """Writers, an administrator of tables and bulk loads against one run of a server.

    An answer is entered with `position`; NEVER leaves that to take_answers(), which finds the
    answers in a trace. requests: {(local port, request id): steps}; reads: the same ->
    (table, row keys).
    """

    def __init__(self, server, ledger, random, writers=6, depth=8, rows_per_writer=12,
                 values_from=0, position=0):
        self.server, self.ledger, self.random = server, ledger, random
        self.position = position
        self.rows_per_writer, self.depth = rows_per_writer, depth
        self.value_count = values_from
        self.requests, self.reads = {}, {}
        self.acknowledged = self.rows_read = self.events = self.compactions = 0
        self.errors = {}
        self.open_tables = []
        self.admin = server.connect()
        self.admin_step = None
        self.compactor = server.connect()
        self.reader = server.connect()
        self.loading = Loading(self)
        self.read = None  # (request id, RowCollector)
        self.writers = [Writer(self, index) for index in range(writers)]
        for history in ledger.names.values():
            table = history.segments[-1].bases[-1] if not history.segments[-1].steps else None
            if table is not None and table.name != LOADED:
                self.open_tables.append(table)

    def note(self, connection, number, steps):
        self.requests[(connection.local_port, number)] = steps

    def value_make(self, size):
        """A value that nobody else writes."""
        self.value_count += 1
        return (b"v%d." % self.value_count).ljust(size, b".")

    def close(self):
        for connection in [self.admin, self.compactor, self.reader, self.loading, *(w.connection for w in self.writers)]:
            connection.close()

    # ---- tables

    def create(self, name, split_keys=()):
        """Sends a creation; its table takes writes once it is answered."""
        table = Table(name, split_keys)
        step = self.ledger.name(name).add(table)
        rules = [[family, rule] for family, rule in FAMILIES.items()]
        number = self.admin.submit(native.CREATE_TABLE, {1: name, 2: rules, 3: list(split_keys)})
        self.note(self.admin, number, [step])
        self.admin_step = (number, step, lambda: self.open_tables.append(table))

    def drop(self, table):
        self.open_tables.remove(table)
        table.is_dropped = True
        step = self.ledger.name(table.name).add(None)
        number = self.admin.submit(native.DROP_TABLE, {1: table.name})
        self.note(self.admin, number, [step])
        self.admin_step = (number, step, lambda: None)

    def _send_event(self, table, event, operation, body):
        table.begin(event)
        number = self.admin.submit(operation, {1: table.name, **body})
        self.note(self.admin, number, [event])
        self.admin_step = (number, event, lambda: table.end(event))

    def drop_rows(self, table):
        """Rows go by a prefix of any length, sometimes all."""
        key = self.writers[self.random.randrange(len(self.writers))].row_key()
        prefix = key[:self.random.choice((0, 1, 1, 5, 6, 7, len(key)))]
        self._send_event(table, Event(prefix=prefix), native.DROP_ROWS,
                         {2: prefix} if prefix else {3: True})

    def change_families(self, table):
        """A family comes back empty, in the same request or, one of them, in a later one."""
        family = self.random.choice((b"a", b"s", ABSENT_FAMILY, ABSENT_FAMILY))
        if ABSENT_FAMILY not in table.families:
            changes = [[FAMILY_CREATE, ABSENT_FAMILY, None]]
        elif family == ABSENT_FAMILY and self.random.random() < 0.5:
            changes = [[FAMILY_DROP, family, None]]
        else:
            changes = [[FAMILY_DROP, family, None], [FAMILY_CREATE, family, None]]
        self._send_event(table, Event(changes=changes), native.MODIFY_FAMILIES, {
            2: [[action, name.decode(), rule] for action, name, rule in changes]})

    def create_and_wait(self, name, split_keys=()):
        self.create(name, split_keys)
        while self.admin_step is not None:
            self._take_admin(self.admin.receive())

    def _take_admin(self, message):
        number, operation, kind, payload = message
        if self.admin_step is None or number != self.admin_step[0]:
            raise ValueError(f"an answer to request {number} that nobody sent")
        _, step, finish = self.admin_step
        self.admin_step = None
        if kind == native.ERROR:
            raise native.error_of(payload)
        take_reply([step], operation, kind, payload, self.position)
        self.acknowledged += 1
        finish()

    def _administrate(self, keep):
        """Now and then another table, or one less; names come back after a drop. In between rows
        are dropped and families change, and everything is compacted; how a compaction ends is
        nobody's business here, so that its answers are left unread."""
        if self.random.random() < COMPACT_SHARE:
            self.compactor.submit(native.COMPACT, {1: 0})
            self.compactions += 1
        if self.admin_step is not None:
            return
        if self.open_tables and self.random.random() < EVENT_SHARE:
            table = self.random.choice(self.open_tables)
            if self.random.random() < 0.5:
                self.drop_rows(table)
            else:
                self.change_families(table)
            self.events += 1
            return
        droppable = [table for table in self.open_tables if table.name not in keep]
        names = {table.name for table in self.open_tables}
        free = [f"extra{at}" for at in range(3) if f"extra{at}" not in names]
        if droppable and (not free or self.random.random() < 0.5):
            self.drop(self.random.choice(droppable))
        elif free:
            self.create(self.random.choice(free),
                        [b"h", b"p"] if self.random.random() < 0.3 else ())

    # ---- reads

    def _send_read(self):
        """Asks for some rows of a table that stays."""
        table = self.random.choice(self.open_tables)
        if self.read is None and table.name in self.keep and table.rows:
            keys = self.random.sample(sorted(table.rows), min(8, len(table.rows)))
            body = native.read_body(table.name, row_keys=keys)
            number = self.reader.submit(native.READ_ROWS, body)
            self.reads[(self.reader.local_port, number)] = (table, keys)
            self.read = number

    def _take_read(self, message):
        number, _, kind, payload = message
        if kind == native.ERROR:
            raise native.error_of(payload)
        if number != self.read:
            raise ValueError(f"an answer to request {number} that nobody sent")
        if kind == native.REPLY:
            self.read = None
            self.rows_read += 1

    # ---- the loop

    def run(self, is_over, keep=(), admin_share=0.0):
        """Writes until is_over(), then waits for what is in flight; False: the server went away.

        keep names the tables that are never dropped; admin_share is the chance of a creation or
        drop at each turn.
        """
        selector = selectors.DefaultSelector()
        for writer in self.writers:
            selector.register(writer.connection.socket, selectors.EVENT_READ, writer)
        selector.register(self.admin.socket, selectors.EVENT_READ, self.admin)
        selector.register(self.reader.socket, selectors.EVENT_READ, self.reader)
        selector.register(self.loading.connection.socket, selectors.EVENT_READ, self.loading)
        self.keep = frozenset(keep)
        heard = time.monotonic()
        try:
            while True:
                is_ending = is_over()
                if not is_ending:
                    if self.random.random() < admin_share or not self.open_tables:
                        self._administrate(keep)
                    if self.open_tables:
                        self._send_read()
                    if self.random.random() < LOADING_SHARE:
                        self.loading.advance()
                    for writer in self.writers:
                        while len(writer.waiting) < self.depth and self.open_tables:
                            writer.send()
                elif not (self.admin_step or self.loading.waiting or
                          any(writer.waiting for writer in self.writers)):
                    return True
                ready = selector.select(0.5)
                for key, _ in ready:
                    self._take(key.data)
                if ready:
                    heard = time.monotonic()
                elif time.monotonic() - heard > SILENCE_SECONDS_MAX:
                    raise RuntimeError(f"no answer for {SILENCE_SECONDS_MAX} s")
        except (EOFError, ConnectionError):
            self._drain()
            return False
        finally:
            selector.close()

    def _drain(self):
        """Takes the answers that the server had still sent before it went away."""
        for source in [self.admin, self.reader, self.loading] + self.writers:
            try:
                while True:
                    self._take(source)
            except (EOFError, ConnectionError):
                pass

    def _take(self, source):
        writer = source if isinstance(source, Writer) else None
        connection = source.connection if isinstance(source, (Writer, Loading)) else source
        data = connection.socket.recv(1 << 18)
        if not data:
            raise EOFError("the server closed a connection")
        for message in connection.reader.feed(data):
            if source is self.loading:
                source.take(*message, take_reply)
                continue
            if writer is None:
                take = self._take_admin if connection is self.admin else self._take_read
                take(message)
                continue
            number, operation, kind, payload = message
            if number not in writer.waiting:
                raise ValueError(f"an answer to request {number} that nobody sent: "
                                 f"{native.body_decode(payload)}")
            steps = writer.waiting.pop(number)
            self.acknowledged += take_reply(steps, operation, kind, payload, self.position)
            if kind == native.ERROR:
                code = native.error_of(payload).code
                self.errors[code] = self.errors.get(code, 0) + 1


# ---- answers in a trace -------------------------------------------------------------------------

def take_answers(load, sends):
    """Enters what a server sent, [(position, port, bytes)], into the ledger of a load.

    An answered read counts as well: the state that it shows was durable when it was sent.
    """
    readers, reads = {}, []
    for position, port, data in sends:
        reader = readers.setdefault(port, native.FrameReader())
        for number, operation, kind, payload in reader.feed(bytes(data)):
            key = (port, number)
            if key in load.requests:
                take_reply(load.requests[key], operation, kind, payload, position)
            elif key in load.reads and kind in (native.PART, native.REPLY):
                reads.append((position, key, kind, payload))
    load.ledger.compute()
    rows = {}
    for position, key, kind, payload in reads:
        collector = rows.setdefault(key, native.RowCollector())
        collector.add(native.body_decode(payload))
        if kind == native.REPLY:
            enter_read(*load.reads[key], rows.pop(key).finish(), position)


def enter_read(table, keys, rows, position):
    for key in keys:
        row = table.rows[key]
        state = state_of(rows.get(key, []))
        if not row.see(state, position):
            states = [state[0] for states in row.segments[-1].places.values() for state in states]
            raise AssertionError(f"a read saw row {key!r} of table {table.name} in a state that it "
                                 f"never had: {explain(state, states)}")
