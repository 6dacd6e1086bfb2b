"""Documents: links lead to files and headings that are there; the version is the same everywhere."""
import os
import re

import lint

LINK = re.compile(r"\]\(([^)\s#]*)(?:#([^)\s]*))?\)")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(FENCED.pattern + r"|`[^`\n]*`", FENCED.flags)

# Where the version stands; the first is the one that the others follow.
VERSIONS = [
    ("CMakeLists.txt", r"project\(cellar VERSION ([\d.]+)"),
    ("server/app/server_config.h", r'CELLAR_SERVER_VERSION "([^"]+)"'),
    ("client/include/cellar/cellar.h", r'CELLAR_VERSION_TEXT "([^"]+)"'),
    ("docker/Dockerfile", r'image\.version="([^"]+)"'),
    ("common/CHANGES.md", r"## ([\d.]+)\n"),
]


def blank(match):
    return re.sub(r"[^\n]", " ", match.group(0))


def anchors(name):
    """Headings as links name them: lower case, `-` for spaces, no other signs."""
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-")
            for heading in HEADING.findall(FENCED.sub(blank, lint.read_text(name)))}


def check_links(name):
    for number, line in enumerate(CODE.sub(blank, lint.read_text(name)).splitlines(), 1):
        for path, anchor in LINK.findall(line):
            if "://" in path:
                continue
            target = os.path.normpath(os.path.join(os.path.dirname(name), path)) if path else name
            if not os.path.exists(os.path.join(lint.ROOT, target)):
                lint.report(name, number, f"links to {path}, which is not there")
            elif anchor and anchor not in anchors(target):
                lint.report(name, number, f"links to #{anchor}, a heading that {target} lacks")


def check_versions():
    wanted = None
    for name, pattern in VERSIONS:
        found = re.search(pattern, lint.read_text(name))
        version = found.group(1) if found else "none"
        wanted = wanted or version
        if version != wanted:
            lint.report(name, 1, f"its version is {version}, that of CMakeLists.txt is {wanted}")


def main():
    for name in lint.project_files():
        if name.endswith(".md"):
            check_links(name)
    check_versions()
    lint.finish()


main()
