"""The report of one run: one HTML file, drawn from the run's document alone."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from runs import balance, charts, page, summary
from runs.charts import Bar, Line, Mark, number

_MB = 1024 * 1024
_MOST_POINTS = 240
_SHOWN = 30
_APART = 0.15
_TONES = {"app": "c1", "nginx": "c2", "store": "c3", "load generator": "c4"}


def of_run(document: Mapping[str, Any]) -> str:
    """Return the report of a run's document."""
    return page.shell(
        f"Load test: {document['verdict']['word']}",
        [
            _head(document),
            _tiles(document),
            _over_time(document),
            _latency(document),
            _served(document),
            _continuity(document),
            _resources(document),
            _settings(document),
        ],
    )


def _head(document: Mapping[str, Any]) -> str:
    verdict = document["verdict"]
    sentence = {
        "pass": "Everything was as it should be.",
        "fail": "The target did not hold what the profile asks.",
        "error": "There is no verdict.",
    }[verdict["word"]]
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in verdict["reasons"])
    notes = "".join(f'<p class="soft">Note: {escape(note)}.</p>' for note in verdict["notes"])
    interrupted = " Interrupted: this is what there was by then." * document["interrupted"]
    return (
        f'<div class="verdict {verdict["word"]}"><h1><span class="word">{verdict["word"]}</span>'
        f'{sentence}</h1><p class="soft">{escape(document["target"]["url"])} · '
        f"{escape(document['time'])} · profile <b>{escape(document['profile']['name'])}</b> · "
        f"{escape(summary.loop(document))} · {document['seconds']:.0f} s.{interrupted}</p>"
        + (f"<ul>{reasons}</ul>" if reasons else "")
        + notes
        + "</div>"
    )


def _tiles(document: Mapping[str, Any]) -> str:
    total, findings = document["total"], document["findings"]
    broken = sum(findings.values())
    points = total["percentiles"]
    return (
        '<div class="tiles">'
        + page.tile(str(broken), "findings", "bad" if broken else "good")
        + page.tile(f"{total['error_share']:.2%}", "errors", "bad" if total["errors"] else "good")
        + page.tile(number(document["throughput"]), "requests a second")
        + "".join(page.tile(f"{number(points[p])} ms", p) for p in ("p50", "p95", "p99"))
        + page.tile(f"{total['requests']:,}", "requests checked")
        + "</div>"
    )


def _over_time(document: Mapping[str, Any]) -> str:
    rows, width = _thinned(document["timeline"])
    marks = _event_marks(document)
    throughput = [
        Line("requests a second", "c1", _points(rows, "requests"), is_filled=True),
        Line("of them errors", "bad", _points(rows, "errors")),
    ]
    latency = [
        Line(name, tone, _points(rows, name))
        for name, tone in (("p50", "c4"), ("p95", "c2"), ("p99", "c3"))
    ]
    limit = document["profile"]["requests"].get("*", {}).get("p95")
    each = f'<p class="soft">Each point covers {width} s.</p>' if width > 1 else ""
    return page.section(
        "Over time",
        charts.legend(throughput),
        charts.lines(throughput, title="Requests a second over time", x_unit="s", marks=marks),
        "<h3>Latency of all requests, ms</h3>",
        charts.legend(latency),
        charts.lines(
            latency, title="Latency over time", x_unit="s", marks=marks,
            limit=(limit, f"p95 limit {limit:g} ms") if limit else None,
        ),
        each,
        _steps(document),
        _drift(document),
    )  # fmt: skip


def _event_marks(document: Mapping[str, Any]) -> list[Mark]:
    """Return a mark for each event; those whose names would overlap share one."""
    together: list[tuple[float, list[str]]] = []
    for event in document["events"]:
        name = f"{event['kind']} {event['target']}"
        if together and event["at"] - together[-1][0] < document["seconds"] * _APART:
            together[-1][1].append(name)
        else:
            together.append((event["at"], [name]))
    return [
        Mark(at, names[0] + (f" and {len(names) - 1} more" if names[1:] else ""))
        for at, names in together
    ]


def _steps(document: Mapping[str, Any]) -> str:
    steps = document["steps"]
    if not steps:
        return ""
    unit = "visits a second" if document["plan"]["rate"] else "users"
    knee = [Mark(step["load"], f"knee: {step['load']:g} {unit}") for step in steps if step["knee"]]
    drawn = [Line("requests a second", "c1", [(s["load"], s["throughput"]) for s in steps])]
    return (
        "<h3>Where more load stops bringing more</h3>"
        + charts.lines(drawn, title="Throughput against load", x_unit=unit, marks=knee)
        + '<p class="soft">The knee is the smallest load with 95 % of the greatest throughput.</p>'
    )


