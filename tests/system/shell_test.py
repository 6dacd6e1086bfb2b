"""cellar shell: scripts through a pipe, and a person at a pseudo-terminal.

Each function below whose name begins with `shell_` is one test.

    shell_test.py NAME ...    only these, without `shell_`
"""
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_fake as fake  # noqa: E402
import cellar_native as native  # noqa: E402
import cellar_terminal as terminal  # noqa: E402

CELLAR = os.path.abspath(os.environ.get("CELLAR", "cellar"))
PROMPT = "cellar> "
UP, LEFT, TAB, CTRL_A, CTRL_C, CTRL_D = "\x1b[A", "\x1b[D", "\t", "\x01", "\x03", "\x04"


def environment(port, home="/nonexistent", **more):
    return {"CELLAR_ENDPOINT": f"127.0.0.1:{port}", "HOME": home, "LC_ALL": "C.UTF-8",
            "XDG_STATE_HOME": "", **more}


def script(server, text, *arguments):
    """Lines through a pipe: (exit code, output, errors)."""
    done = subprocess.run([CELLAR, "shell", *arguments], input=text.encode(), check=False,
                          capture_output=True, timeout=300,
                          env={**os.environ, **environment(server.port)})
    return done.returncode, done.stdout.decode(), done.stderr.decode()


class Shell(terminal.Terminal):
    """A shell on a terminal, at its first prompt."""

    def __init__(self, port, *arguments, **settings):
        super().__init__([CELLAR, "shell", *arguments], environment(port, **settings))

    def __enter__(self):
        self.wait_for(PROMPT)
        return self

    def run(self, line, *wanted):
        """Types a line; each text must come in order, and then the prompt."""
        self.type(line + "\r")
        for text in wanted:
            self.wait_for(text)
        self.wait_for(PROMPT)


# ---- scripts ------------------------------------------------------------------------------------

def shell_a_script_runs_the_commands_of_the_command_line(server):
    code, output, errors = script(server, """
        # a comment, and an empty line

        table create t --family f   # to the end
        set t 'a row' "f:a b=c \\" d" f:\\x00\\\\=\\xff --timestamp 1000
        set t it\\'s f:q=v --timestamp 1000
        get t 'a row'
        count t --format json
        scan t --keys-only
        --timeout 20s count t
        help count
    """)
    assert (code, errors) == (0, ""), errors
    wanted = ("created projects/default/instances/default/tables/t: 1 family, 1 tablet\n"
              "a row\n"
              "  f:\\x00\\x5c  @1000  \\xff\n"
              "  f:a\\x20b    @1000  c \" d\n"
              "{\"rows\":2}\n"
              "a row\nit's\n"
              "2\n"
              "cellar count T\n")
    assert output.startswith(wanted), output
    assert "cellar> " not in output


def shell_a_script_stops_at_an_error_or_goes_on(server):
    lines = "ping\nget nope r\nping\nscan t --limit x\nping\n"
    code, output, errors = script(server, lines)
    assert code == 3 and output == "ready\n", (code, output)
    assert errors.startswith("cellar: line 2: NOT_FOUND: "), errors
    code, output, errors = script(server, lines, "--on-error", "continue")
    assert code == 2 and output == "ready\n" * 3, (code, output)
    assert "cellar: line 2: NOT_FOUND: " in errors, errors
    assert "cellar: line 4: INVALID_ARGUMENT: Option --limit" in errors, errors
    assert script(server, "ping\n", "--on-error", "never")[0] == 2


def shell_a_script_can_leave(server):
    assert script(server, "ping\nexit\nping\n") == (0, "ready\n", "")
    assert script(server, "quit 7\nping\n") == (7, "", "")
    assert script(server, "get nope r\nexit\n", "--on-error", "continue")[0] == 3
    assert script(server, "get nope r\nexit 0\n", "--on-error", "continue")[0] == 0
    for line in ("exit x", "exit 1 2", "exit 256", "exit -1"):
        code, _, errors = script(server, line)
        assert code == 2 and "cellar: line 1: INVALID_ARGUMENT: " in errors, (line, errors)


