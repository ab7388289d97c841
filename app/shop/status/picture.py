"""The geometry of the picture: a row for each worker, a column for each request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shop.status.store import RequestEvent, WorkerStatus

# In user units of the SVG: CSS pixels, unless it is scaled.
_ROW = 46
_FIRST = 33
_MARGIN = 18
_COLUMN = 28


@dataclass(frozen=True)
class Dot:
    """One request, on the line of the worker that served it."""

    x: int
    y: int
    event: RequestEvent


@dataclass(frozen=True)
class Row:
    """The line of one worker."""

    y: int
    worker: WorkerStatus


@dataclass(frozen=True)
class Picture:
    """The last requests, left to right, drawn across the workers.

    Attributes:
        width: Of the whole.
        height: Of the whole.
        rows: Top to bottom.
        dots: The oldest first.
    """

    width: int
    height: int
    rows: tuple[Row, ...]
    dots: tuple[Dot, ...]

    @property
    def path(self) -> str:
        """The points of the line from dot to dot, as SVG writes them."""
        return " ".join(f"{dot.x},{dot.y}" for dot in self.dots)


def draw(
    workers: Sequence[WorkerStatus], requests: Sequence[RequestEvent], columns: int
) -> Picture:
    """Return the picture of the last `columns` requests."""
    rows = tuple(Row(_FIRST + _ROW * number, worker) for number, worker in enumerate(workers))
    heights = {row.worker.name: row.y for row in rows}
    # A worker may have ended so long ago that the store has forgotten it.
    known = [event for event in requests if event.worker in heights][-columns:]
    free = columns - len(known)
    return Picture(
        width=2 * _MARGIN + _COLUMN * (columns - 1),
        height=_ROW * max(len(rows), 1),
        rows=rows,
        dots=tuple(
            Dot(_MARGIN + _COLUMN * (free + number), heights[event.worker], event)
            for number, event in enumerate(known)
        ),
    )
