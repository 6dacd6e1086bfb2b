"""Bulk loads of a table for a ledger (cellar_ledger): created, loaded, dropped, and so on.

The table is nobody else's, so it is the name's history that says what may be there: no table, an empty one, or
one with all rows of the load. A load's rows are the next step of that history, sent with the commit: before that
there may be none, behind its answer there must be all, and a part of them never is. Some loads are given up
instead. One request is under way at a time.
"""
import cellar_native as native
from cellar_history import FAMILIES, FAMILY_NAMES, Row, Table

NAME = "loaded"
SPLIT_KEYS = (b"load0020", b"load0050")
REQUESTS_MAX = 5
ROWS_MAX = 30  # of a request
GIVE_UP_SHARE = 0.2
VALUE_BYTES = (8, 60, 150, 3000)
LARGE_BYTES = (9000, 30000)  # files, where log segments are small
LARGE_SHARE = 0.03


class Loading:
    """A connection that loads one table over and over. Its owner sends with advance() and gives it what comes."""

    def __init__(self, load):
        self.load = load
        self.connection = load.server.connect()
        self.waiting = None  # (request id, its step or None, what to do with the answer's body)
        self.commits = 0
        history = load.ledger.name(NAME)
        self.next = self._drop if history.segments[-1].bases[-1] is not None else self._create

    def close(self):
        self.connection.close()

    def advance(self):
        """Sends the next request when none is under way."""
        if self.waiting is None:
            self.next()

    def take(self, number, operation, kind, payload, take_reply):
        """Takes an answer. What a load is refused for is nothing that it can do something about: the table goes."""
        if self.waiting is None or number != self.waiting[0]:
            raise ValueError(f"an answer to request {number} that nobody sent")
        _, step, follow = self.waiting
        self.waiting = None
        if step is not None:
            take_reply([step], operation, kind, payload, self.load.position)
        if kind == native.ERROR:
            raise native.error_of(payload)
        follow(native.body_decode(payload))

    def _send(self, operation, body, follow, change=()):
        """With a change of the table, which is a step of its name."""
        number = self.connection.submit(operation, body)
        step = self.load.ledger.name(NAME).add(*change) if change else None
        if step is not None:
            self.load.note(self.connection, number, [step])
        self.waiting = (number, step, follow)

    def _go_on(self, following):
        def follow(_):
            self.next = following
        return follow

    # ---- one round

    def _create(self):
        self.rows, self.sent = {}, 0
        self.wanted = self.load.random.randint(1, REQUESTS_MAX)
        rules = [[family, rule] for family, rule in FAMILIES.items()]
        self._send(native.CREATE_TABLE, {1: NAME, 2: rules, 3: list(SPLIT_KEYS)}, self._go_on(self._begin),
                   [Table(NAME, SPLIT_KEYS)])

    def _begin(self):
        def follow(body):
            self.number = body[1]
            self.next = self._add
        self._send(native.BULK_BEGIN, {1: NAME}, follow)

    def _row(self):
        """The cells of a row: {(family, qualifier, timestamp): value}."""
        random, cells = self.load.random, {}
        for at in range(random.randint(1, 4)):
            size = random.choice(LARGE_BYTES if random.random() < LARGE_SHARE else VALUE_BYTES)
            cells[(b"a", b"q%d" % at, 1000)] = self.load.value_make(size)
        return cells

    def _add(self):
        wire = []
        for _ in range(self.load.random.randint(1, ROWS_MAX)):
            key, cells = b"load%04d" % len(self.rows), self._row()
            packed = []
            for (family, qualifier, timestamp), value in cells.items():
                packed += [None if packed else family.decode(), qualifier, timestamp, value]
            wire.append([key, packed])
            self.rows[key] = cells
        self.sent += 1
        is_last = self.sent == self.wanted
        gives_up = is_last and self.load.random.random() < GIVE_UP_SHARE
        following = self._abort if gives_up else self._commit if is_last else self._add
        self._send(native.BULK_ROWS, {1: self.number, 2: self.sent - 1, 3: wire}, self._go_on(following))

    def _commit(self):
        table = Table(NAME, SPLIT_KEYS)
        table.rows = {key: Row([(cells, FAMILY_NAMES)]) for key, cells in self.rows.items()}

        def follow(body):
            if body[1] != len(self.rows):
                raise ValueError(f"{body[1]} rows were loaded, not {len(self.rows)}")
            self.commits += 1
            self.next = self._drop
        self._send(native.BULK_COMMIT, {1: self.number}, follow, [table])

    def _abort(self):
        self._send(native.BULK_ABORT, {1: self.number}, self._go_on(self._drop))

    def _drop(self):
        self._send(native.DROP_TABLE, {1: NAME}, self._go_on(self._create), [None])
