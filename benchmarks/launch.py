"""Run one command and print what the operating system says of it as JSON: seconds, peak memory, exit code.

A process of its own between the harness and a contender: a child's peak memory begins at that of whoever started it,
and the harness has held an engine by then.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time


def main() -> None:
    """Run the command that stands in the arguments; its own output goes to standard error."""
    started = time.perf_counter()
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    code = os.waitstatus_to_exitcode(status)
    processor = usage.ru_utime + usage.ru_stime
    print(json.dumps({"wall": wall, "processor": processor, "memory": usage.ru_maxrss / (1 << 20), "code": code}))


if __name__ == "__main__":
    main()
