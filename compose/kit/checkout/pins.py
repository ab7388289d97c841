"""`make pins`: the newest versions of all dependencies, in requirements/."""

import shlex

from kit.checkout.programs import Programs
from kit.console import say

_GROUPS = shlex.split(
    "runtime local gevent parser nginx valkey mongodb kubernetes test lint bench load"
    " foreign foreign-build uv"
)
# Without --no-config, an index or a constraint in the caller's uv.toml would count.
_COMPILE = shlex.split(
    "pip compile --no-config --quiet --upgrade --universal --python-version 3.11"
    " --generate-hashes --no-header --no-annotate"
)


def pin(programs: Programs) -> None:
    """Write every file of pins."""
    for group in _GROUPS:
        constraint = [] if group == "runtime" else ["-c", "requirements/runtime.txt"]
        _compile(programs, group, *constraint)
    # With the library's own requirements, at the oldest versions that they allow.
    _compile(programs, "lowest", "--resolution", "lowest-direct", "pyproject.toml")
    say("requirements/ has the newest versions; `make test` shows whether they fit together.")


def _compile(programs: Programs, group: str, *arguments: str) -> None:
    programs.program(
        "uv", *_COMPILE, "--group", f"pyproject.toml:{group}", *arguments,
        "--output-file", f"requirements/{group}.txt", hint="uv needs the package index",
    )  # fmt: skip
