"""The application's log."""

import io
import json
import logging
import os
from collections.abc import Iterator

import pytest
from flask import Flask
from shop import logs

from tests.support.shop.client import ShopClient

_ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture(name="lines")
def _lines(shop: Flask) -> Iterator[io.StringIO]:
    """What the shop's handler writes."""
    del shop  # making it is what set the handler up
    handlers = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler)
        and isinstance(handler.formatter, logs.JsonFormatter)
    ]
    assert len(handlers) == 1, "several handlers would write each entry several times"
    stream = io.StringIO()
    before = handlers[0].setStream(stream)
    yield stream
    handlers[0].setStream(before)


def test_entry_is_one_line_of_json(shop: Flask, lines: io.StringIO) -> None:
    """An entry is one line of JSON that names the request and the worker."""

    @shop.get("/api/told")
    def told() -> str:
        logging.getLogger("test").warning('a "quote"\nand %s', "a line")
        return ""

    ShopClient(shop).get("/api/told", X_Request_ID=_ID)
    (line,) = lines.getvalue().splitlines()
    entry = json.loads(line)
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "log": "test",
        "level": "warning",
        "message": 'a "quote"\nand a line',
        "request_id": _ID,
        "served_by": f"app-1/{os.getpid()}",
    }


def test_trace_is_part_of_entry(lines: io.StringIO) -> None:
    """An exception's trace is part of its entry."""
    try:
        int("tea")
    except ValueError:
        logging.getLogger("test").exception("failed")
    entry = json.loads(lines.getvalue())
    assert "ValueError: invalid literal" in entry["exception"]
    assert entry["request_id"] is None
