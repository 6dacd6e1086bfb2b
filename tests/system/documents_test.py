"""The commands of the documents are run, and print what the documents show.

In a document, commands stand in fenced blocks marked `sh`. The blocks of one document are run in
order, in one shell, and none may fail; a `text` block right below shows what its block prints, on
both outputs. In it `...` stands for anything: within a line for a part of it, alone on a line for
any number of lines. What a test cannot run carries the reason in the line above the block:

    <!-- not run: needs a container engine -->

Commands do not stand anywhere else: an indented block that begins like one fails the test.

Each document gets a directory of its own with links to the project's files, the programs in its
PATH, and the loopback interface of a network namespace of its own, where 127.0.0.1:8086 is free: so
the text runs as it stands. A server is running there, unless the document starts one. Where
namespaces are not permitted the port of this machine is used if it is free.

    documents_test.py [NAME ...]    only these documents
"""
# ctest-timeout: 1200
import ctypes
import fcntl
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD_DIR = os.path.abspath(os.environ.get("CELLAR_BUILD_DIR", os.path.join(ROOT, "build", "dev")))
BIN = os.path.join(BUILD_DIR, "bin")
ENDPOINT = ("127.0.0.1", 8086)
WAIT_SECONDS_MAX = 120
SHELL_SECONDS_MAX = 900

# Name, and whether the document starts its servers itself.
DOCUMENTS = {
    "README.md": True,
    "client/README.md": False,
    "docker/README.md": False,
    "server/OPERATING.md": True,
    "tests/README.md": False,
    "tests/bench/README.md": True,
}
COMMAND = re.compile(r" {4}(?:\$ )?(?:sudo |[A-Z_]+=\S+ )*(?:\./|tests/|docker |docker/|cmake |"
                     r"ctest |apt-get |cellard\b|cellar [a-z]|build/|export |curl )")
NOT_RUN = re.compile(r"<!-- not run: (.+) -->$")


# ---- reading ------------------------------------------------------------------------------------

class Block:
    """A fenced block: kind, first line's number, text, the marker's reason, what it prints."""

    def __init__(self, kind, line, text, reason):
        self.kind, self.line, self.text, self.reason = kind, line, text, reason
        self.shown = None


def blocks_of(name, text):
    """The `sh` blocks of a document, each with the `text` block right below it."""
    lines, found, at, previous = text.splitlines(), [], 0, None
    while at < len(lines):
        line = lines[at]
        if not line.startswith("```"):
            assert not COMMAND.match(line), f"{name}:{at + 1}: a command, but not ```sh: {line}"
            previous = previous if not line else None
            at += 1
            continue
        end = lines.index("```", at + 1)
        marker = NOT_RUN.match(lines[at - 1]) if at > 0 else None
        block = Block(line[3:].strip(), at + 2, "\n".join(lines[at + 1:end]),
                      marker.group(1) if marker else None)
        if block.kind == "sh":
            found.append(block)
        elif block.kind == "text" and previous is not None and previous.kind == "sh":
            previous.shown = block.text
        assert block.kind not in ("bash", "shell", "console"), f"{name}:{at + 1}: write ```sh"
        previous, at = block, end + 1
    return found


def pattern_of(shown):
    """A regular expression for the output that a document shows."""
    parts = []
    for line in shown.splitlines():
        if line.strip() == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            pieces = [re.escape(piece) for piece in line.rstrip().split("...")]
            parts.append(r".*".join(pieces) + r"[ ]*\n")
    return re.compile("".join(parts))


def check_reader():
    """The rules above, on a document that breaks or keeps them."""
    text = ("```sh\na\n```\n\n```text\nx ... z\n...\nend\n```\n"
            "<!-- not run: why -->\n```sh\nb\n```\n")
    first, second = blocks_of("self", text)
    assert (first.text, first.reason, second.reason, second.shown) == ("a", None, "why", None)
    pattern = pattern_of(first.shown)
    assert pattern.fullmatch("x y z\nend\n") and pattern.fullmatch("x z z\n1\n2\nend\n")
    assert not pattern.fullmatch("x y\nend\n") and not pattern.fullmatch("x y z\nend\nmore\n")
    assert not pattern.fullmatch("x\ny z\nend\n")
    for bad in ("    cellar get t r\n", "    $ ./tests/all.sh\n", "```bash\n```\n"):
        try:
            blocks_of("self", bad)
        except AssertionError:
            continue
        raise AssertionError(f"was not refused: {bad}")


# ---- running ------------------------------------------------------------------------------------