def shell_lines_of_any_form_are_taken_or_refused(server):
    assert script(server, "") == (0, "", "")
    assert script(server, "ping") == (0, "ready\n", "")  # without an end
    assert script(server, "ping\r\n") == (0, "ready\n", "")
    for line, text in (("get t 'r", "A quote is not closed"), ("get t \x00", "holds a NUL"),
                       ("--timeout 1s", "There is no command"), ("shell", "the shell already"),
                       ("scna t", "did you mean scan"), ("''", "There is no command ''"),
                       ("\x1b[31m", "\\x1b[31m")):
        code, output, errors = script(server, line + "\n")
        assert code == 2 and output == "", (line, code, output)
        assert errors.startswith("cellar: line 1: INVALID_ARGUMENT: ") and text in errors, errors
    code, output, errors = script(server, "ping " + " " * 5000 + "\n" + "ping\n" * 3)
    assert (code, output) == (0, "ready\n" * 4), errors
    wide = "x" * 200000
    code, output, errors = script(server, f"table create wide --family f\nset wide r f:q={wide}\n"
                                          "get wide r --format csv\n")
    assert code == 0 and wide in output, errors


def shell_a_command_does_not_read_the_script(server):
    code, output, errors = script(server, "table create t --family f\nimport t -\n"
                                          '{"row":"r","cells":[{"family":"f","value":"v"}]}\n')
    assert "wrote 0 rows" in output, output
    rest = "# more than any buffer holds\n" * 10000 + "ping\n"
    assert script(server, "import t -\n" + rest)[1].endswith("ready\n")
    assert code == 2 and "line 3: INVALID_ARGUMENT: There is no command '{row" in errors, errors


def shell_nobody_is_asked_in_a_script(server):
    code, _, errors = script(server, "table create t --family f\ntable drop t\nt\n")
    assert code == 2 and "'table drop' needs --yes" in errors, errors
    assert script(server, "table drop t --dry-run\ntable drop t --yes\ntable ls\n")[0] == 0


def shell_one_connection_serves_all_lines(_):
    count = []

    def answer(operation, _):
        count.append(operation)
        return (native.REPLY, {1: True})

    with fake.FakeServer(answer) as server:
        lines = "ping\n" * 20
        assert script(server, lines)[:2] == (0, "ready\n" * 20)
        assert len(count) == 20
        assert server.connection_count == 1, server.connection_count


def shell_a_terminal_without_a_terminals_output_is_a_script(server):
    """What is typed into `cellar shell | cat` must not be mixed with prompts."""
    with terminal.Terminal(["sh", "-c", f"'{CELLAR}' shell | cat"],
                           environment(server.port)) as screen:
        screen.type("ping\n")
        screen.wait_for("ready\r\n")
        screen.type(CTRL_D)
        assert screen.end() == 0
        assert PROMPT.encode() not in screen.output, screen.output


# ---- a person -----------------------------------------------------------------------------------

def shell_a_person_types_commands(server):
    with Shell(server.port) as shell:
        assert f"cellar 0.1.0 at 127.0.0.1:{server.port}; help".encode() in shell.output
        shell.run("table create t --family f", "created projects/")
        shell.run("set t r 'f:q=a value'")
        shell.run("get t r", "  f:q  @", "  a value\r\n")
        shell.run("get t r --column nope:x")
        shell.run("nonsense", "cellar: INVALID_ARGUMENT: There is no command 'nonsense'")
        shell.run("get nope r", "cellar: NOT_FOUND: ")
        shell.run("get t 'r", "A quote is not closed")
        shell.run("help", "\r\nreading\r\n", "exit codes")
        shell.run("", )
        shell.run("count t", "1\r\n")
        shell.type("exit\r")
        assert shell.end() == 2, shell.output  # of the last that failed


