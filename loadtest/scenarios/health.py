"""Visitors of one path, for an application of which a smoke test knows nothing else."""

import os

from loadtest import Journey


class Visitor(Journey):
    """Asks HEALTH_PATH: 2xx and 3xx are good, at `/` 4xx, too, as for the health check."""

    def visit(self) -> None:
        """Ask twice, the second time with the cookies of the first answer."""
        path = os.environ.get("HEALTH_PATH") or "/"
        for _ in range(2):
            # An application may refuse strangers at /, or have nothing there.
            good = range(200, 500 if path == "/" else 400)
            self.get(path, expect=tuple(good), stays=True)
            self.think()
