"""The operators' page (server/OPERATING.md) against the program: settings, metrics, log events, the unit.

Each function below whose name begins with `page_` is one test.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_native as native  # noqa: E402
import prometheus_text  # noqa: E402

SERVER = os.path.join(native.ROOT, "server")
EVENT = re.compile(r'cellar_log\(\s*CELLAR_LOG_(INFO|WARN|ERROR),\s*"(\w+)"')


def read(*parts):
    with open(os.path.join(native.ROOT, *parts), encoding="utf-8") as file:
        return file.read()


def table(first_header):
    """The rows of the page's table whose first column is called that, as lists of cells."""
    lines = iter(read("server", "OPERATING.md").splitlines())
    for line in lines:
        if line.startswith(f"| {first_header} |"):
            break
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    assert rows, first_header
    return rows


def names(cell):
    return re.findall(r"`([^`]*)`", cell)


def page_settings(_folder):
    printed = subprocess.run([native.CELLARD, "--print-config"], capture_output=True, text=True,
                             check=True, timeout=60, env={"PATH": os.environ["PATH"]}).stdout
    settings = {}
    for line in printed.splitlines():
        name, value = line.split(" # ")[0].split(" =", 1)
        settings[name] = value.strip()
    rows = table("setting")
    documented = {names(row[0])[0]: "".join(names(row[1])) for row in rows}
    assert documented == settings, set(documented.items()) ^ set(settings.items())
    assert [names(row[0])[0] for row in rows] == list(settings), "not in the order of --print-config"
    live = set(re.findall(r'LIVE_\w+\("([a-z-]+)"', read("server", "app", "server_config.c")))
    reloaded = {names(row[0])[0] for row in rows if row[2] == "yes"}
    assert reloaded == {name.replace("-", "_") for name in live}, reloaded
    assert {row[2] for row in rows} == {"yes", "no"}


def page_metrics(folder):
    with native.Server(os.path.join(folder, "data"), ["--log-segment-bytes=4m"]).start() as server:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{server.port}/metrics", timeout=60) as answer:
            page = prometheus_text.parse(answer.read().decode())
        server.stop()
    rows = table("metric")
    documented = {names(row[0])[0]: (row[1], row[3]) for row in rows}
    shown = {name: (kind, page.helps[name]) for name, kind in page.types.items()}
    assert documented == shown, set(documented.items()) ^ set(shown.items())
    labels = {}
    for (sample, pairs) in page.samples:
        labels.setdefault(page.family(sample), set()).update(name for name, _ in pairs if name != "le")
    for row in rows:
        name = names(row[0])[0]
        assert set(names(row[2])) == labels[name], (name, row[2], labels[name])
    for text in re.findall(r"`([^`]*cellar_[^`]*)`", read("server", "OPERATING.md")):
        for name in re.findall(r"\b(?:cellar|process)_[a-z_]+", text):
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            assert name in shown or base in shown, f"`{text}` speaks of a metric that is not there"


def page_log_events(_folder):
    """Every event from level info up is on the page, and the page has no other."""
    logged, sources = {}, ""
    for folder, _, files in os.walk(SERVER):
        for name in files:
            if name.endswith(".c"):
                text = read(folder, name)
                sources += text
                for level, event in EVENT.findall(text):
                    logged.setdefault(event, set()).add(level.lower())
    documented = {}
    for row in table("event"):
        for event in names(row[0]):
            documented[event] = (set(row[1].split(", ")), names(row[2]))
    missing = set(logged) - set(documented)
    assert not missing, f"events that the page does not have: {missing}"
    for event, (levels, keys) in documented.items():
        assert f'"{event}"' in sources, f"the page has an event that nobody logs: {event}"
        assert logged.get(event, levels) == levels, (event, levels, logged[event])
        for key in keys:
            assert f"{key}=" in sources, (event, key)


def page_unit_is_one(_folder):
    """The unit for systemd is one that systemd understands."""
    if shutil.which("systemd-analyze") is None:
        print("systemd-analyze is not installed: the unit was not tried")
        return
    with tempfile.TemporaryDirectory(prefix="cellar-unit-") as folder:
        path = os.path.join(folder, "cellard.service")
        text = read("docker", "cellard.service").replace("/usr/bin/cellard", os.path.realpath(native.CELLARD))
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True,
                              timeout=60, check=False)
        findings = [line for line in (done.stdout + done.stderr).splitlines() if "cellard.service" in line]
        assert not findings, findings


def main():
    tests = [(name[5:], run_test) for name, run_test in globals().items() if name.startswith("page_")]
    wanted = sys.argv[1:] or [name for name, _ in tests]
    for name, run_test in tests:
        if name in wanted:
            with tempfile.TemporaryDirectory(prefix="cellar-page-") as folder:
                run_test(folder)
            print(f"ok {name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
