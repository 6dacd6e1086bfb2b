"""family, table truncate and drop-rows of cellar: what they do, say, ask and refuse.

Each function below whose name begins with `verb_` is one test, with a server of its own.

    drop_verbs_test.py NAME ...    only these, without `verb_`
"""
import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_native as native  # noqa: E402
import cellar_terminal as terminal  # noqa: E402

FULL = "projects/default/instances/default/tables/t"


def cellar(server, *arguments, code=0):
    """cellar without a terminal: (output, errors)."""
    output, errors = native.tool(server, *arguments, code=code)
    assert code != 0 or errors == "", (arguments, errors)
    return output, errors


def out(server, *arguments):
    return cellar(server, *arguments)[0]


def ask(server, answer, *arguments):
    """cellar on a terminal, where a question is answered: (exit code, output)."""
    with terminal.Terminal([native.CELLAR, *arguments], {"CELLAR_ENDPOINT": f"127.0.0.1:{server.port}"}) as screen:
        screen.wait_for("to go on: ")
        screen.type(answer)
        return screen.end(), screen.output.decode()


def families(server):
    described = json.loads(out(server, "table", "describe", "t", "--format", "json"))
    return {family["name"]: family.get("rule") for family in described["families"]}


def fill(server):
    """Table t: families f and g; the rows a1, a2, b1 and \\xff, of which a1 and b1 have cells in g."""
    out(server, "table", "create", "t", "--family", "f", "--family", "g", "--split", "b")
    for row in ("a1", "a2", "b1", "\\xff"):
        out(server, "set", "t", row, "f:q=v")
    for row in ("a1", "b1"):
        out(server, "set", "t", row, "g:q=v")


# ---- families -----------------------------------------------------------------------------------

def verb_families_are_added_and_get_other_rules(server):
    fill(server)
    assert out(server, "family", "add", "t", "h:max-versions=2", "i") == (
        f"added 2 families to {FULL}, which has 4\n")
    assert list(families(server)) == ["f", "g", "h", "i"]
    out(server, "set", "t", "a1", "h:q=v", "i:q=v")
    assert out(server, "family", "set", "t", "i:gc=max-versions=3 and max-age=7d", "h") == (
        f"set the rules of 2 families of {FULL}, which has 4\n")
    shown = out(server, "table", "describe", "t")
    assert "  family  h  keeps everything\n" in shown, shown
    assert "  family  i  gc=max-versions=3 and max-age=7d\n" in shown, shown
    table = json.loads(out(server, "family", "set", "t", "h:max-age=1d", "--format", "json"))
    assert table == json.loads(out(server, "table", "describe", "t", "--format", "json"))


def verb_families_of_one_command_change_as_a_whole(server):
    fill(server)
    _, errors = cellar(server, "family", "add", "t", "h", "f", "i", code=4)
    assert "ALREADY_EXISTS" in errors, errors
    cellar(server, "family", "set", "t", "f:max-versions=1", "nope", code=3)
    cellar(server, "family", "drop", "t", "f", "nope", "--yes", code=3)
    cellar(server, "family", "add", "t", "a b", code=2)
    cellar(server, "family", "add", "nope", "h", code=3)
    assert families(server) == {"f": families(server)["f"], "g": families(server)["g"]}
    assert "  family  f  keeps everything\n" in out(server, "table", "describe", "t")
    assert out(server, "count", "t") == "4\n"


def verb_a_dropped_family_takes_its_cells(server):
    fill(server)
    assert out(server, "family", "drop", "t", "g", "--dry-run") == (
        f"would drop family g of {FULL}, which has cells in 2 rows\n")
    assert out(server, "family", "drop", "t", "f", "g", "--dry-run") == (
        f"would drop families f, g of {FULL}, which have cells in 4 rows\n")
    assert json.loads(out(server, "family", "drop", "t", "g", "--dry-run", "--format", "json")) == {
        "dry_run": True, "name": FULL, "families": 1, "rows": 2, "has_more_rows": False}
    cellar(server, "family", "drop", "t", "nope", "--dry-run", code=3)
    cellar(server, "family", "drop", "t", "g", code=2)
    assert list(families(server)) == ["f", "g"]
    assert out(server, "family", "drop", "t", "g", "--yes") == ""
    cellar(server, "set", "t", "a1", "g:q=v", code=3)
    out(server, "family", "add", "t", "g")
    assert out(server, "scan", "t", "--column", "g") == ""
    assert out(server, "count", "t") == "4\n"


