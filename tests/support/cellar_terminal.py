"""A program on a pseudo-terminal: what a person sees of it and types to it.

    with Terminal(["cellar", "table", "drop", "t"]) as terminal:
        terminal.wait_for("Type the name")
        terminal.type("t\n")
        code = terminal.end()
        print(terminal.output)

Nothing here waits for a time to pass: wait_for() ends when the text is there, and the test fails
when it is not within WAIT_SECONDS_MAX.
"""
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time

WAIT_SECONDS_MAX = 120


class Terminal:
    """One process whose three files are a terminal of its own; output holds all it printed."""

    def __init__(self, command, environment=None, rows=40, columns=200):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        settings = {"TERM": "xterm", **os.environ, **(environment or {})}
        try:
            # A session of its own, so that the terminal's Ctrl-C reaches the program alone.
            self.process = subprocess.Popen(
                command, stdin=slave, stdout=slave, stderr=slave, close_fds=True, env=settings,
                preexec_fn=lambda: (os.setsid(), fcntl.ioctl(0, termios.TIOCSCTTY, 0)))
        finally:
            os.close(slave)
        self.output = b""
        self.seen = 0  # what wait_for() has passed

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)

    def read(self, seconds):
        """Takes what comes within that time; False at the terminal's end."""
        ready, _, _ = select.select([self.master], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError:  # the other side is closed
            return False
        self.output += data
        return bool(data)

    def wait_for(self, text):
        """Until the text is printed behind what was waited for before; fails when it never is."""
        wanted = text.encode() if isinstance(text, str) else text
        end = time.monotonic() + WAIT_SECONDS_MAX
        while wanted not in self.output[self.seen:]:
            alive = self.read(0.1)
            if (not alive and wanted not in self.output[self.seen:]) or time.monotonic() > end:
                raise AssertionError(f"{wanted!r} does not come; the terminal shows "
                                     f"{self.output!r}")
        self.seen = self.output.index(wanted, self.seen) + len(wanted)

    def type(self, text):
        data = text.encode() if isinstance(text, str) else text
        while data:
            data = data[os.write(self.master, data):]

    def end(self):
        """Reads to the end of the program: its exit code."""
        end = time.monotonic() + WAIT_SECONDS_MAX
        while self.read(0.1) and self.process.poll() is None:
            if time.monotonic() > end:
                raise AssertionError(f"it does not end; the terminal shows {self.output!r}")
        while select.select([self.master], [], [], 0)[0] and self.read(0):
            pass
        return self.process.wait(WAIT_SECONDS_MAX)


# Characters that a terminal obeys, hides or turns around; written here anew, not taken from the C.
HIDDEN = ([(0x00, 0x08), (0x0b, 0x0c), (0x0e, 0x1f), (0x7f, 0x9f), (0xad, 0xad), (0x61c, 0x61c),
           (0x200b, 0x200f), (0x2028, 0x202e), (0x2060, 0x206f), (0xfeff, 0xfeff),
           (0xfff9, 0xfffb), (0xe0000, 0xe0fff)])


def unsafe_in(data):
    """The first thing in the bytes that a terminal would not simply show, or None."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"no UTF-8: {error}"
    for at, character in enumerate(text):
        code = ord(character)
        if any(first <= code <= last for first, last in HIDDEN):
            return f"U+{code:04X} in {text[max(0, at - 40):at + 40]!r}"
    return None


if __name__ == "__main__":
    sys.exit("this is a module of the tests")
