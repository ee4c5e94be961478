"""Readers: how published tables are asked."""

from __future__ import annotations
