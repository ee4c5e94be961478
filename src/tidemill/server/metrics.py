"""What the server tells Prometheus of itself."""

from __future__ import annotations

from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Measures:
    """Counters of one server; a registry of its own, so that two in one process keep apart."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "tidemill_http_requests", "Requests answered.", ["method", "route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "tidemill_http_request_seconds",
            "How long answers took.",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.inside = Gauge(
            "tidemill_http_requests_in_progress", "Requests that are being answered.", registry=self._registry
        )
        self._calls = Counter(
            "tidemill_grpc_calls", "gRPC calls answered.", ["method", "code"], registry=self._registry
        )
        self.websockets = Gauge("tidemill_websocket_clients", "WebSocket clients connected.", registry=self._registry)
        self.dropped = Counter(
            "tidemill_websocket_dropped", "WebSocket clients dropped for being too slow.", registry=self._registry
        )
        self._published = Gauge(
            "tidemill_snapshot_published_seconds", "When the newest snapshot was published.", registry=self._registry
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def called(self, method: str, code: str) -> None:
        """Count a gRPC call that was answered."""
        self._calls.labels(method, code).inc()

    def published(self, at: str) -> None:
        """Say when the newest snapshot was published."""
        self._published.set(datetime.fromisoformat(at).timestamp())

    def text(self) -> bytes:
        """All of them, in Prometheus' text format."""
        return generate_latest(self._registry)
