"""cellar on a terminal: data cannot command it, and what cannot be undone is asked about.

Each function below whose name begins with `term_` is one test.

    terminal_test.py NAME ...    only these, without `term_`
"""
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_fake as fake  # noqa: E402
import cellar_native as native  # noqa: E402
import cellar_terminal as terminal  # noqa: E402

CELLAR = os.environ.get("CELLAR", "cellar")

# What terminals obey (title, colour, a report typed back as input, controls of 8 bits), what turns
# text around or is not seen, what is no UTF-8, and what would break a line.
HOSTILE = [b"\x1b]0;owned\x07", b"\x1b[31mred\x1b[2J", b"\x1b[6n\x1bP1$r\x1b\\", b"\xc2\x9b31m",
           b"a\x9b31m", b"a\xe2\x80\xaeb", b"a\xe2\x80\x8bb\xef\xbb\xbf", b"\xff\xfe\x80",
           b"a\rb", b"a\nb\tc", b"\x7f\x08", b"\xf3\xa0\x81\x81"]


def run(server, *arguments, code=None):
    """cellar on a terminal: (exit code, output), which must be safe to show."""
    command = [CELLAR, *arguments]
    environment = {"CELLAR_ENDPOINT": f"127.0.0.1:{server.port}"}
    with terminal.Terminal(command, environment) as screen:
        screen.type("\x04")  # whoever asks gets no answer
        got = screen.end()
    output = screen.output.replace(b"^D\x08\x08", b"")  # the terminal's own echo
    unsafe = terminal.unsafe_in(output.replace(b"\r\n", b"\n"))
    assert unsafe is None, (arguments, unsafe)
    assert b"\r" not in output.replace(b"\r\n", b""), (arguments, output)
    assert code is None or got == code, (arguments, got, output)
    return got, output.decode()


