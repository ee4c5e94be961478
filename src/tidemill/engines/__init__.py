"""Engines: what binds relations, defines macros and runs a select. Here DuckDB."""

from __future__ import annotations
