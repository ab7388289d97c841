"""The shop in this process."""

from flask import Flask

SECRET = "a0b1c2d3e4f5a6b7c8d9"


def close_shop(app: Flask) -> None:
    """End the shop's thread and close its connections."""
    if status := app.extensions.get("shop.status"):
        status.close()
    app.extensions["shop"].close()
