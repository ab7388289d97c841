"""Commands for operators: `flask unsticky …`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click
from flask.cli import AppGroup

from .errors import SessionError
from .user_sessions import UserSessions

T = TypeVar("T")


def commands(users: UserSessions, ping: Callable[[], None]) -> AppGroup:
    """Return the commands that work on these sessions."""
    group = AppGroup("unsticky", short_help="List and end sessions.")

    @group.command("ping")
    def ping_store() -> None:
        """Write to the store as a request would."""
        _run(ping)
        click.echo("The store takes writes.")

    @group.command("list")
    @click.argument("user")
    def list_sessions(user: str) -> None:
        """List the living sessions of USER, oldest first."""
        for info in _run(lambda: users.of(user)):
            created, seen = (
                time.isoformat(timespec="seconds") for time in (info.created, info.last_seen)
            )
            click.echo(f"{info.handle}  created {created}  seen {seen}  {info.label!r}")

    @group.command("revoke")
    @click.argument("handle")
    def revoke(handle: str) -> None:
        """End the session with that HANDLE."""
        alive = _run(lambda: users.revoke(handle))
        click.echo("Ended." if alive else "There is no such session, or it has ended.")

    @group.command("revoke-user")
    @click.argument("user")
    @click.option("--stamp", type=int, help="Refuse logins with an older credential version.")
    def revoke_user(user: str, stamp: int | None) -> None:
        """End all sessions of USER."""
        click.echo(f"Ended {_run(lambda: users.revoke_all(user, stamp=stamp))}.")

    @group.command("erase")
    @click.argument("user")
    def erase(user: str) -> None:
        """End all sessions of USER, and delete what the store holds of USER."""
        click.echo(f"Ended {_run(lambda: users.erase(user))}, and erased the user.")

    @group.command("revoke-everyone")
    @click.confirmation_option(prompt="End the sessions of all users, with all their data?")
    def revoke_everyone() -> None:
        """End all sessions of all users."""

        def step_by_step() -> None:
            ended = 0
            for more in users.revoke_everyone():
                ended += more
                click.echo(f"Ended {ended} …", err=True)
            click.echo(f"Ended {ended}.")

        _run(step_by_step)

    return group


def _run(command: Callable[[], T]) -> T:
    """Return the result; on an error exit with code 1 and one line that says what went wrong."""
    try:
        return command()
    except SessionError as error:
        raise click.ClickException(f"{error.title}: {error}") from error
