"""An open loop on a real stack: what it says of a target that stops for a second."""

import csv
import time
from pathlib import Path

from tests.support.stacks.loadtests import read, settings_of
from tests.support.stacks.local import Stack
from tests.support.waiting import wait_until

# Few visits of many requests: one request of each waits for the store, and hides the others.
_LONG_VISITS = """
from loadtest import Journey


class Reader(Journey):
    def visit(self) -> None:
        self.post("/api/cart/items", json={"sku": "tea", "qty": 1})
        for _ in range(120):
            self.think()
            self.get("/api/cart")
"""


def test_a_paused_store_shows_in_corrected_percentiles_alone(copied: Stack, tmp_path: Path) -> None:
    """About a sixth of the requests were due in that second, and one of each visit was sent."""
    scenario = tmp_path / "long.py"
    scenario.write_text(_LONG_VISITS)
    # By default, a request gives up before the second has passed.
    copied.up(APP="shop:create_app()", UNSTICKY_DEADLINE="10")
    load = settings_of(
        RATE="1", ARRIVALS="constant", THINK="0.03", DURATION="6s", SCENARIO=str(scenario)
    )
    folders = set((copied.state_dir / "loadtest").glob("*"))
    process = copied.start_verb("loadtest", **load)

    def rows() -> int:
        new = set((copied.state_dir / "loadtest").glob("*")) - folders
        return sum(
            path.read_bytes().count(b"\n") for each in new for path in each.glob("requests-*.csv")
        )

    try:
        wait_until(lambda: rows() > 150, "the load has begun")
        with copied.store_paused():
            time.sleep(1)
    finally:
        printed, _ = process.communicate(timeout=120)
    ran = read(copied, process.returncode, printed)
    assert ran.verdict == "VERDICT pass", printed
    total = ran.document["total"]
    corrected, uncorrected = (total[name]["p95"] for name in ("percentiles", "uncorrected"))
    assert corrected > 400
    assert uncorrected < corrected / 2
    assert "uncorrected p95" in printed
    assert "p95 uncorrected" in (ran.folder / "report.html").read_text()
    assert ran.document["arrivals"]["dropped"] == 0
    with (ran.folder / "requests.csv").open(newline="") as file:
        late = [float(r["latency_ms"]) - float(r["uncorrected_ms"]) for r in csv.DictReader(file)]
    assert max(late) > 400
    assert min(late) >= 0
