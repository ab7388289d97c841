"""The application's Python files, and what the names in them mean."""

import ast
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from kit.console import warn

_SKIPPED_FOLDERS = re.compile(
    r"\..*|__pycache__|node_modules|site-packages|v?env|tests?|migrations|alembic|deploy"
    r"|cli|commands|scripts"
)
_SKIPPED_FILES = re.compile(
    r"(test_.*|.*_tests?|tests?|conftest|setup|noxfile|gunicorn.*|cli|commands|manage)\.py"
)
_HERE = re.compile(
    r"__file__|.+\.(root_path|static_folder)|os\.getcwd\(\)|pathlib\.Path\.cwd\(\)"
    r"|werkzeug\.utils\.secure_filename\(\)"
)
_OF_FIRST = re.compile(
    r"(os\.path\.\w+|os\.fspath|str|pathlib\.Path|(werkzeug\.utils|flask)\.safe_join)\(\)"
)
_DEFAULT = re.compile(r"(os\.environ\.get|.*config\.get|.*getenv)\(\)")
_ELSEWHERE = re.compile(r"[/~\\]|[A-Za-z]:|[a-z+]+://|:memory:|$")
_MOST_STEPS = 12

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Source:
    """A module of the application.

    Attributes:
        path: relative to the application's folder.
        name: how the application imports it.
        meanings: the full names of what it imports and of its classes.
        values: what it assigns to its names and to attributes of its classes.
    """

    path: Path
    name: str
    tree: ast.Module
    lines: Sequence[str]
    meanings: Mapping[str, str]
    values: Mapping[str, ast.expr]


class Sources(dict[str, Source]):
    """All modules by their names."""

    def module(self, name: str) -> Source | None:
        """Return a module by its name, also if it lies in ``src``."""
        return self.get(name) or self.get(f"src.{name}")

    def value(self, name: str) -> ast.expr | None:
        """Return what a module assigns to a full name."""
        for dot in (i for i, letter in enumerate(name) if letter == "."):
            source, attribute = self.module(name[:dot]), name[dot + 1 :]
            if source and attribute in source.values:
                return source.values[attribute]
            # The module passes on what it imports.
            origin = source.meanings.get(attribute, name) if source else name
            if origin != name:
                return self.value(origin)
        return None

    def reached_from(self, paths: set[Path]) -> list[Source]:
        """Return the modules at these paths, and those that they import, in functions too."""
        waiting = [source for source in self.values() if source.path in paths]
        reached: dict[Path, Source] = {}
        while waiting:
            source = waiting.pop()
            if source.path not in reached:
                reached[source.path] = source
                for name in source.meanings.values():
                    found = (self.module(name), self.module(name.rpartition(".")[0]))
                    waiting += filter(None, found)
        return sorted(reached.values(), key=lambda source: source.path)


