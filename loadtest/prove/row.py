"""One row of the page: what was done to the stack and to a stock server, and what was lost."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from loadtest.errors import LoadTestError
from loadtest.harness.kit import Kit
from loadtest.prove.stock import Stock
from loadtest.prove.visitors import Tally


@dataclass(frozen=True, kw_only=True)
class Options:
    """How long and how often.

    Attributes:
        seconds: of load, where nothing else says when a row ends.
        deploys: of the row of that name.
        rollbacks: of the row of that name.
        times: that each wrong release is deployed.
        health_path: what visitors of another application ask.
        soak: seconds of the row of that name.
    """

    seconds: float = 20
    deploys: int = 3
    rollbacks: int = 1
    times: int = 1
    health_path: str = "/"
    soak: float = 0


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one of the two did in one row.

    Attributes:
        done: what was done, in words.
        is_kept: whether all was as promised.
        problems: what was not, in words.
    """

    done: str
    requests: int
    failed: int
    acknowledged: int
    lost: int
    doubled: int
    is_kept: bool
    problems: list[str]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row: the verdict is passed, failed or `not run`, with the reason; how long it took."""

    name: str
    title: str
    verdict: str
    kit: Measured | None
    stock: Measured | None
    why: str = ""
    seconds: int = 0


class Skipped(Exception):
    """The row cannot be made; the message says why."""


def measured(
    done: str, tally: Tally, *, allows_failures: bool = False, wrong: str = ""
) -> Measured:
    """Return what visitors met; `wrong` is what else was not as promised."""
    problems = [*filter(None, [wrong]), *tally.details]
    is_kept = not (tally.lost or tally.doubled or wrong or (tally.failed and not allows_failures))
    return Measured(
        done=done,
        requests=tally.requests,
        failed=tally.failed,
        lost=tally.lost,
        acknowledged=tally.acknowledged,
        doubled=tally.doubled,
        is_kept=is_kept,
        problems=[] if is_kept else problems,
    )


def need_shop(kit: Kit) -> None:
    """Skip a row that is about carts if another application runs."""
    if not kit.is_shop:
        raise Skipped("it needs the shop's cart, and APP_DIR names another application")


Make = Callable[[Kit, Stock, Options], tuple[Measured, Measured | None]]


def made(name: str, make: Make, kit: Kit, stock: Stock, options: Options) -> Row:
    """Make one row; one that cannot be made never counts as passed."""
    began = time.monotonic()
    verdict, why, ours, theirs = "failed", "", None, None
    try:
        ours, theirs = make(kit, stock, options)
        verdict = ("passed" if ours.is_kept else "failed") if ours.requests else "not run"
    except Skipped as error:
        verdict, why = "not run", str(error)
    except (LoadTestError, OSError) as error:
        why = str(error)
    return Row(
        name=name,
        title=(make.__doc__ or "").splitlines()[0],
        verdict=verdict,
        kit=ours,
        stock=theirs,
        why=why,
        seconds=round(time.monotonic() - began),
    )
