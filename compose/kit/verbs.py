"""The verbs: those of a stack, written once over both runtimes, and those of the checkout."""

import sys
from collections.abc import Callable

from kit import checkout, deployment, dotenv, status
from kit.check import report
from kit.checkout import load as load_tests
from kit.console import browse, say, step, warn
from kit.docker.runtime import DockerRuntime
from kit.errors import KitError
from kit.local.runtime import LocalRuntime
from kit.runtime import Runtime
from kit.settings import CHECKOUT, Settings, load
from kit.setup import standalone
from kit.state import StateFolder
from kit.system import locks


def run(verb: str) -> None:
    """Run one verb.

    Raises:
        KitError: it fails.
        SystemExit: a load test cannot be started.
    """
    if sys.platform == "win32":
        raise KitError("the local runtime needs Linux or macOS", "use WSL 2 on Windows")
    if verb in load_tests.VERBS:
        load_tests.run(verb)
    elif verb == "init":
        standalone.init(load())
    elif verb == "check":
        check(LocalRuntime(load()))
    elif verb in checkout.VERBS:
        checkout.run(verb, load())
    elif verb in _VERBS:
        settings = load()
        runtime: Callable[[Settings], Runtime]
        runtime = DockerRuntime if settings.runtime == "docker" else LocalRuntime
        _VERBS[verb](runtime(settings))
    else:
        raise KitError(f"there is no verb {verb!r}", "`make` alone lists them")


def check(runtime: LocalRuntime) -> None:
    """Print what in the application breaks on many processes."""
    runtime.state.claim()
    runtime.enter(to_deploy=True)
    if runtime.settings.runtime == "docker":
        say("Checked in an environment of this machine, with its Python, and not in the image.")
    report.run(runtime.target())


def up(runtime: Runtime) -> None:
    """Make the stack what the settings say; undo a first start that is interrupted."""
    _deploy(runtime, "up", back=False)


def deploy(runtime: Runtime) -> None:
    """Do what `up` does, under the name that people look for."""
    _deploy(runtime, "deploy", back=False)


def rollback(runtime: Runtime) -> None:
    """Go back to the release before the one that serves, with today's settings."""
    _require_running(runtime)
    _deploy(runtime, "rollback", back=True)


def show_releases(runtime: Runtime) -> None:
    """Print the releases that have served, and which serves."""
    runtime.require()
    if releases := runtime.releases():
        status.show_releases(releases)
    else:
        say(f"There are no releases yet: `{runtime.settings.make('up')}` starts the first one.")


def _deploy(runtime: Runtime, verb: str, *, back: bool) -> None:
    state, settings = runtime.state, runtime.settings
    runtime.require()
    state.claim()
    # Now, before minutes may go into the environment, and again while no other verb can start.
    _refuse_other_runtime(state, settings)
    runtime.enter(to_deploy=True)
    if names := dotenv.open_secrets(CHECKOUT / ".env"):
        warn(f"all users of this machine can read {', '.join(names)}: chmod 600 {CHECKOUT}/.env")
    with locks.one_verb(state.verb_lock, verb):
        _refuse_other_runtime(state, settings)
        was_running = runtime.is_running()
        try:
            deployment.deploy(runtime, was_running=was_running, back=back)
        except KeyboardInterrupt:
            if not was_running:
                say("\nInterrupted: stopping what has started.")
                runtime.shut_down(data=False)
            raise
        finally:
            runtime.tidy()


def down(runtime: Runtime) -> None:
    """Stop everything; the store's data stays."""
    state = runtime.state
    if not state.is_claimed():
        say(f"Nothing is running: there is no stack in {state.root}.")
        return
    runtime.require()
    with locks.one_verb(state.verb_lock, "down"):
        _shut_down(runtime, data=False)
    clean_command = runtime.settings.make("clean")
    say(f"The store's data and {state.root} stay; `{clean_command}` removes them.")


