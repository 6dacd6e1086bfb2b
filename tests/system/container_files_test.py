"""docker/ without an engine: Dockerfile, compose.yaml and packages.txt say what is there.

Every file they copy exists, every option and variable they set is one of the built programs', the
two files agree on health check, port and data, and the packages to run the programs are those whose
libraries they are linked with. container_test.py builds and runs the image.
"""
import json
import os
import re
import shutil
import subprocess
import sys

try:
    import yaml
except ImportError:
    print("skipped: python3-yaml is not installed (docker/install.sh)")
    sys.exit(77)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD_DIR = os.environ.get("CELLAR_BUILD_DIR", os.path.join(ROOT, "build", "dev"))
CELLARD = os.environ.get("CELLARD", os.path.join(BUILD_DIR, "bin", "cellard"))
CELLAR = os.environ.get("CELLAR", os.path.join(BUILD_DIR, "bin", "cellar"))
KINDS = ("build", "test", "image", "run")


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


def output_of(*command):
    return subprocess.run(command, text=True, capture_output=True, check=True,
                          stdin=subprocess.DEVNULL).stdout


def instructions():
    """The Dockerfile's (WORD, rest), continued lines joined."""
    text = re.sub(r"^#.*\n", "", read("docker/Dockerfile"), flags=re.MULTILINE)
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            word, rest = line.split(None, 1)
            yield word, rest


def all_of(word):
    return [rest for each, rest in instructions() if each == word]


def options_of(text):
    return set(re.findall(r"^  --([a-z-]+)", text, flags=re.MULTILINE))


def check_command(command):
    """A command of the tool: its verb exists and has these options."""
    assert command[0] == "cellar", command
    known = options_of(output_of(CELLAR, "help", command[1]))
    for word in command[2:]:
        assert not word.startswith("--") or word[2:].split("=")[0] in known, (command, known)


def health_check():
    """The Dockerfile's health check, as a list of words."""
    (text,) = all_of("HEALTHCHECK")
    return json.loads(text[text.index("["):])


def check_dockerfile():
    for rest in all_of("COPY"):
        words = [word for word in rest.split() if not word.startswith("--")]
        for source in words[:-1]:
            if "--from=" not in rest:
                assert os.path.exists(os.path.join(ROOT, source)), source
    options = options_of(output_of(CELLARD, "--help"))
    variables = dict(re.findall(r"\b(CELLAR_[A-Z_]+)=(\S+)", " ".join(all_of("ENV"))))
    for name in variables:
        assert name[len("CELLAR_"):].lower().replace("_", "-") in options, name
    assert all_of("VOLUME") == [variables["CELLAR_DATA_DIR"]]
    assert all_of("EXPOSE") == [variables["CELLAR_LISTEN"].rpartition(":")[2]]
    version = re.search(r'image\.version="([^"]+)"', " ".join(all_of("LABEL"))).group(1)
    assert output_of(CELLARD, "--version").split() == ["cellard", version], version
    check_command(health_check())
    for stage in all_of("FROM"):
        assert stage.startswith("${BASE}"), stage


def check_service(name, service, compose):
    build = service.get("build")
    if build:
        context = os.path.join(ROOT, "docker", build["context"])
        assert os.path.exists(os.path.join(context, build["dockerfile"])), build
    for volume in service.get("volumes", []):
        assert volume.split(":")[0] in compose["volumes"], volume
    for network in service.get("networks", []):
        assert network in compose["networks"], network
    for other in service.get("depends_on", {}):
        assert "healthcheck" in compose["services"][other], other
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:"), port
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"], name
    assert "no-new-privileges:true" in service["security_opt"], name


def check_compose():
    compose = yaml.safe_load(read("docker/compose.yaml"))
    for name, service in compose["services"].items():
        check_service(name, service, compose)
    server, cli = compose["services"]["server"], compose["services"]["cli"]
    options = options_of(output_of(CELLARD, "--help"))
    for word in server["command"]:
        assert word.startswith("--") and word[2:].split("=")[0] in options, word
    assert server["healthcheck"]["test"] == ["CMD", *health_check()]
    (volume,) = server["volumes"]
    assert [volume.split(":")[1]] == all_of("VOLUME")
    (port,) = all_of("EXPOSE")
    assert [each.rpartition(":")[2] for each in server["ports"]] == [port]
    assert cli["environment"]["CELLAR_ENDPOINT"] == f"server:{port}"
    assert cli["image"] == server["image"] and "server" in cli["depends_on"]
    assert (server["pull_policy"], cli["pull_policy"]) == ("build", "never")


def owner_of(library):
    """The Debian package of a library, which dpkg may know without the /usr of a merged one."""
    path = os.path.realpath(library)
    for name in (path, path.removeprefix("/usr")):
        done = subprocess.run(["dpkg-query", "--search", name], text=True, capture_output=True,
                              check=False)
        if done.returncode == 0:
            return done.stdout.split(":")[0]
    raise AssertionError(f"{library}: no package has it")


def check_packages_to_run():
    """Those of the libraries that the programs name, but for the C library's, and no more."""
    missing = [tool for tool in ("dpkg-query", "ldd", "objdump") if not shutil.which(tool)]
    if missing:
        print(f"the packages to run the programs are not compared: no {missing[0]}")
        return
    owners = set()
    for program in (CELLARD, CELLAR):
        paths = dict(re.findall(r"(\S+) => (/\S+)", output_of("ldd", program)))
        names = re.findall(r"NEEDED +(\S+)", output_of("objdump", "-p", program))
        assert names, program
        owners |= {owner_of(paths[name]) for name in names if name in paths}
    assert owners - {"libc6"} == set(read_packages()["run"]), owners


def read_packages():
    """packages.txt as lists of names by kind: `KIND PACKAGE` a line."""
    packages = {kind: [] for kind in KINDS}
    for line in read("docker/packages.txt").splitlines():
        if line and not line.startswith("#"):
            kind, package = line.split(" ")
            packages[kind].append(package)
    return packages


def check_packages():
    """Each package once a kind, in alphabetical order."""
    for kind, names in read_packages().items():
        assert names and names == sorted(set(names)), (kind, names)


def main():
    for check in (check_dockerfile, check_compose, check_packages, check_packages_to_run):
        check()
        print(f"ok {check.__name__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
