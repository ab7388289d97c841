"""What belongs to the application and the request being served, with its type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import Flask, current_app, g, session
from unsticky import Session, Unsticky

from shop.records.operation import RETRY_MS, Operation
from shop.records.records import Records
from shop.request_id import current_request_id
from shop.settings import Settings


@dataclass(frozen=True)
class Shop:
    """The parts that views need of their application."""

    settings: Settings
    sessions: Unsticky
    records: Records

    def attach(self, app: Flask) -> None:
        """Make this what current_shop() returns within the application."""
        app.extensions["shop"] = self


def current_shop() -> Shop:
    """Return the parts of the application being served."""
    return cast("Shop", current_app.extensions["shop"])


def current_session() -> Session:
    """Return the session of this request; it is loaded only when it is used."""
    return cast("Session", session)


def name_operations(name: str) -> None:
    """Let what this request changes from here on happen once in all requests of this name.

    It holds for the session, and for records that take a next_operation().
    """
    current_session().once(name)
    g.operation = Operation(name, 0, RETRY_MS)


def next_operation() -> Operation:
    """Name this request's next change of a record, after the request or by name_operations()."""
    last: Operation = g.get("operation") or Operation(f"request {current_request_id()}", 0)
    g.operation = Operation(last.name, last.ordinal + 1, last.kept)
    return cast("Operation", g.operation)
