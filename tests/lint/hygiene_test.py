"""Small habits: open ends carry an issue's number, lines fit on the page, no path of one machine."""
import re

import lint

CODE = (".c", ".h", ".py", ".sh", ".cmake", "CMakeLists.txt")
COLUMNS_MAX = 100
OPEN_END = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX)\b(?!\(#\d+\))")
# A path at the root of one machine, such as a checkout; /tmp, /usr, /dev and /proc are everywhere.
MACHINE_PATH = re.compile(r"(?<![\w.)}\]/-])/(?:work|root)(?![\w-])")


def check(name, text):
    for line, content in enumerate(text.splitlines(), 1):
        if name.endswith(CODE) and OPEN_END.search(content):
            lint.report(name, line, "an open end needs its issue: TO" "DO(#12)")
        if name.endswith((".c", ".h")) and len(content) > COLUMNS_MAX:
            lint.report(name, line, f"{len(content)} columns; break the line at {COLUMNS_MAX}")
        if MACHINE_PATH.search(content):
            lint.report(name, line, "names a folder of one machine; use a path relative to the root")


def main():
    for name in lint.project_files():
        if name.startswith("tests/fuzz/corpus/"):
            continue
        text = lint.read_text(name)
        if text is not None:
            check(name, text)
    lint.finish()


main()
