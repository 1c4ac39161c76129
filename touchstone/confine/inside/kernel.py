"""Calls into the kernel that Python has no function for: mounts, namespaces, Landlock, seccomp.

Standard library only, without dataclasses: the programs that fork other processes import this, and
what they hold in memory every fork copies.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Sequence

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_NOATIME, MS_NODIRATIME, MS_BIND = 32, 1024, 2048, 4096
MS_REC, MS_PRIVATE, MS_RELATIME = 16384, 1 << 18, 1 << 21
MNT_DETACH = 2

_BASE = "/tmp"  # noqa: S108 - covered for a moment, in a mount namespace of its own

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP = 1, 22
_PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 24, 36, 38
_SECCOMP_MODE_FILTER = 2
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PATH_BENEATH, _NET_PORT = 1, 2
_MOUNT_SETATTR, _AT_FDCWD = 442, -100
_READ_ONLY = struct.pack("=QQQQ", 1, 0, 0, 0)
"""A mount_attr that sets MOUNT_ATTR_RDONLY and leaves what else a mount has."""

_BIND_TCP, _CONNECT_TCP = 1, 2
_SO_BINDTODEVICE = 25

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
for _function, _types in (
    ("mount", (ctypes.c_char_p,) * 3 + (ctypes.c_ulong, ctypes.c_char_p)),
    ("umount2", (ctypes.c_char_p, ctypes.c_int)),
    ("pivot_root", (ctypes.c_char_p, ctypes.c_char_p)),
    ("unshare", (ctypes.c_int,)),
    ("prctl", (ctypes.c_int,) + (ctypes.c_ulong,) * 4),
):
    getattr(_libc, _function).argtypes = _types


def unshare(namespaces: int) -> None:
    """Leave the given namespaces for new ones."""
    _call("unshare", namespaces)


def unshare_as(user: int | None, group: int | None, namespaces: int) -> None:
    """Likewise with a new user namespace, in which this process is `user` and `group`.

    Outside it stays who it is, which it is in the namespace too where neither is given.
    """
    uid, gid = os.geteuid(), os.getegid()  # nobody's, once the namespace is another
    user, group = uid if user is None else user, gid if group is None else group
    _call("unshare", namespaces | CLONE_NEWUSER)
    for path, text in (
        ("/proc/self/setgroups", "deny"),
        ("/proc/self/uid_map", f"{user} {uid} 1"),
        ("/proc/self/gid_map", f"{group} {gid} 1"),
    ):
        with open(path, "w", encoding="ascii") as stream:
            stream.write(text)


def mount(source: str, target: str, flags: int, kind: str = "", options: str = "") -> None:
    """mount(2)."""
    arguments = (os.fsencode(source), os.fsencode(target), os.fsencode(kind) or None)
    _call("mount", *arguments, flags, os.fsencode(options) or None)


def bind(source: str, target: str) -> None:
    """Show `source`, with all that is mounted below it, at `target` too."""
    _call("mount", os.fsencode(source), os.fsencode(target), None, MS_BIND | MS_REC, None)


def make_read_only(path: str) -> None:
    """Remount a bind mount so that nothing below it can be changed."""
    size = ctypes.c_size_t(len(_READ_ONLY))
    if _libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(path), 0, _READ_ONLY, size) == 0:
        return
    # Before Linux 5.12: a user namespace may not take away the flags that the mount has.
    have = os.statvfs(path).f_flag
    kept = 0
    for bit, flag in (
        (os.ST_NOSUID, MS_NOSUID), (os.ST_NODEV, MS_NODEV), (os.ST_NOEXEC, MS_NOEXEC),
        (os.ST_NOATIME, MS_NOATIME), (os.ST_NODIRATIME, MS_NODIRATIME),
        (os.ST_RELATIME, MS_RELATIME),
    ):  # fmt: skip
        kept |= flag if have & bit else 0
    mount("none", path, MS_BIND | MS_REMOUNT | MS_RDONLY | kept)


def touch(path: str, *, is_folder: bool) -> None:
    """Make a mount point."""
    if is_folder:
        os.mkdir(path, 0o755)
    else:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))


def pivot(new: str, old: str) -> None:
    """pivot_root(2)."""
    _call("pivot_root", os.fsencode(new), os.fsencode(old))


def begin_root() -> None:
    """In a new mount namespace: an empty root at /new, what was the root at /old."""
    mount("none", "/", MS_REC | MS_PRIVATE)
    mount("tmpfs", _BASE, 0, "tmpfs", "mode=755")
    os.chdir(_BASE)
    os.mkdir("old")
    os.mkdir("new")
    pivot(".", "old")
    mount("tmpfs", "/new", 0, "tmpfs", "mode=755,size=16m")


def end_root() -> None:
    """Let /new be the root, and the old one be gone."""
    os.chdir("/new")
    pivot(".", ".")
    _call("umount2", b".", MNT_DETACH)
    os.chdir("/")


def die_with_parent(signal: int) -> None:
    """Be sent `signal` when the parent ends; a later change of user forgets it."""
    _call("prctl", _PR_SET_PDEATHSIG, signal, 0, 0, 0)


def wake_loopback() -> None:
    """Set the loopback interface of a new network namespace up."""
    import fcntl
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0x1 | 0x40)  # IFF_UP | IFF_RUNNING
        fcntl.ioctl(any_socket, 0x8914, request)  # SIOCSIFFLAGS


def loopback_socket(family: int, kind: int, protocol: int) -> int:
    """A new TCP socket that nothing but the loopback interface carries; its descriptor.

    Only who has CAP_NET_RAW can untie it. Raises OSError for any other kind of socket.
    """
    import socket

    if family not in (_AF_INET, _AF_INET6) or kind & 0xF != socket.SOCK_STREAM:
        raise PermissionError(_EPERM, "no TCP socket")
    if protocol not in (0, socket.IPPROTO_TCP):
        raise PermissionError(_EPERM, "no TCP socket")
    with socket.socket(family, kind, protocol) as made:
        made.setsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, b"lo\0")
        return made.detach()


def give_sockets(listener: int) -> None:
    """Make the sockets that are asked for at `listener`, of `seccomp`, until nobody can ask.

    What is asked lies in registers that the kernel copied, so it cannot change meanwhile.
    """
    import fcntl
    import select

    poller = select.poll()
    poller.register(listener, select.POLLIN)
    while not poller.poll()[0][1] & select.POLLHUP:
        asked = bytearray(80)
        try:
            fcntl.ioctl(listener, _NOTIFICATION, asked)
        except OSError:
            continue  # who asked has ended
        number = struct.unpack_from("=Q", asked)[0]
        family, kind, protocol = (struct.unpack_from("=i", asked, 32 + 8 * n)[0] for n in range(3))
        made = -1
        try:
            made = loopback_socket(family, kind, protocol)
            flags = os.O_CLOEXEC if kind & os.O_CLOEXEC else 0
            given = struct.pack("=QIIII", number, _ADDFD_SEND, made, 0, flags)
            fcntl.ioctl(listener, _ADD_DESCRIPTOR, given)
        except OSError as error:
            refused = struct.pack("=QqiI", number, 0, -(error.errno or _EPERM), 0)
            with contextlib.suppress(OSError):  # who asked has ended
                fcntl.ioctl(listener, _ANSWER, bytearray(refused))
        finally:
            if made >= 0:
                os.close(made)


def drop_capabilities() -> None:
    """Let what is started have none, also where the superuser starts it.

    A superuser stripped so still owns files, which Landlock guards; what a capability would give
    besides, such as reading any process's environment, no path rule forbids.
    """
    number = 0
    while _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) == 0:
        number += 1


def give_up_capabilities() -> None:
    """Have none from now on, as whoever is not the superuser has none after execve(2)."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    _call("capset", header, (ctypes.c_uint32 * 6)())


