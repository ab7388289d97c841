"""The application's Python files, and what the names in them mean."""

import ast
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from kit.console import warn

_SKIPPED_FOLDERS = re.compile(
    r"\..*|__pycache__|node_modules|site-packages|s?venv|s?env|tests?|migrations|alembic|build|dist|deploy"
)
_SKIPPED_FILES = re.compile(r"(test_.*|.*_tests?|tests?|conftest|setup|noxfile|gunicorn.*)\.py")
_MOST_STEPS = 5

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(slots=True)
class Source:
    """A module of the application.

    Attributes:
        path: relative to the application's folder.
        name: how the application imports it.
        meanings: for each imported name its full name, such as ``secrets.token_hex``.
        values: what the module assigns to its names, classes' attributes included.
    """

    path: Path
    name: str
    tree: ast.Module
    text: Sequence[str]
    meanings: dict[str, str] = field(default_factory=dict)
    values: dict[str, ast.expr] = field(default_factory=dict)

    def full_name(self, node: ast.AST) -> str:
        """Return the full name of an expression; empty if it has none."""
        match node:
            case ast.Name(name):
                if name in self.values:
                    return f"{self.name}.{name}"
                return self.meanings.get(name, name)
            case ast.Attribute(value, attr):
                return f"{self.full_name(value)}.{attr}"
            case ast.Call(func):
                return f"{self.full_name(func)}()"
        return ""


class Sources(dict[str, Source]):
    """All modules by their names."""

    def value(self, name: str) -> ast.expr | None:
        """Return what is assigned to a full name at the level of a module or a class."""
        for _ in range(_MOST_STEPS):
            for at in (i for i, character in enumerate(name) if character == "."):
                source = self.module(name[:at])
                if source is None:
                    continue
                attribute = name[at + 1 :]
                if attribute in source.values:
                    return source.values[attribute]
                # The module passes on what it imports.
                first, _, rest = attribute.partition(".")
                if first in source.meanings:
                    name = ".".join(filter(None, (source.meanings[first], rest)))
                    break
            else:
                return None
        return None

    def module(self, name: str) -> Source | None:
        """Return a module by its name, also if it lies in ``src``."""
        return self.get(name) or self.get(f"src.{name}")

    def reached_from(self, paths: Sequence[Path]) -> list[Source]:
        """Return the modules at these paths, and those that they import, in functions too."""
        waiting = [source for source in self.values() if source.path in paths]
        reached: dict[Path, Source] = {}
        while waiting:
            source = waiting.pop()
            if source.path not in reached:
                reached[source.path] = source
                for name in source.meanings.values():
                    parents = (self.module(name), self.module(name.rpartition(".")[0]))
                    waiting += filter(None, parents)
        return sorted(reached.values(), key=lambda source: source.path)


def read(folder: Path) -> Sources:
    """Read every Python file of an application but its tests, migrations and environments."""
    sources = Sources()
    for path in _paths(folder):
        relative = path.relative_to(folder)
        try:
            content = path.read_bytes()
            tree = ast.parse(content)
        except (OSError, SyntaxError, ValueError, RecursionError) as error:
            warn(f"cannot read {relative}: {error}")
            continue
        parts = relative.with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        source = Source(relative, name, tree, content.decode(errors="replace").splitlines())
        source.meanings.update(_meanings(tree, name if is_package else name.rpartition(".")[0]))
        source.meanings.update(
            (node.name, f"{name}.{node.name}") for node in tree.body if isinstance(node, ast.ClassDef)
        )
        source.values.update(_values(tree.body))
        sources[name] = source
    return sources


@dataclass(frozen=True, slots=True)
class Scope:
    """What names mean at one place of a module.

    Attributes:
        local: the names that belong to the function around.
        values: what the function assigns to them.
        shared: the names that the function declares as global.
        inside: the full name of the class around.
        function: the innermost function around.
        is_view: whether that answers requests.
        at_start: whether the code runs while the application starts.
    """

    sources: Sources
    source: Source
    local: frozenset[str] = frozenset()
    values: Mapping[str, ast.expr] = field(default_factory=dict)
    shared: frozenset[str] = frozenset()
    inside: str = ""
    function: Function | None = None
    is_view: bool = False
    at_start: bool = True

    def in_class(self, name: str) -> "Scope":
        """Return the scope of a class's body."""
        return replace(self, inside=f"{self.source.name}.{name}")

    def in_function(self, function: Function, *, is_view: bool, at_start: bool) -> "Scope":
        """Return the scope of a function's body."""
        nodes = [node for statement in function.body for node in ast.walk(statement)]
        shared = {name for node in nodes if isinstance(node, ast.Global) for name in node.names}
        stored = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        arguments = {node.arg for node in ast.walk(function.args) if isinstance(node, ast.arg)}
        return replace(
            self,
            local=(self.local | stored | arguments) - shared,
            values={**self.values, **dict(_values(function.body))},
            shared=frozenset(shared),
            function=function,
            is_view=is_view,
            at_start=at_start,
        )

    def full_name(self, node: ast.AST) -> str:
        """Return the full name of an expression; empty if it begins with a local name."""
        base = node
        while isinstance(base, ast.Attribute | ast.Call):
            base = base.value if isinstance(base, ast.Attribute) else base.func
        name = self.source.full_name(node)
        if isinstance(base, ast.Name) and base.id in self.local:
            return self.inside + name[len("cls") :] if base.id == "cls" else f"(local).{name}"
        return name

    def value(self, node: ast.AST) -> ast.expr | None:
        """Return what is assigned to a name or an attribute."""
        if isinstance(node, ast.Name) and node.id in self.local:
            return self.values.get(node.id)
        return self.sources.value(self.full_name(node))

    def parts(self, node: ast.expr) -> Iterator[ast.AST]:
        """Yield all nodes of an expression, and those of the values behind its names."""
        seen: set[ast.AST] = set()
        waiting = [node]
        while waiting:
            for part in ast.walk(waiting.pop()):
                yield part
                value = self.value(part) if isinstance(part, ast.Name) else None
                if value is not None and value not in seen:
                    seen.add(value)
                    waiting.append(value)


def _paths(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        if "pyvenv.cfg" in files:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not _SKIPPED_FOLDERS.fullmatch(name))
        yield from (
            Path(root, name)
            for name in sorted(files)
            if name.endswith(".py") and not _SKIPPED_FILES.fullmatch(name)
        )


def _meanings(tree: ast.Module, package: str) -> Iterator[tuple[str, str]]:
    """Yield the names that a module imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield (name.asname, name.name) if name.asname else (name.name.split(".")[0],) * 2
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - max(node.level - 1, 0)]
            origin = ".".join(filter(None, [*(above if node.level else ()), node.module]))
            for name in node.names:
                yield name.asname or name.name, f"{origin}.{name.name}" if origin else name.name


def _values(body: Sequence[ast.stmt], prefix: str = "") -> Iterator[tuple[str, ast.expr]]:
    for node in body:
        match node:
            case ast.Assign(targets, value):
                yield from (
                    (prefix + target.id, value)
                    for target in targets
                    if isinstance(target, ast.Name)
                )
            case ast.AnnAssign(target=ast.Name(name), value=ast.expr() as value):
                yield prefix + name, value
            case ast.ClassDef(name, body=inner):
                yield from _values(inner, f"{prefix}{name}.")
            case ast.If(body=inner, orelse=other) | ast.Try(body=inner, orelse=other):
                yield from _values([*inner, *other], prefix)
