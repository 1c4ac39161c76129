"""What a confined command can see and do, tried from inside, with namespaces and without."""

import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace

import pytest
from waiting import until

from touchstone import confine
from touchstone.confine import Confinement, Limits
from touchstone.confine.inside import kernel
from touchstone.errors import PlatformError

NOTHING = Confinement()


def run(code, *args, confinement=NOTHING, timeout=60):
    command = confine.command([sys.executable, "-P", "-c", code, *args], confinement)
    return subprocess.run(
        command,
        env=confine.environment(confinement),
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def tried(code, *args, **how):
    """What `code` raises inside, by the error's name; what it prints where it raises nothing."""
    whole = (
        f"import ctypes, os, sys, socket, signal\ntry:\n    print({code})\n"
        "except OSError as e:\n    print(type(e).__name__, e)"
    )
    done = run(whole, *map(str, args), **how)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_secret_and_the_state_beside_the_workspace_are_not_there(way, tmp_path):
    secret, own = tmp_path / "secret", tmp_path / "own"
    secret.write_text("key")
    own.mkdir()
    confinement = Confinement(write=[own])
    for code in ("open(sys.argv[1]).read()", "os.listdir(os.path.dirname(sys.argv[1]))"):
        said = tried(code, secret, confinement=confinement)
        assert "key" not in said
        assert "Error" in said or said == "['own']"


def test_its_own_folder_is_written_and_a_shown_one_only_read(way, tmp_path):
    own, shown = tmp_path / "own", tmp_path / "shown"
    for folder in (own, shown):
        folder.mkdir()
        (folder / "given").write_text("here")
    confinement = Confinement(write=[own], read=[shown])
    assert tried("open(sys.argv[1] + '/new', 'w').write('x')", own, confinement=confinement) == "1"
    assert (own / "new").read_text() == "x"
    assert tried("open(sys.argv[1] + '/given').read()", shown, confinement=confinement) == "here"
    for code in ("open(sys.argv[1] + '/new', 'w')", "os.unlink(sys.argv[1] + '/given')"):
        assert "Error" in tried(code, shown, confinement=confinement)
    assert sorted(path.name for path in shown.iterdir()) == ["given"]


@pytest.mark.parametrize("code", ["os.symlink('/etc/passwd', {})", "os.mkfifo({})"])
def test_it_leaves_no_link_and_no_pipe_for_others_to_open(way, tmp_path, code):
    own = tmp_path / "own"
    own.mkdir()
    code = code.format("sys.argv[1] + '/odd'")
    assert "Error" in tried(code, own, confinement=Confinement(write=[own]))
    assert not list(own.iterdir())


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"])
def test_it_has_no_socket(way, family):
    assert "PermissionError" in tried(f"socket.socket(socket.{family})")


def test_the_environment_says_nothing_of_the_platform(way, monkeypatch):
    monkeypatch.setenv("TOUCHSTONE_HOME", "/somewhere")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    said = tried("dict(os.environ)")
    assert "secret" not in said
    assert "/somewhere" not in said


@pytest.mark.parametrize(
    "code",
    [
        "os.kill({}, signal.SIGTERM)",
        "os.kill({}, 0)",
        "open('/proc/{}/environ', 'rb').read()",
        "open('/proc/{}/mem', 'rb').read(1)",
        "os.readlink('/proc/{}/fd/0')",
        "os.listdir('/proc/{}/root')",
    ],
)
def test_the_process_that_started_it_is_out_of_reach(way, code):
    assert "Error" in tried(code.format(os.getpid()))


@pytest.mark.parametrize(
    "call",
    [
        "unshare(0x10000000)",
        "ptrace(0, 0, 0, 0)",
        "mount(b'none', b'/', b'tmpfs', 0, 0)",
        "setns(0, 0)",
    ],
)
def test_system_calls_that_reach_outside_are_denied(way, call):
    libc = "ctypes.CDLL(None, use_errno=True)"
    code = f"({libc}.{call}, ctypes.get_errno())"
    assert tried(code) == "(-1, 1)"


def test_it_is_no_superuser_and_stays_none(way):
    if way == "namespaces":
        assert tried("os.geteuid() != 0") == "True"
    status = tried("open('/proc/self/status').read()")
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status


def test_nothing_it_started_outlives_it(way, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    code = (
        "import os, sys, time\n"
        "if os.fork() == 0:\n"
        "    if os.fork() == 0:\n"
        "        while True:\n"
        "            open(sys.argv[1] + '/alive', 'a').write('x'); time.sleep(0.02)\n"
        "    os._exit(0)\n"
        "time.sleep(0.3)\n"
    )
    assert run(code, str(own), confinement=Confinement(write=[own])).returncode == 0
    size = (own / "alive").stat().st_size
    assert size
    time.sleep(0.3)
    assert (own / "alive").stat().st_size == size


def test_it_ends_with_the_process_that_started_it(way, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    confinement = Confinement(write=[own])
    code = (
        "import sys, time\n"
        "while True:\n    open(sys.argv[1] + '/alive', 'a').write('x'); time.sleep(0.02)\n"
    )
    command = confine.command([sys.executable, "-c", code, str(own)], confinement)
    process = subprocess.Popen(command, env=confine.environment(confinement))
    until((own / "alive").exists, 30, "it did not start")
    process.kill()
    process.wait()
    time.sleep(0.2)
    size = (own / "alive").stat().st_size
    time.sleep(0.3)
    assert (own / "alive").stat().st_size == size


@pytest.mark.parametrize(
    ("code", "expected"), [("sys.exit(7)", 7), ("os.kill(os.getpid(), 15)", 143)]
)
def test_the_exit_code_is_the_commands_own(way, code, expected):
    assert run(f"import os, sys; {code}").returncode == expected


def test_a_request_to_end_reaches_it_and_it_may_end_in_order(way, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    confinement = Confinement(write=[own])
    code = (
        "import signal, sys, time\n"
        "def end(*_):\n    open(sys.argv[1] + '/ended', 'w'); sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "open(sys.argv[1] + '/ready', 'w')\n"
        "time.sleep(60)\n"
    )
    command = confine.command([sys.executable, "-c", code, str(own)], confinement)
    process = subprocess.Popen(command, env=confine.environment(confinement))
    until((own / "ready").exists, 30, "it did not start")
    process.terminate()
    assert process.wait(timeout=30) == 143
    assert (own / "ended").exists()


def test_too_much_memory_ends_it_and_says_so(way):
    if way != "namespaces":
        pytest.skip("each process has its own limit there")
    code = (
        "import os, time\n"
        "for _ in range(4):\n"
        "    if os.fork() == 0:\n"
        "        held = bytearray(os.urandom(1 << 20) * 40); time.sleep(30)\n"
        "time.sleep(30)\n"
    )
    done = run(code, confinement=Confinement(limits=Limits(memory=100 << 20)))
    assert done.returncode == 137
    assert "MiB of memory, expected at most 100 MiB" in done.stderr


def test_too_much_in_one_process_is_refused_to_it(way):
    done = run("bytearray(1 << 30)", confinement=Confinement(limits=Limits(memory=200 << 20)))
    assert "MemoryError" in done.stderr


@pytest.mark.long
def test_too_much_on_the_disk_ends_it(way, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    code = (
        "import sys, time\n"
        "for n in range(20):\n"
        "    open(f'{sys.argv[1]}/{n}', 'wb').write(bytes(2 << 20))\n"
        "time.sleep(30)\n"
    )
    limits = Limits(disk=8 << 20)
    done = run(code, str(own), confinement=Confinement(write=[own], limits=limits))
    assert done.returncode == 137
    assert "of disk, expected at most 8 MiB" in done.stderr


def test_processes_that_talk_to_each_other_are_heard_by_nobody_else():
    if not confine.means().namespaces:
        pytest.skip(confine.means().missing)
    code = (
        "import socket, threading\n"
        "server = socket.create_server(('127.0.0.1', 47311))\n"
        "threading.Thread(target=lambda: server.accept()[0].sendall(b'hello')).start()\n"
        "print(socket.create_connection(('127.0.0.1', 47311)).recv(5), flush=True)\n"
        "import time; time.sleep(1)\n"
    )
    heard = []

    def listen():
        for _ in range(20):
            with suppress(OSError):
                heard.append(socket.create_connection(("127.0.0.1", 47311), timeout=1))
            time.sleep(0.05)

    listener = threading.Thread(target=listen)
    listener.start()
    done = run(code, confinement=Confinement(network="loopback"))
    listener.join()
    assert "hello" in done.stdout, done.stderr
    assert not heard


def test_processes_that_talk_to_each_other_do_so_at_ports_that_the_kernel_chooses(way):
    code = (
        "import socket, threading\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "threading.Thread(target=lambda: server.accept()[0].sendall(b'hello')).start()\n"
        "print(socket.create_connection(server.getsockname(), timeout=9).recv(5))\n"
    )
    done = run(code, confinement=Confinement(network="loopback"))
    assert "hello" in done.stdout, done.stderr


@pytest.fixture
def no_namespaces(monkeypatch):
    without = replace(confine.means(), namespaces=False, missing="not wanted here")
    monkeypatch.setattr(confine, "means", lambda: without)


@pytest.mark.usefixtures("no_namespaces")
@pytest.mark.parametrize(
    "code",
    [
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
        "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)",  # MPTCP
        "socket.socket(socket.AF_UNIX)",
        "socket.socket().setsockopt(socket.SOL_SOCKET, 25, b'\\0')",  # of no device any more
        "socket.socket().setsockopt(socket.SOL_SOCKET, 62, 0)",  # the same by its number
    ],
)
def test_without_namespaces_a_socket_is_of_tcp_and_tied_to_the_loopback_interface(code):
    assert tried(code, confinement=Confinement(network="loopback")).startswith("PermissionError")


@pytest.mark.usefixtures("no_namespaces")
def test_without_namespaces_what_listens_where_services_do_is_not_reached():
    if kernel.landlock_version() < 4:
        pytest.skip("Landlock knows no ports before Linux 6.7")
    with socket.create_server(("127.0.0.1", 8443)) as server:
        connect = f"socket.create_connection({server.getsockname()!r}, timeout=5)"
        said = tried(connect, confinement=Confinement(network="loopback"))
    assert said.startswith("PermissionError")


def test_where_nothing_confines_it_is_refused_and_typing_unconfined_lets_it(monkeypatch):
    monkeypatch.setattr(
        confine, "means", lambda: confine.Means(False, False, True, "no kernel for it")
    )
    with pytest.raises(PlatformError, match="no kernel for it") as refused:
        confine.command(["true"], Confinement())
    assert "--unconfined" in refused.value.hint
    monkeypatch.setenv(confine.SWITCH, "off")
    assert confine.command(["true"], Confinement()) == ["true"]
    assert confine.described() == "unconfined"


def test_with_the_network_it_connects_to_the_named_ports_alone(way):
    if kernel.landlock_version() < 4:
        pytest.skip("this kernel's Landlock knows no ports")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"socket.create_connection(('127.0.0.1', {port}), timeout=5).fileno() > 0"
        assert tried(code, confinement=Confinement(network="host", ports=[port])) == "True"
        assert "PermissionError" in tried(
            code, confinement=Confinement(network="host", ports=[443])
        )


@pytest.mark.parametrize(
    "reach",
    [
        "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).connect(('127.0.0.1', {}))",
        "socket.socket().sendto(b'hello', 0x20000000, ('127.0.0.1', {}))",
        "socket.socket().sendmsg([b'hello'], [], 0x20000000, ('127.0.0.1', {}))",
        "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)",
        "socket.socket(socket.AF_SMC if hasattr(socket, 'AF_SMC') else 43, socket.SOCK_STREAM)",
    ],
)
def test_no_other_way_to_connect_goes_past_the_ports(way, reach):
    """MPTCP, Fast Open and the like connect without Landlock being asked for the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = reach.format(server.getsockname()[1])
        assert "PermissionError" in tried(
            code, confinement=Confinement(network="host", ports=[443])
        )
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.accept()
