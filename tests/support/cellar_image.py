"""Builds the image of docker/Dockerfile and runs containers of it, without an engine.

Builder is buildah with a store of its own below the build directory, kept so that the next run
finds the layers that did not change; its base image is a Debian made by mmdebstrap. Container is
one container run by crun from the image's settings and those of a service of docker/compose.yaml,
as an engine would put them together. What the machine does not have, or does not permit, skips the
test.
"""
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD_DIR = os.environ.get("CELLAR_BUILD_DIR", os.path.join(ROOT, "build", "dev"))
WAIT_SECONDS_MAX = 120
BASE = "docker.io/library/debian:12-slim"
TOOLS = ("buildah", "crun", "mmdebstrap", "unshare")

# What an engine gives a container that drops nothing.
USUAL_CAPABILITIES = ["CAP_" + name for name in (
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE "
    "SYS_CHROOT KILL AUDIT_WRITE").split()]

# crun refuses a machine with both versions of control groups, and the test needs none: the second
# version is taken away in a mount namespace of our own.
CRUN_SHELL = "mountpoint -q /sys/fs/cgroup/unified && umount /sys/fs/cgroup/unified; exec \"$@\""


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def check_tools():
    for tool in TOOLS:
        if shutil.which(tool) is None:
            skip(f"{tool} is not installed (docker/install.sh image)")
    if os.geteuid() != 0:
        skip("making and mounting images needs root")


def run(*command, **settings):
    """Runs a command to its end; (exit code, standard output, standard error)."""
    done = subprocess.run(command, text=True, stdin=subprocess.DEVNULL, capture_output=True,
                          check=False, **settings)
    return done.returncode, done.stdout, done.stderr


