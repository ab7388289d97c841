"""What a run looks like on a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_MB = 1024 * 1024
_SHOWN = 5


def lines(document: Mapping[str, Any]) -> list[str]:
    """Return the summary of a run's document, without its verdict."""
    rows: list[tuple[str, ...]] = [
        ("request", "count", "errors", "p50 ms", "p95 ms", "p99 ms", "max ms")
    ]
    rows += [_row(endpoint) for endpoint in (*document["endpoints"], document["total"])]
    return [
        *_table(rows),
        "",
        (
            f"  {document['throughput']:,.0f} requests/s over {document['seconds']:.1f} s, "
            f"{loop(document)}"
        ),
        *_checked(document),
        *_used(document),
        *_over_time(document),
        *(f"  note       {note}" for note in document["verdict"]["notes"]),
    ]


def _checked(document: Mapping[str, Any]) -> Iterator[str]:
    if document["workers"]:
        yield "  served     " + ", ".join(_shares(document["workers"]))
    else:
        yield "  served     unknown: the answers carry no X-Served-By (SERVED_BY=1 adds it)"
    yield "  checked    " + ", ".join(f"{k} {n}" for k, n in document["findings"].items())
    for finding in document["found"][:_SHOWN]:
        yield f"    {finding['kind']}: {_told(finding)}"
    for error in document["errors"][:_SHOWN]:
        yield f"    error: {error['error']} [{error['name']} {error['request_id']}]"


def _used(document: Mapping[str, Any]) -> Iterator[str]:
    for tier, usage in document["tiers"].items():
        memory = usage["memory"] / _MB
        yield f"  {tier:10} {usage['cpu_us']:,.0f} µs of CPU a request, {memory:,.0f} MB"
    if document["store"]:
        most = sorted(document["store"].items(), key=lambda item: -item[1])[:6]
        yield "  commands   " + ", ".join(f"{n} {count:.2f}" for n, count in most) + " a request"
    if why := unseen(document):
        yield f"  tiers      unknown: {why}"


def _over_time(document: Mapping[str, Any]) -> Iterator[str]:
    for step in (step for step in document["steps"] if step["knee"]):
        unit = "visits a second" if document["plan"]["rate"] else "users"
        yield (
            f"  knee       at {step['load']:g} {unit}: {step['throughput']:,.0f} requests/s, "
            f"p95 {step['p95']:.1f} ms; more load brings less than 5 % more"
        )
    if document["drift"]:
        first, last = document["drift"]
        yield f"  drift      p95 {first:.1f} ms in the first quarter, {last:.1f} in the last"


def loop(document: Mapping[str, Any]) -> str:
    """Return in words how the load was made."""
    plan = document["plan"]
    if plan["rate"]:
        return f"{plan['shape']}, open loop: {plan['rate']:g} visits begin a second"
    return (
        f"{plan['shape']}, closed loop: {plan['users']} users, "
        f"{plan['think'] * 1000:.0f} ms between their requests"
    )


def unseen(document: Mapping[str, Any]) -> str:
    """Return in words why nobody knows what the target's tiers used; empty if that is known."""
    if not document["target"]["is_ours"]:
        return "the target is not the stack of this STATE_DIR"
    if not document["tiers"].keys() - {"load generator"}:
        return "this machine cannot see the processes of the containers"
    return ""


def _row(endpoint: Mapping[str, Any]) -> tuple[str, ...]:
    points = endpoint["percentiles"]
    return (
        endpoint["name"], f"{endpoint['requests']:,}", f"{endpoint['error_share']:.2%}",
        *(f"{points[point]:.1f}" for point in ("p50", "p95", "p99")), f"{endpoint['greatest']:.1f}",
    )  # fmt: skip


def _shares(workers: Mapping[str, int]) -> list[str]:
    total = sum(workers.values()) or 1
    return [f"{worker} {count / total:.0%}" for worker, count in workers.items()]


def _told(finding: Mapping[str, Any]) -> str:
    where = " ".join(filter(None, (finding["request"], finding["served_by"])))
    return f"{finding['detail']} [{' '.join(filter(None, (where, finding['request_id'])))}]"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]  # fmt: skip
