"""The quick start of README.md on a fresh Debian: installs, builds, serves, imports, reads.

The Debian is the base image of tests/support/cellar_image.py, which holds a package manager and
little else; the project is copied there without what was built. The script runs as process 1 of a
process namespace, so that whatever it leaves running ends with it.
"""
# ctest-timeout: 1800
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_image  # noqa: E402

# A first time, as README.md says; the server it leaves running is stopped as it says. Then again.
SCRIPT = r"""
set -euo pipefail
cd /cellar
quick_start() {
    ./docker/quickstart.sh | tee /output
    export CELLAR_ENDPOINT=$(sed -n 's/.* serves on \([^;]*\);.*/\1/p' /output)
    echo "count $(build/release/bin/cellar count packages)"
    $(sed -n 's/.*stop it with: //p' /output)
    while build/release/bin/cellar ping >/dev/null 2>&1; do sleep 0.1; done
    echo stopped
}
export CELLAR_LISTEN=127.0.0.1:0
quick_start
quick_start
"""
ENTER = """
mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" bash -c "$1"
"""
NAMESPACE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER]
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
               "HOME": "/tmp"}
NOT_COPIED = shutil.ignore_patterns("build", ".git", "cellar-data", "__pycache__")


def run_quick_start(root):
    shutil.copytree(cellar_image.ROOT, root + "/cellar", ignore=NOT_COPIED, symlinks=True)
    shutil.copyfile("/etc/resolv.conf", root + "/etc/resolv.conf")
    done = subprocess.run([*NAMESPACE, root, SCRIPT], env=ENVIRONMENT, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stdout[-5000:])
    return done.stdout


def check_output(output):
    first, second = output.split("\nstopped\n")[:2]
    assert first.startswith("installing: ") and "installing: " not in second, output
    assert "2 families, 4 tablets" in first, first
    assert "families" not in second, second  # the table is there already
    assert re.search(r"^bash\n  d:Depends .*\n  f:Version ", first, flags=re.MULTILINE), first
    counts = re.findall(r"^count (\d+)$", output, flags=re.MULTILINE)
    assert len(counts) == 2 and counts[0] == counts[1] and int(counts[0]) > 10000, counts
    print(f"{counts[0]} packages, twice")


def main():
    with cellar_image.open_builder() as builder, builder.mounted(cellar_image.BASE) as mount:
        check_output(run_quick_start(mount.path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
