"""An application of two routes, each of which takes its time. Tests start it in one worker."""

import os
import time
from collections import Counter

from flask import Flask, request

app = Flask("routes")
# Asleep, so that the capacity does not depend on how busy the machine is.
_SECONDS = {"/list": 0.01, "/add": 0.01 + float(os.environ.get("SLOWER_SECONDS", "0"))}
_asked: Counter[str] = Counter()


@app.before_request
def _count() -> None:
    if request.user_agent.string.startswith("python-requests"):
        _asked[request.path] += 1


@app.get("/list")
@app.get("/add")
def _answer() -> str:
    time.sleep(_SECONDS[request.path])
    return "ok"


@app.get("/asked")
def _tell() -> dict[str, int]:
    """How often the harness itself asked for each path; the visitors have another client."""
    return _asked