def _drift(document: Mapping[str, Any]) -> str:
    if not document["drift"]:
        return ""
    first, last = document["drift"]
    return (
        f"<p>Drift: the median p95 was {first:.1f} ms in the first quarter of the run and "
        f"{last:.1f} ms in the last.</p>"
    )


def _latency(document: Mapping[str, Any]) -> str:
    limits = document["profile"]["requests"]
    rows = []
    for endpoint in (*document["endpoints"], document["total"]):
        of = limits.get(endpoint["name"], limits.get("*", {}))
        of = {} if endpoint is document["total"] else of
        points = endpoint["percentiles"]
        rows.append([
            f"<code>{escape(endpoint['name'])}</code>", f"{endpoint['requests']:,}",
            _judged(f"{endpoint['error_share']:.2%}", endpoint["error_share"], of.get("errors")),
            *(_judged(number(points[p]), points[p], of.get(p))
              for p in ("p50", "p75", "p90", "p95", "p99", "p99.9")),
            number(endpoint["greatest"]),
        ])  # fmt: skip
    marks = [(name, document["total"]["percentiles"][name]) for name in ("p50", "p95", "p99")]
    return page.section(
        "Latency",
        charts.histogram([tuple(row) for row in document["distribution"]], marks),
        "<h3>By request, ms; exact, every sample counted</h3>",
        page.table(
            ("request", "count", "errors", "p50", "p75", "p90", "p95", "p99", "p99.9", "max"),
            rows, last="total",
        ),
    )  # fmt: skip


def _served(document: Mapping[str, Any]) -> str:
    workers: Mapping[str, int] = document["workers"]
    if not workers:
        return page.section(
            "Who served",
            '<p class="soft">Unknown: the answers carry no X-Served-By (SERVED_BY=1 adds it).</p>',
        )
    total = sum(workers.values()) or 1
    tones: dict[str, str] = {}
    for worker in workers:
        tones.setdefault(balance.replica_of(worker), f"c{len(tones) % 5 + 1}")
    drawn = [
        Bar(worker, count, f"{count:,} ({count / total:.1%})", tones[balance.replica_of(worker)])
        for worker, count in workers.items()
    ]
    replicas = ", ".join(
        f"{escape(name)} {count / total:.1%}"
        for name, count in sorted(balance.by_replica(workers).items())
    )
    return page.section(
        "Who served",
        charts.bars(drawn, title="Requests per worker", even=total / len(workers)),
        f'<p class="soft">By replica: {replicas}. The dashed line is an even share.</p>',
    )


def _continuity(document: Mapping[str, Any]) -> str:
    findings, suspects = document["findings"], document["suspects"]
    tiles = "".join(
        page.tile(str(count), kind, "bad" if count else "good") for kind, count in findings.items()
    )
    behind = "".join(
        f"<p>Every <b>{escape(kind)}</b> involves <code>{escape(name)}</code>: look there.</p>"
        for kind, name in suspects.items()
    )
    rows = [
        [
            escape(found["kind"]), escape(found["journey"]), escape(found["detail"]),
            *(f"<code>{escape(found[n])}</code>" for n in ("request", "served_by", "request_id")),
        ]
        for found in document["found"][:_SHOWN]
    ]  # fmt: skip
    errors = [
        [
            f"<code>{escape(error['name'])}</code>", str(error["status"] or "no answer"),
            escape(error["error"]), f"<code>{escape(error['served_by'])}</code>",
            f"<code>{escape(error['request_id'])}</code>",
        ]
        for error in document["errors"][:_SHOWN]
    ]  # fmt: skip
    header = ("kind", "journey", "what", "request", "served by", "request id")
    return page.section(
        "What was checked",
        f'<div class="tiles">{tiles}</div>',
        behind,
        page.table(header, rows, "text") if rows else "",
        '<p class="soft">nginx\'s access log and the replicas\' logs know each request by its id: '
        "<code>grep ID STATE_DIR/log/*</code>. At most 30 are shown; findings.csv and "
        "requests.csv have all.</p>" if rows or errors else "",
        "<h3>Requests that failed</h3>" if errors else "",
        page.table(("request", "status", "error", "served by", "request id"), errors, "text")
        if errors else "",
        _journeys(document),
    )  # fmt: skip


