"""What a confined program could take or change without anybody counting it."""

import os
import socket
import subprocess
import sys
import threading

import pytest

from touchstone import confine
from touchstone.confine import Confinement, Limits

MIB = 1 << 20


def run(code, *args, **how):
    confinement = Confinement(**how)
    command = confine.command([sys.executable, "-P", "-c", code, *map(str, args)], confinement)
    return subprocess.run(
        command,
        env=confine.environment(confinement),
        capture_output=True,
        text=True,
        timeout=60,
    )


CHANGES = (
    "os.chmod(path, 0o777)",
    "os.utime(path, (1, 1))",
    "os.setxattr(path, 'user.x', b'1')",
    "os.chown(path, os.getuid(), os.getgid())",
    "os.link(path, path + '2')",
)


@pytest.mark.parametrize("change", CHANGES)
def test_what_the_user_owns_elsewhere_keeps_its_mode_times_and_attributes(way, tmp_path, change):
    key = tmp_path / "key"
    key.write_text("secret")
    key.chmod(0o600)
    before = key.stat()
    run(f"import os, sys; path = sys.argv[1]; {change}", key)
    after = key.stat()
    assert (after.st_mode, after.st_mtime, after.st_ctime) == (
        before.st_mode,
        before.st_mtime,
        before.st_ctime,
    )
    assert not os.listxattr(key)


OTHERS = (
    "resource.prlimit(other, resource.RLIMIT_NOFILE)",
    "os.setpriority(os.PRIO_PROCESS, other, 5)",
    "os.sched_setaffinity(other, {0})",
)


@pytest.mark.parametrize("change", OTHERS)
def test_limits_and_priorities_of_another_process_stay_as_they_are(way, change):
    with subprocess.Popen(["/bin/sleep", "60"]) as other:
        said = run(f"import os, resource, sys; other = int(sys.argv[1]); {change}", other.pid)
        other.kill()
    assert said.returncode == 1
    assert "PermissionError" in said.stderr or "ProcessLookupError" in said.stderr


def test_its_own_limits_and_cores_are_still_its_own(way):
    code = (
        "import os, resource; resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50));"
        "os.sched_setaffinity(0, os.sched_getaffinity(0)); print('done')"
    )
    assert run(code).stdout == "done\n"


HOLDS = {
    "shared": "import mmap\nm = mmap.mmap(-1, 300 << 20)\n"
    "for i in range(0, 300 << 20, 4096): m[i] = 1\n",
    "unmapped": "import os\nf = os.memfd_create('x')\n"
    "for _ in range(99): os.write(f, bytes(1 << 20))\n",
    "system V": "import ctypes, os\nl = ctypes.CDLL(None)\n"
    "if l.shmget(0, 300 << 20, 0o1600) < 0: os._exit(1)\n",
}


@pytest.mark.parametrize("how", HOLDS)
def test_memory_that_processes_share_is_counted_or_not_to_be_had(way, how):
    code = HOLDS[how] + "import time; time.sleep(3); print('held')"
    said = run(code, limits=Limits(memory=150 * MIB))
    assert said.returncode
    assert "held" not in said.stdout


HIDES = {
    "in a folder that nobody may read": "os.mkdir('d'); d = os.open('d', os.O_RDONLY)\n"
    "os.chmod('d', 0o300)\n",
    "deeper than a path is long": "for _ in range(20): os.mkdir('d' * 250); os.chdir('d' * 250)\n"
    "d = os.open('.', os.O_RDONLY)\n",
}


@pytest.mark.parametrize("how", HIDES)
def test_files_cannot_be_hidden_from_the_count(way, tmp_path, how):
    code = (
        "import os, sys, time\nos.chdir(sys.argv[1])\n" + HIDES[how] + "for i in range(6):\n"
        "  f = os.open(f'f{i}', os.O_WRONLY | os.O_CREAT, dir_fd=d)\n"
        "  os.write(f, bytes(20 << 20))\n"
        "time.sleep(4); print('held')"
    )
    said = run(code, tmp_path, write=[tmp_path], limits=Limits(disk=50 * MIB))
    assert said.returncode
    assert "held" not in said.stdout
    subprocess.run(["rm", "-rf", *tmp_path.iterdir()], check=True)


def test_files_without_a_byte_count_too(way, tmp_path):
    code = (
        "import os, sys, time\nos.chdir(sys.argv[1])\n"
        "for i in range(3000): open(str(i), 'w').close()\n"
        "time.sleep(4); print('held')"
    )
    said = run(code, tmp_path, write=[tmp_path], limits=Limits(disk=5 * MIB))
    assert said.returncode == 137
    assert "held" not in said.stdout


def test_processes_are_limited_for_the_superuser_too(way):
    code = (
        "import os, time\n"
        "for _ in range(60):\n"
        "  if os.fork() == 0: time.sleep(5); os._exit(0)\n"
        "time.sleep(5); print('held')"
    )
    said = run(code, limits=Limits(processes=40))
    assert said.returncode
    assert "held" not in said.stdout


def test_with_the_hosts_network_it_takes_no_connection_and_reaches_no_unix_socket(way, tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        threading.Thread(target=lambda: server.accept(), daemon=True).start()
        for code in (
            "socket.socket().listen()",
            "socket.create_server(('0.0.0.0', 0))",
            "socket.socket(socket.AF_UNIX).connect(sys.argv[1])",
            "socket.socket(socket.AF_VSOCK)",
        ):
            said = run(f"import socket, sys\n{code}\nprint('reached')", path, network="host")
            assert "reached" not in said.stdout
        with socket.socket(socket.AF_UNIX) as own:
            own.connect(path)  # frees the thread


def test_what_is_written_without_end_is_not_kept():
    with subprocess.Popen(
        [sys.executable, "-c", "print('x' * 5_000_000 + 'end')"], stdout=subprocess.PIPE
    ) as process:
        said = confine.tail(process.stdout)
    assert len(said) == 1 << 20
    assert said.endswith(b"end\n")