def quiet(server, *arguments):
    """cellar without a terminal; it must work."""
    done = subprocess.run([CELLAR, "--endpoint", f"127.0.0.1:{server.port}", *arguments],
                          stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, (arguments, done)
    return done.stdout


def verbs(server):
    """Every verb that help lists, so that a new one is tested from its first day."""
    _, output = run(server, "help", code=0)
    found = re.findall(r"^  ([a-z][a-z-]*(?: [a-z]+)?)  +[A-Z]", output, re.M)
    assert {"get", "table drop", "import", "info"} <= set(found), output
    return [verb.split() for verb in found]


# ---- what is printed ----------------------------------------------------------------------------

def term_stored_data_is_only_shown(server):
    quiet(server, "table", "create", "t", "--family", "f", "--granularity", "micros")
    with native.Connection(server.port) as client:
        for data in HOSTILE:
            client.mutate_row("t", data, [[0, "f", data, 0, data],
                                           [0, "f", b"q", 0, data]])
    for style in ("text", "json", "jsonl", "csv"):
        _, output = run(server, "scan", "t", "--format", style, code=0)
        assert output.count("owned") >= 3, output
        run(server, "scan", "t", "--keys-only", "--format", style, code=0)
        for data in HOSTILE:
            key = "".join(f"\\x{byte:02x}" for byte in data)
            _, output = run(server, "get", "t", key, "--format", style, code=0)
            assert output.count("\n") >= 2 or style == "jsonl", (data, output)
            run(server, "delete", "t", key, "--dry-run", code=0)
    _, output = run(server, "scan", "t", "--format", "text")
    assert "\\x1b]0;owned\\x07\r\n" in output and "  f:a\\xe2\\x80\\xaeb" in output, output


def term_split_keys_are_only_shown(server):
    splits = [word for data in HOSTILE
              for word in ("--split", "".join(f"\\x{byte:02x}" for byte in data))]
    for style in ("text", "json", "jsonl", "csv"):
        run(server, "table", "create", "s" + style, "--family", "f", *splits, "--format", style,
            code=0)
        run(server, "table", "describe", "s" + style, "--format", style, code=0)


def term_arguments_of_every_verb_are_only_shown(server):
    """Usage errors and the server's own answers repeat words: names of tables, rows, options."""
    shown = 0
    for verb in [[], ["help"], *verbs(server)]:
        for data in (HOSTILE[0], HOSTILE[4] + HOSTILE[5], HOSTILE[9]):
            for words in ([data], [data] * 2, [data] * 3, [b"t", data], [b"t", data, b"f:" + data],
                          [b"t", b"--" + data], [b"t", b"r", b"--column", data],
                          [b"--format", data], [b"--timeout", data], [b"--endpoint", data],
                          [b"--instance", data], [b"t", b"--dry-run", b"--prefix", b"\\" + data]):
                _, output = run(server, *verb, *words)
                shown += "\\x1b" in output or "\\x9b" in output or "\\x0a" in output
    assert shown > 100, shown  # they are repeated, not dropped


def term_refused_lines_of_an_import_are_only_shown(server):
    quiet(server, "table", "create", "t", "--family", "f")
    with tempfile.TemporaryDirectory(prefix="cellar-terminal-") as folder:
        path = os.path.join(folder, "\x1b]0;owned\x07")
        with open(path, "wb") as file:
            for data in HOSTILE:
                file.write(b'{"row":"r","cells":[{"family":"' + data + b'","value":"v"}]}\n')
                file.write(data.replace(b"\n", b"") + b"\n")
        run(server, "import", "t", path, code=1)
        run(server, "import", "t", path + "x", code=2)
        run(server, "import", "t", path, "--format", "deb822")


def term_a_hostile_servers_errors_are_only_shown(_):
    text = b" ".join(HOSTILE).decode("utf-8", "replace")
    with fake.FakeServer(lambda *_: (native.ERROR, {1: native.ALREADY_EXISTS, 2: text})) as hostile:
        for words in (["table", "ls"], ["table", "describe", "t"], ["get", "t", "r"],
                      ["set", "t", "r", "f:q=v"], ["info"], ["count", "t"], ["ping"],
                      ["table", "drop", "t", "--yes"], ["delete", "t", "r"]):
            _, output = run(hostile, *words, code=4)
            assert "\\x1b]0;owned\\x07" in output, (words, output)


def term_a_hostile_servers_names_are_only_shown(_):
    name = "projects/p/instances/i/tables/" + HOSTILE[0].decode() + "\u202e\x9b"
    table = {1: name, 2: [[name, None]], 3: 1, 4: [[b"", name.encode(), 1]], 5: 1}
    answers = {native.LIST_TABLES: {1: [name]}, native.DESCRIBE_TABLE: table,
               native.CREATE_TABLE: table,
               native.SERVER_INFO: {1: name, 2: 1, 3: name, 4: [[name, 1]]}}
    with fake.FakeServer(lambda operation, _: (native.REPLY, answers[operation])) as hostile:
        for words in (["table", "ls"], ["table", "describe", "t"], ["table", "create", "t"],
                      ["info"]):
            for style in ("text", "json", "jsonl", "csv"):
                _, output = run(hostile, *words, "--format", style, code=0)
                assert "owned" in output, (words, style, output)


# ---- questions ----------------------------------------------------------------------------------

def ask(server, answer, *arguments):
    environment = {"CELLAR_ENDPOINT": f"127.0.0.1:{server.port}"}
    with terminal.Terminal([CELLAR, *arguments], environment) as screen:
        screen.wait_for("to go on: ")
        screen.type(answer)
        return screen.end(), screen.output.decode()


def term_a_table_is_dropped_when_its_name_is_typed(server):
    quiet(server, "table", "create", "t", "--family", "f", "--family", "g", "--split", "m")
    quiet(server, "set", "t", "r", "f:q=v")
    for answer in ("y\n", "yes\n", "\n", "T\n", "tt\n", "\x04"):
        code, output = ask(server, answer, "table", "drop", "t")
        assert code == 1 and "Nothing was changed: 't' was not typed" in output, (code, output)
    assert "/tables/t: 2 families, 2 tablets, 1 row\r\n" in output, output
    assert quiet(server, "count", "t") == b"1\n"
    code, output = ask(server, "t\n", "table", "drop", "default/default/t")
    assert code == 0, output
    assert quiet(server, "table", "ls") == b""


def term_yes_and_dry_run_are_not_asked(server):
    quiet(server, "table", "create", "t", "--family", "f")
    code, output = run(server, "table", "drop", "t", "--dry-run")
    assert code == 0 and "would drop " in output and "Type" not in output, output
    code, output = run(server, "table", "drop", "t", "--yes")
    assert code == 0 and output == "", output
    code, output = run(server, "table", "drop", "t")
    assert code == 3 and "Type" not in output, output


def term_one_row_is_deleted_without_a_question(server):
    quiet(server, "table", "create", "t", "--family", "f")
    quiet(server, "set", "t", "r", "f:q=v")
    code, output = run(server, "delete", "t", "r")
    assert (code, output) == (0, ""), output
    assert quiet(server, "count", "t") == b"0\n"


def main():
    tests = [(name[5:], run_test) for name, run_test in globals().items()
             if name.startswith("term_")]
    wanted = sys.argv[1:] or [name for name, _ in tests]
    for name, run_test in tests:
        if name in wanted:
            with tempfile.TemporaryDirectory(prefix="cellar-terminal-") as folder:
                with native.Server(os.path.join(folder, "data")).start() as server:
                    run_test(server)
            print(f"ok {name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
