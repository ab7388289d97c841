"""Who served, who did not, and which worker all findings involve."""

import pytest

from loadtest import Failure, Finding
from loadtest.harness import balance

_FOUR = ("app-1/1", "app-1/2", "app-2/3", "app-2/4")


def _found(served_by: str, issuer: str = "") -> Finding:
    return Finding(Failure.LOST_SESSION, "gone", served_by=served_by, issuer=issuer)


@pytest.mark.parametrize(
    ("counts", "tolerance", "unbalanced"),
    [
        ((900, 900, 900, 900), 0.5, []),
        ((300, 300, 300), 0.5, ["app-2/4 never appeared in 900 requests"]),
        ((2800, 400, 400, 400), 0.7, ["app-1/1 served 70% where 25% is even"]),
        # With few requests, chance may leave a worker out.
        ((90,), 0.5, []),
    ],
    ids=["even", "a worker never appears", "a share is too large", "too few requests"],
)
def test_workers_share_the_requests(
    counts: tuple[int, ...], tolerance: float, unbalanced: list[str]
) -> None:
    """Who never appears is known from the list of workers; a finding names the even share."""
    served = dict(zip(_FOUR, counts, strict=False))
    assert balance.unbalanced(served, _FOUR, _FOUR, tolerance) == unbalanced


def test_replicas_are_compared_if_workers_changed() -> None:
    """A deployment replaces workers: their replicas must still share the requests."""
    after = ("app-1/1", "app-1/2", "app-2/5", "app-2/6")
    served = {"app-1/1": 250, "app-1/2": 250, "app-2/3": 250, "app-2/5": 250}
    assert balance.unbalanced(served, _FOUR, after, 0.5) == []
    served = {"app-1/1": 500, "app-1/2": 450, "app-2/3": 50}
    assert len(balance.unbalanced(served, _FOUR, after, 0.5)) == 2


@pytest.mark.parametrize(
    ("findings", "name"),
    [
        ([_found("app-1/1", "app-2/3"), _found("app-2/3", "app-1/2")] * 4, "app-2/3"),
        ([_found("app-2/3"), _found("app-2/4")] * 4, "app-2"),
        ([_found("app-1/1"), _found("app-2/3"), _found("app-2/4")] * 4, ""),
        ([_found("app-2/3"), _found("app-2/3", "app-1/1")], ""),
        ([_found("app-1/1", "app-2/3"), _found("app-2/4", "app-1/1")] * 2, ""),
        ([_found("")] * 9, ""),
        ([], ""),
    ],
    ids=["worker", "replica", "nobody", "too few", "by chance", "unknown", "none"],
)
def test_the_worker_in_all_findings_is_named(findings: list[Finding], name: str) -> None:
    """One worker, else one replica, that served the answer or issued its cookie."""
    assert balance.suspect(findings, _FOUR) == name
