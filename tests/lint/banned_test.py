"""Calls that the code does not use, each with the place where it is allowed and what to use instead."""
import re

import lint


def call(names):
    """Matches a call of a function; members (x->free(), x.free()) and longer names do not match."""
    return re.compile(r"(?<![\w.>])(?:%s)\s*\(" % names)


TESTS = "tests/"

# (pattern, folders or files where it is looked for, folders or files where it is allowed, advice)
RULES = [
    (call("strcpy|strcat|sprintf|vsprintf|gets|stpcpy"), [""], [],
     "has no bound; use snprintf, memcpy or cellar_buffer_append"),
    (call("strtok|atoi|atol|atoll|atof"), [""], [],
     "hides errors; use strtoll with its end pointer, or a decoder of common/"),
    (call("alloca"), [""], [], "has no limit; use an arena or a bounded array"),
    (call("malloc|calloc|realloc|reallocarray|free|strdup|strndup|asprintf|vasprintf|aligned_alloc"
          "|posix_memalign"), [""], ["common/mem.c", TESTS],
     "passes by the hook that tests use; use cellar_mem_* of common/mem.h"),
    (call("abort"), [""], ["common/base.h", TESTS],
     "ends the process; CELLAR_ASSERT for invariants, a status for everything else"),
    (call("assert"), [""], ["common/base.h"], "vanishes with NDEBUG; use CELLAR_ASSERT"),
    (call("printf|vprintf|puts|putchar"), [""], ["client/tools/", "server/app/", TESTS],
     "writes to standard output; use cellar_log, or return the text"),
    (re.compile(r"(?<![\w.>])stdout\b"), [""], ["client/tools/", "server/app/", TESTS],
     "is standard output; use cellar_log, or return the text"),
    (call("sleep|usleep|nanosleep|clock_nanosleep"), ["tests/unit/"], [],
     "waits for the real clock; step the fake clock (common/clock.h)"),
    (re.compile(r"\bgoto\s+(?!out\s*;)\w+"), [""], [], "the only label is out, at the end"),
]


def check(name, code):
    for pattern, where, allowed, advice in RULES:
        if not name.startswith(tuple(where)) or name.startswith(tuple(allowed)):
            continue
        for match in pattern.finditer(code):
            line = code.count("\n", 0, match.start()) + 1
            lint.report(name, line, f"{match.group(0).rstrip('( ')}: {advice}")


def main():
    for name in lint.c_files():
        check(name, lint.c_code(lint.read_text(name) or ""))
    lint.finish()


main()