def _journeys(document: Mapping[str, Any]) -> str:
    journeys = document["journeys"]
    total = sum(journeys["weights"].values()) or 1
    made = ", ".join(
        f"{escape(name)} {weight / total:.0%}" for name, weight in journeys["weights"].items()
    )
    skipped = "".join(
        f'<p class="soft">Skipped: {escape(name)}; the target does not offer '
        f"{escape(', '.join(missing))}.</p>"
        for name, missing in journeys["skipped"].items()
    )
    users = f"<p>Users in Locust's own manner: {escape(', '.join(journeys['users']))}.</p>"
    return (f"<p>Journeys: {made}.</p>" if made else "") + users * bool(journeys["users"]) + skipped


def _resources(document: Mapping[str, Any]) -> str:
    tiers = document["tiers"]
    why = summary.unseen(document)
    missing = f'<p class="soft">CPU and memory of the target are unknown: {why}.</p>' if why else ""
    rows = [
        [escape(tier), number(usage["cpu_us"]), f"{usage['memory'] / _MB:,.0f}"]
        for tier, usage in tiers.items()
    ]
    cores = [
        Line(tier, _TONES.get(tier, "c5"), [(row["second"], row["cores"]) for row in readings])
        for tier, readings in document["usage"].items()
    ]
    memory = [
        Line(tier, _TONES.get(tier, "c5"),
             [(row["second"], row["memory"] / _MB) for row in readings])
        for tier, readings in document["usage"].items()
    ]  # fmt: skip
    store = sorted(document["store"].items(), key=lambda item: -item[1])[:12]
    bars = [Bar(name, count, f"{count:.2f}") for name, count in store]
    return page.section(
        "What it took",
        missing,
        page.table(("tier", "CPU µs a request", "most memory, MB"), rows),
        '<div class="pair"><div><h3>Cores in use</h3>', charts.legend(cores),
        charts.lines(cores, title="Cores in use over time", x_unit="s"),
        "</div><div><h3>Memory, MB</h3>", charts.legend(memory),
        charts.lines(memory, title="Memory over time", x_unit="s"), "</div></div>",
        "<h3>Commands of the store for each request, those inside scripts included</h3>"
        + charts.bars(bars, title="Store commands a request") if bars else "",
    )  # fmt: skip


def _settings(document: Mapping[str, Any]) -> str:
    plan, around = document["plan"], document["surroundings"]
    rows = [
        ("target", document["target"]["url"]),
        ("load", summary.loop(document)),
        ("duration", f"{plan['duration']:g} s, {plan['processes']} load generator processes"),
        ("scenario", plan["scenario"]),
        ("offered", ", ".join(document["target"]["offers"]) or "nothing of the shop's contract"),
        ("machine", f"{around['machine']}, load average {around['load_average']} at the end"),
        ("load generator", f"Locust {around['locust']}, {around['python']}, on the same machine"
         if document["target"]["is_ours"] else f"Locust {around['locust']}, {around['python']}"),
        ("versions", ", ".join(f"{n} {v}" for n, v in around["target"].items()) or "unknown"),
        ("commit", around["commit"]),
    ]  # fmt: skip
    closed = (
        "An open loop: visits begin whatever the target does; a visit that began too late counts "
        "from when it was due."
        if plan["rate"]
        else "A closed loop: each user waits for its answer, so that a slow target is asked less. "
        "Latencies beside it are not those of an open arrival rate (RATE=)."
    )
    return page.section(
        "On what",
        page.table(("", ""), [(escape(name), escape(value)) for name, value in rows], "text"),
        f'<p class="soft">{closed} The raw data lies beside this file: run.json, requests.csv, '
        "findings.csv, tiers.csv.</p>",
    )


def _thinned(timeline: Sequence[Mapping[str, float]]) -> tuple[list[dict[str, float]], int]:
    """Put seconds together until a chart can show them: means of counts, maxima of latencies."""
    width = max(1, -(-len(timeline) // _MOST_POINTS))
    rows = []
    for start in range(0, len(timeline), width):
        part = timeline[start : start + width]
        row: dict[str, float] = {"second": part[0]["second"]}
        for name in ("requests", "errors"):
            row[name] = sum(each[name] for each in part) / len(part)
        for name in ("p50", "p95", "p99"):
            if found := [each[name] for each in part if name in each]:
                row[name] = max(found)
        rows.append(row)
    return rows, width


def _points(rows: Sequence[Mapping[str, float]], name: str) -> list[tuple[float, float]]:
    return [(row["second"], row[name]) for row in rows if name in row]


def _judged(shown: str, value: float, limit: float | None) -> str:
    if limit is None or value <= limit:
        return f"<td>{shown}</td>"
    return f'<td class="bad" title="limit {limit:g}">{shown}</td>'
