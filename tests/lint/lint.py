"""What the lint tests share: the project's files, C without comments, and one way to report.

A finding is printed as "file:line: what is wrong; what to do", and finish() gives the exit code.
"""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

_findings = 0


def project_files():
    """Paths of all files that are, or would be, in the repository, relative to ROOT, sorted."""
    try:
        output = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        names = [os.fsdecode(name) for name in output.split(b"\0") if name]
    except (OSError, subprocess.CalledProcessError):
        names = []
        for folder, folders, files in os.walk(ROOT):
            folders[:] = [f for f in folders if f not in (".git", "build", "cellar-data")]
            names += [os.path.relpath(os.path.join(folder, f), ROOT) for f in files]
    return sorted(name for name in set(names) if os.path.isfile(os.path.join(ROOT, name)))


def c_files():
    return [name for name in project_files() if name.endswith((".c", ".h"))]


def read_text(name):
    """The text of a file, or None when it is not UTF-8."""
    with open(os.path.join(ROOT, name), "rb") as file:
        try:
            return file.read().decode("utf-8")
        except UnicodeDecodeError:
            return None


_TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def _blank(match):
    text = match.group(0)
    if text[0] in "\"'":
        return text[0] + " " * (len(text) - 2) + text[0]
    return re.sub(r"[^\n]", " ", text)


def c_code(text):
    """C with comments and the insides of strings blanked out; lines and columns stay."""
    return _TOKEN.sub(_blank, text)


def report(name, line, what):
    global _findings
    _findings += 1
    print(f"{name}:{line}: {what}")


def finish():
    if _findings:
        print(f"{_findings} finding(s)")
    sys.exit(1 if _findings else 0)