def restart(runtime: Runtime) -> None:
    """Restart one service, or the replicas one after the other."""
    _require_running(runtime)
    runtime.enter(to_deploy=False)
    with locks.one_verb(runtime.state.verb_lock, "restart"):
        deployment.restart(runtime, runtime.settings.service)
    say(f"Done. `{runtime.settings.make('status')}` shows what runs.")


def show_status(runtime: Runtime) -> None:
    """Print what runs."""
    runtime.require()
    _refuse_orphans(runtime)
    if not runtime.is_running():
        start = runtime.settings.make("up")
        say(f"Nothing is running in {runtime.state.root}. `{start}` starts it.")
        _mention_containers(runtime)
        return
    runtime.enter(to_deploy=False)
    runtime.show_status()


def follow_logs(runtime: Runtime) -> None:
    """Print the logs of one service, or of all, until interrupted."""
    runtime.require()
    runtime.follow_logs(runtime.settings.service)


def open_shop(runtime: Runtime) -> None:
    """Print the address of the stack, and open it in a browser if there is one."""
    _require_running(runtime)
    browse(runtime.url)


def clean(runtime: Runtime) -> None:
    """Stop everything and remove all that was made, data included."""
    state, settings = runtime.state, runtime.settings
    if not state.is_claimed():
        say(f"Nothing to remove: there is no stack in {state.root}.")
        return
    runtime.require()
    with locks.one_verb(state.verb_lock, "clean"):
        _refuse_other_runtime(state, settings)
        _shut_down(runtime, data=True)
        targets = state.remove()
    rest = ", which is a link or a disk and stays" if state.root.exists() else ""
    say(f"Removed the stack and all in {state.root}{rest}.")
    for target in targets:
        say(f"{target} stays: only a link in the folder named it.")
    if settings.venv_dir.exists():
        say(f"VENV_DIR={settings.venv_dir} stays, because other stacks may use it.")


_VERBS: dict[str, Callable[[Runtime], None]] = {
    "up": up,
    "deploy": deploy,
    "rollback": rollback,
    "releases": show_releases,
    "down": down,
    "restart": restart,
    "status": show_status,
    "logs": follow_logs,
    "open": open_shop,
    "clean": clean,
}


def _require_running(runtime: Runtime) -> None:
    runtime.require()
    _refuse_orphans(runtime)
    if not runtime.is_running():
        raise KitError("nothing is running", f"start the stack: {runtime.settings.make('up')}")


def _refuse_orphans(runtime: Runtime) -> None:
    """Refuse a stack whose supervisord was killed: its services run, and nothing restarts them."""
    if orphans := runtime.orphans():
        raise KitError(
            f"supervisord was killed; {', '.join(orphans)} still run, but nothing restarts them",
            f"`{runtime.settings.make('up')}` starts supervisord and all of them again",
            f"`{runtime.settings.make('down')}` stops them",
        )


def _refuse_other_runtime(state: StateFolder, settings: Settings) -> None:
    """Refuse a folder that holds the stack of the other runtime."""
    if settings.runtime == "local" and state.project:
        owner, other = f"the containers of {state.project}", "docker"
    elif settings.runtime == "docker" and locks.holder(state.service_lock("supervisord")):
        owner, other = "a stack of the local runtime", "local"
    else:
        return
    raise KitError(
        f"{state.root} belongs to {owner}",
        f"stop them with `make down RUNTIME={other}`, or use another STATE_DIR",
    )


def _shut_down(runtime: Runtime, *, data: bool) -> None:
    with step("stopping"):
        ended = runtime.shut_down(data=data)
    if ended:
        runtime.state.record_event("stopped", "stack")
    say(f"Stopped: {', '.join(ended)}." if ended else "Nothing was running.")
    _mention_containers(runtime)


def _mention_containers(runtime: Runtime) -> None:
    if runtime.state.project:
        say("This folder has containers: give RUNTIME=docker to the verbs for them.")
