"""The command line of `make bench`, and which peers a benchmark can take."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from loadtest.frameworks import interpreters
from loadtest.frameworks.benchmarks import distance, page, session, workers
from loadtest.frameworks.peers import PEERS, Peer

DEFAULTS: Final = {
    **{
        table: tuple(peer.name for peer in PEERS if table in peer.tables)
        for table in ("peers", "stores", "anomalies")
    },
    "session": session.PEERS,
    "page": page.PEERS,
    "servers": ("unsticky",),
    "distance": distance.PEERS,
    "size": ("unsticky",),
}
"""The benchmarks, with the peers that take part unless others are named."""

UNDER_LOAD: Final = frozenset(DEFAULTS) - {"anomalies", "page"}

_NAMES: Final = tuple(peer.name for peer in PEERS)
# Farther away, the library's own deadline ends requests.
_MOST_DELAY_MS: Final = 100
# Of fewer sessions, and in more seconds, the lines of the carts would be full.
_LEAST_SIZE: Final = 200
_MOST_SECONDS: Final = 20


def parsed(arguments: Sequence[str], about: str) -> argparse.Namespace:
    """Return the options; `only` has the benchmarks and peers, `benchmarks` those to make.

    An option that is not given is None. What cannot be meant ends the program, as argparse does.
    """
    parser = argparse.ArgumentParser(
        prog="make bench",
        description=about,
        formatter_class=argparse.RawTextHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--only", nargs="+", action="extend", choices=(*DEFAULTS, *_NAMES), default=[],
        metavar="NAME", help=f"benchmarks ({', '.join(DEFAULTS)}; by default peers)\n"
        f"and peers ({', '.join(_NAMES)})",
    )  # fmt: skip
    parser.add_argument(
        "--servers", action="append_const", const="servers", dest="only",
        help="the same as --only servers",
    )  # fmt: skip
    parser.add_argument(
        "--without", nargs="+", action="extend", choices=_NAMES, default=[], metavar="PEER"
    )
    parser.add_argument(
        "--again", type=Path, metavar="FILE",
        help="measure nothing: make the table of this raw data",
    )  # fmt: skip
    for name, (benchmarks, settings) in _OPTIONS.items():
        about = f"{', '.join(benchmarks)}: {settings['help']}"
        parser.add_argument(f"--{name}", **{**settings, "default": None, "help": about})
    options = parser.parse_args(arguments)
    options.benchmarks = [name for name in DEFAULTS if name in options.only] or ["peers"]
    if problem := _problem(options):
        parser.error(problem)
    for name, value in vars(options).items():
        if isinstance(value, list):
            # Twice the same would be one server that is started twice.
            setattr(options, name, list(dict.fromkeys(value)))
    return options


def unfit(peer: Peer, benchmark: str) -> str | None:
    """Return why a benchmark cannot take a peer anywhere, or None."""
    found = None
    match benchmark:
        case "servers" | "size" if peer.name != "unsticky":
            found = f"{benchmark} is about unsticky alone"
        case "distance" if peer.place != "redis":
            found = "its sessions are not in the store that is far away"
        case "distance" | "session" if peer.server != "gunicorn" or peer.worker_class != "sync":
            found = f"{benchmark} chooses Gunicorn's worker class, and its workers are fixed"
        case "page" if not peer.kind:
            found = "the page is a Flask application"
        case "page" | "anomalies" if peer.kind == "none":
            found = "it has no session"
        case "page" | "anomalies" if peer.has_one_process:
            found = "it has one process"
        case "anomalies" if peer.name in {"blob", "shop"}:
            found = "it has no calls that end the sessions of a user"
    return found


def _problem(options: argparse.Namespace) -> str | None:
    """Return what is wrong with options that are well-formed each by itself."""
    given = [name for name in _OPTIONS if getattr(options, name.replace("-", "_")) is not None]
    if options.again:
        others = bool(options.only or options.without or set(given) - {"document"})
        return "--again measures nothing: nothing but --document goes with it" if others else None
    chosen = set(options.benchmarks)
    for name in given:
        benchmarks, _ = _OPTIONS[name]
        if not chosen & set(benchmarks):
            return f"--{name} is for {', '.join(benchmarks)}: name one with --only"
    if options.rounds == 1 and chosen & UNDER_LOAD:
        return "--rounds must be 2 or more: one round has no spread"
    if (options.seconds or 0) > _MOST_SECONDS and chosen & UNDER_LOAD:
        return (
            f"--seconds must be {_MOST_SECONDS} or less, because the carts would be full; "
            "more --rounds take longer, too"
        )
    return None


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"must be a whole number, {least:,} to {most:,}")
        return number

    return parse


def _delay(text: str) -> float:
    try:
        delay = float(f"{float(text):g}")
    except ValueError:
        delay = -1
    if not 0 <= delay <= _MOST_DELAY_MS:
        raise argparse.ArgumentTypeError(f"must be 0 to {_MOST_DELAY_MS} ms")
    return delay


def _all_but(*names: str) -> tuple[str, ...]:
    return tuple(name for name in DEFAULTS if name not in names)


_OPTIONS: Final[dict[str, tuple[Sequence[str], dict[str, Any]]]] = {
    "rounds": (_all_but("page"), {
        "type": _whole(1, 1000),
        "help": "by default peers, stores, size 8;\nanomalies 5, session 15, servers 6, distance 4",
    }),
    "seconds": (_all_but("anomalies"), {
        "type": _whole(1, 86_400),
        "help": "of load;\nby default peers, stores 3; session 1; page 300 a peer; others 2",
    }),
    "tries": (("anomalies",), {
        "type": _whole(1, 100), "help": "of each, with each peer; by default 10",
    }),
    "loads": (("page",), {
        "type": _whole(1, 1_000_000), "help": "of each peer; by default 1000",
    }),
    "worker-classes": (("session", "servers", "distance"), {
        "nargs": "+", "choices": workers.WORKER_CLASSES, "metavar": "CLASS",
        "help": "by default all; session: sync",
    }),
    "pythons": (("servers",), {
        "nargs": "+", "metavar": "PYTHON",
        "help": f"programs or versions; by default {', '.join(interpreters.WANTED)} and the newest",
    }),
    "parsers": (("servers",), {
        "nargs": "+", "choices": interpreters.PARSERS, "help": "of Gunicorn; by default both",
    }),
    "deploys": (("servers",), {
        "type": _whole(1, 100), "help": "of each; by default 3",
    }),
    "delays": (("distance",), {
        "nargs": "+", "type": _delay, "metavar": "MS",
        "help": "round trips to the store; by default 0, 1 and 5 ms",
    }),
    "sizes": (("size",), {
        "nargs": "+", "type": _whole(_LEAST_SIZE, 10_000_000), "metavar": "SESSIONS",
        "help": "by default 1,000 to 1,000,000",
    }),
    "rate": (("servers", "distance", "size"), {
        "type": _whole(1, 10_000),
        "help": "requests/s that arrive; by default servers, size 400; distance 100",
    }),
    "workers": (("session",), {
        "type": _whole(1, 64), "help": "processes of each peer; by default 2",
    }),
    "modes": (("session",), {
        "nargs": "+", "choices": session.MODES, "help": "by default all",
    }),
    "document": (_all_but("session", "page"), {
        "action": "store_true", "help": "write its page in docs/",
    }),
}  # fmt: skip
"""What a benchmark may be given besides peers: who takes it, and how it is read."""
