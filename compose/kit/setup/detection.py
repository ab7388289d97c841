"""Find out what an application is called, where it answers, and where it lists its packages."""

import ast
import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kit import dotenv
from kit.errors import KitError

# In the order in which Flask itself looks for them, and what deployment guides call them.
_FIRST = ("wsgi", "app", "application", "main", "run", "server")
_FACTORIES = ("create_app", "make_app", "create_application")
_HEALTH = re.compile(
    r"""(?:route|get|add_url_rule)\(\s*["'](/(?:livez|readyz|healthz?|health_?check|ping|up))/?["']"""
)
_NOT_CODE = {
    "tests",
    "test",
    "docs",
    "examples",
    "migrations",
    "node_modules",
    "instance",
    "deploy",
}
_SETS = r"(?:config\.(?:from_|update)|config\[[^\]]+\] = |secret_key = )"
_CALLED = r"\bconfig(?:ure(?:_app)?|_app)"
_LARGEST_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where an application object is made.

    Attributes:
        app: as Gunicorn takes it, ``module:object`` or ``module:factory()``.
        file: the module's file.
        line: of the statement that makes the Flask object, if it is in that file; else 0.
        variable: the name of the Flask object there.
    """

    app: str
    file: Path
    line: int
    variable: str


def find_app(folder: Path) -> Place:
    """Return the most likely application in a folder.

    Raises:
        KitError: there is none, or there are several and none is the usual one.
    """
    found = list(_places(folder))
    if not found:
        raise KitError(
            f"there is no Flask or WSGI application in {folder}: no module makes a Flask object, "
            f"and none has {' or '.join(_FACTORIES)}()",
            "name it: APP=package.module:object or APP=package:factory()",
            "APP_DIR= is the folder in which `flask --app … run` works",
        )
    named = _of_flaskenv(folder)
    for place in found:
        if named and place.app.partition(":")[0] == named.partition(":")[0]:
            return place
    return found[0]


def has_library(folder: Path) -> bool:
    """Whether a module uses the session library."""
    return any("Unsticky(" in _text(path) for path in modules(folder))


def proposal(folder: Path) -> str:
    """Return the change of the application, as a diff: two lines that give it the library.

    It is empty if no module makes the Flask object.
    """
    for place in _places(folder):
        if not place.line:
            continue
        before = _text(place.file).splitlines(keepends=True)
        tree = ast.parse("".join(before))
        imports = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
        # Some modules import their views last, to cut a circle.
        top = max((n.end_lineno or 0 for n in imports if n.lineno < place.line), default=0)
        line, indent = _where_it_is_configured(tree, place)
        after = list(before)
        after.insert(line, f"{indent}Unsticky({place.variable})\n")
        after.insert(top, "from unsticky import Unsticky\n")
        name = place.file.relative_to(folder)
        return "".join(difflib.unified_diff(before, after, f"a/{name}", f"b/{name}"))
    return ""


def find_health(folder: Path) -> str:
    """Return the path of the application's health check, or ``/`` if it has none."""
    for path in modules(folder):
        if found := _HEALTH.search(_text(path)):
            return found[1]
    return "/"


def modules(folder: Path) -> Iterator[Path]:
    """Return the application's Python files, those near the top first."""
    found = [
        path
        for path in folder.rglob("*.py")
        if not any(
            part in _NOT_CODE or part.startswith((".", "__pyc")) or _is_venv(folder, path, part)
            for part in path.relative_to(folder).parts[:-1]
        )
    ]
    return iter(sorted(found, key=lambda path: (len(path.parts), _rank(path), str(path))))


def _rank(path: Path) -> int:
    name = path.parent.name if path.stem == "__init__" else path.stem
    return _FIRST.index(name) if name in _FIRST else len(_FIRST)


def _is_venv(folder: Path, path: Path, part: str) -> bool:
    parts = path.relative_to(folder).parts
    return (folder.joinpath(*parts[: parts.index(part) + 1]) / "pyvenv.cfg").exists()


def _places(folder: Path) -> Iterator[Place]:
    """Return module-level objects first, then factories; only modules that can be imported."""
    objects, factories = [], []
    for path in modules(folder):
        parts = path.relative_to(folder).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if not parts or not all(part.isidentifier() for part in parts):
            continue
        name = ".".join(parts)
        try:
            tree = ast.parse(_text(path))
        except SyntaxError:
            continue
        for node in tree.body:
            if (variable := _assigned(node, ("Flask", *_FACTORIES))) is not None:
                line = node.lineno if _assigned(node, ("Flask",)) else 0
                objects.append(Place(f"{name}:{variable}", path, line, variable))
            elif isinstance(node, ast.FunctionDef) and _is_factory(node):
                inner = next((n for n in ast.walk(node) if _assigned(n, ("Flask",))), None)
                line = inner.lineno if isinstance(inner, ast.stmt) else 0
                variable = _assigned(inner, ("Flask",)) if inner else None
                place = Place(f"{name}:{node.name}()", path, line, variable or "app")
                factories.append(place)
    # A factory in the package is meant even if a script beside it calls it for `python run.py`.
    yield from sorted(objects + factories, key=lambda place: _order(place, folder))


def _order(place: Place, folder: Path) -> tuple[int, int, int, str]:
    depth = len(place.file.relative_to(folder).parts)
    is_factory = place.app.endswith("()")
    return _rank(place.file), depth, int(is_factory), place.app


def _where_it_is_configured(tree: ast.Module, place: Place) -> tuple[int, str]:
    """Return the line after which the Flask object has its settings, and the indentation there."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and (
            function.lineno < place.line <= (function.end_lineno or 0)
        ):
            body = function.body
            break
    else:
        body = tree.body
    # The Flask object is made, then come statements that set something on it.
    start = next(
        (i for i, n in enumerate(body) if n.lineno <= place.line <= (n.end_lineno or 0)), 0
    )
    last = body[start]
    pattern = rf"\b{place.variable}\.{_SETS}|{_CALLED}\({place.variable}\b"
    for node in body[start + 1 :]:
        if re.search(pattern, ast.unparse(node)):
            last = node
    return last.end_lineno or last.lineno, " " * last.col_offset


def _assigned(node: ast.AST | None, callees: tuple[str, ...]) -> str | None:
    """Return the name that a statement assigns the result of one of these calls to."""
    if not isinstance(node, ast.Assign | ast.AnnAssign) or not isinstance(node.value, ast.Call):
        return None
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    function = node.value.func
    called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return target.id if called in callees and isinstance(target, ast.Name) else None


def _is_factory(node: ast.FunctionDef) -> bool:
    arguments = node.args
    required = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return node.name in _FACTORIES and required == 0 and None not in arguments.kw_defaults


def _of_flaskenv(folder: Path) -> str:
    return dotenv.read(folder / ".flaskenv").get("FLASK_APP", "").removesuffix(".py")


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError:
        return ""
    return data.decode("utf-8-sig", errors="replace") if len(data) < _LARGEST_BYTES else ""
