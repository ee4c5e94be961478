"""Runs a command, and at the n-th of its changes of a folder, over all its threads, kills it or lets the call fail.

It is a process of its own, since a tracer gets the signals of whatever it started: the first argument is JSON
(`{"below": FOLDER, "at": N, "errno": 0, "onwards": false, "answer": FD}`), the others are the command; what that did is
written to that file descriptor, as JSON. It needs nothing but the standard library, and starts fast.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import sys
from typing import Any, Final

from tests.faults.calls import CALLS, stop_at_changes

TRACE_ME, CONTINUE, GET_REGISTERS, SET_REGISTERS, SET_OPTIONS = 0, 7, 12, 13, 0x4200
EXIT_KILLS: Final = 0x100000
FOLLOW: Final = 0x2 | 0x4 | 0x8 | 0x10 | 0x80
"""Also what forks, clones and executes; and stop where the filter says so."""
AT_FILTER: Final = 7
ALL_THREADS: Final = 0x40000000
ARGUMENTS: Final = (14, 13, 12, 7, 9, 8)
"""Where the six arguments of a call stand among the registers."""
RESULT, NUMBER = 10, 15

_Registers = ctypes.c_ulonglong * 27
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request: int, thread: int, data: Any = 0) -> None:
    if _libc.ptrace(request, thread, None, data) < 0:
        number = ctypes.get_errno()
        if number != errno.ESRCH:  # it was killed meanwhile
            raise OSError(number, f"ptrace {request} is refused: {os.strerror(number)}")


def _start(command: list[str], answer: int) -> int:
    """Start a command that stops at its changes; its process."""
    process = os.fork()
    if process:
        return process
    os.close(answer)
    _libc.ptrace(TRACE_ME, 0, None, None)
    os.kill(os.getpid(), signal.SIGSTOP)
    stop_at_changes()
    os.execv(command[0], command)  # noqa: S606 - it is the command itself
    return 0


class _Run:
    """One traced run, and the changes that it made so far: call and path."""

    def __init__(self, asked: dict[str, Any], command: list[str]) -> None:
        self.below, self.at = asked["below"], asked["at"]
        self.errno, self.onwards = asked["errno"], asked["onwards"]
        self.changes: list[tuple[str, str]] = []
        self.hit = 0
        self.process = _start(command, asked["answer"])

    def go(self) -> int:
        """Let it run; how it ended, as os.waitpid says it."""
        os.waitpid(self.process, 0)
        _ptrace(SET_OPTIONS, self.process, EXIT_KILLS | FOLLOW)
        _ptrace(CONTINUE, self.process)
        while True:
            thread, status = os.waitpid(-1, ALL_THREADS)
            if not os.WIFSTOPPED(status):
                if thread == self.process:
                    return status
                continue
            event = status >> 16
            if event == AT_FILTER:
                self._change(thread)
            sent = os.WSTOPSIG(status)
            _ptrace(CONTINUE, thread, 0 if event or sent in {signal.SIGSTOP, signal.SIGTRAP} else sent)

    def _change(self, thread: int) -> None:
        registers = _Registers()
        _ptrace(GET_REGISTERS, thread, ctypes.byref(registers))
        call = CALLS.get(registers[NUMBER])
        if call is None:
            return
        path = _path(thread, call, registers)
        if path != self.below and not path.startswith(f"{self.below}/"):
            return
        self.changes.append((call.name, path))
        count = len(self.changes)
        if not self.errno and count == self.at:
            self.hit += 1
            os.kill(self.process, signal.SIGKILL)
        elif self.errno and (count == self.at or (self.onwards and count > self.at and call.grows)):
            self.hit += 1
            registers[NUMBER] = ctypes.c_ulonglong(-1).value
            registers[RESULT] = ctypes.c_ulonglong(-self.errno).value
            _ptrace(SET_REGISTERS, thread, ctypes.byref(registers))


def _path(thread: int, call: Any, registers: Any) -> str:
    """The path that a call changes; empty where there is none."""
    arguments = [registers[n] for n in ARGUMENTS]
    try:
        if call.file >= 0:
            return os.readlink(f"/proc/{thread}/fd/{_signed(arguments[call.file])}")  # noqa: PTH115 - pathlib starts slowly
        given = _text(thread, arguments[call.path])
        if given.startswith("/"):
            return given
        folder = _signed(arguments[call.folder]) if call.folder >= 0 else -100
        beneath = os.readlink(f"/proc/{thread}/cwd" if folder == -100 else f"/proc/{thread}/fd/{folder}")  # noqa: PTH115
    except OSError:
        return ""
    return os.path.join(beneath, given)  # noqa: PTH118


def _signed(value: int) -> int:
    return ctypes.c_int(value & 0xFFFFFFFF).value


def _text(thread: int, address: int) -> str:
    """A text in the memory of another process."""
    memory = os.open(f"/proc/{thread}/mem", os.O_RDONLY)
    try:
        found = b""
        while b"\0" not in found:
            page = 4096 - (address + len(found)) % 4096
            found += os.pread(memory, page, address + len(found))
    finally:
        os.close(memory)
    return os.fsdecode(found.split(b"\0")[0])


def main() -> None:
    """Trace what the arguments say; the answer tells the changes, the hits and how the command ended."""
    asked = json.loads(sys.argv[1])
    run = _Run(asked, sys.argv[2:])
    status = run.go()
    answer = {
        "changes": run.changes,
        "hit": run.hit,
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
        "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1,
    }
    with os.fdopen(asked["answer"], "w") as said:
        json.dump(answer, said)


if __name__ == "__main__":
    main()