def collect_orphans() -> None:
    """Become the parent of what this process's descendants leave running."""
    _call("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children() -> list[int]:
    """The processes whose parent this one is."""
    with open("/proc/thread-self/children", encoding="ascii") as stream:
        return [int(number) for number in stream.read().split()]


def become(user: int, group: int | None) -> None:
    """Drop to another user. Raises OSError where this process may not."""
    os.setgroups([])
    os.setgid(group or 0)
    os.setuid(user)


def landlock_version() -> int:
    """The version of Landlock's interface here; 0 where the kernel has none or a filter denies it.

    https://docs.kernel.org/userspace-api/landlock.html
    """
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(1))))


# Rights of Landlock.
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << n for n in range(6))
_MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, _MAKE_FIFO, _MAKE_BLOCK, _MAKE_SYM = (
    1 << n for n in range(6, 13)
)
_REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
READ = EXECUTE | READ_FILE | READ_DIR
WRITE = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | _REFER | TRUNCATE
DEVICE = READ | WRITE_FILE | IOCTL_DEV
SCRATCH = WRITE | MAKE_SOCK
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
_SINCE = ((13, 1), (14, 2), (15, 3), (16, 5))
"""The number of rights that exist up to a version of the interface: (rights, from version)."""


SCOPES_SIGNALS = 6
"""From this version on Landlock lets no signal out."""


