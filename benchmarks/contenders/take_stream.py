"""Read a table as an Arrow stream over a plain socket: seconds to its end; its rows are looked at afterwards."""

from __future__ import annotations

import json
import socket
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

AT_ONCE = 1 << 20
PATIENCE_SECONDS = 60


def taken(host: str, port: int, path: str) -> tuple[float, list[bytes]]:
    """Seconds from asking to the end, and all that came."""
    request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode()
    with socket.create_connection((host, port), timeout=PATIENCE_SECONDS) as connection:
        parts, began = [], time.perf_counter()
        connection.sendall(request)
        while part := connection.recv(AT_ONCE):
            parts.append(part)
        return time.perf_counter() - began, parts


def body(parts: list[bytes]) -> bytes:
    """What was sent in chunks, as one piece."""
    whole = b"".join(parts)
    head, _, _ = whole.partition(b"\r\n\r\n")
    if b" 200 " not in head:
        raise SystemExit(whole[:300].decode())
    pieces: list[bytes] = []
    at = len(head) + 4
    while True:
        line = whole.index(b"\r\n", at)
        size = int(whole[at:line], 16)
        if not size:
            return b"".join(pieces)
        pieces.append(whole[line + 2 : line + 2 + size])
        at = line + 2 + size + 2


def main() -> None:
    """Read as often as the arguments say; every time there must be as many rows, of as many different keys."""
    address, path, key, rows, times, target = sys.argv[1:]
    host, _, port = address.partition(":")
    found = []
    for _ in range(int(times) + 1):
        seconds, parts = taken(host, int(port), path)
        stream = body(parts)
        table = pa.ipc.open_stream(stream).read_all()
        different = pc.count_distinct(table[key], mode="all").as_py()
        if (table.num_rows, different) != (int(rows), int(rows)):
            raise SystemExit(f"{table.num_rows} rows of {different} keys came where there are {rows}")
        found.append({"seconds": seconds, "bytes": len(stream)})
    Path(target).write_text(json.dumps(found[1:]), encoding="utf-8")


if __name__ == "__main__":
    main()
