"""What an operator does with sessions: `flask unsticky …`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click
from flask.cli import AppGroup

from .errors import SessionError
from .user_sessions import Directory

T = TypeVar("T")


def commands(directory: Directory, ping: Callable[[], None]) -> AppGroup:
    """Return the commands that work on these sessions.

    Args:
        directory: whose sessions they list and end.
        ping: writes to the store as a request would.
    """
    group = AppGroup("unsticky", short_help="List and end sessions.")

    @group.command("ping")
    def ping_store() -> None:
        """Write to the store as a request would."""
        _asked(ping)
        click.echo("The store takes writes.")

    @group.command("list")
    @click.argument("user")
    def list_sessions(user: str) -> None:
        """List the living sessions of USER, oldest first."""
        for info in _asked(lambda: directory.of(user)):
            created, seen = (
                time.isoformat(timespec="seconds") for time in (info.created, info.last_seen)
            )
            click.echo(f"{info.handle}  created {created}  seen {seen}  {info.label!r}")

    @group.command("revoke")
    @click.argument("handle")
    def revoke(handle: str) -> None:
        """End the session with that HANDLE."""
        alive = _asked(lambda: directory.revoke(handle))
        click.echo("Ended." if alive else "There is no such session (any more).")

    @group.command("revoke-user")
    @click.argument("user")
    @click.option("--stamp", type=int, help="Refuse logins that checked an older credential.")
    def revoke_user(user: str, stamp: int | None) -> None:
        """End all sessions of USER."""
        click.echo(f"Ended {_asked(lambda: directory.revoke_all(user, stamp=stamp))}.")

    @group.command("revoke-everyone")
    @click.confirmation_option(prompt="End the sessions of all users, carts and all?")
    def revoke_everyone() -> None:
        """End every session there is."""

        def step_by_step() -> None:
            ended = 0
            for more in directory.revoke_everyone():
                ended += more
                click.echo(f"Ended {ended} …", err=True)
            click.echo(f"Ended {ended}.")

        _asked(step_by_step)

    return group


def _asked(ask: Callable[[], T]) -> T:
    """Return the answer, or end with what went wrong in one line and exit code 1."""
    try:
        return ask()
    except SessionError as error:
        raise click.ClickException(f"{error.title}: {error}") from error
