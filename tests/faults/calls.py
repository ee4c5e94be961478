"""The system calls that change a file system, by their numbers, and a filter that stops a process at each of them.

Of x86-64 Linux. `when=` of `strace --inject` counts for each thread by itself, and DuckDB writes with threads of its
own whatever `threads` is: to stop at each call of a process, in its order over all threads, we count ourselves.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final, NamedTuple

ARCHITECTURE: Final = 0xC000003E
SECCOMP_TRACE: Final = 0x7FF00000
SECCOMP_ALLOW: Final = 0x7FFF0000
PR_SET_NO_NEW_PRIVS: Final = 38
PR_SET_SECCOMP: Final = 22
SECCOMP_MODE_FILTER: Final = 2
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
NUMBER_AT, ARCHITECTURE_AT, ARGUMENTS_AT = 0, 4, 16


class Call(NamedTuple):
    """A system call: which of its arguments is a path or a file, and which is the folder that the path is below.

    `grows` says whether it can need room on the disk.
    """

    name: str
    file: int = -1
    path: int = -1
    folder: int = -1
    grows: bool = False


CALLS: Final = {
    1: Call("write", file=0, grows=True),
    18: Call("pwrite64", file=0, grows=True),
    20: Call("writev", file=0, grows=True),
    296: Call("pwritev", file=0, grows=True),
    328: Call("pwritev2", file=0, grows=True),
    40: Call("sendfile", file=0, grows=True),
    326: Call("copy_file_range", file=2, grows=True),
    2: Call("open", path=0, grows=True),
    257: Call("openat", path=1, folder=0, grows=True),
    85: Call("creat", path=0, grows=True),
    74: Call("fsync", file=0, grows=True),
    75: Call("fdatasync", file=0, grows=True),
    76: Call("truncate", path=0),
    77: Call("ftruncate", file=0),
    285: Call("fallocate", file=0, grows=True),
    82: Call("rename", path=1),
    264: Call("renameat", path=3, folder=2),
    316: Call("renameat2", path=3, folder=2),
    83: Call("mkdir", path=0, grows=True),
    258: Call("mkdirat", path=1, folder=0, grows=True),
    84: Call("rmdir", path=0),
    86: Call("link", path=1, grows=True),
    265: Call("linkat", path=3, folder=2, grows=True),
    88: Call("symlink", path=1, grows=True),
    266: Call("symlinkat", path=2, folder=1, grows=True),
    87: Call("unlink", path=0),
    263: Call("unlinkat", path=1, folder=0),
    90: Call("chmod", path=0),
    91: Call("fchmod", file=0),
    268: Call("fchmodat", path=1, folder=0),
    280: Call("utimensat", path=1, folder=0),
}
"""Every call that changes what is on the disk, and the two that wait for it. Memory that is mapped is not among them:
nothing here writes through any."""

FLAGS: Final = {2: 1, 257: 2}
"""Which argument of a call that opens says how; one that makes nothing and cuts nothing is not stopped at."""
CHANGING: Final = os.O_CREAT | os.O_TRUNC


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def stop_at_changes() -> None:
    """From here on this process, with what it becomes, stops for its tracer before each change of a file system."""
    libc = ctypes.CDLL(None, use_errno=True)
    text = _filter()
    program = _Program(len(text) // 8, text)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "no filter of system calls can be set here")


def _filter() -> bytes:
    """The filter as the kernel takes it; what it allows goes on without the tracer, at full speed."""
    plain = sorted(CALLS.keys() - FLAGS.keys())
    text = [(LOAD, 0, 0, ARCHITECTURE_AT), (EQUAL, 1, 0, ARCHITECTURE), (RETURN, 0, 0, SECCOMP_ALLOW)]
    text.append((LOAD, 0, 0, NUMBER_AT))
    for number, argument in FLAGS.items():
        text.append((EQUAL, 0, 4, number))
        text.append((LOAD, 0, 0, ARGUMENTS_AT + 8 * argument))
        text += [(ANY_BIT, 0, 1, CHANGING), (RETURN, 0, 0, SECCOMP_TRACE), (RETURN, 0, 0, SECCOMP_ALLOW)]
    for number in plain:
        text += [(EQUAL, 0, 1, number), (RETURN, 0, 0, SECCOMP_TRACE)]
    text.append((RETURN, 0, 0, SECCOMP_ALLOW))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in text)
