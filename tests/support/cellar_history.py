"""What one row, one table's families or one table's name may be after a crash: histories.

Each row belongs to one connection, whose writes to it enter the log in the order they were sent. Drops
of rows and changes of families come from one more connection, so that a row meets them at an unknown
place among its writes: behind those that were answered when the request was sent, before those that
were sent after its answer. Every order in between is allowed, for each row by itself.

Time is whatever the caller counts in (`position`): records of a trace, or nothing at all when only
the end matters. A crash splits a history into segments: once the restarted server has been read, its
state is the new base, and the writes whose outcome was unknown are settled.
"""

NEVER = float("inf")
FAMILIES = {"a": None, "b": None, "s": None}
FAMILY_NAMES = frozenset(name.encode() for name in FAMILIES)
SERVER_TIME_FAMILY = b"s"
ABSENT_FAMILY = b"b"  # goes away for a while; the others only together with their creation
FAMILY_CREATE, FAMILY_DROP = 0, 2


# ---- what mutations do --------------------------------------------------------------------------

def apply_mutations(state, mutations):
    """The cells {(family, qualifier, timestamp): value} after a mutation list.

    A cell whose timestamp the server gives is known by None.
    """
    cells = dict(state)
    for mutation in mutations:
        kind = mutation[0]
        if kind == 0:
            cells[(mutation[1], mutation[2], mutation[3])] = mutation[4]
        elif kind == 1:
            _, family, qualifier, start, end = mutation
            for key in [key for key in cells if key[:2] == (family, qualifier) and
                        (key[2] is None or ((start is None or key[2] >= start) and
                                            (end is None or key[2] < end)))]:
                del cells[key]
        elif kind == 2:
            for key in [key for key in cells if key[0] == mutation[1]]:
                del cells[key]
        else:
            cells = {}
    return cells


def families_after(families, event):
    """The set of families after a change of them."""
    for action, family, _ in event.changes:
        families = families - {family} if action == FAMILY_DROP else families | {family}
    return families


def row_after(state, event):
    """What a drop or a change of families makes of a row's (cells, families)."""
    cells, families = state
    if event.prefix is not None:
        return {}, families
    gone = {family for action, family, _ in event.changes if action == FAMILY_DROP}
    return ({key: value for key, value in cells.items() if key[0] not in gone},
            families_after(families, event))


def names_missing(families, mutations):
    """Whether a mutation list names a family that is not there."""
    return any(mutation[0] != 3 and mutation[1] not in families for mutation in mutations)


def state_of(cells):
    """The state that a read shows, in the form of apply_mutations."""
    state = {}
    for family, qualifier, timestamp, value in cells:
        key = (family, qualifier, None if family == SERVER_TIME_FAMILY else timestamp)
        if key in state:
            key = (family, qualifier, ("twice", timestamp))
        state[key] = value
    return state


# ---- histories ----------------------------------------------------------------------------------

class Step:
    """One request's effect on one thing: sent, then perhaps acknowledged or refused."""
    __slots__ = ("change", "after", "acknowledged", "is_refused", "is_answered", "table",
                 "absences_ended")

    def __init__(self, change, table=None):
        self.change, self.table = change, table
        self.after = None
        self.acknowledged = NEVER
        self.is_refused = self.is_answered = False
        self.absences_ended = table.absences_ended if table else 0

    def may_be_missing(self):
        """Whether NOT_FOUND is an answer that a write may have got."""
        table = self.table
        return table is None or table.is_dropped or (
            names_missing(FAMILY_NAMES - {ABSENT_FAMILY}, self.change) and
            table.absences_begun > self.absences_ended)


class Event(Step):
    """A drop of the rows with a prefix (b"" takes all), or a list of changes of families."""
    __slots__ = ("prefix", "changes")

    def __init__(self, prefix=None, changes=()):
        super().__init__(self)
        self.prefix, self.changes = prefix, changes


class Link:
    """An event among the writes of a row: behind `low` of them, before those from `high` on."""
    __slots__ = ("event", "low", "high", "acknowledged")

    def __init__(self, event, low):
        self.event, self.low = event, low
        self.high = self.acknowledged = NEVER

    def is_sure(self, position):
        return min(self.acknowledged, self.event.acknowledged) <= position and (
            min(self.acknowledged, self.event.acknowledged) != NEVER)


