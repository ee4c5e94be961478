"""Figures as dashboards show them: rounded by Python, half to even of the exact binary value, 0.0 for none."""

from __future__ import annotations


def rounded(value: float | None, digits: int) -> float:
    """A figure to so many digits; 0.0 where there is none."""
    return round(value or 0.0, digits)


def percent(part: float, whole: float, digits: int) -> float:
    """How many of a hundred; 0.0 of none."""
    return round(part / whole * 100.0, digits) if whole else 0.0
