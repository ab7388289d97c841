"""What belongs to the application and the request being served, with its type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import Flask, current_app, session
from unsticky import Session, Unsticky

from shop.settings import Settings


@dataclass(frozen=True)
class Shop:
    """The parts that views need of their application."""

    settings: Settings
    sessions: Unsticky

    def attach(self, app: Flask) -> None:
        """Make this what current_shop() returns within the application."""
        app.extensions["shop"] = self


def current_shop() -> Shop:
    """Return the parts of the application being served."""
    return cast("Shop", current_app.extensions["shop"])


def current_session() -> Session:
    """Return the session of this request; it is loaded only when it is used."""
    return cast("Session", session)
