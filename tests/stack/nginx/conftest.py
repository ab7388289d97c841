"""A real nginx before two scripted replicas."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.stack.nginx.replica import Replica, Script
from tests.support.stacks.nginx import Nginx, defaults

StartEdge = Callable[..., Nginx]


@pytest.fixture(name="run_folder", scope="session")
def _run_folder() -> Iterator[Callable[[], Path]]:
    """Make short folders: the path of a socket may not exceed about 100 bytes."""
    with ExitStack() as stack:
        yield lambda: Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-")))


@pytest.fixture(name="script_of_all", scope="session")
def _script_of_all() -> Script:
    return Script()


@pytest.fixture(name="replicas", scope="session")
def _replicas(run_folder: Callable[[], Path], script_of_all: Script) -> Iterator[list[Replica]]:
    folder = run_folder()
    replicas = [Replica(name, folder / f"{name}.sock", script_of_all) for name in ("one", "two")]
    for replica in replicas:
        replica.start()
    yield replicas
    for replica in replicas:
        replica.stop()


@pytest.fixture(name="script")
def _script(script_of_all: Script) -> Iterator[Script]:
    """What the replicas do and saw, fresh for each test."""
    script_of_all.reset()
    yield script_of_all
    script_of_all.resume.set()


@pytest.fixture(name="start_edge", scope="session")
def _start_edge(run_folder: Callable[[], Path], replicas: list[Replica]) -> Iterator[StartEdge]:
    """Start an nginx with other variables or shortened time limits."""
    edges: list[Nginx] = []

    def start(edits: dict[str, str] | None = None, **variables: str) -> Nginx:
        run = run_folder()
        servers = "\n".join(
            f"server unix:{replica.socket_path} max_fails=0;" for replica in replicas
        )
        edges.append(Nginx.start(run, defaults(run, servers) | variables, edits or {}))
        return edges[-1]

    yield start
    for edge in edges:
        edge.stop()
        # Whatever the tests sent, each line is one JSON object.
        for line in (edge.run / "access.log").read_bytes().splitlines():
            assert isinstance(json.loads(line.decode("ascii")), dict)
            assert line.decode().isprintable()
        # So that nothing that a client sent reaches the terminal that shows it.
        for line in (edge.run / "error.log").read_bytes().splitlines():
            assert line.decode(errors="replace").isprintable(), line


@pytest.fixture(name="edge", scope="session")
def _edge(start_edge: StartEdge) -> Nginx:
    """The nginx that tests share which leave it as it is."""
    return start_edge()
