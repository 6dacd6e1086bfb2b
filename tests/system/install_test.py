"""libcellar as others meet it: installed into a folder of its own, found, compiled against, run.

Programs in C and C++ (system/install/) are built by pkg-config and by CMake's find_package(), with the
shared and the static library, and talk to the installed cellard. Before that the headers must compile
with every warning an error, and the shared library must export what they declare and nothing else.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import cellar_native as native  # noqa: E402

SOURCES = os.path.join(HERE, "install")
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
TOOLS = ["cmake", "gcc", "g++", "nm", "pkg-config", "readelf"]


def run(*command, **settings):
    """The output of a command that must succeed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False, **settings)
    assert done.returncode == 0, f"{' '.join(command)}\nended with {done.returncode}:\n{done.stdout}"
    return done.stdout


class Installed:
    """The folder that `cmake --install` filled."""

    def __init__(self, prefix):
        self.prefix = prefix
        run("cmake", "--install", native.BUILD_DIR, "--prefix", prefix)
        self.include = os.path.join(prefix, "include")
        self.lib = os.path.dirname(self.find("libcellar.so"))
        self.environment = {**os.environ, "PKG_CONFIG_PATH": os.path.join(self.lib, "pkgconfig")}

    def find(self, name):
        """The one file of that name."""
        found = [os.path.join(folder, name) for folder, _, files in os.walk(self.prefix)
                 if name in files]
        assert len(found) == 1, (name, found)
        return found[0]

    def headers(self):
        folder = os.path.join(self.include, "cellar")
        return [os.path.join(folder, name) for name in sorted(os.listdir(folder))]

    def pkg_config(self, *arguments):
        return run("pkg-config", *arguments, "cellar", env=self.environment).split()


def dynamic(path, tag):
    """The values of one kind of entry in an ELF file's dynamic section."""
    return re.findall(rf"\({tag}\).*\[(.*)\]", run("readelf", "-dW", path))


def check_files(installed):
    """The programs, both libraries with their links, and the public headers alone."""
    for name in ("cellard", "cellar"):
        assert os.access(os.path.join(installed.prefix, "bin", name), os.X_OK), name
    for name, line in (("man/man1/cellar.1", ".TH CELLAR 1 "),
                       ("bash-completion/completions/cellar", "complete -F _cellar cellar\n"),
                       ("zsh/vendor-completions/_cellar", "#compdef cellar\n"),
                       ("fish/vendor_completions.d/cellar.fish", "complete -c cellar ")):
        with open(os.path.join(installed.prefix, "share", name), encoding="utf-8") as file:
            assert line in file.read(), name
    assert {os.path.basename(path) for path in installed.headers()} == {
        name for name in os.listdir(os.path.join(native.ROOT, "client", "include", "cellar"))}
    version = installed.pkg_config("--modversion")[0]
    with open(installed.headers()[0], encoding="utf-8") as header:
        assert f'#define CELLAR_VERSION_TEXT "{version}"' in header.read(), version
    soname = "libcellar.so." + version.split(".")[0]
    assert dynamic(installed.find("libcellar.so"), "SONAME") == [soname]
    for name in ("libcellar.so", soname):
        assert os.path.realpath(installed.find(name)) == installed.find(f"libcellar.so.{version}")
    needed = dynamic(installed.find("libcellar.so"), "NEEDED")
    assert all(name.startswith(("libc.so", "ld-linux")) for name in needed), needed
    installed.find("libcellar.a")


def check_headers(installed, scratch):
    """Each header alone, in both languages, with the compilers there are."""
    for compiler, language in (("gcc", "c"), ("clang", "c"), ("clang-14", "c"),
                               ("g++", "c++"), ("clang++", "c++"), ("clang++-14", "c++")):
        if not shutil.which(compiler):
            continue
        for header in installed.headers():
            source = os.path.join(scratch, "header." + language)
            with open(source, "w", encoding="ascii") as file:
                file.write(f"#include <cellar/{os.path.basename(header)}>\n")
            run(compiler, f"-std={language}17", "-x", language, *WARNINGS, "-fsyntax-only",
                "-I" + installed.include, source)


def declared(installed, scratch, pattern):
    """The functions that some headers declare, by gcc's own list of prototypes."""
    source, prototypes = os.path.join(scratch, "all.c"), os.path.join(scratch, "prototypes")
    with open(source, "w", encoding="ascii") as file:
        for header in installed.headers():
            file.write(f"#include <cellar/{os.path.basename(header)}>\n")
    run("gcc", "-std=c17", "-I" + installed.include, "-fsyntax-only", "-aux-info", prototypes, source)
    with open(prototypes, encoding="utf-8") as file:
        return {match.group(1) for match in re.finditer(
            rf"^/\* {re.escape(installed.include)}/cellar/{pattern}:.* \*/ extern .*?(\w+) \(",
            file.read(), re.M)}


def check_symbols(installed, scratch):
    """The shared library exports what the headers declare, under its version, and nothing else."""
    exported = set()
    for line in run("nm", "-D", "--defined-only", installed.find("libcellar.so")).splitlines():
        kind, name = line.split()[-2:]
        if kind != "A":
            name, version = name.split("@@")
            assert version == "LIBCELLAR_" + installed.pkg_config("--modversion")[0].split(".")[0]
            exported.add(name)
    wanted = declared(installed, scratch, r"cellar\.h")
    assert len(wanted) > 50, wanted
    assert exported == wanted, (sorted(exported - wanted), sorted(wanted - exported))