def enter_network():
    """A network namespace of our own, its loopback up; False where that is not permitted."""
    new_user, new_net = 0x10000000, 0x40000000
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(new_net if user == 0 else new_user | new_net) != 0:
        return False
    if user != 0:
        for name, line in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"),
                           ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(line)
    get_flags, set_flags, is_up = 0x8913, 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = fcntl.ioctl(any_socket, get_flags, struct.pack("16sH22x", b"lo", 0))
        (flags,) = struct.unpack_from("H", request, 16)
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sH22x", b"lo", flags | is_up))
    return True


def port_is_free():
    with socket.socket() as any_socket:
        any_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            any_socket.bind(ENDPOINT)
        except OSError:
            return False
    return True


def wait_until(condition, what):
    end = time.monotonic() + WAIT_SECONDS_MAX
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def make_folder(folder):
    """The project as links, so that a document finds its files and leaves none behind."""
    for name in os.listdir(ROOT):
        if name not in ("build", ".git", "cellar-data"):
            os.symlink(os.path.join(ROOT, name), os.path.join(folder, name))
    for preset in ("dev", "release"):  # what is being tested stands for every build
        os.makedirs(f"{folder}/build/{preset}")
        for name in os.listdir(BUILD_DIR):
            os.symlink(os.path.join(BUILD_DIR, name), f"{folder}/build/{preset}/{name}")


def script_of(blocks, folder):
    """One shell for all blocks; the output of each goes to a file, `done` has the last's number."""
    lines = ["set -euo pipefail",
             "trap 'code=$?; jobs -p | xargs -r kill 2>/dev/null; wait; exit $code' EXIT"]
    for index, block in enumerate(blocks):
        with open(f"{folder}/block.{index}", "w", encoding="utf-8") as file:
            file.write(block.text + "\n")
        lines += [f'exec >"$BLOCKS/output.{index}" 2>&1', f'. "$BLOCKS/block.{index}"',
                  f'echo {index} >"$BLOCKS/done"']
    return "\n".join(lines) + "\n"


def output_of(folder, index):
    path = f"{folder}/output.{index}"
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def run_blocks(name, blocks, folder, work):
    """Runs the blocks and compares; asserts at the first that is wrong."""
    environment = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": work, "TMPDIR": folder,
                   "LC_ALL": "C.UTF-8", "BLOCKS": folder}
    shell = subprocess.Popen(["bash", "-c", script_of(blocks, folder)], cwd=work, env=environment,
                             stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        code = shell.wait(SHELL_SECONDS_MAX)
    finally:
        try:
            os.killpg(shell.pid, signal.SIGKILL)  # what a block left running
        except ProcessLookupError:
            pass
        shell.wait()
    done = -1
    if os.path.exists(folder + "/done"):
        with open(folder + "/done", encoding="ascii") as file:
            done = int(file.read())
    for index, block in enumerate(blocks):
        output = output_of(folder, index)
        place = f"{name}:{block.line}"
        assert index <= done, f"{place}: fails ({code}):\n{block.text}\n--- prints\n{output}"
        if block.shown is not None:
            assert pattern_of(block.shown).fullmatch(output), \
                f"{place}:\n{block.text}\n--- prints\n{output}--- and not\n{block.shown}"
    assert code == 0, (name, code)


class Server:
    """The cellard of a document that does not start its own."""

    def __init__(self, folder):
        port_file = folder + "/port"
        with open(folder + "/cellard.log", "wb") as log:
            self.process = subprocess.Popen(
                [BIN + "/cellard", "--data-dir", folder + "/data", "--port-file", port_file],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(lambda: os.path.exists(port_file) or self.process.poll() is not None, "a server")
        assert self.process.poll() is None, "cellard did not start"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            code = self.process.wait(WAIT_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        assert code == 0, code


def run_document(name, blocks):
    for block in blocks:
        if block.reason is not None:
            print(f"not run: {name}:{block.line}: {block.reason}")
    blocks = [block for block in blocks if block.reason is None]
    if not blocks:
        return
    wait_until(port_is_free, f"{ENDPOINT} is in use")
    with tempfile.TemporaryDirectory(prefix="cellar-documents-") as folder:
        work = folder + "/cellar"
        os.mkdir(work)
        make_folder(work)
        if DOCUMENTS[name]:
            run_blocks(name, blocks, folder, work)
        else:
            with Server(folder):
                run_blocks(name, blocks, folder, work)
    print(f"ok {name}: {len(blocks)} blocks", flush=True)


def main():
    check_reader()
    if shutil.which("bash") is None:
        print("skipped: bash is not installed")
        return 77
    if not enter_network() and not port_is_free():
        print("skipped: network namespaces are not permitted here, and 127.0.0.1:8086 is in use")
        return 77
    for name in sys.argv[1:] or DOCUMENTS:
        path = os.path.join(ROOT, name)
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                run_document(name, blocks_of(name, file.read()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
