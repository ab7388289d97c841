"""What a benchmark is to measure, and the raw data that it leaves."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loadtest.frameworks import raw
from loadtest.frameworks.benchmarks.testbed import Arrived, Sample, Testbed
from loadtest.frameworks.load import Generator
from loadtest.frameworks.peers import Peer


@dataclass(frozen=True)
class Task:
    """See the module.

    Attributes:
        skipped: peers that cannot take part here, with the reason.
        options: those of the command line, each with a value. `rounds`, `seconds` of each closed
            loop and `rate` per second are for all benchmarks.
    """

    peers: Sequence[Peer]
    skipped: Mapping[str, str]
    generator: Generator
    options: Mapping[str, Any]

    def closed_loop(self, bed: Testbed) -> list[Sample]:
        """Load what runs on the testbed with the mix, in turn."""
        return bed.samples(["mix"], self.options["rounds"], self.options["seconds"])

    def open_loop(self, bed: Testbed) -> list[Arrived]:
        """Send requests at the rate for twice as long, because there are fewer of them."""
        return bed.arrivals(
            self.options["rate"], self.options["rounds"], 2 * self.options["seconds"]
        )

    def save(
        self,
        table: str,
        bed: Testbed,
        servers: Mapping[str, Mapping[str, Any]],
        loops: tuple[Sequence[Sample], Sequence[Arrived]],
        **own: Any,
    ) -> Path:
        """Write the raw data, and return the file; `servers` says what ran, by name."""
        samples, arrived = loops
        return raw.save(
            table,
            {
                "table": table,
                "options": self.options,
                "generator": self.generator,
                "skipped": self.skipped,
                "load_averages": bed.load_averages,
                "servers": servers,
                "samples": [asdict(each) for each in samples],
                "arrivals": [asdict(each) for each in arrived],
                **own,
            },
        )