def verb_a_family_is_dropped_when_the_tables_name_is_typed(server):
    fill(server)
    code, output = ask(server, "g\n", "family", "drop", "t", "g")
    assert code == 1 and "Nothing was changed: 't' was not typed" in output, (code, output)
    assert f"family g of {FULL}, which has cells in 2 rows\r\n" in output, output
    assert list(families(server)) == ["f", "g"]
    code, output = ask(server, "t\n", "family", "drop", "t", "g")
    assert code == 0 and list(families(server)) == ["f"], output


# ---- rows ---------------------------------------------------------------------------------------

def verb_rows_of_a_prefix_go(server):
    fill(server)
    assert out(server, "drop-rows", "t", "--prefix", "a", "--dry-run") == (
        f"would drop 2 rows of {FULL} that begin with a\n")
    assert out(server, "drop-rows", "t", "--prefix", "\\xff", "--dry-run") == (
        f"would drop 1 row of {FULL} that begins with \\xff\n")
    assert json.loads(out(server, "drop-rows", "t", "--prefix", "a", "--dry-run", "--format", "json")) == {
        "dry_run": True, "name": FULL, "prefix": "a", "rows": 2, "has_more_rows": False}
    cellar(server, "drop-rows", "t", "--prefix", "a", code=2)
    cellar(server, "drop-rows", "nope", "--prefix", "a", "--yes", code=3)
    assert out(server, "count", "t") == "4\n"
    assert out(server, "drop-rows", "t", "--prefix", "\\xff", "--yes") == ""
    assert out(server, "scan", "t", "--keys-only") == "a1\na2\nb1\n"
    assert out(server, "drop-rows", "t", "--prefix", "a", "--yes") == ""
    assert out(server, "scan", "t", "--keys-only") == "b1\n"
    out(server, "set", "t", "a2", "f:q=again")
    assert out(server, "scan", "t", "--keys-only") == "a2\nb1\n"


def verb_many_rows_are_not_all_counted(server):
    out(server, "table", "create", "t", "--family", "f")
    with native.Connection(server.port) as client:
        for start in range(0, 10001, 2500):
            client.mutate_rows("t", [(f"r{row:05}".encode(), [[0, "f", b"q", 0, b"v"]])
                                     for row in range(start, min(start + 2500, 10001))])
    assert out(server, "drop-rows", "t", "--prefix", "r", "--dry-run") == (
        f"would drop at least 10000 rows of {FULL} that begin with r\n")
    assert json.loads(out(server, "table", "truncate", "t", "--dry-run", "--format", "json")) == {
        "dry_run": True, "name": FULL, "rows": 10000, "has_more_rows": True}


def verb_truncate_keeps_the_table(server):
    fill(server)
    before = families(server)
    assert out(server, "table", "truncate", "t", "--dry-run") == f"would drop all rows of {FULL}: 4 rows\n"
    cellar(server, "table", "truncate", "t", code=2)
    assert out(server, "count", "t") == "4\n"
    assert out(server, "table", "truncate", "t", "--yes") == ""
    assert out(server, "count", "t") == "0\n" and families(server) == before
    out(server, "set", "t", "a1", "f:q=v")
    assert out(server, "count", "t") == "1\n"


def verb_rows_go_when_the_tables_name_is_typed(server):
    fill(server)
    for words in (["drop-rows", "t", "--prefix", "a"], ["table", "truncate", "t"]):
        code, output = ask(server, "y\n", *words)
        assert code == 1 and "Nothing was changed: 't' was not typed" in output, (code, output)
    assert out(server, "count", "t") == "4\n"
    code, output = ask(server, "t\n", "drop-rows", "t", "--prefix", "a")
    assert code == 0 and f"2 rows of {FULL} that begin with a\r\n" in output, output
    assert out(server, "count", "t") == "2\n"
    code, output = ask(server, "t\n", "table", "truncate", "default/default/t")
    assert code == 0 and f"all rows of {FULL}: 2 rows\r\n" in output, output
    assert out(server, "count", "t") == "0\n"


def main():
    tests = [(name[5:], run_test) for name, run_test in globals().items() if name.startswith("verb_")]
    wanted = sys.argv[1:] or [name for name, _ in tests]
    for name, run_test in tests:
        if name in wanted:
            with tempfile.TemporaryDirectory(prefix="cellar-verbs-") as folder:
                with native.Server(os.path.join(folder, "data")).start() as server:
                    run_test(server)
            print(f"ok {name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
