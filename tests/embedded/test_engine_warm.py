"""A script that starts as a fork of the warm launcher cannot be told from one that starts anew."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from touchstone.confine.inside import kernel
from touchstone.engine.pod import process
from touchstone.engine.pod.process import Call, Guard, Mount, Warm
from touchstone.engine.pod.steps import inherited
from touchstone.home import SHIPPED

LOOK = """
import json, os, signal, stat, sys, tempfile
print(json.dumps({
    "argv": sys.argv[2:], "environment": dict(os.environ), "folder": os.getcwd(),
    "path": sys.path, "main": __name__, "leader": os.getsid(0) == os.getpid(),
    "open": sorted(os.listdir("/proc/self/fd"))[:-1], "umask": os.umask(0),
    "signals": [str(signal.getsignal(n)).partition(" at ")[0] for n in range(1, 32)],
    "temporary": tempfile.gettempdir(), "streams": [sys.stdout.encoding, sys.stdout.errors],
    "user": [os.getuid(), os.getgid()], "limits": open("/proc/self/limits").read(), "status": [
        line for line in open("/proc/self/status")
        if line.startswith(("Cap", "NoNewPrivs", "Seccomp:", "Groups"))
        or line.startswith(("SigPnd", "SigBlk", "SigIgn", "SigCgt"))
    ], "flags": sys.flags.safe_path, "input": sys.stdin.read(),
}))
"""


class Bench:
    """Starts one script, as a fork or as a program."""

    def __init__(self, folder, warm):
        self.folder, self.warm = folder, warm
        self.guards = {True: Guard(warm), False: Guard()}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        (folder / "work").mkdir()
        (folder / "scripts" / "probe.py").write_text("import sys\nexec(sys.argv[1])\n")
        self.call = Call(
            argv=("python", "-P", str(folder / "scripts" / "probe.py")),
            environment={**inherited(), "PATH": path, "HOME": "/", "TMPDIR": str(folder / "work")},
            folder=str(folder / "work"),
            mounts=None if self.guards[False].without_namespaces() else (Mount("/tekton/x"),),
        )

    def start(self, text, *more, fork=True, **changes):
        call = replace(self.call, argv=(*self.call.argv, text, *more), **changes)
        output, errors = self.folder / "output", self.folder / "errors"
        with Path(os.devnull).open() as none, output.open("w") as out, errors.open("w") as err:
            return self.guards[fork].start(call, [none.fileno(), out.fileno(), err.fileno()])

    def run(self, text, *more, fork=True, **changes):
        running = self.start(text, *more, fork=fork, **changes)
        assert running.wait(time.monotonic() + 120, None) == "exited"
        code = running.end()
        return code, (self.folder / "output").read_text(), (self.folder / "errors").read_text()


@pytest.fixture
def bench(tmp_path, monkeypatch):
    (tmp_path / "scripts").mkdir()
    monkeypatch.setattr(process, "SHIPPED", tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    warm = Warm(inherited())
    bench = Bench(tmp_path, warm)
    yield bench
    for guard in bench.guards.values():
        guard.close()
    warm.close()


def forks(bench):
    return psutil.Process(bench.warm._launcher._process.pid).children()


def test_it_sees_what_a_program_would(bench):
    found = {}
    for fork in (True, False):
        code, output, errors = bench.run(LOOK, "a", "b c", fork=fork)
        assert code == 0, errors
        found[fork] = json.loads(output)
    assert found[True]["open"] == ["0", "1", "2"]
    # An interpreter of its own notes what it found on its way to the prompt.
    for one in found.values():
        one["environment"].pop("LC_CTYPE", None)
    assert found[True] == found[False]


def test_a_fork_of_an_ordinary_user_has_no_capability_that_a_program_would_lose():
    test = f"{__file__}::{test_it_sees_what_a_program_would.__name__}"
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test],
        preexec_fn=lambda: kernel.unshare_as(1234, 1234, 0),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("sys.exit(5)", 5, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit('no')", 1, "no\n"),
        ("raise ValueError('of its own')", 1, "ValueError: of its own\n"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -15, ""),
        ("import atexit; atexit.register(lambda: sys.stderr.write('end'))", 0, "end"),
    ],
)
def test_it_ends_as_a_program_would(bench, text, code, said):
    for fork in (True, False):
        found, _, errors = bench.run(text, fork=fork)
        assert found == code
        assert errors.endswith(said)


def test_two_draw_different_numbers_and_autograd_works(bench):
    text = (
        "import numpy, random, uuid, torch; x = torch.ones(3, requires_grad=True);"
        " (x * 2).sum().backward(); assert x.grad.tolist() == [2.0] * 3;"
        " print(numpy.random.rand(), random.random(), uuid.uuid4())"
    )
    time.sleep(1)
    one, other = (bench.run(text)[1].split() for _ in range(2))
    assert len(one) == 3 and not set(one) & set(other)


def test_the_launcher_has_one_thread_and_nothing_open_but_its_channel(bench):
    assert bench.run("import torch")[0] == 0
    launcher = Path("/proc") / str(bench.warm._launcher._process.pid)
    assert len(list((launcher / "task").iterdir())) == 1
    opened = []
    for path in (launcher / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a module that is imported just now
            opened.append(str(path.readlink()))
    installed = (os.devnull, sys.prefix, sys.base_prefix, str(SHIPPED))
    (channel,) = [name for name in opened if not name.startswith(installed)]
    assert channel.startswith("socket:")


def test_a_fork_leaves_the_launchers_own_home_alone(tmp_path, monkeypatch):
    from touchstone.engine.launcher import warm

    monkeypatch.setenv("HOME", "/")
    monkeypatch.setattr(warm, "_MODULES", ("json", "os", "sys"))
    monkeypatch.setattr(warm.tempfile, "tempdir", str(tmp_path))
    imports = warm.imports()
    next(imports)
    (home,) = tmp_path.iterdir()
    fork = os.fork()
    if fork == 0:
        imports.close()
        os._exit(0)
    os.waitpid(fork, 0)
    assert home.is_dir() and os.environ["HOME"] == str(home)
    imports.close()
    assert not home.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"environment": {"OMP_NUM_THREADS": "2"}},
        {"environment": {"PYTHONPATH": "/x"}},
        {"environment": {"LD_LIBRARY_PATH": "/x"}},
        {"environment": {"NPY_DISABLE_CPU_FEATURES": "AVX2"}},
        {"environment": {"PATH": "/usr/bin"}},
        {"argv": ("python", "-P", "/tmp/probe.py")},
        {"argv": ("python", str(SHIPPED / "scripts" / "gate.py"))},
        {"argv": ("bash", "-c", "true")},
    ],
)
def test_what_differs_at_the_start_of_an_interpreter_starts_as_a_program(bench, changes):
    call = bench.call
    assert bench.warm.takes(call, terminal=False) and not bench.warm.takes(call, terminal=True)
    if more := changes.get("environment"):
        changes = {"environment": {**call.environment, **more}}
    assert not bench.warm.takes(replace(call, **changes), terminal=False)


def test_a_script_that_cannot_have_its_folder_says_why(bench):
    with pytest.raises(OSError, match="No such file"):
        bench.run("pass", folder=str(bench.folder / "absent"))


def test_a_killed_launcher_takes_its_scripts_along_and_the_next_start_as_programs(bench):
    running = bench.start("import time; print('x', flush=True); time.sleep(300)")
    (script,) = forks(bench)
    os.kill(bench.warm._launcher._process.pid, signal.SIGKILL)
    assert running.wait(time.monotonic() + 20, None) == "exited"
    assert running.end() == -signal.SIGKILL
    assert not script.is_running() or script.status() == psutil.STATUS_ZOMBIE
    assert bench.run("print(6 * 7)")[:2] == (0, "42\n")


def test_a_script_of_a_run_that_ends_ends_with_it(bench):
    bench.start("import time; time.sleep(300)")
    (script,) = forks(bench)
    bench.guards[True].close()
    assert not forks(bench) and not script.is_running()
    bench.guards[True] = Guard(bench.warm)
    assert bench.run("print(1)")[:2] == (0, "1\n")