@contextlib.contextmanager
def open_builder():
    """The builder of this build directory, its base image made; one user at a time."""
    check_tools()
    folder = os.path.join(BUILD_DIR, "container")
    os.makedirs(folder, exist_ok=True)
    with open(folder + "/lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        builder = Builder(folder)
        builder.ensure_base()
        yield builder


class Builder:
    """An image store in `folder`, and what is built in it."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder + "/tmp", exist_ok=True)
        self.environment = {**os.environ, "TMPDIR": folder + "/tmp"}
        self.options = []
        for driver in ("overlay", "vfs"):
            self.options = ["--root", f"{folder}/{driver}", "--runroot", f"{folder}/{driver}-run",
                            "--storage-driver", driver]
            code, _, errors = self.try_buildah("images")
            if code == 0:
                break
        else:
            skip(f"buildah cannot keep images here: {errors.strip()}")
        self.buildah("rm", "--all")  # what a killed run left

    def try_buildah(self, *arguments):
        return run("buildah", *self.options, *arguments, env=self.environment)

    def buildah(self, *arguments):
        code, output, errors = self.try_buildah(*arguments)
        assert code == 0, (arguments, code, output, errors)
        return output.strip()

    def ensure_base(self):
        """The image that the Dockerfile begins with: a small Debian under the same name."""
        if self.try_buildah("inspect", "--type", "image", BASE)[0] == 0:
            return
        archive = f"{self.folder}/base.tar"
        print("making the base image", flush=True)
        code, _, errors = run("mmdebstrap", "--variant=minbase", "bookworm", archive,
                              env=self.environment)
        if code != 0:
            skip(f"mmdebstrap cannot make a Debian here: {errors.strip()[-500:]}")
        container = self.buildah("from", "scratch")
        self.buildah("add", container, archive, "/")
        code, output, errors = self.try_buildah("run", "--isolation", "chroot", container, "true")
        if code != 0:
            self.buildah("rm", container)
            skip(f"buildah may not run programs here: {(output + errors).strip()[-500:]}")
        self.buildah("commit", "--rm", container, BASE)
        os.unlink(archive)

    def build(self, tag):
        """Builds the image. The first stage gets a name too, so that its layers are kept."""
        start = time.monotonic()
        self.build_stage(f"{tag}-build", "--target", "build")
        self.build_stage(tag)
        self.try_buildah("rmi", "--prune")
        print(f"built the image in {time.monotonic() - start:.0f} s", flush=True)

    def build_stage(self, tag, *options):
        with open(f"{self.folder}/build.log", "w+", encoding="utf-8") as log:
            code = subprocess.run(
                ["buildah", *self.options, "build", "--isolation", "chroot", "--pull-never",
                 "--layers", "--format", "docker", "--file", "docker/Dockerfile", "--tag", tag,
                 *options, "."],
                cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, check=False).returncode
            log.seek(0)
            assert code == 0, log.read()[-5000:]

    def config(self, image):
        """The image's settings: Entrypoint, Cmd, Env, User and so on, as engines name them."""
        return json.loads(self.buildah("inspect", "--type", "image", image))["Docker"]["config"]

    def size(self, image):
        """Bytes of its files."""
        with self.mounted(image) as mount:
            output = run("du", "--summarize", "--bytes", "--one-file-system", mount.path)[1]
            return int(output.split()[0])

    def mounted(self, image):
        return Mount(self, image)


class Mount:
    """An image's files in a folder, while the `with` lasts."""

    def __init__(self, builder, image):
        self.builder = builder
        self.container = builder.buildah("from", "--pull-never", image)
        self.path = builder.buildah("mount", self.container)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.builder.buildah("umount", self.container)
        self.builder.buildah("rm", self.container)


def make_volume(path, mount, at="/data"):
    """A new volume takes owner and mode of the folder in the image that it covers."""
    os.mkdir(path)
    image_folder = os.stat(mount.path + at)
    os.chown(path, image_folder.st_uid, image_folder.st_gid)
    os.chmod(path, image_folder.st_mode & 0o7777)
    return path


def user_of(text):
    """`--user UID[:GID]`: without a group it is group 0."""
    user, _, group = text.partition(":")
    return {"uid": int(user), "gid": int(group or 0)}


def process_of(image, service):
    """What runs, as whom, with which rights: the service's word before the image's."""
    entry, usual = service.get("entrypoint"), []
    if not entry:
        entry, usual = image["Entrypoint"], image.get("Cmd") or []
    command = service.get("command") or usual
    environment = [f"{name}={value}" for name, value in service.get("environment", {}).items()]
    dropped = service.get("cap_drop", [])
    kept = [] if dropped == ["ALL"] else [
        name for name in USUAL_CAPABILITIES if name[len("CAP_"):] not in dropped]
    user = user_of(service.get("user") or image["User"])
    usable = kept if user["uid"] == 0 else []
    return {
        "terminal": False, "user": user, "args": entry + command, "cwd": image["WorkingDir"] or "/",
        "env": image["Env"] + environment,
        "capabilities": {"bounding": kept, "permitted": usable, "effective": usable,
                         "inheritable": [], "ambient": []},
        "noNewPrivileges": "no-new-privileges:true" in service.get("security_opt", [])}


def specification(image, service, files, binds, network):
    """The runtime's config.json. `binds` maps paths in the container to folders or files."""
    mounts = [{"destination": "/proc", "type": "proc", "source": "proc"},
              {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
               "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
              {"destination": "/sys", "type": "bind", "source": "/sys",
               "options": ["rbind", "ro", "nosuid", "nodev", "noexec"]}]
    mounts += [{"destination": at, "type": "bind", "source": source, "options": ["bind", "rw"]}
               for at, source in binds.items()]
    namespaces = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]
    namespaces.append({"type": "network", **({"path": network} if network else {})})
    return {"ociVersion": "1.0.2", "hostname": "cellar", "process": process_of(image, service),
            "root": {"path": files, "readonly": bool(service.get("read_only"))},
            "mounts": mounts, "linux": {"namespaces": namespaces}}


class Container:
    """One container; ends with the `with` at the latest."""

    def __init__(self, folder, name, image, service, mount, binds=None, beside=None):
        """`beside`: a running container whose network this one shares."""
        self.folder = os.path.join(folder, name)
        self.name = f"{name}-{os.getpid()}"
        self.state = os.path.join(folder, "crun")
        os.makedirs(self.folder, exist_ok=True)
        network = f"/proc/{beside.pid}/ns/net" if beside else None
        with open(self.folder + "/config.json", "w", encoding="utf-8") as file:
            json.dump(specification(image, service, mount.path, binds or {}, network), file)
        self.output_path = self.folder + "/output"
        self.pid_path = self.folder + "/pid"
        if os.path.exists(self.pid_path):
            os.unlink(self.pid_path)
        with open(self.output_path, "wb") as output:
            self.process = subprocess.Popen(
                self.crun("run", "--bundle", self.folder, "--pid-file", self.pid_path, self.name),
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        run(*self.crun("delete", "--force", self.name))
        self.process.wait()

    def crun(self, *arguments):
        return ["unshare", "--mount", "sh", "-c", CRUN_SHELL, "sh", "crun", "--root", self.state,
                "--cgroup-manager", "disabled", *arguments]

    def output(self):
        with open(self.output_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait(self):
        """Its exit code, once it ends by itself."""
        return self.process.wait(WAIT_SECONDS_MAX)

    @property
    def pid(self):
        """Process 1 of the container, as this machine numbers it."""
        with open(self.pid_path, encoding="ascii") as file:
            return int(file.read())

    def execute(self, *command):
        """Runs a program in the container."""
        return run(*self.crun("exec", self.name, *command))

    def wait_healthy(self, command):
        """Until the health check succeeds."""
        end = time.monotonic() + WAIT_SECONDS_MAX
        while True:
            code, output, errors = self.execute(*command)
            if code == 0:
                return
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < end, (code, output, errors, self.output())
            time.sleep(0.1)

    def signal(self, name):
        code, output, errors = run(*self.crun("kill", self.name, name))
        assert code == 0, (output, errors)

    def stop(self):
        """As an engine stops it: the exit code after SIGTERM."""
        self.signal("TERM")
        return self.wait()
