"""What a disk could hold after a power loss, from a trace of io_recorder.c.

Disk replays the records of a trace. It keeps for every file the bytes as programs see them, the
bytes that a completed sync made durable, and all versions of each 512-byte sector, and of the size,
written since. Directories keep their durable entries and the changes since their last sync. choose()
then builds one possible disk: each sector not yet synced is independently any of its versions or the
durable one, whole writes are dropped or torn between sectors, entries are a prefix of the changes.

The rules, all on the strict side of POSIX:
- a sync covers what was written before it began, once it has ended; a sync cut off covers nothing;
- a write through O_DSYNC makes its own sectors durable, and the size up to their end, no more;
- an entry of a directory is durable after a sync of that directory, not of the file;
- a sector is never torn inside.
"""
import os
import struct

SECTOR = 512
RECORD = struct.Struct("<BBHiQQ")
CREATED, DSYNC, ZERO, DIRECTORY, TRUNCATED = 1, 2, 4, 8, 16
IGNORED = ("lock.mdb",)  # LMDB's table of readers; made anew when it is missing

START, OPEN, CLOSE, WRITE, TRUNCATE, ALLOCATE = (ord(letter) for letter in "SOCWTA")
SYNC_BEGIN, SYNC_END, MAKE, REMOVE, UNLINK, RENAME, MAP, SEND = (ord(letter) for letter in
                                                                 "BEDXURMP")


def read_trace(path, start=0):
    """The whole records from a byte on, (kind, flags, descriptor, offset, name, data), and their end."""
    with open(path, "rb") as file:
        file.seek(start)
        whole = memoryview(file.read())
    records, at = [], 0
    while at + RECORD.size <= len(whole):
        kind, flags, name_bytes, descriptor, offset, data_bytes = RECORD.unpack_from(whole, at)
        at += RECORD.size
        stored = 0 if flags & ZERO else data_bytes
        if at + name_bytes + stored > len(whole):
            at -= RECORD.size
            break
        name = str(whole[at:at + name_bytes], "utf-8")
        at += name_bytes
        data = bytes(data_bytes) if flags & ZERO else whole[at:at + stored]
        at += stored
        records.append((kind, flags, descriptor, offset, name, data))
    return records, start + at


