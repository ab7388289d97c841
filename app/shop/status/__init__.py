"""What the page ``/status`` draws: who serves, how much, and where one browser's requests went.

Workers tell of themselves on a board in the store, so that any worker can draw all of them.
Nothing of it is on a request's way: a thread beside the requests does the telling.
"""

from shop.status.board import Board, Hop, MemoryBoard, RedisBoard, Sight, WorkerSeen
from shop.status.recorder import Recorder
from shop.status.trail import Trail

__all__ = [
    "Board",
    "Hop",
    "MemoryBoard",
    "Recorder",
    "RedisBoard",
    "Sight",
    "Trail",
    "WorkerSeen",
]