def shell_a_line_is_edited(server):
    with Shell(server.port) as shell:
        shell.run("inf" + LEFT + LEFT + LEFT + "x" + "\x7f" + "\x05" + "o", "version         0.1.0")
        shell.run("XXXX" + CTRL_A + "\x0b" + "ping", "ready\r\n")
        shell.run("set t r f:q=Z\u00fcrich\x7f\x7f\x7f\x7f\x7f" + CTRL_A + "\x0bping", "ready\r\n")


def shell_ctrl_d_leaves(server):
    with Shell(server.port) as shell:
        shell.type(CTRL_D)
        assert shell.end() == 0
    with Shell(server.port) as shell:
        shell.run("get nope r", "NOT_FOUND")
        shell.type(CTRL_D)
        assert shell.end() == 3


def shell_ctrl_c_drops_the_line_and_not_the_shell(server):
    with Shell(server.port) as shell:
        shell.type("get nope r")
        shell.wait_for("get nope r")
        shell.type(CTRL_C)
        shell.wait_for("^C")
        shell.wait_for(PROMPT)
        shell.run("ping", "ready\r\n")
        shell.type(CTRL_C)  # on an empty line too
        shell.wait_for("^C")
        shell.wait_for(PROMPT)
        shell.process.send_signal(signal.SIGINT)  # from elsewhere: not at what comes next
        shell.run("ping", "ready\r\n")
        shell.type("exit\r")
        assert shell.end() == 0, shell.output
    assert b"NOT_FOUND" not in shell.output


def shell_ctrl_c_ends_the_command_that_runs(_):
    """The fake server answers PING and nothing else: what hangs ends, and the shell goes on."""
    asked = threading.Event()
    written = threading.Event()  # apart: a question that was given up may come late

    def answer(operation, _):
        if operation == native.PING:
            return (native.REPLY, {1: True})
        (written if operation == native.MUTATE_ROW else asked).set()
        return (native.REPLY, {1: "x", 3: "x"}) if operation == native.SERVER_INFO else None

    with fake.FakeServer(answer) as silent:
        with Shell(silent.port, "--timeout", "1h") as shell:
            shell.run("ping", "ready\r\n")
            for line in ("get t r", "table ls", "info --interval 1h"):
                asked.clear()
                shell.type(line + "\r")
                assert asked.wait(terminal.WAIT_SECONDS_MAX)
                shell.type(CTRL_C)
                shell.wait_for("cellar: CANCELLED: Interrupted")
                shell.wait_for(PROMPT)
            shell.type("set t r f:q=v\r")
            assert written.wait(terminal.WAIT_SECONDS_MAX)
            shell.type(CTRL_C)
            shell.wait_for("cellar: OUTCOME_UNKNOWN: The write may or may not have been applied")
            shell.wait_for(PROMPT)
            shell.run("ping", "ready\r\n")
            shell.type("exit\r")
            assert shell.end() == 5


def shell_a_table_is_dropped_when_its_name_is_typed(server):
    with Shell(server.port) as shell:
        shell.run("table create t --family f", "created")
        shell.type("table drop t\r")
        shell.wait_for("to go on: ")
        shell.run("no", "Nothing was changed: 't' was not typed")
        shell.type("table drop t\r")
        shell.wait_for("to go on: ")
        shell.type(CTRL_D)
        shell.wait_for("Nothing was changed")
        shell.wait_for(PROMPT)
        shell.run("table ls", "t\r\n")
        shell.type("table drop t\r")
        shell.wait_for("to go on: ")
        shell.run("t")
        shell.run("count t", "NOT_FOUND")


