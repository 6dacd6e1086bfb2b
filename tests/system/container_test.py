"""The image of docker/Dockerfile, built and run as docker/compose.yaml says, without an engine.

tests/support/cellar_image.py says how. Each function below whose name begins with `image_` is one
test. Needs the packages of the kind `image`; the images stay in build/PRESET/container.

    container_test.py NAME ...    only these, without `image_`
"""
# ctest-timeout: 1800
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cellar_image  # noqa: E402
from cellar_image import Container, make_volume  # noqa: E402

try:
    import yaml
except ImportError:
    cellar_image.skip("python3-yaml is not installed (docker/install.sh)")

TAG = "localhost/cellar"
ADDED_BYTES_MAX = 20 << 20


class Bench:
    """What the tests share: the built image, its files, the compose file, a folder of their own."""

    def __init__(self, builder, mount, folder):
        self.builder, self.mount, self.folder = builder, mount, folder
        self.config = builder.config(TAG)
        with open(os.path.join(cellar_image.ROOT, "docker/compose.yaml"), encoding="utf-8") as file:
            self.services = yaml.safe_load(file)["services"]
        self.health = self.config["Healthcheck"]["Test"][1:]
        self.hosts = os.path.join(folder, "hosts")
        with open(self.hosts, "w", encoding="ascii") as file:
            file.write("127.0.0.1 localhost\n127.0.0.2 server\n")

    def volume(self, name):
        return make_volume(os.path.join(self.folder, name), self.mount)

    def server(self, name, volume, **changes):
        """The compose file's server, on that volume."""
        return Container(self.folder, name, self.config, {**self.services["server"], **changes},
                         self.mount, binds={"/data": volume, "/etc/hosts": self.hosts})

    def cli(self, server, *command):
        """The compose file's tool, on the server's network: (exit code, output and errors)."""
        service = {**self.services["cli"], "command": list(command)}
        with Container(self.folder, "cli", self.config, service, self.mount, beside=server,
                       binds={"/etc/hosts": self.hosts}) as container:
            return container.wait(), container.output()

    def ok(self, server, *command):
        code, output = self.cli(server, *command)
        assert code == 0, (command, code, output)
        return output


def status_of(container):
    """What the kernel says about its process 1."""
    with open(f"/proc/{container.pid}/status", encoding="ascii") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file)


def image_is_small_and_says_what_it_is(bench):
    config = bench.config
    assert config["Entrypoint"] == ["cellard"] and not config.get("Cmd"), config
    assert config["Healthcheck"]["Test"][:4] == ["CMD", "cellar", "ping", "--ready"], config
    assert list(config["ExposedPorts"]) == ["8086/tcp"] and list(config["Volumes"]) == ["/data"]
    assert config["StopSignal"] == "SIGTERM", config
    assert config["User"].split(":")[0] not in ("", "0", "root"), config
    assert config["Labels"]["org.opencontainers.image.title"] == "cellar"
    added = bench.builder.size(TAG) - bench.builder.size(cellar_image.BASE)
    print(f"the image adds {added / 1e6:.1f} MB to its base")
    assert added < ADDED_BYTES_MAX, added
    for absent in ("usr/bin/gcc", "usr/bin/cmake", "src", "usr/local/include/cellar"):
        assert not os.path.lexists(os.path.join(bench.mount.path, absent)), absent


def image_is_not_open_unasked(bench):
    with bench.server("unasked", bench.volume("unasked-data"), command=[]) as server:
        assert server.wait() == 2, server.output()
        assert "--insecure" in server.output(), server.output()


def image_serves_as_composed(bench):
    """Process 1, no rights, nothing but /data to write to; the tool reaches it by its name."""
    with bench.server("server", bench.volume("data")) as server:
        server.wait_healthy(bench.health)
        status = status_of(server)
        assert status["Name"] == "cellard" and status["NSpid"].split()[-1] == "1", status
        assert set(status["Uid"].split()) == {"8086"} and status["NoNewPrivs"] == "1", status
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[kind], 16) == 0, status
        with open(f"/proc/{server.pid}/mountinfo", encoding="utf-8") as file:
            options = {line.split()[4]: line.split()[5].split(",") for line in file}
        assert "ro" in options["/"] and "rw" in options["/data"], options
        assert "ready" in bench.ok(server, "ping", "--ready")
        bench.ok(server, "table", "create", "t", "--family", "f")
        bench.ok(server, "set", "t", "row", "f:q=before the stop")
        assert "before the stop" in bench.ok(server, "get", "t", "row")
        assert server.stop() == 0, server.output()
        assert "stopped" in server.output(), server.output()
    with bench.server("server-again", bench.folder + "/data") as server:
        server.wait_healthy(bench.health)
        assert "before the stop" in bench.ok(server, "get", "t", "row")
        server.signal("KILL")
        server.wait()
    with bench.server("server-killed", bench.folder + "/data") as server:
        server.wait_healthy(bench.health)
        assert "before the stop" in bench.ok(server, "get", "t", "row")
        assert server.stop() == 0, server.output()


def image_runs_as_any_user(bench):
    """`--user 12345`: a user without a name, in group 0."""
    with bench.server("any-user", bench.volume("any-user-data"), user="12345") as server:
        server.wait_healthy(bench.health)
        assert set(status_of(server)["Uid"].split()) == {"12345"}
        bench.ok(server, "table", "create", "t", "--family", "f")
        bench.ok(server, "set", "t", "row", "f:q=v")
        assert "v" in bench.ok(server, "get", "t", "row")
        assert server.stop() == 0, server.output()


def image_health_check_notices(bench):
    """No server, or not this one: the check fails."""
    service = {**bench.services["cli"], "entrypoint": bench.health[:1], "command": bench.health[1:],
               "environment": {}}
    with Container(bench.folder, "health", bench.config, service, bench.mount) as container:
        assert container.wait() == 5, container.output()


def image_says_what_hinders_it(bench):
    """A volume that belongs to somebody else."""
    volume = bench.volume("foreign-data")
    os.chown(volume, 4321, 4321)
    os.chmod(volume, 0o700)
    with bench.server("foreign", volume) as server:
        assert server.wait() == 1, server.output()
        assert "/data" in server.output() and "ermission" in server.output(), server.output()


def main():
    tests = [(name[6:], test) for name, test in globals().items() if name.startswith("image_")]
    wanted = sys.argv[1:] or [name for name, _ in tests]
    with cellar_image.open_builder() as builder:
        builder.build(TAG)
        with tempfile.TemporaryDirectory(prefix="cellar-container-") as folder, \
                builder.mounted(TAG) as mount:
            bench = Bench(builder, mount, folder)
            for name, test in tests:
                if name in wanted:
                    test(bench)
                    print(f"ok {name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
