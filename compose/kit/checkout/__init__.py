"""The verbs that check and measure this checkout."""

from kit.checkout.lint import lint
from kit.checkout.pins import pin
from kit.checkout.programs import Programs
from kit.settings import Settings
from kit.setup import environment
from kit.state import StateFolder

VERBS = frozenset({"test", "fuzz", "foreign", "lint", "pins", "bench", "prove"})
_MEASURE = frozenset({"bench", "prove"})

# Modules that take ARGS, and a hint if they fail.
_MODULES = {
    "test": ("pytest", "run one test: make test ARGS='-k name -x'"),
    "fuzz": ("tests.library.contract.fuzzing", "run one: make fuzz ARGS='--case seed:number'"),
    "foreign": ("tests.library.foreign.run", "run one suite: make foreign ARGS=name"),
}
# The whole suite runs in several processes; `tests/conftest.py` says which tests stay together.
_WHOLE_SUITE = ("-n", "3")


def run(verb: str, settings: Settings) -> None:
    """Run one of `VERBS`."""
    chosen = environment.to_bench(settings) if verb in _MEASURE else environment.to_check(settings)
    StateFolder(settings.state_dir).claim()
    environment.ensure(chosen)
    environment.enter(chosen)
    programs = Programs(chosen, settings)
    if verb == "lint":
        lint(programs)
    elif verb == "pins":
        pin(programs)
    elif verb in _MEASURE:
        programs.module("loadtest", verb, *settings.arguments)
    else:
        module, hint = _MODULES[verb]
        whole = _WHOLE_SUITE if verb == "test" else ()
        programs.module(module, *(settings.arguments or whole), hint=hint)
