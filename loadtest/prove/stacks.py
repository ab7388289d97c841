"""The two that are compared: a stack of the kit, and the stock server beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtest.harness.kit import Kit
from loadtest.prove.stock import ContainerStock, Stock


@contextmanager
def running(folder: Path) -> Iterator[tuple[Kit, Stock]]:
    """Start both, and end them."""
    kit = Kit(folder)
    try:
        kit.succeed("up")
        stock = (ContainerStock if kit.runtime == "docker" else Stock)(folder)
        try:
            yield kit, stock
        finally:
            stock.dispose()
    finally:
        kit.dispose()
