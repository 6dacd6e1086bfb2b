"""Includes point down only (server/ARCHITECTURE.md): a folder includes itself and the layers below it.

Also: server and client never meet, storage and tablet do not know io, the front ends do not know
each other, nothing but tests includes tests, and no folders include each other in a circle.
"""
import os
import re

import lint

COMMON = ["common"]
STORAGE = COMMON + ["server/storage"]
TABLET = STORAGE + ["server/tablet"]
SERVICE = TABLET + ["server/io", "server/service"]
NET = SERVICE + ["server/net"]
NET_ALONE = [name for name in NET if name not in ("server/storage", "server/tablet")]
LIBRARY = COMMON + ["client/include", "client/lib"]

# Folder -> what it may include besides itself; the longest matching folder counts.
ALLOWED = {
    "common": [],
    "server/io": COMMON,
    "server/storage": COMMON,
    "server/tablet": STORAGE,
    "server/cluster": TABLET,
    "server/service": SERVICE,
    "server/net": SERVICE,
    "server/net/native": NET,
    "server/net/grpc": NET_ALONE,
    "server/net/web": NET_ALONE,
    "server/app": NET + ["server/net/native", "server/net/grpc", "server/net/web"],
    "client/include": [],
    "client/lib": LIBRARY,
    "client/adapters": ["client/include"],
    "client/tools": LIBRARY,
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"\n]+)"|<(cellar/[^>\n]+)>)', re.M)


def layer_of(path):
    """The longest folder of ALLOWED that holds path, or None."""
    folder = os.path.dirname(path)
    while folder and folder not in ALLOWED:
        folder = os.path.dirname(folder)
    return folder or None


def check_include(name, line, layer, target):
    """Reports a bad include; returns the folder that is included, or None."""
    if not os.path.isfile(os.path.join(lint.ROOT, target)):
        lint.report(name, line, f'"{target}" is no file of the project; write the path from its root')
        return None
    other = layer_of(target)
    if other == layer or other in ALLOWED[layer]:
        return other
    may = ", ".join(ALLOWED[layer]) or "only itself"
    lint.report(name, line, f'{layer} must not include "{target}" (it may include: {may}); move '
                'what is needed down, or pass it in')
    return None


def find_circle(edges):
    """One circle of folders as a list, or None."""
    done = set()

    def visit(folder, path):
        if folder in path:
            return path[path.index(folder):] + [folder]
        if folder in done:
            return None
        done.add(folder)
        for other in sorted(edges.get(folder, {})):
            circle = visit(other, path + [folder])
            if circle:
                return circle
        return None

    for folder in sorted(edges):
        circle = visit(folder, [])
        if circle:
            return circle
    return None


def main():
    edges = {}
    for name in lint.c_files():
        if name.startswith("tests/"):
            continue
        layer = layer_of(name)
        if layer is None:
            lint.report(name, 1, "is in no known layer; a new folder joins ALLOWED in "
                        "tests/lint/layers_test.py")
            continue
        text = lint.read_text(name) or ""
        for match in INCLUDE.finditer(text):
            target = match.group(1) or "client/include/" + match.group(2)
            line = text.count("\n", 0, match.start()) + 1
            other = check_include(name, line, layer, target)
            if other and os.path.dirname(target) != os.path.dirname(name):
                edges.setdefault(os.path.dirname(name), {}).setdefault(
                    os.path.dirname(target), (name, line))
    circle = find_circle(edges)
    if circle:
        name, line = edges[circle[0]][circle[1]]
        lint.report(name, line, "folders include each other in a circle: " + " -> ".join(circle))
    lint.finish()


main()
