"""An application's packages and the kit's, resolved into one lock."""

import sys
from pathlib import Path

import pytest
from kit.errors import KitError
from kit.setup import requirements
from kit.setup.requirements import Wanted

_UV = Path(sys.prefix, "bin", "uv")


def _lock(source: Path, overrides: Path | None = None) -> str:
    wanted = Wanted(
        source=source,
        overrides=overrides,
        may_build=False,
        worker_class="sync",
        in_mongodb=False,
        python="3.13",
        for_image=False,
    )
    return requirements.lock(wanted, _UV, source.parent / "locks").read_text(encoding="utf-8")


def _file(folder: Path, text: str, name: str = "requirements.txt") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_lock_has_theirs_ours_and_hashes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Old pins of Flask stay, our packages come along, and our Gunicorn replaces theirs.

    A second run resolves nothing.
    """
    source = _file(tmp_path, "Flask==3.0.3  # pinned\ngunicorn==20.1.0\n-r more.txt\n")
    _file(tmp_path, "Flask-Login\n", "more.txt")

    lock = _lock(source)

    assert "flask==3.0.3 \\\n    --hash=sha256:" in lock
    assert "flask-login==" in lock
    assert "redis==" in lock
    assert "gunicorn==20.1.0" not in lock
    assert "replaces gunicorn==20.1.0" in capsys.readouterr().out
    assert _lock(source) == lock
    assert "resolving" not in capsys.readouterr().out


def test_conflict_shows_both_sides(tmp_path: Path) -> None:
    """A version that the library cannot use is shown beside the one that it needs.

    APP_OVERRIDES settles it.
    """
    source = _file(tmp_path, "Werkzeug==2.2.3\n")
    with pytest.raises(KitError) as caught:
        _lock(source)

    assert "werkzeug==2.2.3" in caught.value.problem
    assert "werkzeug>=3.0" in caught.value.problem
    assert any("APP_OVERRIDES=" in hint for hint in caught.value.hints)
    overrides = _file(tmp_path, "werkzeug==3.1.3\n", "overrides.txt")
    assert "werkzeug==3.1.3" in _lock(source, overrides=overrides)


def test_source_package_needs_permission(tmp_path: Path) -> None:
    """A package without a wheel is refused with its name, and with the way to allow it."""
    source = _file(tmp_path, "flask-mail==0.9.1\n")

    with pytest.raises(KitError, match=r"flask-mail==0\.9\.1") as caught:
        _lock(source)

    assert caught.value.hints[0].startswith("APP_BUILD=1")


def test_project_file_names_packages(tmp_path: Path) -> None:
    """The dependencies of a pyproject.toml count, and the project itself is not installed."""
    source = _file(
        tmp_path,
        '[project]\nname = "blog"\nversion = "1"\ndependencies = ["flask-login==0.6.3"]\n',
        "pyproject.toml",
    )

    assert list(requirements.lines(source, _UV)) == ["flask-login==0.6.3"]


@pytest.mark.parametrize("line", ["-e .", ".", "-e .[extra]"])
def test_application_itself_is_no_package(line: str, tmp_path: Path) -> None:
    """A requirements file may name the application: its packages count, its code is there."""
    _file(tmp_path, '[project]\nname = "b"\ndependencies = ["flask-wtf"]\n', "pyproject.toml")

    source = _file(tmp_path, f"{line}\n")
    assert list(requirements.lines(source, _UV)) == ["flask-wtf"]


@pytest.mark.parametrize(
    "line",
    [
        "git+https://git.example/blog.git",
        "blog @ git+ssh://git@git.example/blog.git@v1",
        "-e git+https://git.example/blog.git#egg=blog",
        "-e ../other",
        "./vendored",
        "blog @ file:///srv/blog",
        "--no-binary :all:",
    ],
)
def test_line_that_cannot_be_pinned_is_refused(line: str, tmp_path: Path) -> None:
    """What has no hash, or is on this machine only, is refused by name."""
    with pytest.raises(KitError) as caught:
        list(requirements.lines(_file(tmp_path, f"flask\n{line}\n"), _UV))

    assert line in caught.value.problem


def test_poetry_file_says_how_to_export(tmp_path: Path) -> None:
    """A project file in another form than the standard's names the way out."""
    source = _file(tmp_path, '[tool.poetry]\nname = "b"\n', "pyproject.toml")

    with pytest.raises(KitError) as caught:
        list(requirements.lines(source, _UV))

    assert any("poetry export" in hint for hint in caught.value.hints)


def test_missing_file_names_the_known_ones(tmp_path: Path) -> None:
    """A wrong APP_REQUIREMENTS shows the path and what would work."""
    with pytest.raises(KitError, match="none\\.txt") as caught:
        list(requirements.lines(tmp_path / "none.txt", _UV))

    assert "pyproject.toml" in caught.value.hints[0]