def landlock(
    rules: Sequence[tuple[str, int]], ports: Sequence[int] | None, *, binds: bool = False
) -> None:
    """Allow this process, from now on, what `rules` (path, rights) say, and nothing else of files.

    It connects by TCP to `ports` alone and takes no connections, unless they are None, with `binds`
    at ports that the kernel chooses; it reaches no abstract socket and sends no signal outside of
    what it starts; where the kernel knows how.
    """
    version = landlock_version()
    handled = (1 << max(count for count, since in _SINCE if version >= since)) - 1
    net = _BIND_TCP | _CONNECT_TCP if version >= 4 and ports is not None else 0
    scoped = 0b11 if version >= SCOPES_SIGNALS else 0
    attributes = struct.pack("=QQQ", handled, net, scoped)
    size = 24 if version >= SCOPES_SIGNALS else 16 if version >= 4 else 8
    ruleset = _syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(size), ctypes.c_uint(0))
    for path, rights in rules:
        here = os.open(path, os.O_PATH | os.O_CLOEXEC)
        allowed = rights & handled & (-1 if os.path.isdir(path) else _OF_FILES)
        rule = struct.pack("=Qi", allowed, here)
        _syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, ctypes.c_uint(0))
        os.close(here)
    for port in (ports or ()) if net else ():
        rule = struct.pack("=QQ", _CONNECT_TCP, port)
        _syscall(_ADD_RULE, ruleset, _NET_PORT, rule, ctypes.c_uint(0))
    if net and binds:
        rule = struct.pack("=QQ", _BIND_TCP, 0)
        _syscall(_ADD_RULE, ruleset, _NET_PORT, rule, ctypes.c_uint(0))
    _syscall(_RESTRICT_SELF, ruleset, ctypes.c_uint(0))
    os.close(ruleset)