class Segment:
    __slots__ = ("start", "bases", "steps")

    def __init__(self, start, bases):
        self.start, self.bases, self.steps = start, bases, []


class History:
    """What one thing (a row, a table's name) may be at any position."""

    def __init__(self, base, apply, position=-1):
        self.apply = apply
        self.segments = [Segment(position, [base])]

    def add(self, change):
        step = Step(change)
        self.segments[-1].steps.append(step)
        return step

    def compute(self):
        """Fills in the states after each step; refused ones go. Replies must be known by then."""
        segment = self.segments[-1]
        state = segment.bases[-1]
        segment.steps = [step for step in segment.steps if not step.is_refused]
        for step in segment.steps:
            if step.after is None:
                step.after = self.apply(state, step.change)
            state = step.after

    def allowed(self, position=NEVER):
        """The states that a crash at a position may leave."""
        segment = next(s for s in reversed(self.segments) if s.start <= position or
                       s is self.segments[0])
        first = -1
        for index, step in enumerate(segment.steps):
            if step.acknowledged <= position and step.acknowledged != NEVER:
                first = index
        states = [step.after for step in segment.steps[max(first, 0):]]
        return states if first >= 0 else segment.bases + states

    def settle(self, state, position):
        """From a position on, the thing is known to be in a state."""
        self.segments.append(Segment(position, [state]))

    def fork(self, position):
        """A new history that begins with what a crash at a position may leave."""
        other = History(None, self.apply)
        other.segments[0].bases = self.allowed(position)
        return other


class RowSegment:
    __slots__ = ("start", "bases", "steps", "links", "places")

    def __init__(self, start, bases):
        self.start, self.bases = start, bases
        self.steps, self.links = [], []
        self.places = {(0, 0): bases}  # (writes applied, events applied): states


class Row:
    """What a row may be at any position. A state is (cells, families)."""

    def __init__(self, bases, position=-1):
        self.segments = [RowSegment(position, bases)]

    def add(self, change, table):
        step = Step(change, table)
        self.segments[-1].steps.append(step)
        return step

    def link(self, event):
        """An event is sent."""
        segment = self.segments[-1]
        answered = [at for at, step in enumerate(segment.steps, 1) if step.is_answered]
        segment.links.append(Link(event, answered[-1] if answered else 0))

    def unlink(self, event):
        """The event is answered: what is sent from now on comes behind it."""
        segment = self.segments[-1]
        for link in segment.links:
            if link.event is event:
                link.high = len(segment.steps)

    @staticmethod
    def _forget_refused(segment):
        kept = [0]
        for step in segment.steps:
            kept.append(kept[-1] + (not step.is_refused))
        for link in segment.links:
            link.low = kept[link.low]
            link.high = link.high if link.high == NEVER else kept[link.high]
        segment.steps = [step for step in segment.steps if not step.is_refused]

    @staticmethod
    def _written(states, step):
        """A write to a family that is gone is refused; one that was acknowledged was not."""
        after = []
        for cells, families in states:
            if not names_missing(families, step.change):
                after.append((apply_mutations(cells, step.change), families))
            elif not step.is_answered:
                after.append((cells, families))
        return after

    def compute(self):
        """Finds the states at every place; refused writes go. Replies must be known by then."""
        segment = self.segments[-1]
        self._forget_refused(segment)
        steps, links = segment.steps, segment.links
        places = segment.places = {(0, 0): segment.bases}
        for at in range(len(steps) + 1):
            for past in range(len(links) + 1):
                states = list(places.get((at, past), []))
                if at and (past == len(links) or at <= links[past].high):
                    states += self._written(places.get((at - 1, past), []), steps[at - 1])
                if past and links[past - 1].low <= at <= links[past - 1].high:
                    states += [row_after(state, links[past - 1].event)
                               for state in places.get((at, past - 1), [])]
                distinct = []
                for state in states:
                    if state not in distinct:
                        distinct.append(state)
                if distinct:
                    places[(at, past)] = distinct

    def _possible(self, position):
        segment = next(s for s in reversed(self.segments) if s.start <= position or
                       s is self.segments[0])
        first = past = 0
        for index, step in enumerate(segment.steps, 1):
            if step.acknowledged <= position and step.acknowledged != NEVER:
                first = index
        for index, link in enumerate(segment.links, 1):
            if link.is_sure(position):
                past = index
        return [state for (at, passed), states in segment.places.items()
                if at >= first and passed >= past for state in states]

    def allowed(self, position=NEVER):
        """The cells that a crash at a position may leave; none when the answers contradict."""
        return [cells for cells, _ in self._possible(position)]

    def settle(self, state, position):
        """From a position on, the row is known to be in a state."""
        self.segments.append(RowSegment(position, [state]))

    def see(self, cells, position):
        """Readers were shown these cells at a position; false when they never were there."""
        segment = self.segments[-1]
        found = [place for place, states in segment.places.items()
                 if any(state[0] == cells for state in states)]
        if not found:
            return False
        at, past = min(place[0] for place in found), min(place[1] for place in found)
        for seen in segment.steps[at - 1:at] if at else ():
            seen.acknowledged = min(seen.acknowledged, position)
        for seen in segment.links[past - 1:past] if past else ():
            seen.acknowledged = min(seen.acknowledged, position)
        return True

    def fork(self, position):
        return Row(self._possible(position))