def check_adapter(installed, scratch):
    """The adapter's library has what its header declares, and links where it is asked for."""
    lines = run("nm", "--defined-only", "-g", installed.find("libcellar_libevent.a")).splitlines()
    defined = {line.split()[-1] for line in lines if " T " in line}
    assert defined == declared(installed, scratch, r"libevent\.h"), defined
    program, source = os.path.join(scratch, "adapted"), os.path.join(scratch, "adapted.c")
    with open(source, "w", encoding="ascii") as file:
        file.write("#include <cellar/libevent.h>\n#include <event2/event.h>\nint main(void)\n{\n"
                   "    struct cellar_libevent loop;\n    struct cellar_client *client;\n"
                   "    struct event_base *base = event_base_new();\n"
                   "    return cellar_client_open(0, 0, &client) != CELLAR_E_OK ||\n"
                   "           cellar_libevent_attach(&loop, client, base, 0) != CELLAR_E_OK;\n}\n")
    flags = run("pkg-config", "--cflags", "--libs", "cellar_libevent",
                env=installed.environment).split()
    run("gcc", *WARNINGS, source, *flags, "-Wl,-rpath," + installed.lib, "-o", program)
    run(program)


class Runner:
    """Runs programs against one server, each with a table of its own."""

    def __init__(self, server):
        self.environment = {**os.environ, "CELLAR_ENDPOINT": f"127.0.0.1:{server.port}"}
        self.count = 0

    def run(self, program, language, is_shared):
        self.count += 1
        assert ("libcellar.so.0" in dynamic(program, "NEEDED")) == is_shared, program
        output = run(program, f"t{self.count}", env=self.environment)
        assert output == f"written in {language}\n", (program, output)


def check_pkg_config(installed, scratch, runner):
    for compiler, source, language in (("gcc", "program.c", "C"), ("g++", "program.cpp", "C++")):
        for is_shared in (True, False):
            program = os.path.join(scratch, f"{compiler}-{is_shared}")
            flags = installed.pkg_config("--cflags") + [os.path.join(SOURCES, source)]
            if is_shared:
                flags += installed.pkg_config("--libs") + ["-Wl,-rpath," + installed.lib]
            else:
                flags += ["-l:libcellar.a" if flag == "-lcellar" else flag
                          for flag in installed.pkg_config("--static", "--libs")]
            run(compiler, *WARNINGS, *flags, "-o", program)
            runner.run(program, language, is_shared)


def check_cmake(installed, scratch, runner):
    build = os.path.join(scratch, "build")
    environment = {name: value for name, value in os.environ.items() if name not in ("CC", "CXX")}
    run("cmake", "-S", SOURCES, "-B", build, "-DCMAKE_PREFIX_PATH=" + installed.prefix,
        env=environment)
    run("cmake", "--build", build, env=environment)
    for language, name in (("c", "C"), ("cxx", "C++")):
        runner.run(os.path.join(build, f"{language}_cellar"), name, True)
        runner.run(os.path.join(build, f"{language}_cellar_static"), name, False)


def check_packages(scratch):
    """Three Debian packages, whose programs run where they are unpacked."""
    if not (shutil.which("dpkg-shlibdeps") and shutil.which("cpack")):
        print("dpkg-dev is not installed (docker/packages.txt): no packages")
        return
    folder, root = os.path.join(scratch, "packages"), os.path.join(scratch, "root")
    run("cpack", "--config", os.path.join(native.BUILD_DIR, "CPackConfig.cmake"), "-B", folder)
    packages = {name.split("_")[0]: os.path.join(folder, name) for name in os.listdir(folder)
                if name.endswith(".deb")}
    assert set(packages) == {"cellar", "libcellar0", "libcellar-dev"}, packages
    for name, package in packages.items():
        run("dpkg-deb", "-x", package, root)
        (licence,) = glob.glob(f"{root}/**/share/doc/{name}/copyright", recursive=True)
        with open(licence, encoding="utf-8") as file:
            assert "Apache License" in file.read(), licence
    assert "libc6" in run("dpkg-deb", "-f", packages["libcellar0"], "Depends")
    assert "liblmdb0" in run("dpkg-deb", "-f", packages["cellar"], "Depends")
    programs = [os.path.join(path, name) for path, _, names in os.walk(root)
                for name in names if path.endswith("/bin")]
    assert len(programs) == 2, programs
    for program in programs:
        assert "0.1.0" in run(program, "--version"), program


def main():
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        native.skip(f"not installed (docker/packages.txt): {' '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="cellar-install-") as scratch:
        installed = Installed(os.path.join(scratch, "prefix"))
        check_files(installed)
        check_headers(installed, scratch)
        check_symbols(installed, scratch)
        check_adapter(installed, scratch)
        program = os.path.join(installed.prefix, "bin", "cellard")
        with native.Server(os.path.join(scratch, "data"), program=program) as server:
            server.start()
            runner = Runner(server)
            check_pkg_config(installed, scratch, runner)
            check_cmake(installed, scratch, runner)
        assert runner.count == 8
        check_packages(scratch)


main()
