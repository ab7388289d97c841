"""The desktop that a verb may be called from."""

import os
import sys
import webbrowser

from kit.console import say


def show(url: str) -> None:
    """Print an address, and open it in a browser if there is a desktop."""
    say(url)
    # Without a desktop, Python would start a text browser in this terminal.
    if sys.platform == "darwin" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY"))):
        webbrowser.open(url)
