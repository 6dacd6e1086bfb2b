"""What cellar tells shells and man: the scripts in real bash, zsh and fish, the pages in groff.

Each function below whose name begins with `comp_` is one test; a shell that is not installed is
said to be skipped. The tables and families are those of a real server.

    completion_test.py NAME ...    only these, without `comp_`
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_fake as fake  # noqa: E402
import cellar_native as native  # noqa: E402
import cellar_terminal as terminal  # noqa: E402

CELLAR = os.environ.get("CELLAR", "cellar")
KEY = b"\x07"  # what the tests bind to "show the line"


def environment(server, folder=None):
    """With this build's cellar first, and no start files of a user's."""
    return {"PATH": os.path.dirname(os.path.abspath(CELLAR)) + ":" + os.environ["PATH"],
            "CELLAR_ENDPOINT": f"127.0.0.1:{server.port}", "HISTFILE": "", "LC_ALL": "C.UTF-8",
            "HOME": folder or "/nonexistent", "XDG_CONFIG_HOME": folder or "/nonexistent",
            "XDG_DATA_HOME": folder or "/nonexistent"}


def cellar(server, *arguments, code=0):
    done = subprocess.run([CELLAR, *arguments], env={**os.environ, **environment(server)},
                          stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=120)
    assert done.returncode == code, (arguments, done)
    return done.stdout.decode()


def complete(server, *words):
    return [line.split("\t")[0] for line in cellar(server, "complete", "--", *words).splitlines()]


def make_tables(server):
    for name in ("users", "user-logs", "orders"):
        cellar(server, "table", "create", name, "--family", "profile", "--family", "place")
    cellar(server, "--instance", "p/i", "table", "create", "elsewhere", "--family", "x")


# What a line becomes when Tab is pressed once, in every shell; | is where the cursor is.
LINES = [
    ("cellar sca", "cellar scan "),
    ("cellar table cr", "cellar table create "),
    ("cellar --endpoint nowhere:1 cou", "cellar --endpoint nowhere:1 count "),
    ("cellar help table dr", "cellar help table drop "),
    ("cellar scan or", "cellar scan orders "),
    ("cellar get users r --vers", "cellar get users r --versions "),
    ("cellar scan users --format=t", "cellar scan users --format=text "),
    ("cellar scan users --format c", "cellar scan users --format csv "),
    ("cellar scan users --column pr", "cellar scan users --column profile "),
    ("cellar set users r pl", "cellar set users r place:"),
    ("cellar delete 'users' r pl", "cellar delete 'users' r place "),
    ("cellar family set users pl", "cellar family set users place "),
    ("cellar drop-rows or", "cellar drop-rows orders "),
    ("cellar --instance=p/i get e", "cellar --instance=p/i get elsewhere "),
    ("cellar completion zs", "cellar completion zsh "),
    ("cellar nonsense or", "cellar nonsense or"),
]


# ---- the words ----------------------------------------------------------------------------------

def comp_every_place_has_its_words(server):
    make_tables(server)
    verbs = complete(server, "")
    assert {"table", "get", "import", "help", "man"} <= set(verbs), verbs
    assert "complete" not in verbs and len(verbs) == len(set(verbs)), verbs
    assert {"create", "ls", "describe", "drop"} <= set(complete(server, "table", ""))
    assert complete(server, "family", "") == ["add", "set", "drop"]
    assert complete(server, "family", "drop", "users", "place", "p") == ["place", "profile"]
    assert complete(server, "family", "add", "users", "") == []
    assert complete(server, "scan", "user") == ["user-logs", "users"]
    assert complete(server, "scan", "users", "") == []
    assert complete(server, "get", "users", "r", "r", "") == []
    assert complete(server, "set", "users", "r", "") == ["place:", "profile:"]
    assert complete(server, "set", "users", "r", "place:a=b", "pr") == ["profile:"]
    assert complete(server, "set", "nowhere", "r", "") == []
    assert complete(server, "set", "p/i/elsewhere", "r", "") == ["x:"]
    assert complete(server, "import", "users", "") == ["@files"]
    assert complete(server, "import", "users", "x", "--format", "") != []
    assert complete(server, "scan", "--", "us") == ["user-logs", "users"]
    assert complete(server, "scan", "--", "--f") == []
    assert complete(server, "table", "create", "t", "--granularity=") == [
        "--granularity=millis", "--granularity=micros"]
    assert complete(server, "scan", "--endpoint", "nowhere:1", "us") == []
    options = complete(server, "scan", "users", "-")
    assert {"--prefix", "--format", "--endpoint", "--help"} <= set(options), options


def comp_every_verb_completes_its_options(server):
    """The table is one: what help shows, completion offers and the manual page has."""
    page = cellar(server, "man").replace("\\-", "-")
    verbs = re.findall(r"^  ([a-z][a-z-]*(?: [a-z]+)?)  +[A-Z]", cellar(server, "help"), re.M)
    for verb in verbs:
        shown = re.findall(r"^  (--[a-z-]+)", cellar(server, "help", *verb.split()), re.M)
        assert complete(server, *verb.split(), "--") == shown, verb
        assert f".SS \\fBcellar {verb}\\fR" in page, verb
        for option in shown:
            assert f"\n\\fB{option}\\fR" in page, (verb, option)


def comp_a_server_cannot_put_words_on_a_command_line(_):
    names = ["projects/p/instances/i/tables/" + name
             for name in ("$(id)", "a b", "`id`", "x;y", "'q", "\x1b[31m", "caf\u00e9", "fine")]
    with fake.FakeServer(lambda *_: (native.REPLY, {1: names})) as server:
        assert complete(server, "scan", "") == ["fine"]


def comp_a_server_that_says_nothing_is_not_waited_for(_):
    with fake.FakeServer() as server:
        assert complete(server, "scan", "") == []
    assert complete(server, "scan", "") == []  # and none at all


# ---- the shells ---------------------------------------------------------------------------------

def tab(shell, lines):
    """Types each line and Tab; the key that shows the line must then show what it should be."""
    for line, wanted in lines:
        shell.type(line.encode() + b"\t" + KEY)
        shell.wait_for(f"[{wanted}]")
        shell.wait_for("now> ")  # the prompt is there again, and with it the line editor
        shell.type(b"\x15")  # Ctrl-U: an empty line again


def comp_bash_completes(server):
    if shutil.which("bash") is None:
        print("skipped: bash is not installed")
        return
    make_tables(server)
    with tempfile.TemporaryDirectory(prefix="cellar-completion-") as folder:
        open(os.path.join(folder, "a-file.jsonl"), "wb").close()
        os.mkdir(os.path.join(folder, "b-folder"))
        with terminal.Terminal(["bash", "--norc", "--noprofile", "-i"],
                               environment(server, folder)) as shell:
            shell.type("show() { echo \"[$READLINE_LINE]\"; }\n"
                       "bind -x '\"\\C-g\": show' && bind 'set enable-bracketed-paste off' &&"
                       "source <(cellar completion bash) && cd ~ && PS1='now> '; echo rea''dy\n")
            shell.wait_for("ready")
            shell.wait_for("now> ")
            tab(shell, LINES)
            tab(shell, [("cellar import users a-f", "cellar import users a-file.jsonl "),
                        ("cellar scan user", "cellar scan user"),
                        ("cellar scan users --format=js", "cellar scan users --format=json")])
            shell.type("COMP_WORDBREAKS=${COMP_WORDBREAKS//[:=]}; PS1='now> '; echo rea''dy\n")
            shell.wait_for("ready")
            shell.wait_for("now> ")
            tab(shell, LINES)


def comp_zsh_completes(server):
    if shutil.which("zsh") is None:
        print("skipped: zsh is not installed")
        return
    make_tables(server)
    with tempfile.TemporaryDirectory(prefix="cellar-completion-") as folder:
        open(os.path.join(folder, "a-file.jsonl"), "wb").close()
        with terminal.Terminal(["zsh", "-f", "-i"],
                               {**environment(server, folder), "ZDOTDIR": folder}) as shell:
            shell.type("autoload -U compinit && compinit -u -D && unsetopt list_beep && "
                       "show() { zle -I; print -r -- \"[$BUFFER]\" } && zle -N show && "
                       "bindkey -e && bindkey '^G' show && source <(cellar completion zsh) && "
                       "cd ~ && PS1='now> '; echo rea''dy\n")
            shell.wait_for("ready")
            shell.wait_for("now> ")
            tab(shell, LINES)
            tab(shell, [("cellar import users a-f", "cellar import users a-file.jsonl ")])
        shutil.copy(os.path.join(folder, "a-file.jsonl"), os.path.join(folder, "_cellar"))
        with open(os.path.join(folder, "_cellar"), "w", encoding="ascii") as file:
            file.write(cellar(server, "completion", "zsh"))  # as it is installed: autoloaded
        with terminal.Terminal(["zsh", "-f", "-i"], environment(server, folder)) as shell:
            shell.type("fpath=(~ $fpath); autoload -U compinit && compinit -u -D && "
                       "show() { zle -I; print -r -- \"[$BUFFER]\" } && zle -N show && "
                       "bindkey -e && bindkey '^G' show && PS1='now> '; echo rea''dy\n")
            shell.wait_for("ready")
            shell.wait_for("now> ")
            tab(shell, LINES[:6])


def comp_fish_completes(server):
    if shutil.which("fish") is None:
        print("skipped: fish is not installed")
        return
    make_tables(server)
    with tempfile.TemporaryDirectory(prefix="cellar-completion-") as folder:
        open(os.path.join(folder, "a-file.jsonl"), "wb").close()
        script = "cellar completion fish | source\n"
        lines = [*LINES, ("cellar import users a-f", "cellar import users a-file.jsonl ")]
        for line, _ in lines:
            script += f"complete -C \"{line}\"; echo =====\n"
        done = subprocess.run(["fish", "--no-config", "-c", script], cwd=folder, check=False,
                              env={**os.environ, **environment(server, folder)},
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=300)
        assert done.returncode == 0, done
        answers = done.stdout.decode().split("=====\n")
        for (line, wanted), answer in zip(lines, answers):
            words = [entry.split("\t")[0] for entry in answer.splitlines()]
            typed = line.rsplit(" ", 1)[0] + " "
            expected = [] if wanted == line else [wanted[len(typed):].rstrip(" ")]
            assert words == expected, (line, words, done.stderr)


# ---- the pages ----------------------------------------------------------------------------------

def comp_pages_are_taken_without_a_warning(server):
    checkers = [command for command in (["man", "--warnings", "-l"], ["groff", "-Tutf8", "-man", "-ww", "-z"],
                                        ["mandoc", "-T", "utf8", "-W", "warning"])
                if shutil.which(command[0])]
    if not checkers:
        print("skipped: neither man nor groff nor mandoc is installed")
        return
    verbs = re.findall(r"^  ([a-z][a-z-]*(?: [a-z]+)?)  +[A-Z]", cellar(server, "help"), re.M)
    assert len(verbs) > 10, verbs
    with tempfile.TemporaryDirectory(prefix="cellar-completion-") as folder:
        for verb in ["", *verbs]:
            path = os.path.join(folder, f"cellar-{verb.replace(' ', '-')}.1".replace("-.", "."))
            with open(path, "w", encoding="utf-8") as file:
                file.write(cellar(server, "man", *verb.split()))
            for checker in checkers:
                done = subprocess.run([*checker, path], capture_output=True, check=False,
                                      timeout=120, env={**os.environ, "LC_ALL": "C.UTF-8",
                                                        "MANPAGER": "cat", "MANWIDTH": "100"})
                assert done.returncode == 0 and done.stderr == b"", (verb, checker, done.stderr)
                if checker[0] == "man":
                    text = done.stdout.decode()
                    assert "EXIT STATUS" in text and "--endpoint" in text, text
                    assert "write \\xNN for a byte and \\\\ for a" in text or verb, text
        assert cellar(server, "man", "nonsense", code=2) == ""


def main():
    tests = [(name[5:], run_test) for name, run_test in globals().items()
             if name.startswith("comp_")]
    wanted = sys.argv[1:] or [name for name, _ in tests]
    for name, run_test in tests:
        if name in wanted:
            with tempfile.TemporaryDirectory(prefix="cellar-completion-") as folder:
                with native.Server(os.path.join(folder, "data")).start() as server:
                    run_test(server)
            print(f"ok {name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
