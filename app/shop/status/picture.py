"""The geometry of the picture: a row for each worker, a column for each request."""

from collections.abc import Sequence
from typing import NamedTuple

from shop.status.store import RequestEvent, WorkerStatus

# In user units of the SVG: CSS pixels, unless it is scaled.
_ROW = 46
_FIRST = 33
_MARGIN = 18
_COLUMN = 28


class Dot(NamedTuple):
    """One request, on the line of the worker that served it."""

    x: int
    y: int
    event: RequestEvent


class Row(NamedTuple):
    """The line of one worker."""

    y: int
    worker: WorkerStatus


class Picture(NamedTuple):
    """The last requests, left to right, drawn across the workers, top to bottom."""

    width: int
    height: int
    rows: list[Row]
    dots: list[Dot]

    @property
    def path(self) -> str:
        """The points of the line from dot to dot, as SVG writes them."""
        return " ".join(f"{dot.x},{dot.y}" for dot in self.dots)


def draw(
    workers: Sequence[WorkerStatus], requests: Sequence[RequestEvent], columns: int
) -> Picture:
    """Return the picture of the last `columns` requests."""
    rows = [Row(_FIRST + _ROW * number, worker) for number, worker in enumerate(workers)]
    heights = {row.worker.name: row.y for row in rows}
    # A worker may have ended so long ago that the store has forgotten it.
    known = [event for event in requests if event.worker in heights][-columns:]
    dots = [
        Dot(_MARGIN + _COLUMN * column, heights[event.worker], event)
        for column, event in enumerate(known, columns - len(known))
    ]
    width = 2 * _MARGIN + _COLUMN * (columns - 1)
    return Picture(width, _ROW * max(len(rows), 1), rows, dots)
