"""The script `compose/deploy`: its path, and those parts of it that `make restart` needs."""

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from typing import Any

from kit.docker.containers import APP, Container
from kit.errors import KitError
from kit.settings import CHECKOUT

PATH = CHECKOUT / "compose" / "deploy"


class Script:
    """What the script does with the containers of one project, whatever today's settings are."""

    def __init__(self, project: str) -> None:
        loader = SourceFileLoader("deploy", str(PATH))
        spec = importlib.util.spec_from_file_location("deploy", PATH, loader=loader)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
        self._stack: Any = object.__new__(module.Stack)
        self._stack.project = project
        self._stack.repository = f"{project}/{APP}"

    def route(self, replicas: Sequence[Container]) -> None:
        """Let nginx use these alone, or else all that run; wait until the others are idle."""
        with _explained():
            self._stack.route([replica.id for replica in replicas])

    def recover(self) -> None:
        """Remove the replicas that an interrupted deployment has left."""
        with _explained():
            images = set(self._stack.releases().values())
            if all(each.image in images for each in self._stack.containers()):
                return
            serving = self._stack.serving()
            self._stack.keep([each for each in serving if each.image in images] or serving)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        problem, *hints = map(str, error.args)
        raise KitError(problem, *hints) from error
