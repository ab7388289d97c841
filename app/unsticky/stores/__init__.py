"""Stores of sessions, and the client through which an application may use the same server.

Another store keeps the contract `Store` (`base.py`). A subclass of `DocumentStore` only loads
documents and replaces them; what each call does to them is worked out for it (`planning.py`).
"""

from ..cookie import Reference
from ..limits import Lifetimes
from .base import (
    UNREAD,
    Add,
    Bind,
    Caps,
    Change,
    Check,
    CheckNames,
    Conflicting,
    Deadline,
    Destroy,
    Finish,
    Gone,
    Listed,
    Missing,
    Move,
    NotACounter,
    Operation,
    Record,
    Refused,
    SetLimits,
    StaleStamp,
    Store,
    Take,
    TooLarge,
    Unreadable,
    Write,
    WriteOutcome,
    Written,
)
from .client import Client, Part, Script
from .documents import Document, packed, unpacked
from .memory import DocumentStore, MemoryStore
from .planning import Plan
from .redis import RedisStore
from .urls import client_from_url, client_like, open_store

__all__ = [
    "UNREAD",
    "Add",
    "Bind",
    "Caps",
    "Change",
    "Check",
    "CheckNames",
    "Client",
    "Conflicting",
    "Deadline",
    "Destroy",
    "Document",
    "DocumentStore",
    "Finish",
    "Gone",
    "Lifetimes",
    "Listed",
    "MemoryStore",
    "Missing",
    "Move",
    "NotACounter",
    "Operation",
    "Part",
    "Plan",
    "Record",
    "RedisStore",
    "Reference",
    "Refused",
    "Script",
    "SetLimits",
    "StaleStamp",
    "Store",
    "Take",
    "TooLarge",
    "Unreadable",
    "Write",
    "WriteOutcome",
    "Written",
    "client_from_url",
    "client_like",
    "open_store",
    "packed",
    "unpacked",
]
