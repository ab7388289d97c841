"""docs/logs.md: the code for an application's own log lines."""

import json
import subprocess
import sys

from tests.support.checkout import ROOT
from tests.support.pages import blocks

_APPLICATION = """
from flask import Flask

app = Flask("site")


@app.get("/")
def view():
    app.logger.info("said %s", "this")
    logging.getLogger("other").warning("and that")
    raise RuntimeError("broken on purpose")


app.test_client().get("/", headers={"X-Request-ID": "the-id"})
logging.getLogger("other").warning("outside")
"""


def test_lines_of_an_application_have_the_requests_id() -> None:
    """Each line is one JSON object with the id, Flask's own trace included, and is there once."""
    (code,) = blocks("Find a failed request", "python", page=ROOT / "docs" / "logs.md")
    command = [sys.executable, "-c", code.text + _APPLICATION]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    *inside, outside = map(json.loads, printed.splitlines())
    assert [line["request_id"] for line in inside] == ["the-id"] * 3
    assert [line["message"].partition("\n")[0] for line in inside] == [
        "said this",
        "and that",
        "Exception on / [GET]",
    ]
    assert inside[-1]["message"].endswith("RuntimeError: broken on purpose")
    assert "request_id" not in outside