@dataclass(frozen=True, slots=True)
class Scope:
    """What names mean at one place of a module.

    Attributes:
        owner: the full name of the class around.
        function: the innermost function around.
        is_view: whether it answers requests.
        at_start: whether the code runs while the application starts.
        local: the names that belong to the functions around.
        values: what these assign to them.
        shared: the names that the function declares as global.
    """

    sources: Sources
    source: Source
    owner: str = ""
    function: Function | None = None
    is_view: bool = False
    at_start: bool = True
    local: frozenset[str] = frozenset()
    values: Mapping[str, ast.expr] = field(default_factory=dict)
    shared: frozenset[str] = frozenset()

    def of_class(self, name: str) -> "Scope":
        """Return the scope of a class's body."""
        return replace(self, owner=f"{self.source.name}.{name}")

    def of_function(self, function: Function, *, is_view: bool, at_start: bool) -> "Scope":
        """Return the scope of a function's body."""
        nodes = list(ast.walk(function))
        shared = {name for node in nodes if isinstance(node, ast.Global) for name in node.names}
        stored = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        arguments = {node.arg for node in nodes if isinstance(node, ast.arg)}
        return replace(
            self,
            function=function,
            is_view=is_view,
            at_start=at_start,
            local=(self.local | stored | arguments) - shared,
            values={**self.values, **dict(_values(function.body))},
            shared=frozenset(shared),
        )

    def full_name(self, node: ast.AST) -> str:
        """Return the full name of an expression, such as ``secrets.token_hex``."""
        match node:
            case ast.Name("cls"):
                return self.owner
            case ast.Name(name) if name in self.local:
                return f"(local).{name}"
            case ast.Name(name) if name in self.source.values:
                return f"{self.source.name}.{name}"
            case ast.Name(name):
                return self.source.meanings.get(name, name)
            case ast.Attribute(value, attr):
                return f"{self.full_name(value)}.{attr}"
            case ast.Call(func):
                return f"{self.full_name(func)}()"
        return ""

    def value(self, node: ast.AST) -> ast.expr | None:
        """Return what is assigned to a name or an attribute."""
        if isinstance(node, ast.Name) and node.id in self.local:
            return self.values.get(node.id)
        return self.sources.value(self.full_name(node))

    def parts(self, node: ast.expr) -> Iterator[ast.AST]:
        """Yield all nodes of an expression, and those of the values behind its names."""
        waiting = [node]
        for whole in waiting:
            for part in ast.walk(whole):
                yield part
                value = self.value(part) if isinstance(part, ast.Name) else None
                if value is not None and value not in waiting:
                    waiting.append(value)

    def is_beside_code(self, path: ast.AST | None) -> bool:
        """Whether a path is relative to the working folder or to a module's file."""
        for _ in range(_MOST_STEPS):
            name = self.full_name(path) if path else ""
            if _HERE.fullmatch(name):
                return True
            match path:
                case ast.Constant(text):
                    return isinstance(text, str) and not _ELSEWHERE.match(text)
                case ast.JoinedStr(values=[part, *_]) | ast.FormattedValue(value=part):
                    path = part
                case ast.BoolOp(values=[*_, part]) | ast.BinOp(left=part) | ast.IfExp(orelse=part):
                    path = part
                case ast.Call(args=[_, part]) if _DEFAULT.fullmatch(name):
                    path = part
                case ast.Call(args=[part, *_]) if _OF_FIRST.fullmatch(name):
                    path = part
                case ast.Call(func=ast.Attribute(part)) | ast.Attribute(part, "parent"):
                    path = part
                case ast.Subscript(ast.Attribute(part, "parents")):
                    path = part
                case _:
                    path = self.value(path) if path else None
        return False


def read(folder: Path) -> Sources:
    """Read every Python file of an application but its tests, commands and environments."""
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
        package = ".".join(parts[:-1])
        name = package if parts[-1] == "__init__" else ".".join(parts)
        classes = {n.name: f"{name}.{n.name}" for n in tree.body if isinstance(n, ast.ClassDef)}
        meanings = {**dict(_imports(tree, package)), **classes}
        lines = content.decode(errors="replace").splitlines()
        sources[name] = Source(relative, name, tree, lines, meanings, dict(_values(tree.body)))
    return sources


def _paths(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        if "pyvenv.cfg" in files:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not _SKIPPED_FOLDERS.fullmatch(name))
        for name in sorted(files):
            if name.endswith(".py") and not _SKIPPED_FILES.fullmatch(name):
                yield Path(root, name)


def _imports(tree: ast.Module, package: str) -> Iterator[tuple[str, str]]:
    """Yield each name that a module imports, wherever it does, with its full name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                first = each.name.partition(".")[0]
                yield (each.asname, each.name) if each.asname else (first, first)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".") if node.level else []
            above = above[: len(above) - node.level + 1]
            for each in node.names:
                parts = [*above, node.module or "", each.name]
                yield each.asname or each.name, ".".join(filter(None, parts))


def _values(body: Sequence[ast.stmt], prefix: str = "") -> Iterator[tuple[str, ast.expr]]:
    for node in body:
        match node:
            case ast.Assign(targets=[ast.Name(name), *_], value=value):
                yield prefix + name, value
            case ast.AnnAssign(target=ast.Name(name), value=ast.expr() as value):
                yield prefix + name, value
            case ast.ClassDef(name, body=inner):
                yield from _values(inner, f"{prefix}{name}.")
            case ast.If(body=inner, orelse=other) | ast.Try(body=inner, orelse=other):
                yield from _values([*inner, *other], prefix)