class Table:
    """One life of a table's name: from its creation to its drop."""

    def __init__(self, name, split_keys=(), families=FAMILY_NAMES):
        self.name = name
        self.split_keys = list(split_keys)
        self.rows = {}
        self.families = families  # as of the last answer
        self.schema = History(families, families_after)
        self.pending = None  # the event that is in flight
        self.is_dropped = False
        self.absences_begun = self.absences_ended = 0

    def row(self, key):
        if key not in self.rows:
            row = self.rows[key] = Row([({}, self.families)])
            if self.pending is not None and key.startswith(self.pending.prefix or b""):
                row.link(self.pending)
        return self.rows[key]

    def begin(self, event):
        """A drop of rows or a change of families is sent."""
        self.pending = event
        if event.prefix is None:
            self.schema.segments[-1].steps.append(event)
            if ABSENT_FAMILY not in families_after(self.families, event):
                self.absences_begun += 1
        for key, row in self.rows.items():
            if key.startswith(event.prefix or b""):
                row.link(event)

    def end(self, event):
        """It is answered."""
        self.pending = None
        for row in self.rows.values():
            row.unlink(event)
        if event.prefix is None:
            before, self.families = self.families, families_after(self.families, event)
            if ABSENT_FAMILY in self.families - before:
                self.absences_ended += 1

    def settle(self, actual, position):
        families, rows = actual
        self.schema.settle(families, position)
        for key, row in self.rows.items():
            row.settle((rows.get(key, {}), families), position)
        self.families, self.pending = families, None
        self.absences_ended = 0
        self.absences_begun = int(ABSENT_FAMILY not in families)

    def compute(self):
        self.schema.compute()
        for row in self.rows.values():
            row.compute()

    def fork(self, position):
        other = Table(self.name, self.split_keys, self.families)
        other.schema = self.schema.fork(position)
        other.rows = {key: row.fork(position) for key, row in self.rows.items()}
        return other

    def difference(self, actual, position):
        """Why what was read from a server is not allowed, or an empty text."""
        families, rows = actual
        if families not in self.schema.allowed(position):
            return (f"table {self.name} has the families {sorted(families)}, allowed are "
                    f"{[sorted(allowed) for allowed in self.schema.allowed(position)]}")
        for key in rows:
            if key not in self.rows:
                return f"row {key!r} of table {self.name} is there and nobody wrote it"
        for key, row in self.rows.items():
            allowed = row.allowed(position)
            state = rows.get(key, {})
            if state not in allowed:
                return f"row {key!r} of table {self.name}: {explain(state, allowed)}"
        return ""


def explain(state, allowed):
    """How a state differs from the nearest allowed one."""
    def distance(other):
        return len(set(state.items()) ^ set(other.items()))
    if not allowed:
        return "no order of the requests gives the answers that there were"
    near = min(allowed, key=distance)
    lines = [f"{len(allowed)} state(s) allowed, the nearest is number {allowed.index(near)};"]
    for key in sorted(set(state) | set(near), key=repr):
        if state.get(key) != near.get(key):
            lines.append(f"  cell {key}: is {short(state.get(key))}, "
                         f"expected {short(near.get(key))}")
    return "\n".join(lines[:12])


def short(value):
    return "absent" if value is None else repr(value[:40]) + f" ({len(value)} bytes)"
