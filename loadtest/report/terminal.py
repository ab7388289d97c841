"""What a run looks like on a terminal."""

from loadtest.console import table
from loadtest.harness.endpoint import Endpoint
from loadtest.harness.result import RunResult
from loadtest.report import pages

MB = 1024 * 1024
UNCORRECTED = ("p50", "p95", "p99")
"""The percentiles that an open loop shows from when requests were sent, too."""


def summary(result: RunResult) -> str:
    """Return the summary of a run, without its verdict."""
    sent = UNCORRECTED if result.arrivals else ()
    header = ("request", "count", "errors", "p50 ms", "p95 ms", "p99 ms", "max ms")
    rows = [
        (*header, *(f"uncorrected {point}" for point in sent)),
        *(
            (*_row(endpoint), *(f"{endpoint.uncorrected[point]:.1f}" for point in sent))
            for endpoint in (*result.endpoints, result.total)
        ),
    ]
    return str(pages.rendered("terminal.txt", run=result, table=table(rows), MB=MB)).rstrip()


def _row(endpoint: Endpoint) -> tuple[str, ...]:
    points = [endpoint.percentiles[name] for name in ("p50", "p95", "p99")]
    return (
        endpoint.name,
        f"{endpoint.requests:,}",
        f"{endpoint.error_share:.2%}",
        *(f"{value:.1f}" for value in (*points, endpoint.greatest)),
    )