def shell_data_is_only_shown(server):
    with native.Connection(server.port) as client:
        client.create_table("t", {"f": None})
        client.mutate_row("t", b"\x1b]0;owned\x07", [[0, "f", b"\xe2\x80\xae", 0, b"\x9b31m"]])
    with Shell(server.port) as shell:
        shell.run("scan t", "\\x1b]0;owned\\x07\r\n  f:\\xe2\\x80\\xae  @0  \\x9b31m\r\n")
        shell.run("get t r --\u202e", "Unknown option --\\xe2\\x80\\xae")
    assert b"\x1b]0;owned" not in shell.output


def shell_it_can_be_suspended(server):
    settings = {**environment(server.port), "PS1": "now> ", "PATH":
                os.path.dirname(CELLAR) + ":" + os.environ["PATH"]}
    with terminal.Terminal(["bash", "--norc", "--noprofile", "-i"], settings) as screen:
        screen.wait_for("now> ")
        screen.type("cellar shell\n")
        screen.wait_for(PROMPT)
        screen.type("pi\x1a")
        screen.wait_for("Stopped")
        screen.wait_for("now> ")
        screen.type("fg\n")
        screen.wait_for(PROMPT + "pi")
        screen.type("ng\r")
        screen.wait_for("ready\r\n")
        screen.wait_for(PROMPT)
        screen.type("exit\r")
        screen.wait_for("now> ")
        screen.type("exit $?\n")
        assert screen.end() == 0, screen.output


# ---- completion ---------------------------------------------------------------------------------

def shell_words_are_completed(server):
    with Shell(server.port) as shell:
        shell.run("table create users --family profile --family place", "created")
        shell.run("table create orders --family f", "created")
        shell.run("cou" + TAB + "us" + TAB, "\r\n0\r\n")
        shell.run("set us" + TAB + "r pl" + TAB + "city=Basel")
        shell.run("get users r --col" + TAB + "pl" + TAB + "--form" + TAB + "cs" + TAB,
                  "\r\nr,place,city,", ",Basel\r\n")
        shell.type("count " + TAB)
        shell.wait_for("  orders ")
        shell.wait_for("  users ")
        shell.wait_for(PROMPT + "count ")  # the line is there again
        shell.run("or" + TAB, "0\r\n")
        shell.type("ta" + TAB + "d" + TAB)
        shell.wait_for("describe")
        shell.wait_for("Drops a table with all its rows")
        shell.wait_for(PROMPT + "table d")
        shell.run("e" + TAB + "us" + TAB, "  family  place  keeps everything")
        shell.type("exi" + TAB + "\r")
        assert shell.end() == 0, shell.output


def shell_files_are_completed_with_the_quotes_they_need(server):
    line = b'{"row":"r","cells":[{"family":"f","qualifier":"q","value":"v"}]}\n'
    names = ("two words #1.jsonl", "it's.jsonl", 'say "a".jsonl', "back\\slash x.jsonl",
             "Z\u00fcrich.jsonl", "down there/one.jsonl", "\x1b[31mred.jsonl")
    with tempfile.TemporaryDirectory(prefix="cellar-shell-") as folder:
        os.mkdir(os.path.join(folder, "down there"))
        for name in names:
            with open(os.path.join(folder, name), "wb") as file:
                file.write(line)
        with Shell(server.port) as shell:
            shell.run("table create t --family f", "created")
            at = f"import t {folder}/"
            for typed in ("tw", "it", "'it", "say", '"say', "ba", "'ba", '"ba', "Z", "do{}on",
                          "'down there/", '"do{}o', "two\\ wo", "'two wo", 'two" w'):
                quote = typed[0] if typed[0] in "'\"" else ""
                typed = typed[len(quote):].replace("{}", TAB)
                shell.run(f"import t {quote}{folder}/{typed}{TAB}", "wrote 1 rows")
            shell.run(f"import t --rejects={folder}/new {folder}/tw{TAB}", "wrote 1 rows")
            shell.run(f"import t {folder}/tw{TAB} --progress={folder}/down\\ t{TAB}p",
                      "wrote 1 rows")
            shell.type(at + "d" + TAB + TAB)
            shell.wait_for("one.jsonl ")
            shell.run("\x15" + f"check {folder}/d{TAB}", "down there")  # and says what is wrong
            shell.type(at + TAB)
            shell.wait_for('say "a".jsonl')
            shell.run("\x15#")
    assert b"\x1b[31m" not in shell.output


