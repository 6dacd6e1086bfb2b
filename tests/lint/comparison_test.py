"""The comparison in README.md is what tests/bench/README.md measured, no more and no less.

    comparison_test.py --write    writes it there, after a new measurement
"""
import os
import re
import sys

import lint

FIGURES = "tests/bench/README.md"
DOCUMENT = "README.md"
SERVERS = ("cellar", "redis", "postgres", "memcached")
WORKLOADS = [
    ("row", "read a row of ten cells"),
    ("get", "read one cell"),
    ("scan", "scan 1 to 100 rows"),
    ("put", "write one cell"),
    ("timeline", "80 % appends, 20 % reads of the newest 50"),
    ("ycsb-a", "half reads of rows, half writes"),
    ("put-64", "write one cell, 64 at once"),
    ("full-scan", "read the whole table"),
]
BETWEEN = re.compile(r"(<!-- comparison: [^\n]* -->\n)(.*?)(<!-- end of comparison -->)", re.DOTALL)


def measured(text):
    """The line about the machine, and (workload, server) -> (unit, median)."""
    (block,) = re.findall(r"<!-- figures of compare.py -->\n(.*?)<!-- end of figures -->", text,
                          flags=re.DOTALL)
    rows = [[cell.strip() for cell in line.strip("|").split("|")]
            for line in block.splitlines() if line.startswith("| ")]
    return block.splitlines()[0], {(row[0], row[2]): (row[1], row[3]) for row in rows[1:]}


def table(machine, medians):
    lines = ["| what | unit | Cellar | Redis | PostgreSQL | memcached |", "|---|---|---|---|---|---|"]
    for workload, text in WORKLOADS:
        if (workload, "cellar") in medians:
            unit = medians[workload, "cellar"][0]
            cells = [medians.get((workload, server), (unit, ""))[1] for server in SERVERS]
            lines.append(f"| {text} | {unit} | {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\n{machine}\n"


def main():
    document = lint.read_text(DOCUMENT)
    wanted = table(*measured(lint.read_text(FIGURES)))
    found = BETWEEN.search(document)
    if found is None:
        lint.report(DOCUMENT, 1, "has no comparison between its two comments")
    elif "--write" in sys.argv[1:]:
        with open(os.path.join(lint.ROOT, DOCUMENT), "w", encoding="utf-8") as file:
            file.write(document[:found.start(2)] + wanted + document[found.end(2):])
    elif found.group(2) != wanted:
        lint.report(DOCUMENT, document[:found.start()].count("\n") + 1,
                    f"the comparison differs from {FIGURES}; comparison_test.py --write")
    lint.finish()


main()
