"""The events and samples of the real sets as Polars frames, made of their files without a line of SQL."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import polars as pl

from tests.real.files import DATA, MAX_TEXT_BYTES, aider_events, csv_rows, llmperf_requests, steps_of_runs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIELDS: dict[str, pl.DataType] = pl.Schema(
    {
        "source": pl.String(),
        "at": pl.Datetime("us", "UTC"),
        "type": pl.String(),
        "name": pl.String(),
        "category": pl.String(),
        "user": pl.String(),
        "assistant": pl.String(),
        "model": pl.String(),
        "provider": pl.String(),
        "success": pl.Boolean(),
        "duration_ms": pl.Float64(),
        "ttft_ms": pl.Float64(),
        "input_tokens": pl.Int64(),
        "output_tokens": pl.Int64(),
        "total_tokens": pl.Int64(),
        "cost_usd": pl.Float64(),
    }
)
UNITS = {
    "MiB_sec": "MiBy/s",
    "Requests Per Second": "{request}/s",
    "Events Per Second": "{event}/s",
    "us Per Event": "us/{event}",
    "Ns Per Event": "ns/{event}",
}


def events() -> pl.DataFrame:
    """Every event of every set: those of banking77 and llmperf at the time that the settings give them."""
    return pl.from_dicts([*_aider(), *_steps(), *_azure(), *_llmperf(), *_questions()], schema=FIELDS)


def samples() -> pl.DataFrame:
    """Every sample of azure_vm_noise: its time, its value, and what its file's path says."""
    return pl.concat(map(_samples, sorted((DATA / "azure_vm_noise").rglob("*.csv.gz"))))


def _samples(file: Path) -> pl.DataFrame:
    said = dict(part.split("=", 1) for part in map(unquote, file.relative_to(DATA).parts) if "=" in part)
    test = re.sub("[^a-z0-9]+", "_", said["test_name"].removeprefix("Test:_").lower())
    unit = said["unit"].removesuffix(".csv.gz")
    return pl.read_csv(file, schema_overrides={"value": pl.Float64, "VM_id": pl.String}).select(
        pl.col("starttime").str.to_datetime(time_unit="us", time_zone="UTC").alias("at"),
        "value",
        pl.lit(f"{said['test_suite'].lower()}.{test}").alias("name"),
        pl.lit(UNITS.get(unit, unit)).alias("unit"),
        pl.col("VM_id").alias("vm_id"),
        *(pl.lit(said[label]).alias(label) for label in ("vm_lifespan", "vm_region", "vm_sku")),
    )


def _aider() -> Iterator[dict[str, Any]]:
    words = {"message_send": "llm_request", "message_send_exception": "error_occurred"}
    for event in aider_events():
        said = event["properties"]
        called = event["event"] == "message_send"
        provider, slash, _ = said.get("main_model", "").partition("/")
        if len(said.get("exception", "").encode()) <= MAX_TEXT_BYTES:
            yield {
                "source": "aider",
                "at": datetime.fromtimestamp(event["time"], UTC),
                "type": words.get(event["event"], "other"),
                "user": event["user_id"] or None,
                "model": said["main_model"] if called and said["main_model"] != "None" else None,
                "provider": provider if slash else None,
                "success": False if event["event"] == "message_send_exception" else None,
                "input_tokens": said.get("prompt_tokens"),
                "output_tokens": said.get("completion_tokens"),
                "total_tokens": said.get("total_tokens"),
                "cost_usd": said.get("cost"),
            }


def _steps() -> Iterator[dict[str, Any]]:
    for step in steps_of_runs():
        yield {
            "source": "github_actions",
            "at": step.began,
            "type": "step",
            "name": step.name,
            "category": "job" if step.id.count("/") == 1 else "step",
            "success": step.success,
            "duration_ms": None if step.seconds is None else 1000 * step.seconds,
        }


def _azure() -> Iterator[dict[str, Any]]:
    for file, request in csv_rows("azure_llm_2023"):
        read, written = int(request["ContextTokens"]), int(request["GeneratedTokens"])
        yield {
            "source": "azure_llm_2023",
            "at": datetime.fromisoformat(request["TIMESTAMP"][:26] + "+00:00"),  # the seventh digit is cut
            "type": "llm_request",
            "assistant": f"azure/{file.stem.rpartition('_')[2]}",
            "provider": "azure",
            "input_tokens": read,
            "output_tokens": written,
            "total_tokens": read + written,
        }


def _llmperf() -> Iterator[dict[str, Any]]:
    for file, requests in llmperf_requests().items():
        provider, _, model = file.partition("_")
        for request in requests:
            yield {
                "source": "llmperf",
                "at": datetime(2024, 2, 1, tzinfo=UTC),
                "type": "llm_request",
                "category": "rate_limit" if request["error_code"] == HTTPStatus.TOO_MANY_REQUESTS else None,
                "model": model,
                "provider": provider,
                "success": request["error_code"] is None,
                "duration_ms": 1000 * request["end_to_end_latency_s"] or None,
                "ttft_ms": 1000 * request["ttft_s"] or None,
                "input_tokens": request["number_input_tokens"],
                "output_tokens": request["number_output_tokens"],
                "total_tokens": request["number_total_tokens"],
            }


def _questions() -> Iterator[dict[str, Any]]:
    for _, question in csv_rows("banking77"):
        at = datetime(2020, 3, 10, tzinfo=UTC)
        yield {"source": "banking77", "at": at, "type": "question", "category": question["category"]}
