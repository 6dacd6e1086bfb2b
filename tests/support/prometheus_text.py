"""Prometheus' text format 0.0.4, read strictly: what any collector must be able to rely on.

parse() checks every line and the rules between lines, and gives the samples; check_growth() holds two
pages of one server against each other.
"""
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
SAMPLE = re.compile(rf"^({NAME})(?:\{{(.*)\}})? ([^ ]+)$")
HEADER = re.compile(rf"^# (HELP|TYPE) ({NAME}) (.+)$")
TYPES = ("counter", "gauge", "histogram")
UNITS = ("seconds", "bytes", "ratio", "info")
BAD_UNITS = ("milliseconds", "microseconds", "kilobytes", "megabytes", "minutes", "hours", "percent", "us", "ms")


class FormatError(Exception):
    """A page that breaks a rule; the text names the line."""


class Page:
    """types: name -> type; helps: name -> text; samples: (name, labels as a sorted tuple) -> number."""

    def __init__(self):
        self.types, self.helps, self.samples = {}, {}, {}

    def value(self, name, **labels):
        """One sample; 0 for one that has not occurred."""
        return self.samples.get((name, tuple(sorted(labels.items()))), 0)

    def total(self, name, **labels):
        """The sum over all samples that have these labels among theirs."""
        wanted = set(labels.items())
        return sum(value for (other, pairs), value in self.samples.items()
                   if other == name and wanted <= set(pairs))

    def family(self, name):
        """The metric that a sample belongs to."""
        for suffix in ("_bucket", "_sum", "_count"):
            base = name[:-len(suffix)]
            if name.endswith(suffix) and self.types.get(base) == "histogram":
                return base
        return name


def fail(number, line, what):
    raise FormatError(f"line {number}: {what}: {line!r}")


def parse_labels(text, number, line):
    labels, at = {}, 0
    while at < len(text):
        match = LABEL.match(text, at)
        if not match:
            fail(number, line, "labels that cannot be read")
        if match.group(1) in labels:
            fail(number, line, "a label twice")
        labels[match.group(1)] = match.group(2)
        at = match.end()
        if at < len(text):
            if text[at] != ",":
                fail(number, line, "no comma between labels")
            at += 1
    return labels


def parse_header(page, number, line, current):
    match = HEADER.match(line)
    if not match:
        fail(number, line, "a comment that is neither HELP nor TYPE")
    kind, name, rest = match.groups()
    table = page.helps if kind == "HELP" else page.types
    if name in table:
        fail(number, line, f"{kind} twice")
    if kind == "HELP":
        if not rest.endswith("."):
            fail(number, line, "a help text that is no sentence")
    elif rest not in TYPES:
        fail(number, line, "an unknown type")
    elif name not in page.helps or current != name:
        fail(number, line, "TYPE without HELP before it")
    table[name] = rest
    return name


def check_name(page, name, number, line):
    kind = page.types[name]
    words = name.split("_")
    if kind == "counter" and words[-1] != "total":
        fail(number, line, "a counter whose name does not end in _total")
    if kind != "counter" and words[-1] in ("total", "count", "sum", "bucket"):
        fail(number, line, "a name that ends as only other types' do")
    if any(word in BAD_UNITS for word in words):
        fail(number, line, "a unit that is no base unit")
    for unit in UNITS[:2]:
        if unit in words and words[-1] not in (unit, "total"):
            fail(number, line, f"{unit} is not the name's last word")
    if name != name.lower():
        fail(number, line, "a name that is not lower_case")


def parse(text):
    """The Page of a text; FormatError when anything is wrong."""
    page, current = Page(), None
    if not text.endswith("\n"):
        raise FormatError("the last line has no end")
    for number, line in enumerate(text[:-1].split("\n"), 1):
        if line.startswith("#"):
            current = parse_header(page, number, line, current)
            continue
        match = SAMPLE.match(line)
        if not match:
            fail(number, line, "neither comment nor sample")
        name, labels, number_text = match.groups()
        if current is None or current not in page.types or page.family(name) != current:
            fail(number, line, "a sample outside its metric")
        check_name(page, current, number, line)
        if (page.types[current] == "histogram") != (name != current):
            fail(number, line, "a sample that its type does not have")
        labels = parse_labels(labels or "", number, line)
        if name.endswith("_bucket") != ("le" in labels):
            fail(number, line, "le belongs to buckets, and only there")
        key = (name, tuple(sorted(labels.items())))
        if key in page.samples:
            fail(number, line, "a sample twice")
        try:
            page.samples[key] = int(number_text) if number_text.isdigit() else float(number_text)
        except ValueError:
            fail(number, line, "no number")
        if page.samples[key] < 0:
            fail(number, line, "a number below zero")
    check_complete(page)
    return page


def check_complete(page):
    with_samples = {page.family(name) for name, _ in page.samples}
    for name in page.helps:
        if name not in with_samples:
            raise FormatError(f"{name} has no sample")
    series = {}
    for (name, labels), value in page.samples.items():
        if name.endswith("_bucket") and page.types.get(page.family(name)) == "histogram":
            pairs = dict(labels)
            bound = float(pairs.pop("le").replace("+Inf", "inf"))
            series.setdefault((page.family(name), tuple(sorted(pairs.items()))), []).append((bound, value))
    for (name, labels), buckets in series.items():
        bounds = [bound for bound, _ in buckets]
        counts = [count for _, count in buckets]
        if bounds != sorted(set(bounds)) or bounds[-1] != float("inf"):
            raise FormatError(f"{name}{labels}: bounds that do not rise to +Inf")
        if counts != sorted(counts):
            raise FormatError(f"{name}{labels}: buckets that are not cumulative")
        if counts[-1] != page.samples.get((name + "_count", labels)):
            raise FormatError(f"{name}{labels}: count and the last bucket differ")
        if (name + "_sum", labels) not in page.samples:
            raise FormatError(f"{name}{labels}: no sum")


def check_growth(before, after):
    """Counters and histograms only grow, and nothing that was there is gone."""
    for (name, labels), value in before.samples.items():
        if (name, labels) not in after.samples:
            raise FormatError(f"{name}{labels} is gone")
        if before.types[before.family(name)] != "gauge" and after.samples[(name, labels)] < value:
            raise FormatError(f"{name}{labels} has shrunk from {value}")
