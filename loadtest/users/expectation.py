"""Numbers that a visit expects, while some changes to them are still under way."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from loadtest.users.findings import Refused


@dataclass
class _Bounds:
    least: int = 0
    most: int = 0


class Expectation:
    """Numbers by name, such as the quantities of a cart: each between the least and the most.

    The two differ while a change is under way, and are equal again once it was acknowledged. They
    stay different if the outcome is unknown: a request without an answer may still be carried out.
    So two tabs can change the same number at once, and every answer can be checked.
    """

    def __init__(self) -> None:
        self._bounds: dict[str, _Bounds] = {}

    @contextmanager
    def adding(self, name: str, amount: int) -> Iterator[None]:
        """Surround a request that adds; an exception other than `Refused` leaves it unknown."""
        bounds = self._bounds.setdefault(name, _Bounds())
        bounds.most += amount
        try:
            yield
        except Refused as refused:
            if not refused.is_outcome_unknown:
                bounds.most -= amount
            raise
        bounds.least += amount

    @contextmanager
    def setting(self, name: str, value: int) -> Iterator[None]:
        """Surround a request that sets a number, nothing else changing it meanwhile; 0 removes."""
        bounds = self._bounds.setdefault(name, _Bounds())
        before = (bounds.least, bounds.most)
        bounds.least, bounds.most = min(value, bounds.least), max(value, bounds.most)
        try:
            yield
        except Refused as refused:
            if not refused.is_outcome_unknown:
                bounds.least, bounds.most = before
            raise
        bounds.least = bounds.most = value

    def replace(self, numbers: Mapping[str, int]) -> None:
        """Expect exactly these from now on."""
        self._bounds = {name: _Bounds(number, number) for name, number in numbers.items()}

    def least(self) -> dict[str, int]:
        """Return what is acknowledged by now: the bound for an answer to a request sent now."""
        return {name: bounds.least for name, bounds in self._bounds.items() if bounds.least}

    def difference(
        self, found: Mapping[str, int], least: Mapping[str, int] | None = None
    ) -> str | None:
        """Return in words what is wrong with an answer, `None` if nothing is.

        Args:
            found: the numbers in the answer; one that is missing counts as 0.
            least: `least()` of when the request was sent. Needed if other requests are
                under way at the same time.
        """
        wrong = []
        for name in sorted({*self._bounds, *found}):
            bounds = self._bounds.get(name, _Bounds())
            low = bounds.least if least is None else min(bounds.least, least.get(name, 0))
            if not low <= found.get(name, 0) <= bounds.most:
                wanted = str(low) if low == bounds.most else f"{low} to {bounds.most}"
                wrong.append(f"{name} is {found.get(name, 0)} instead of {wanted}")
        return ", ".join(wrong) or None