_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""By machine: the audit architecture, and the column of the numbers below."""

_DENIED = (
    # name, number on x86_64, on aarch64; https://docs.docker.com/engine/security/seccomp names most
    ("ptrace", 101, 117), ("process_vm_readv", 310, 270), ("process_vm_writev", 311, 271),
    ("kcmp", 312, 272), ("pidfd_getfd", 438, 438), ("mount", 165, 40), ("umount2", 166, 39),
    ("pivot_root", 155, 41), ("chroot", 161, 51), ("unshare", 272, 97), ("setns", 308, 268),
    ("open_tree", 428, 428), ("move_mount", 429, 429), ("fsopen", 430, 430),
    ("fsconfig", 431, 431), ("fsmount", 432, 432), ("fspick", 433, 433),
    ("mount_setattr", 442, 442), ("bpf", 321, 280), ("perf_event_open", 298, 241),
    ("add_key", 248, 217), ("request_key", 249, 218), ("keyctl", 250, 219),
    ("userfaultfd", 323, 282), ("io_uring_setup", 425, 425), ("io_uring_enter", 426, 426),
    ("io_uring_register", 427, 427), ("name_to_handle_at", 303, 264),
    ("open_by_handle_at", 304, 265), ("fanotify_init", 300, 262), ("init_module", 175, 105),
    ("finit_module", 313, 273), ("delete_module", 176, 106), ("kexec_load", 246, 104),
    ("kexec_file_load", 320, 294), ("reboot", 169, 142), ("swapon", 167, 224),
    ("swapoff", 168, 225), ("acct", 163, 89), ("settimeofday", 164, 170), ("quotactl", 179, 60),
    ("personality", 135, 92), ("shmget", 29, 194), ("shmat", 30, 196),
)  # fmt: skip
_OF_OTHERS = (
    # What Landlock has no right for, and what concerns another process of the same user.
    ("chmod", 90, -1), ("fchmodat", 268, 53), ("fchmodat2", 452, 452), ("chown", 92, -1),
    ("lchown", 94, -1), ("fchownat", 260, 54), ("setxattr", 188, 5), ("lsetxattr", 189, 6),
    ("setxattrat", 463, 463), ("removexattr", 197, 14), ("lremovexattr", 198, 15),
    ("removexattrat", 466, 466), ("file_setattr", 469, 469), ("utime", 132, -1),
    ("utimes", 235, -1), ("futimesat", 261, -1), ("utimensat", 280, 88),
    ("setpriority", 141, 140), ("ioprio_set", 251, 30), ("migrate_pages", 256, 238),
    ("move_pages", 279, 239),
)  # fmt: skip
_OF_ITSELF = (
    # Where the first argument, a process, is 0: the one that asks.
    ("prlimit64", 302, 261), ("sched_setaffinity", 203, 122), ("sched_setparam", 142, 118),
    ("sched_setscheduler", 144, 119), ("sched_setattr", 314, 274),
)  # fmt: skip
_SIGNALS = (
    ("kill", 62, 129), ("tkill", 200, 130), ("tgkill", 234, 131), ("rt_sigqueueinfo", 129, 138),
    ("rt_tgsigqueueinfo", 297, 240), ("pidfd_send_signal", 424, 424),
)  # fmt: skip
_UNCOUNTED = (("memfd_create", 319, 279), ("memfd_secret", 447, 447))
"""Memory that no process has to map: nobody could count it."""

_SOCKET, _LISTEN = (41, 198), (50, 201)
_PROTOCOLS = (0, 6, 17)
"""The family's own, TCP, UDP."""

_SENDS = (((44, 206), 40), ((46, 211), 32), ((307, 269), 40))
"""Numbers of sendto, sendmsg and sendmmsg, with where their flags lie."""

_MSG_FASTOPEN = 0x20000000
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_CLONE, _CLONE3 = (56, 220), (435, 435)
_ENOSYS, _EPERM = 38, 1
_ERRNO, _ALLOW, _KILL, _ASK = 0x00050000, 0x7FFF0000, 0x80000000, 0x7FC00000
_SECCOMP, _NEW_LISTENER = (317, 277), 8
_NOTIFICATION, _ANSWER, _ADD_DESCRIPTOR, _ADDFD_SEND = 0xC0502100, 0xC0182101, 0x40182103, 2
_NEW_NAMESPACES = (
    CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET
    | 0x02000000 | 0x00000080  # of cgroups and of time
)  # fmt: skip


def has_seccomp() -> bool:
    """Whether a filter of system calls can be made for this machine's processor."""
    return os.uname().machine in _ARCHITECTURES and os.path.exists("/proc/sys/kernel/seccomp")


