"""`python -m loadtest.smoke`: tries a new release before the old one stops, as a deployment does.

The visitors of the shop compare each answer with a model of their cart and session. Visitors of
another application make the journeys of SCENARIO, or ask HEALTH_PATH. The profile `deploy` of
`slo.toml` says what is too slow or fails too often. The exit code is 0 if all was well, 1 if
something was wrong, 2 if the test could not be made, 3 if there were too few answers to tell.

============= ======================================================================================
SMOKE_URL     what to ask: a replica, `unix:/path/to.sock` or `http://…`; or nginx, with its prefix
SMOKE_SECONDS how long, by default 15; up to 120 s longer for enough answers
SMOKE_APP     shop, or empty for another application; by default shop
SMOKE_HOST    the host to ask for, by default localhost
HEALTH_PATH   of another application, by default `/`
============= ======================================================================================

SCENARIO, SLO, ACCOUNTS, STATE_DIR, SHOP_DEMO, SESSION_COOKIE_SECURE and NGINX_PREFIX count, too.
"""

import os
import shutil
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from loadtest import settings
from loadtest.console import say, warn
from loadtest.errors import LoadTestError
from loadtest.harness.edge import Edge
from loadtest.harness.figures import Figures
from loadtest.harness.gate import Word
from loadtest.harness.result import RunResult
from loadtest.harness.run import Run
from loadtest.report import run as report

_ADD = "POST /api/cart/items"
_ADDS, _ANSWERS = 1_000, 100
"""Fewer are not enough. Of 1,000 adds of a release that loses one in a hundred, all are there with
a probability of 0.00004."""
# A machine that is busy with its users takes longer, and is not wrong.
_LONGER_SECONDS = 120
_SHOWN = 3
# Most requests are adds, and few are logins, which are slow on purpose and limited.
_JOURNEYS = "TwoTabs=30 Shopper=10 Buyer=6 AnonymousBrowser=3 Bot=2 Member=1"
_OFFERS = ("products", "cart", "session", "checkout", "idempotency")


def main() -> int:
    """Make the test, say how it ended, and return the exit code."""
    try:
        return _test(
            {name: text for name, text in os.environ.items() if text or name == "SMOKE_APP"}
        )
    except (LoadTestError, OSError) as error:
        warn(f"error: the smoke test could not be made: {error}")
    except KeyboardInterrupt:
        warn("error: the smoke test was interrupted")
    return Word.ERROR.exit_code


def _test(given: dict[str, str]) -> int:
    seconds = int(given.get("SMOKE_SECONDS", "15"))
    is_shop = given.get("SMOKE_APP", "shop") == "shop" and "SCENARIO" not in given
    name, least = (_ADD, _ADDS) if is_shop else ("", _ANSWERS)

    # A deployment that was killed waits for nobody.
    deployment = int(given.get("SMOKE_PARENT", os.getppid()))

    def is_enough(figures: Figures) -> bool:
        if os.getppid() != deployment:
            raise KeyboardInterrupt
        is_bad = figures.findings or figures.failed > figures.requests / 20
        return figures.seconds >= seconds and bool(is_bad or figures.good(name) >= least)

    with tempfile.TemporaryDirectory(prefix="smoke-") as folder, _edge(given) as edge:
        wanted = _wanted(given, edge, seconds, Path(folder), is_shop=is_shop)
        result, raw = Run(wanted, lambda _: None, is_enough=is_enough).make()
        # A value that is within its limit by chance is no reason to refuse a release.
        if not result.verdict.is_kept:
            raw = Path(shutil.move(raw, _kept(settings.state_dir(given))))
            _explain(result, report.write(raw, result))
            return result.verdict.word.exit_code
    total = result.total
    good = sum(e.requests - e.errors for e in result.endpoints if name in {"", e.name})
    asked = f"{total.requests:,} requests in {result.seconds:.0f} s, {total.errors} errors"
    counted = f"{good:,} {'adds' if is_shop else 'good answers'}"
    if good < least:
        say(f"smoke test undecided: {asked}, {counted}, fewer than {least:,}")
        return Word.UNDECIDED.exit_code
    say(f"smoke test passed: {asked}, {counted}" + (", none lost" if is_shop else ""))
    return 0


def _edge(given: dict[str, str]) -> Edge:
    url, host = given.get("SMOKE_URL", ""), given.get("SMOKE_HOST", "localhost")
    prefix = given.get("NGINX_PREFIX", "")
    headers = {
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Proto": "https" if given.get("SESSION_COOKIE_SECURE") == "1" else "http",
        "X-Forwarded-Host": host,
        "X-Forwarded-Prefix": prefix,
    }
    # nginx itself takes its prefix off.
    return Edge(url, host, headers, "" if _prefix_of_nginx(given) else prefix)


def _prefix_of_nginx(given: dict[str, str]) -> str:
    """Return that of the nginx that runs, which may not have that of the deployment yet."""
    url = given.get("SMOKE_URL", "")
    return "" if url.startswith("unix:") else urlsplit(url).path


def _wanted(
    given: dict[str, str], edge: Edge, seconds: int, folder: Path, *, is_shop: bool
) -> settings.Settings:
    """Return the settings of the run."""
    own = settings.LOADTEST / "scenarios" / ("shoppers.py" if is_shop else "health.py")
    wanted = settings.parse(
        {
            "HOST": edge.url + (_prefix_of_nginx(given) or edge.prefix),
            "SCENARIO": given.get("SCENARIO", str(own)),
            "SLO": given.get("SLO", ""),
            "PROFILE": "deploy",
            "DURATION": f"{seconds + min(8 * seconds, _LONGER_SECONDS)}s",
            "USERS": "8",
            "PROCESSES": "1",
            "THINK": "0.02",
            "STATE_DIR": str(folder),
            "JOURNEYS": _JOURNEYS if is_shop else "",
            "ACCOUNTS": given.get("ACCOUNTS", ""),
        }
    )
    if not is_shop:
        return wanted
    # Only where there are demo users, or others are given: a failed login counts against somebody.
    has_users = given.get("SHOP_DEMO") == "1" or "ACCOUNTS" in given
    # Not asked: a broken release would offer less, and be tested less.
    offers = (*_OFFERS, "accounts") if has_users else _OFFERS
    return replace(wanted, plan=replace(wanted.plan, offers=offers))


def _kept(state_dir: Path) -> Path:
    folder = state_dir / "loadtest"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _explain(result: RunResult, page: Path) -> None:
    ended = {Word.FAIL: "failed", Word.UNDECIDED: "undecided"}
    word = ended.get(result.verdict.word, "has no verdict")
    reasons = result.verdict.reasons
    more = f"; and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
    say(f"smoke test {word}: {'; '.join(reasons[:_SHOWN])}{more}")
    for found in result.findings[:_SHOWN]:
        where = " ".join(filter(None, (found.request, found.served_by, found.request_id)))
        say(f"  {found} [{where}]")
    for error in result.errors[:_SHOWN]:
        where = " ".join(filter(None, (error.name, error.served_by, error.request_id)))
        say(f"  {error.error} [{where}]")
    say(f"  report: {page}")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(main())
