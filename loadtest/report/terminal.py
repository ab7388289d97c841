"""What a run looks like on a terminal."""

from collections.abc import Iterator

from loadtest.console import table
from loadtest.harness.figures import Endpoint
from loadtest.harness.result import RunResult

MB = 1024 * 1024
_SHOWN = 5


def lines(result: RunResult) -> list[str]:
    """Return the summary of a run, without its verdict."""
    header = ("request", "count", "errors", "p50 ms", "p95 ms", "p99 ms", "max ms")
    rows = [header, *map(_row, (*result.endpoints, result.total))]
    return [
        *(f"  {line}" for line in table(rows)),
        "",
        f"  {result.throughput:,.0f} requests/s over {result.seconds:.1f} s, {result.plan}",
        *_checked(result),
        *_used(result),
        *_over_time(result),
        *(f"  note       {note}" for note in result.verdict.notes),
    ]


def _checked(result: RunResult) -> Iterator[str]:
    if result.workers:
        total = sum(result.workers.values()) or 1
        shares = (f"{name} {count / total:.0%}" for name, count in result.workers.items())
        yield "  served     " + ", ".join(shares)
    else:
        yield "  served     unknown: the answers carry no X-Served-By (SERVED_BY=1 adds it)"
    yield "  checked    " + ", ".join(f"{kind} {n}" for kind, n in result.counts.items())
    for found in result.findings[:_SHOWN]:
        where = " ".join(filter(None, (found.request, found.served_by, found.request_id)))
        yield f"    {found} [{where}]"
    for error in result.errors[:_SHOWN]:
        yield f"    error: {error.error} [{error.name} {error.request_id}]"


def _used(result: RunResult) -> Iterator[str]:
    for tier, use in result.tiers.items():
        yield f"  {tier:10} {use.cpu_us:,.0f} µs of CPU a request, {use.memory / MB:,.0f} MB"
    if result.store:
        most = sorted(result.store.items(), key=lambda item: -item[1])[:6]
        yield "  commands   " + ", ".join(f"{n} {count:.2f}" for n, count in most) + " a request"
    if why := result.unknown_tiers:
        yield f"  tiers      unknown: {why}"


def _over_time(result: RunResult) -> Iterator[str]:
    for step in (step for step in result.steps if step.is_capacity):
        yield (
            f"  capacity   {step.load:g} {result.plan.unit}: {step.throughput:,.0f} requests/s, "
            f"p95 {step.p95:.1f} ms; more load adds less than 5 %"
        )
    if result.drift:
        first, last = result.drift
        yield f"  drift      p95 {first:.1f} ms in the first quarter, {last:.1f} in the last"


def _row(endpoint: Endpoint) -> tuple[str, ...]:
    points = [endpoint.percentiles[name] for name in ("p50", "p95", "p99")]
    return (
        endpoint.name,
        f"{endpoint.requests:,}",
        f"{endpoint.error_share:.2%}",
        *(f"{value:.1f}" for value in (*points, endpoint.greatest)),
    )