def seccomp(
    *,
    sockets: bool,
    listens: bool,
    unix: bool,
    namespaces: bool,
    signals: bool,
    asks: bool = False,
) -> int:
    """Deny, from now on, system calls that reach outside: EPERM, for everything started too.

    Without `sockets` there is no new one; with them there are those of the internet, with `unix`
    also those, and without `listens` none takes connections. Without `namespaces` what Landlock has
    no right for is denied too; without `signals` none is sent, not even to itself. With `asks`
    whoever holds the descriptor that is returned (else -1) makes the sockets of the internet, as
    `give_sockets` does: a filter sees that a socket is made, but not where it connects.
    """
    architecture, column = _ARCHITECTURES[os.uname().machine]
    load, equal, at_least, bits, give = 0x20, 0x15, 0x35, 0x45, 0x06
    names = [*_DENIED, *(() if namespaces else _OF_OTHERS)]
    denied = [numbers[column] for _, *numbers in names if numbers[column] >= 0]
    denied += [] if sockets else [_SOCKET[column]]
    denied += [] if listens else [_LISTEN[column]]
    denied += [] if signals else [numbers[column] for _, *numbers in _SIGNALS]
    internet = [] if asks else [_AF_INET, _AF_INET6]
    families = [*internet, _AF_NETLINK, *([_AF_UNIX] if unix else [])]
    program = [
        (load, 0, 0, 4),  # the architecture
        (equal, 1, 0, architecture),
        (give, 0, 0, _KILL),
        (load, 0, 0, 0),  # the number
        (at_least, 0, 1, 0x40000000),  # x32, which has numbers of its own
        (give, 0, 0, _ERRNO | _EPERM),
    ]
    # clone3's flags lie in memory, where a filter cannot look: libraries know what to do without.
    for number in (_CLONE3[column], *(numbers[column] for _, *numbers in _UNCOUNTED)):
        program += [(equal, 0, 1, number), (give, 0, 0, _ERRNO | _ENOSYS)]
    for number in denied:
        program += [(equal, 0, 1, number), (give, 0, 0, _ERRNO | _EPERM)]
    for number in (numbers[column] for _, *numbers in _OF_ITSELF):
        program += [
            (equal, 0, 4, number),
            (load, 0, 0, 16),  # its first argument
            (equal, 0, 1, 0),
            (give, 0, 0, _ALLOW),
            (give, 0, 0, _ERRNO | _EPERM),
        ]
    # Of the internet TCP and UDP alone: Landlock knows the ports of no other, MPTCP's neither.
    asked = [(equal, 1, 0, _AF_INET), (equal, 0, 1, _AF_INET6), (give, 0, 0, _ASK)]
    made = [
        (load, 0, 0, 16),
        *(asked if asks else []),
        *((equal, len(families) - index, 0, one) for index, one in enumerate(families)),
        (give, 0, 0, _ERRNO | _EPERM),
        (load, 0, 0, 32),
        *((equal, len(_PROTOCOLS) - index, 0, one) for index, one in enumerate(_PROTOCOLS)),
        (give, 0, 0, _ERRNO | _EPERM),
        (give, 0, 0, _ALLOW),
    ]
    program += [(equal, 0, len(made), _SOCKET[column]), *made]
    for numbers, offset in _SENDS:
        program += [
            (equal, 0, 4, numbers[column]),
            (load, 0, 0, offset),  # its flags: Fast Open connects, and Landlock is not asked
            (bits, 0, 1, _MSG_FASTOPEN),
            (give, 0, 0, _ERRNO | _EPERM),
            (give, 0, 0, _ALLOW),
        ]
    program += [
        (equal, 0, 3, _CLONE[column]),
        (load, 0, 0, 16),
        (bits, 0, 1, _NEW_NAMESPACES),
        (give, 0, 0, _ERRNO | _EPERM),
        (give, 0, 0, _ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
    whole = struct.pack("@HP", len(program), ctypes.addressof(code))
    buffer = ctypes.create_string_buffer(whole)
    if asks:
        return _syscall(_SECCOMP[column], 1, _NEW_LISTENER, buffer)
    _call("prctl", _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(buffer), 0, 0)
    return -1


def no_new_privileges() -> None:
    """Let no program that is started have more rights than this one, set-user-ID or not."""
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _syscall(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"system call {number}: {os.strerror(code)}")
    return result


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        shown = " ".join(str(item) for item in arguments if item is not None)
        raise OSError(number, f"{name} {shown}: {os.strerror(number)}")
