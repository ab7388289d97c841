"""What the library needs of other packages."""

import re
import tomllib
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError

import pytest
from unsticky import ConfigurationError, versions

from tests.support.checkout import ROOT

_PROJECT = ROOT / "pyproject.toml"


def _installed(**found: str) -> Callable[[str], str]:
    return lambda package: found.get(package, "999")


@pytest.mark.parametrize(
    ("package", "found"),
    [
        ("flask", "2.3.3"),
        ("werkzeug", "2.3.8"),
        ("redis", "4.6.0"),
        ("msgpack", "1.0.4"),
        ("msgpack", "1.0"),
    ],
)
def test_a_package_that_is_too_old(package: str, found: str) -> None:
    """A package older than the library needs is named with its version and the cure."""
    oldest = versions.OLDEST[package]
    with pytest.raises(ConfigurationError) as raised:
        versions.check(_installed(**{package: found}))
    assert str(raised.value) == (
        f"too old for Unsticky: {package} {found}; run pip install '{package}>={oldest}'"
    )


def test_all_that_are_too_old_are_named_at_once() -> None:
    """Two old packages are one sentence with one command."""
    with pytest.raises(ConfigurationError) as raised:
        versions.check(_installed(flask="2.2.5", werkzeug="2.2.3"))
    assert str(raised.value) == (
        "too old for Unsticky: flask 2.2.5, werkzeug 2.2.3; "
        "run pip install 'flask>=3.0' 'werkzeug>=3.0'"
    )


@pytest.mark.parametrize("found", ["3.0.0", "3.0", "3", "3.0.1rc1", "3.1.dev0", "10.0"])
def test_a_package_that_is_new_enough(found: str) -> None:
    """The oldest version itself, later ones and their candidates pass without a word."""
    versions.check(_installed(flask=found))


def test_a_package_without_metadata() -> None:
    """Where a package's version is unknown, the library starts."""

    def unknown(package: str) -> str:
        raise PackageNotFoundError(package)

    versions.check(unknown)


def test_what_is_installed_here() -> None:
    """The versions that run these tests pass."""
    versions.check()


def test_pip_is_told_the_same() -> None:
    """The project's dependencies name the same packages and versions, so that pip agrees."""
    declared = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]
    assert dict(re.findall(r"^(\w+)>=([\d.]+)$", "\n".join(declared), re.MULTILINE)) == (
        versions.OLDEST
    )
    assert len(declared) == len(versions.OLDEST)
