"""Rules and the tests that name them.

rules.txt holds one rule a line, "R-KEY-01 now": id and tag (now, grpc, later). A test names its rules in
its own name, as r_key_01. A test that names a rule rules.txt lacks is an error; `now` rules that no test
names are listed, and become an error with --strict.
"""
import os
import re
import sys

import lint

NAMED = re.compile(r"(?<![A-Za-z0-9])r_([a-z]+)_(\d\d)(?!\d)")
LISTED = re.compile(r"^(R-[A-Z]+-\d\d) (now|grpc|later)$")


def read_rules():
    name = "tests/lint/rules.txt"
    rules = {}
    for line, text in enumerate((lint.read_text(name) or "").splitlines(), 1):
        match = LISTED.match(text)
        if match is None or match.group(1) in rules:
            lint.report(name, line, 'a line is "R-AREA-NN now|grpc|later", each id once')
            continue
        rules[match.group(1)] = match.group(2)
    return rules


def find_named(rules):
    """The ids that tests name; reports those that rules.txt lacks."""
    named = set()
    for name in lint.project_files():
        if not name.startswith("tests/") or not name.endswith((".c", ".h", ".sh", ".py")):
            continue
        if os.path.dirname(name) == "tests/lint":
            continue
        for line, text in enumerate((lint.read_text(name) or "").splitlines(), 1):
            for area, number in NAMED.findall(text):
                rule = f"R-{area.upper()}-{number}"
                named.add(rule)
                if rule not in rules:
                    lint.report(name, line, f"{rule} is not in tests/lint/rules.txt; mend the name")
    return named


def main():
    rules = read_rules()
    named = find_named(rules)
    due = [rule for rule, tag in rules.items() if tag == "now"]
    missing = [rule for rule in due if rule not in named]
    print(f"{len(due) - len(missing)} of {len(due)} rules tagged `now` have a test")
    for rule in missing:
        if "--strict" in sys.argv[1:]:
            lint.report("tests/lint/rules.txt", 1, f"{rule} has no test")
        else:
            print(f"no test names {rule.lower().replace('-', '_')}")
    lint.finish()


main()