class File:
    """One inode. Versions are (number of the record, content), oldest first."""

    def __init__(self, content=b""):
        self.current = bytearray(content)
        self.durable = bytearray(content)
        self.versions = {}  # sector -> [(number, bytes)]
        self.sizes = []     # [(number, size)]

    def write(self, number, offset, data):
        end = offset + len(data)
        if end > len(self.current):
            self._resize(number, end)
        self.current[offset:end] = data
        self._capture(number, offset, end)

    def truncate(self, number, size):
        old = len(self.current)
        if size == old:
            return
        self._resize(number, size)
        if size < old:
            # What is cut off reads as zeroes if the file grows again.
            for sector in range(-(-size // SECTOR), -(-old // SECTOR)):
                self.versions.setdefault(sector, []).append((number, bytes(SECTOR)))
            if size % SECTOR:
                self._capture(number, size, size + 1)

    def _resize(self, number, size):
        if size < len(self.current):
            del self.current[size:]
        else:
            self.current.extend(bytes(size - len(self.current)))
        self.sizes.append((number, size))

    def _capture(self, number, offset, end):
        for sector in range(offset // SECTOR, -(-end // SECTOR)):
            content = bytes(self.current[sector * SECTOR:(sector + 1) * SECTOR])
            self.versions.setdefault(sector, []).append((number, content))

    def sync(self, number, sectors=None):
        """Makes durable what was written up to a record; `sectors` limits it to some."""
        for sector in list(self.versions if sectors is None else sectors):
            versions = self.versions.get(sector, [])
            covered = [content for at, content in versions if at <= number]
            if covered:
                put_sector(self.durable, sector, covered[-1])
                left = [version for version in versions if version[0] > number]
                if left:
                    self.versions[sector] = left
                else:
                    del self.versions[sector]
        if sectors is not None:
            return
        covered = [size for at, size in self.sizes if at <= number]
        if covered:
            self.sizes = [version for version in self.sizes if version[0] > number]
            resize(self.durable, covered[-1])

    def choose(self, random, mode):
        """One content that the disk could hold."""
        if mode == "keep":
            return bytes(self.current)
        content = bytearray(self.durable)
        size = len(content)
        if mode == "drop" or not (self.versions or self.sizes):
            return bytes(content)
        keeps = Chooser(random, mode, self)
        for sector in sorted(self.versions):
            chosen = keeps.pick(sector, self.versions[sector])
            if chosen is not None:
                put_sector(content, sector, chosen)
        sizes = [chosen for number, chosen in self.sizes if keeps.keeps_size(number)]
        resize(content, sizes[-1] if sizes else size)
        return bytes(content)


class Chooser:
    """Which versions of one file reached the disk."""

    def __init__(self, random, mode, file):
        self.random, self.mode = random, mode
        numbers = {number for versions in file.versions.values() for number, _ in versions}
        numbers = sorted(numbers | {number for number, _ in file.sizes})
        if mode == "prefix":
            kept = numbers[:random.randint(0, len(numbers))]
        else:
            share = random.random()
            kept = [number for number in numbers if random.random() < share]
        self.kept = set(kept)
        self.torn = {number for number in kept if mode == "writes" and random.random() < 0.3}

    def pick(self, sector, versions):
        """The content of a sector, or None for the durable one."""
        if self.mode == "sectors":
            at = self.random.randint(0, len(versions))
            return versions[at - 1][1] if at else None
        for number, content in reversed(versions):
            if number in self.kept:
                if number not in self.torn or self.random.random() < 0.5:
                    return content
        return None

    def keeps_size(self, number):
        return self.random.random() < 0.5 if self.mode == "sectors" else number in self.kept


def put_sector(content, sector, data):
    at = sector * SECTOR
    if at > len(content):
        content.extend(bytes(at - len(content)))
    content[at:at + SECTOR] = data


def resize(content, size):
    if size < len(content):
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))


class Folder:
    """A directory: its entries as programs see them, the durable ones, the changes since."""

    def __init__(self):
        self.current = {}
        self.durable = {}
        self.changes = []  # [(number, [(name, inode or None), ...])]

    def change(self, number, steps):
        apply_steps(self.current, steps)
        self.changes.append((number, steps))

    def sync(self, number):
        for at, steps in self.changes:
            if at <= number:
                apply_steps(self.durable, steps)
        self.changes = [change for change in self.changes if change[0] > number]

    def choose(self, random, mode):
        entries = dict(self.durable)
        count = {"drop": 0, "keep": len(self.changes)}.get(mode)
        if count is None:
            count = random.randint(0, len(self.changes))
        for _, steps in self.changes[:count]:
            apply_steps(entries, steps)
        return entries


def apply_steps(entries, steps):
    for name, inode in steps:
        if inode is None:
            entries.pop(name, None)
        else:
            entries[name] = inode


MODES = ("sectors", "writes", "prefix", "drop", "keep")
MODE_WEIGHTS = (35, 30, 15, 15, 5)


class Disk:
    """The files of one directory while a trace is replayed; starts from an image, all durable."""

    def __init__(self, image=None):
        self.root = Folder()
        self.open = {}   # descriptor -> (inode, the path it was opened by)
        self.syncs = {}  # number of a sync -> (inode, record where it began)
        self.number = 0
        for path, content in sorted((image or {}).items()):
            folder, name = self._locate(path)
            inode = Folder() if content is None else File(content)
            folder.current[name] = folder.durable[name] = inode

    def _locate(self, path):
        """The folder that holds a path's last part, and that part."""
        folder = self.root
        *above, name = path.split("/")
        for part in above:
            folder = folder.current[part]
        return folder, name

    def step(self, record):
        """Replays one record."""
        self.number += 1
        kind, flags, descriptor, offset, name, data = record
        if kind == WRITE:
            inode = self.open[descriptor][0]
            inode.write(self.number, offset, data)
            if flags & DSYNC:
                sectors = range(offset // SECTOR, -(-(offset + len(data)) // SECTOR))
                inode.sync(self.number, sectors)
        elif kind == SYNC_BEGIN:
            self.syncs[offset] = (self.open[descriptor][0], self.number)
        elif kind == SYNC_END:
            inode, began = self.syncs.pop(offset)
            inode.sync(began)
        elif kind == OPEN:
            self._open(flags, descriptor, name)
        elif kind == CLOSE:
            self.open.pop(descriptor, None)
        elif kind == START:
            self.open, self.syncs = {}, {}
        elif kind == TRUNCATE:
            self.open[descriptor][0].truncate(self.number, offset)
        elif kind == ALLOCATE:
            inode = self.open[descriptor][0]
            inode.truncate(self.number, max(offset, len(inode.current)))
        elif kind == MAP:
            path = self.open[descriptor][1]
            if os.path.basename(path) not in IGNORED:
                raise AssertionError(f"{path} is written through a mapping; the trace misses that")
        else:
            self._name(kind, name)

    def _open(self, flags, descriptor, name):
        if name == "":
            self.open[descriptor] = (self.root, name)
            return
        folder, last = self._locate(name)
        if flags & CREATED:
            folder.change(self.number, [(last, File())])
        inode = folder.current[last]
        if flags & TRUNCATED:
            inode.truncate(self.number, 0)
        self.open[descriptor] = (inode, name)

    def _name(self, kind, name):
        if kind == RENAME:
            old, new = name.split("\0")
            old_folder, old_last = self._locate(old)
            new_folder, new_last = self._locate(new)
            inode = old_folder.current[old_last]
            if old_folder is new_folder:
                old_folder.change(self.number, [(old_last, None), (new_last, inode)])
            else:
                new_folder.change(self.number, [(new_last, inode)])
                old_folder.change(self.number, [(old_last, None)])
        elif kind == MAKE:
            if name:
                folder, last = self._locate(name)
                folder.change(self.number, [(last, Folder())])
        elif kind in (UNLINK, REMOVE):
            folder, last = self._locate(name)
            folder.change(self.number, [(last, None)])

    def current_image(self):
        """{path: bytes, or None for a folder} as programs see it."""
        return image_of(self.root, lambda inode: (inode.current if isinstance(inode, Folder)
                                                  else bytes(inode.current)))

    def choose_image(self, random):
        """One possible disk, and a word on how it was chosen."""
        mode = random.choices(MODES, MODE_WEIGHTS)[0]
        is_mixed = mode not in ("drop", "keep") and random.random() < 0.5

        def choose(inode):
            own = random.choices(MODES, MODE_WEIGHTS)[0] if is_mixed else mode
            return inode.choose(random, own)

        return image_of(self.root, choose), "mixed" if is_mixed else mode


def image_of(root, content_of):
    image = {}

    def visit(folder, path):
        for name, inode in content_of(folder).items():
            if name in IGNORED:
                continue
            inner = f"{path}/{name}" if path else name
            if isinstance(inode, Folder):
                image[inner] = None
                visit(inode, inner)
            else:
                image[inner] = content_of(inode)

    visit(root, "")
    return image


def write_image(image, directory):
    """Makes a directory of an image."""
    os.makedirs(directory)
    for path, content in sorted(image.items()):
        whole = os.path.join(directory, path)
        if content is None:
            os.mkdir(whole)
            continue
        with open(whole, "wb") as file:
            file.write(content)


def read_image(directory):
    """The image of a directory."""
    image = {}
    for folder, folders, files in os.walk(directory):
        below = os.path.relpath(folder, directory)
        prefix = "" if below == "." else below + "/"
        for name in folders:
            image[prefix + name] = None
        for name in files:
            if name not in IGNORED:
                with open(os.path.join(folder, name), "rb") as file:
                    image[prefix + name] = file.read()
    return image


def image_difference(expected, real):
    """Where two images differ, in words; empty when they do not."""
    for path in sorted(set(expected) | set(real)):
        if path not in real:
            return f"{path} is in the trace and not in the directory"
        if path not in expected:
            return f"{path} is in the directory and not in the trace"
        left, right = expected[path], real[path]
        if left == right:
            continue
        if left is None or right is None:
            return f"{path} is a file in one and a folder in the other"
        at = next((i for i, (a, b) in enumerate(zip(left, right)) if a != b),
                  min(len(left), len(right)))
        return f"{path} differs at byte {at} (sizes {len(left)} and {len(right)})"
    return ""
