"""Read an application's code for what breaks on many processes: the visitor of its `rules`."""

import ast
import re
from collections.abc import Iterator, Sequence

from kit.check import rules
from kit.check.findings import FOLDERS, SECRETS, Finding
from kit.check.sources import Function, Scope, Source, Sources

Ran = frozenset[tuple[str, int]]


def read(
    sources: Sources, chosen: Sequence[Source], ran: Ran
) -> tuple[list[Finding], dict[str, Finding]]:
    """Return what is wrong, and for each setting a place where it is given.

    Args:
        sources: all modules of the application.
        chosen: those to look at.
        ran: file and line of each function that ran while the application started, if it did.
    """
    readers = [_Reader(sources, source, ran) for source in chosen]
    given: dict[str, Finding] = {}
    for reader in readers:
        reader.visit(reader.source.tree)
        given = {**reader.given, **given}
    found = [finding for reader in readers for finding in reader.found]
    absent = [finding for reader in readers for finding in reader.absent]
    found += [finding for finding in absent if finding.setting not in given]
    return list({(f.kind, f.path, f.line): f for f in found}.values()), given


class _Reader(ast.NodeVisitor):
    """Reads one module.

    Attributes:
        found: what is wrong.
        absent: what is wrong unless some module gives a setting.
        given: the settings that this module gives.
    """

    def __init__(self, sources: Sources, source: Source, ran: Ran) -> None:
        self.source, self._ran = source, ran
        self.found: list[Finding] = []
        self.absent: list[Finding] = []
        self.given: dict[str, Finding] = {}
        self._scope = Scope(sources, source)

    def visit_If(self, node: ast.If) -> None:
        if not ast.unparse(node.test).startswith("__name__ =="):
            self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if not rules.FOR_DEVELOPERS.fullmatch(node.name):
            self._visit_within(self._scope.of_class(node.name), node.body)

    def visit_FunctionDef(self, node: Function) -> None:
        decorators = [self._scope.full_name(each) for each in node.decorator_list]
        if any(map(rules.COMMAND.fullmatch, decorators)):
            return
        is_view = any(map(rules.ROUTE.fullmatch, decorators))
        if any(map(rules.BEFORE.fullmatch, decorators)):
            self._check_before_request(node)
        if any(map(rules.REMEMBERS.fullmatch, decorators)) and (is_view or _asks_database(node)):
            self._report("cache", node)
        first = min(each.lineno for each in (node, *node.decorator_list))
        at_start = (
            (self.source.path.as_posix(), first) in self._ran
            if self._ran
            else bool(rules.FACTORY.fullmatch(node.name))
        )
        for each in (*node.decorator_list, *node.args.defaults):
            self.visit(each)
        scope = self._scope.of_function(node, is_view=is_view, at_start=at_start and not is_view)
        self._visit_within(scope, node.body)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def _visit_within(self, scope: Scope, body: Sequence[ast.stmt]) -> None:
        outer, self._scope = self._scope, scope
        for statement in body:
            self.visit(statement)
        self._scope = outer

    def visit_Assign(self, node: ast.Assign | ast.AnnAssign) -> None:
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            match target:
                case ast.Name(name) | ast.Attribute(attr=name):
                    self._check_setting(name, node.value)
                case ast.Subscript(slice=ast.Constant(str() as name)):
                    self._check_setting(name, node.value)
            self._check_change(target, node.value)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit_Assign(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._check_change(node.target, None)
        self.generic_visit(node)

    def visit_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            self._check_change(target, None)

    def visit_Dict(self, node: ast.Dict) -> None:
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant):
                self._check_setting(key.value, value)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = self._scope.full_name(node.func)
        only_at_start = rules.CALLS_AT_START if self._scope.at_start else ()
        for kind, pattern in (*rules.CALLS, *only_at_start):
            if re.fullmatch(pattern, name):
                self._report(kind, node)
        for kind, pattern, setting in rules.CALLS_WITHOUT:
            if re.fullmatch(pattern, name):
                self._report(kind, node, setting, to=self.absent)
        for keyword in node.keywords:
            self._check_setting(keyword.arg, keyword.value)
        if name.endswith(".create_engine") and node.args:
            self._check_setting("url", node.args[0])
        if isinstance(node.func, ast.Attribute):
            self._check_method(node, node.func)
        elif name == "next" and node.args and self._is_shared(node.args[0]):
            self._report("state", node)
        self._check_writing(node, name)
        self.generic_visit(node)

    def _check_method(self, node: ast.Call, func: ast.Attribute) -> None:
        match func.attr, node.args:
            case "setdefault", [ast.Constant(name), value]:
                self._check_setting(name, value)
            case "before_request" | "before_app_request", [function]:
                for each in ast.walk(self.source.tree):
                    if isinstance(each, Function) and each.name == ast.unparse(function):
                        self._check_before_request(each)
        if rules.CHANGING.fullmatch(func.attr) and self._is_shared(func.value):
            self._report("state", node)

    def _check_setting(self, name: object, value: ast.expr | None) -> None:
        if not isinstance(name, str) or value is None:
            return
        name = rules.SAME.get(name, name)
        # The last one wins, as it does when the code runs.
        self.given[name] = self._finding("", value, name)
        parts = list(self._scope.parts(value)) if name.isupper() else []
        texts = [str(part.value).lower() for part in parts if isinstance(part, ast.Constant)]
        for kind, pattern, wrong in rules.SETTINGS:
            if re.fullmatch(pattern, name) and any(re.fullmatch(wrong, text) for text in texts):
                self._report(kind, value, name)
        if SECRETS.fullmatch(name) and self._scope.at_start:
            calls = [self._scope.full_name(p.func) for p in parts if isinstance(p, ast.Call)]
            if any(map(rules.RANDOM.fullmatch, calls)):
                self._report("secret", value, name)
        if any(map(_is_sqlite, _given_parts(value))):
            self._report("sqlite", value, "sqlite")
        if FOLDERS.fullmatch(name) and self._scope.is_beside_code(value):
            self._report("files", value, name)

    def _check_change(self, target: ast.expr, value: ast.expr | None) -> None:
        """Report a change of what belongs to a module or a class, while requests are answered."""
        if self._scope.at_start or rules.SINGLETON.match(ast.unparse(target)):
            return
        match target:
            case ast.Tuple(elts):
                for each in elts:
                    self._check_change(each, value)
            case ast.Subscript(base):
                is_config = self._scope.full_name(base) == "flask.current_app.config"
                if is_config or (self._is_shared(base) and not self._is_remembered(target, value)):
                    self._report("state", target)
            case ast.Name(name) if name in self._scope.shared:
                is_reset = isinstance(value, ast.Constant) and value.value is None
                if not is_reset and not self._is_made_once():
                    self._report("state", target)
            case ast.Attribute() if self._scope.value(target) is not None:
                self._report("state", target)

    def _is_shared(self, node: ast.expr) -> bool:
        """Whether code that answers requests uses a container of a module or a class."""
        while isinstance(node, ast.Subscript):
            node = node.value
        is_local = isinstance(node, ast.Name) and node.id in self._scope.local
        value = None if is_local or self._scope.at_start else self._scope.value(node)
        if isinstance(value, ast.Call):
            return bool(rules.CONTAINER.fullmatch(self._scope.full_name(value.func)))
        return isinstance(value, ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp)

    def _is_made_once(self) -> bool:
        """Whether the function makes something if there is none yet: a client, a model."""
        names = "|".join(self._scope.shared)
        return bool(re.search(rf"\bif (not )?({names})( is (not )?None)?:", self._code()))

    def _is_remembered(self, target: ast.Subscript, value: ast.expr | None) -> bool:
        """Whether the function only remembers what it computes, and not from the database."""
        container, key = ast.unparse(target.value), ast.unparse(target.slice)
        code = self._code()
        looks = (f"{key} in {container}", f"{key} not in {container}", f"{container}.get({key})")
        return (
            any(look in code for look in looks)
            and "return " in code
            and not self._scope.is_view
            and not rules.QUERY.search(code)
            and value is not None
            and container not in ast.unparse(value)
        )

    def _code(self) -> str:
        return ast.unparse(self._scope.function) if self._scope.function else ""

    def _check_writing(self, node: ast.Call, name: str) -> None:
        given = {each.arg: each.value for each in node.keywords}
        arguments = dict(enumerate(node.args))
        if isinstance(node.func, ast.Attribute):
            arguments[-1] = node.func.value
        for pattern, position, keyword, mode in rules.WRITERS:
            if re.fullmatch(pattern, name):
                modes = "w" if mode is None else _text(arguments.get(mode, given.get("mode")))
                path = arguments.get(position, given.get(keyword))
                if set("wax+") & set(modes) and self._scope.is_beside_code(path):
                    self._report("files", node)
                return

    def _check_before_request(self, node: Function) -> None:
        for call in ast.walk(node):
            if isinstance(call, ast.Call) and ast.unparse(call.func).endswith(".commit"):
                self._report("writes", call)

    def _report(
        self, kind: str, node: ast.AST, setting: str = "", to: list[Finding] | None = None
    ) -> None:
        finding = self._finding(kind, node, setting)
        if rules.ACCEPTED not in self.source.lines[finding.line - 1]:
            (self.found if to is None else to).append(finding)

    def _finding(self, kind: str, node: ast.AST, setting: str) -> Finding:
        line = getattr(node, "lineno", 1)
        return Finding(kind, self.source.path, line, self.source.lines[line - 1].strip(), setting)


def _given_parts(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of an expression, without what it only compares or looks for."""
    yield node
    method = ast.unparse(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ""
    if method not in {"startswith", "replace", "split"} and not isinstance(node, ast.Compare):
        for child in ast.iter_child_nodes(node):
            yield from _given_parts(child)


def _is_sqlite(node: ast.AST) -> bool:
    return re.match(r"sqlite(\+\w+)?:", _text(node)) is not None


def _asks_database(node: Function) -> bool:
    return rules.QUERY.search(ast.unparse(node)) is not None


def _text(node: ast.AST | None) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ""
