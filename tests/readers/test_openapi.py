"""The description of the HTTP interface, and that the server is as it says: schemathesis asks what nobody would."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from pydantic import TypeAdapter
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.readers import servers
from tidemill import __version__
from tidemill.server.routes import analytics
from tidemill.server.routes import tables as routes_tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemathesis import Case
    from schemathesis.schemas import BaseSchema

    from tests.readers.servers import Server

TOKEN: Final = "of-the-description"  # noqa: S105 - of this test
EXAMPLES: Final = 8


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a home with data, which wants a token, and answers SQL."""
    mill = servers.small(tmp_path_factory)
    with servers.serving(mill, "--sql", environment={"TIDEMILL_TOKEN": TOKEN}) as started:
        started.client.headers["authorization"] = f"Bearer {TOKEN}"
        yield started


@pytest.fixture(scope="module")
def description(server: Server) -> dict[str, Any]:
    """What it says of itself."""
    return dict(server.get("/openapi.json").json())


@pytest.fixture(scope="module")
def served(server: Server) -> BaseSchema:
    """The same, as schemathesis reads it."""
    return schemathesis.openapi.from_url(f"{server.http}/openapi.json", headers=dict(server.client.headers))


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_the_server_is_as_it_is_described(served: BaseSchema, server: Server, mode: GenerationMode) -> None:
    """Whatever is asked: a status that is named, of the type that is named, with the body that is described; no 500."""
    asked = []
    for found in served.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]
        asked.append(operation.label)
        _ask(operation, mode, dict(server.client.headers))
    assert len(asked) > 15


def _ask(operation: Any, mode: GenerationMode, headers: dict[str, str]) -> None:
    """Ask a route in so many ways, the same each time; which columns and cursors there are is no part of a schema."""

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Case[Any]) -> None:
        case.call_and_validate(headers=headers, excluded_checks=[positive_data_acceptance])

    gc.disable()  # what it runs while Hypothesis parses a lambda is an error to Python 3.11 (gh-106905)
    try:
        ask()
    except Unsatisfiable:  # a route that takes nothing cannot be asked wrongly
        assert mode is GenerationMode.NEGATIVE
    finally:
        gc.enable()


def test_no_question_ended_in_a_failure(server: Server) -> None:
    """Nothing that a client asks for leaves a trace in the log."""
    assert server.is_well()
    assert "Traceback" not in server.log


def test_it_says_what_it_is(description: dict[str, Any]) -> None:
    """By the package's version, which the description carries."""
    assert description["info"]["title"] == "tidemill"
    assert description["info"]["version"] == __version__


def test_every_route_and_parameter_is_explained(description: dict[str, Any]) -> None:
    """A sentence for each route, and an example of what it answers."""
    for path, methods in description["paths"].items():
        for method, said in methods.items():
            assert said["description"], (path, method)
            assert {"401", "422", "429", "504"} <= said["responses"].keys(), path
            content = said["responses"]["200"].get("content", {})
            if method == "get" and path.startswith("/api/"):
                assert content["application/json"]["example"], path
            for parameter in said.get("parameters", []):
                assert parameter["in"] == "path" or parameter["description"], (path, parameter["name"])


def test_the_examples_are_of_their_models() -> None:
    """What is shown is what is answered."""
    for router in (routes_tables.router, analytics.router):
        for route in router.routes:
            model = getattr(route, "response_model", None)
            if model is not None:
                example = route.responses[200]["content"]["application/json"]["example"]  # type: ignore[attr-defined]
                TypeAdapter(model).validate_python(example, strict=True)
