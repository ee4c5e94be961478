"""Sources: where raw records come from."""

from __future__ import annotations