def shell_completion_takes_nothing_hostile(_):
    names = ["projects/p/instances/i/tables/" + name
             for name in ("\x1b[31mred", "a b", "$(id)", "fine")]
    with fake.FakeServer(lambda *_: (native.REPLY, {1: names})) as server:
        with Shell(server.port) as shell:
            shell.type("count " + TAB)
            shell.wait_for("fine ")
            shell.run("# that is all")
    assert b"\x1b[31m" not in shell.output


# ---- history ------------------------------------------------------------------------------------

def history(path):
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()


def shell_lines_are_kept_for_their_owner(server):
    with tempfile.TemporaryDirectory(prefix="cellar-shell-") as home:
        path = os.path.join(home, ".cellar_history")
        with Shell(server.port, home=home) as shell:
            shell.run("ping", "ready")
            shell.run("ping", "ready")
            shell.run(" info", "version")  # a blank first: not kept
            shell.run("help ping", "Asks whether")
            shell.run("nonsense 'a b'", "There is no command")
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert history(path) == ["ping", "help ping", "nonsense 'a b'"], history(path)
        os.chmod(path, 0o644)
        with Shell(server.port, home=home) as shell:
            shell.type(UP + UP + UP)
            shell.run("", "ready\r\n")
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert history(path)[-1] == "ping", history(path)


def shell_the_history_is_where_it_is_asked_to_be(server):
    with tempfile.TemporaryDirectory(prefix="cellar-shell-") as home:
        state = os.path.join(home, "state")
        os.mkdir(state)
        cases = [([], {"XDG_STATE_HOME": state}, "state/cellar/history"),
                 ([], {"XDG_STATE_HOME": state, "CELLAR_HISTFILE": home + "/env"}, "env"),
                 (["--history", home + "/option"], {"CELLAR_HISTFILE": home + "/env"}, "option"),
                 ([], {}, ".cellar_history")]
        for arguments, settings, name in cases:
            with Shell(server.port, *arguments, home=home, **settings) as shell:
                shell.run("ping # " + name, "ready")
            assert history(os.path.join(home, name)) == ["ping # " + name], name
        assert stat.S_IMODE(os.stat(state + "/cellar").st_mode) == 0o700
        before = sorted(os.listdir(home))
        for arguments, settings in ((["--history", ""], {}), ([], {"CELLAR_HISTFILE": ""})):
            with Shell(server.port, *arguments, home=home, **settings) as shell:
                shell.run("help", "exit codes")
                shell.run(UP, "exit codes")  # for as long as the shell runs there is one
        assert sorted(os.listdir(home)) == before
        assert history(home + "/.cellar_history") == ["ping # .cellar_history"]


def shell_a_history_that_cannot_be_kept_is_no_obstacle(server):
    for path in ("/proc/nothing", "/dev/null", "/tmp"):
        with Shell(server.port, "--history", path) as shell:
            assert f"Cannot keep the history in '{path}'".encode() in shell.output, shell.output
            shell.run("ping", "ready")
            shell.run(UP, "ready")


def main():
    tests = [(name[6:], run_test) for name, run_test in globals().items()
             if name.startswith("shell_")]
    wanted = sys.argv[1:] or [name for name, _ in tests]
    for name, run_test in tests:
        if name in wanted:
            with tempfile.TemporaryDirectory(prefix="cellar-shell-") as folder:
                with native.Server(os.path.join(folder, "data")).start() as server:
                    run_test(server)
            print(f"ok {name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
