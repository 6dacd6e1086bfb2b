"""An LMDB file taken apart independently of the server: every byte that matters, as spots to spoil.

Written from LMDB's format alone, so that it can tell the checker what it should have noticed.
"""
import struct

PAGE = 4096
META_TREES = 40
BRANCH, LEAF, OVERFLOW = 1, 2, 4
IN_OVERFLOW, IS_TREE = 1, 2
NO_PAGE = (1 << 64) - 1
PART_MAX = 250


class Tree:
    """The 48 bytes that describe a database."""

    def __init__(self, data, offset):
        (self.flags, self.depth, self.branches, self.leaves, self.overflows, self.entries,
         self.root) = struct.unpack_from("<HHQQQQQ", data, offset + 4)
        self.offset = offset


class Spot:
    """Bytes that matter: where, of what kind, which rows are behind them."""

    def __init__(self, kind, offset, size, database=None, rows=None, accepts=None):
        self.kind, self.offset, self.size = kind, offset, size
        self.database, self.rows = database, rows
        self.accepts = accepts  # bytes -> bool: the spot may become so without harm


class Lmdb:
    """The newest snapshot of a data.mdb."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        ids = [struct.unpack_from("<Q", self.data, at * PAGE + 144)[0] for at in (0, 1)]
        self.newest = 1 if ids[1] > ids[0] else 0
        base = self.newest * PAGE
        self.last_page, self.transaction = struct.unpack_from("<QQ", self.data, base + 136)
        self.free_tree = Tree(self.data, base + META_TREES)
        self.main_tree = Tree(self.data, base + META_TREES + 48)
        self.spots = []
        self.used = {0, 1}
        self.trees = {}
        for key, offset, size, _ in self.walk(self.main_tree, "main"):
            self.trees[key.decode()] = Tree(self.data, offset)
        self.layers = {}
        self.items = []  # (whole key, offset of value, size)

    # ---- pages

    def nodes(self, page):
        base = page * PAGE
        lower = struct.unpack_from("<H", self.data, base + 12)[0]
        for at in range(base + 16, base + lower, 2):
            yield at, base + struct.unpack_from("<H", self.data, at)[0]

    def node_key(self, node):
        size = struct.unpack_from("<H", self.data, node + 6)[0]
        return self.data[node + 8:node + 8 + size]

    def keys_of(self, page, level, depth):
        """The first and last key below a page."""
        nodes = [node for _, node in self.nodes(page)]
        if level + 1 == depth:
            return self.node_key(nodes[0]), self.node_key(nodes[-1])
        first = self.keys_of(self.child(nodes[0]), level + 1, depth)[0]
        return first, self.keys_of(self.child(nodes[-1]), level + 1, depth)[1]

    def child(self, node):
        low, high, flags = struct.unpack_from("<HHH", self.data, node)
        return low | high << 16 | flags << 32

    def walk(self, tree, name):
        """All entries in order: (key, offset of the value, its size, the node); notes spots."""
        if tree.root != NO_PAGE:
            yield from self._walk(tree, name, tree.root, 0)

    def _walk(self, tree, name, page, level):
        base = page * PAGE
        self.used.add(page)
        is_leaf = level + 1 == tree.depth
        lower = struct.unpack_from("<H", self.data, base + 12)[0]
        bounds = None if name == "free" else self.keys_of(page, level, tree.depth)
        kind = "leaf" if is_leaf else "branch"
        self.spots += [Spot(f"{kind} page number", base, 8, name, bounds),
                       Spot(f"{kind} page flags", base + 10, 2, name, bounds),
                       Spot(f"{kind} page bounds", base + 12, 4, name, bounds),
                       Spot(f"{kind} page pointers", base + 16, lower - 16, name, bounds)]
        nodes = [node for _, node in self.nodes(page)]
        for index, node in enumerate(nodes):
            if is_leaf:
                yield self.leaf_node(name, node, bounds)
                continue
            child = self.child(node)
            self.spots.append(Spot("branch child", node, 6, name, bounds))
            if index > 0 and name != "free":
                self.branch_key(tree, name, level, nodes[index - 1], node, bounds)
            yield from self._walk(tree, name, child, level + 1)

    def branch_key(self, tree, name, level, before, node, bounds):
        left = self.keys_of(self.child(before), level + 1, tree.depth)[1]
        right = self.keys_of(self.child(node), level + 1, tree.depth)[0]
        key = self.node_key(node)
        self.spots.append(Spot("branch key size", node + 6, 2, name, bounds))
        self.spots.append(Spot("branch key", node + 8, len(key), name, bounds,
                               accepts=lambda now: left < now <= right))

    def leaf_node(self, name, node, bounds):
        low, high, flags, key_size = struct.unpack_from("<HHHH", self.data, node)
        size = low | high << 16
        key = self.data[node + 8:node + 8 + key_size]
        value = node + 8 + key_size
        self.spots.append(Spot("leaf node", node, 8, name, bounds))
        if name != "free":
            self.spots.append(Spot("leaf key", node + 8, key_size, name, (key, key)))
        if not flags & IN_OVERFLOW:
            return key, value, size, node
        page = struct.unpack_from("<Q", self.data, value)[0]
        self.spots.append(Spot("overflow link", value, 8, name, (key, key)))
        self.spots.append(Spot("overflow page number", page * PAGE, 8, name, (key, key)))
        self.spots.append(Spot("overflow page flags", page * PAGE + 10, 2, name, (key, key)))
        self.spots.append(Spot("overflow count", page * PAGE + 12, 4, name, (key, key)))
        count = struct.unpack_from("<I", self.data, page * PAGE + 12)[0]
        self.used.update(range(page, page + count))
        return key, page * PAGE + 16, size, node

    # ---- what the server keeps in it

    def load(self):
        """Walks everything: fills spots and items."""
        base = self.newest * PAGE
        other = (1 - self.newest) * PAGE
        for at, size in ((0, 8), (10, 2), (16, 4), (20, 4), (40, 6)):
            self.spots += [Spot("meta", base + at, size), Spot("old meta", other + at, size)]
        self.transaction_spots(base, other)
        self.spots += [Spot("meta", base + 32, 8), Spot("meta", base + 44, 2 + 2 + 40),
                       Spot("meta", base + 88, 48), Spot("meta last page", base + 136, 8)]
        for _, offset, size, _ in self.walk(self.free_tree, "free"):
            count = struct.unpack_from("<Q", self.data, offset)[0]
            assert size >= 8 * (count + 1)
            self.spots.append(Spot("free list", offset, 8 * (count + 1), "free"))
        for _, offset, _, _ in self.walk(self.main_tree, "main"):
            self.spots.append(Spot("tree", offset, 48, "main"))
        for key, offset, size, _ in self.walk(self.trees["state"], "state"):
            self.state = self.data[offset:offset + size]
            self.spots.append(Spot("state", offset, size, "state"))
        entries = list(self.walk(self.trees["cells"], "cells"))
        below = list(self.walk(self.trees["layers"], "layers"))
        for key, offset, size, _ in entries:
            self.entry(key, offset, size, "cells")
        for key, offset, size, _ in list(self.walk(self.trees["tokens"], "tokens")):
            self.entry(key, offset, size, "tokens")
        for key, offset, size, _ in below:  # a layer is made after the one that leads to it
            prefix = self.layers[struct.unpack_from(">Q", key)[0]]
            self.entry(prefix + key[8:], offset, size, "layers", len(key) - 8)
        return self

    def transaction_spots(self, base, other):
        """Two transactions that follow each other are sound, whichever is the newer one: the
        snapshot before is whole too, and the log tells whether it will do."""
        for here, there in ((base, other), (other, base)):
            number = struct.unpack_from("<Q", self.data, there + 144)[0]
            self.spots.append(Spot(
                "meta transaction", here + 144, 8,
                accepts=lambda now, number=number:
                    abs(struct.unpack("<Q", now)[0] - number) == 1))

    def entry(self, key, offset, size, database, part=None):
        part = len(key) if part is None else part
        if part == PART_MAX + 1:
            layer = struct.unpack_from("<Q", self.data, offset + 4)[0]
            self.layers[layer] = key[:-1]
            self.spots.append(Spot("mark", offset, size, database, (key[:-1], key[:-1])))
            return
        self.items.append((key, offset, size))
        self.spots.append(Spot("item", offset, size, database, (key, key)))

    @property
    def applied_lsn(self):
        return struct.unpack_from("<Q", self.state, 40)[0]

    def whole_key(self, key, database):
        """The whole key of a raw one, as far as it is known."""
        if database == "layers":
            key = self.layers[struct.unpack_from(">Q", key)[0]] + key[8:]
        return key


def row_of(key):
    """The row of a whole key, or of a beginning of one."""
    row = bytearray()
    at = 0
    while at < len(key):
        if key[at] == 0 and key[at + 1:at + 2] != b"\xff":
            break
        row.append(key[at])
        at += 2 if key[at] == 0 else 1
    return bytes(row)
