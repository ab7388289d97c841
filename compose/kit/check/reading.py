"""Read an application's code for what breaks on many processes: tables of rules and one visitor."""

import ast
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from kit.check.findings import FOLDERS, SECRETS, Finding
from kit.check.paths import is_beside_code
from kit.check.sources import Function, Scope, Source, Sources

_CALLS = (
    (r"(cachelib|werkzeug\.contrib\.cache)(\.\w+)?\.SimpleCache|cachetools\.\w+Cache", "cache"),
    (r"apscheduler\.schedulers\.\w+\.\w+Scheduler|flask_apscheduler\.APScheduler", "scheduler"),
    (r"(sqlite3|aiosqlite)(\.dbapi2)?\.connect", "sqlite"),
    (r"prometheus_client\.(Counter|Gauge|Histogram|Summary)", "state"),
    (r"prometheus_flask_exporter\.PrometheusMetrics", "state"),
)
"""Calls by their full names, and the kind."""

_CALLS_AT_START = (
    (r"threading\.(Thread|Timer)|multiprocessing\.Process|schedule\.every.*", "scheduler"),
    (r".+\.start_background_task|_thread\.start_new_thread", "scheduler"),
    (r".+\.(create_all|drop_all|create_tables)", "tables"),
    (r"(flask_migrate|alembic\.command)\.upgrade", "tables"),
)
"""Calls that are wrong only while the application starts."""

_CALLS_WITHOUT = (
    (r"flask_limiter\.(\w+\.)?Limiter", "limit", "RATELIMIT_STORAGE_URI"),
    (r"flask_socketio\.SocketIO", "socketio", "message_queue"),
)
"""Calls that are wrong unless a setting is given somewhere."""

_SETTINGS = (
    (r"CACHE_TYPE", "cache", r"(.*\.)?simple(cache)?"),
    (r"CACHE_TYPE", "files", r"(.*\.)?filesystem(cache)?"),
    (r"RATELIMIT_STORAGE_URI", "limit", r"(async\+)?memory://.*"),
    (r"SESSION_TYPE", "session", r"filesystem|cachelib|simple|memory"),
)
"""Settings, the kind, and the values that are wrong."""

_SAME_SETTING = {
    "storage_uri": "RATELIMIT_STORAGE_URI",
    "RATELIMIT_STORAGE_URL": "RATELIMIT_STORAGE_URI",
    "client_manager": "message_queue",
    "secret_key": "SECRET_KEY",
}

_WRITERS = (
    (r"(io\.)?open|shelve\.open|dbm\.open", 0, "file"),
    (r"logging\.(handlers\.)?\w*FileHandler", 0, "filename"),
    (r"logging\.basicConfig", 9, "filename"),
    (r"(cachelib|werkzeug\.contrib\.cache)(\.\w+)?\.FileSystemCache", 0, "cache_dir"),
    (r"shutil\.(copy\w*|move)", 1, "dst"),
    (r".+\.(save|to_csv|to_excel|savefig)", 0, "fp"),
)
"""Calls that write a file, and which argument is its path."""

_RANDOM = re.compile(
    r"os\.urandom|secrets\.(token_|choice|randbits).*|uuid\.uuid[14]"
    r"|random\..*|.*\.Fernet\.generate_key"
)
_CONTAINER = re.compile(r"dict|list|set|(collections\.)?(defaultdict|deque|Counter|OrderedDict)")
_CHANGING = frozenset({
    "add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem",
    "remove", "setdefault", "update",
})  # fmt: skip
_FACTORY = re.compile(r"(create|make|build)_(\w*_)?app(lication)?|init_app")
_COMMAND = re.compile(r".*\.(command|shell_context_processor)(\(\))?")
_ROUTE = re.compile(r".+\.(route|get|post|put|patch|delete)\(\)")
_CACHED = re.compile(r"functools\.(lru_)?cache(\(\))?")
_MADE_ONCE = (("not ", ""), ("", " is None"), ("", " is not None"), ("", ""))
_INSTANCES = re.compile(r"cls\._?_?instances?")
_FOR_DEVELOPERS = re.compile(r".*(test|dev|local|debug).*", re.IGNORECASE)
_ACCEPTED = "# check: ok"

Ran = frozenset[tuple[str, int]]


def read(sources: Sources, chosen: Sequence[Source], ran: Ran) -> tuple[list[Finding], dict[str, Finding]]:
    """Return what is wrong, and for each setting the first place where it is set.

    Args:
        sources: all modules of the application.
        chosen: those to look at.
        ran: file and line of each function that runs while the application starts.
    """
    readers = [_Reader(sources, source, ran) for source in chosen]
    given: dict[str, Finding] = {}
    for reader in readers:
        reader.visit(reader.source.tree)
        given = {**reader.given, **given}
    found = [finding for reader in readers for finding in reader.found]
    absent = [finding for reader in readers for finding in reader.absent]
    found += [finding for finding in absent if finding.setting not in given]
    return list({(f.kind, f.path, f.line): f for f in reversed(found)}.values())[::-1], given


class _Reader(ast.NodeVisitor):
    """Reads one module.

    Attributes:
        found: what is wrong.
        absent: what is wrong unless a setting is given in some module.
        given: the settings that this module gives.
    """

    def __init__(self, sources: Sources, source: Source, ran: Ran) -> None:
        self.source, self._ran = source, ran
        self.found: list[Finding] = []
        self.absent: list[Finding] = []
        self.given: dict[str, Finding] = {}
        self._scope = Scope(sources, source)

    # Where the code is.

    def visit_If(self, node: ast.If) -> None:
        if not ast.unparse(node.test).startswith("__name__ =="):
            self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        # Only development uses its settings.
        if not _FOR_DEVELOPERS.fullmatch(node.name):
            with self._within(self._scope.in_class(node.name)):
                self.generic_visit(node)

    def visit_FunctionDef(self, node: Function) -> None:
        decorators = [self._scope.full_name(each) for each in node.decorator_list]
        if any(_COMMAND.fullmatch(name) for name in decorators):
            return
        if any(re.fullmatch(r".+\.before_(app_)?request", name) for name in decorators):
            self._check_before_request(node)
        is_view = any(_ROUTE.fullmatch(name) for name in decorators)
        if any(_CACHED.fullmatch(name) for name in decorators) and (is_view or _asks_database(node)):
            self._report("cache", node, f"{node.name}() remembers what the database said")
        for each in (*node.decorator_list, *node.args.defaults):
            self.visit(each)
        at_start = not is_view and self._runs_at_start(node)
        with self._within(self._scope.in_function(node, is_view=is_view, at_start=at_start)):
            for statement in node.body:
                self.visit(statement)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815  # the name that `ast` calls

    @contextmanager
    def _within(self, scope: Scope) -> Iterator[None]:
        before, self._scope = self._scope, scope
        yield
        self._scope = before

    def _runs_at_start(self, node: Function) -> bool:
        if self._ran:
            first = min(each.lineno for each in (node, *node.decorator_list))
            return (self.source.path.as_posix(), first) in self._ran
        calls = (self._scope.full_name(n.func) for n in ast.walk(node) if isinstance(n, ast.Call))
        return bool(_FACTORY.fullmatch(node.name)) or "flask.Flask" in calls

    # What the code does.

    def visit_Assign(self, node: ast.Assign | ast.AnnAssign) -> None:
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if node.value is not None:
                self._check_setting(_setting(target), node.value, node)
            self._check_change(target, node.value)
        self.generic_visit(node)

    visit_AnnAssign = visit_Assign  # noqa: N815  # the name that `ast` calls

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._check_change(node.target, node.value)
        self.generic_visit(node)

    def visit_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            self._check_change(target, None)

    def visit_Dict(self, node: ast.Dict) -> None:
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                self._check_setting(key.value, value, key)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = self._scope.full_name(node.func)
        rules = _CALLS + _CALLS_AT_START if self._scope.at_start else _CALLS
        for pattern, kind in rules:
            if re.fullmatch(pattern, name):
                self._report(kind, node)
        for pattern, kind, setting in _CALLS_WITHOUT:
            if re.fullmatch(pattern, name):
                self._report(kind, node, setting=setting, absent=True)
        for keyword in node.keywords:
            self._check_setting(keyword.arg or "", keyword.value, keyword.value)
        if name.endswith(".create_engine") and node.args:
            self._check_setting("url", node.args[0], node)
        if isinstance(node.func, ast.Attribute):
            self._check_method(node, node.func)
        if name == "next" and node.args and self._shared(node.args[0], re.compile("itertools.count")):
            self._report("state", node)
        self._check_writing(node, name)
        self.generic_visit(node)

    def _check_method(self, node: ast.Call, func: ast.Attribute) -> None:
        if func.attr == "setdefault" and len(node.args) == 2 and isinstance(node.args[0], ast.Constant):
            self._check_setting(str(node.args[0].value), node.args[1], node)
        if func.attr in _CHANGING and self._shared(func.value, _CONTAINER):
            self._report("state", node)
        if re.fullmatch("before_(app_)?request", func.attr) and node.args:
            for function in ast.walk(self.source.tree):
                if isinstance(function, Function) and function.name == ast.unparse(node.args[0]):
                    self._check_before_request(function)

    def _check_setting(self, name: str, value: ast.expr, node: ast.AST) -> None:
        name = _SAME_SETTING.get(name, name)
        if not name:
            return
        self.given.setdefault(name, self._finding("", node, setting=name))
        texts = [
            part.value.lower()
            for part in self._scope.parts(value)
            if isinstance(part, ast.Constant) and isinstance(part.value, str)
        ]
        for pattern, kind, wrong in _SETTINGS:
            if re.fullmatch(pattern, name) and any(re.fullmatch(wrong, text) for text in texts):
                self._report(kind, node, setting=name)
        if self._scope.at_start and SECRETS.fullmatch(name) and self._is_random(value):
            self._report("secret", node, setting=name)
        if any(map(_is_sqlite, _values_in(value))):
            self._report("sqlite", node, setting="sqlite")
        if FOLDERS.fullmatch(name) and is_beside_code(value, self._scope):
            self._report("files", node, setting=name)

    def _is_random(self, value: ast.expr) -> bool:
        calls = (part for part in self._scope.parts(value) if isinstance(part, ast.Call))
        return any(_RANDOM.fullmatch(self._scope.full_name(call.func)) for call in calls)

    def _check_change(self, target: ast.expr, value: ast.expr | None) -> None:
        """Report a change of what belongs to a module or a class, in a function."""
        match target:
            case ast.Attribute() | ast.Subscript() if _INSTANCES.match(ast.unparse(target)):
                # A singleton is one of each process, and its class says so.
                return
            case ast.Tuple(elts):
                for each in elts:
                    self._check_change(each, value)
            case ast.Subscript(value=base):
                name = self._scope.full_name(base)
                if self._shared(base, _CONTAINER):
                    self._check_entry(target, value)
                elif name == "flask.current_app.config" and not self._scope.at_start:
                    self._report("state", target)
            case ast.Name(name) if name in self._scope.shared and not self._scope.at_start:
                is_reset = isinstance(value, ast.Constant) and value.value is None
                if not is_reset and not self._is_made_once():
                    self._report("state", target)
            case ast.Attribute() if not self._scope.at_start and self._scope.value(target) is not None:
                self._report("state", target)

    def _shared(self, node: ast.expr, made_by: re.Pattern[str]) -> bool:
        """Whether code that answers requests uses a container of a module or a class."""
        while isinstance(node, ast.Subscript):
            node = node.value
        if self._scope.at_start or (isinstance(node, ast.Name) and node.id in self._scope.local):
            return False
        value = self._scope.value(node)
        if isinstance(value, ast.Call):
            return bool(made_by.fullmatch(self._scope.full_name(value.func)))
        return isinstance(value, ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp)

    def _is_made_once(self) -> bool:
        """Whether the function makes a global value only if there is none: a client, a model."""
        names = self._scope.shared
        tests = {f"{start}{name}{end}" for name in names for start, end in _MADE_ONCE}
        return any(isinstance(n, ast.If) and ast.unparse(n.test) in tests for n in self._nodes())

    def _check_entry(self, target: ast.Subscript, value: ast.expr | None) -> None:
        """Report a changed entry, unless the function only remembers what it has computed."""
        container, key = ast.unparse(target.value), ast.unparse(target.slice)
        tests = {f"{key} in {container}", f"{key} not in {container}", f"{container}.get({key})"}
        code = {ast.unparse(node) for node in self._nodes() if isinstance(node, ast.expr)}
        returns = any(isinstance(node, ast.Return) and node.value for node in self._nodes())
        if self._scope.is_view or not returns or not tests & code or value is None or container in ast.unparse(value):
            self._report("state", target)
        elif self._scope.function and _asks_database(self._scope.function):
            self._report("cache", target)

    def _nodes(self) -> Iterator[ast.AST]:
        return ast.walk(self._scope.function) if self._scope.function else iter(())

    def _check_writing(self, node: ast.Call, name: str) -> None:
        for pattern, position, keyword in _WRITERS:
            if re.fullmatch(pattern, name):
                given = {each.arg: each.value for each in node.keywords}
                path = given.get(keyword) or (node.args[position:] or [None])[0]
                writes = not name.endswith("open") or name != "open" or _writes(node.args[1:], given)
                if writes and is_beside_code(path, self._scope):
                    self._report("files", node)
        if isinstance(node.func, ast.Attribute) and (
            node.func.attr in {"write_text", "write_bytes"}
            or (node.func.attr == "open" and _writes(node.args, {}))
        ):
            if is_beside_code(node.func.value, self._scope):
                self._report("files", node)

    def _check_before_request(self, node: Function) -> None:
        for call in ast.walk(node):
            if isinstance(call, ast.Call) and ast.unparse(call.func).endswith(".commit"):
                self._report("writes", call, f"{node.name}() commits before each request")

    # What was found.

    def _report(self, kind: str, node: ast.AST, what: str = "", setting: str = "", *, absent: bool = False) -> None:
        finding = self._finding(kind, node, what, setting)
        if _ACCEPTED not in self.source.text[finding.line - 1]:
            (self.absent if absent else self.found).append(finding)

    def _finding(self, kind: str, node: ast.AST, what: str = "", setting: str = "") -> Finding:
        line = getattr(node, "lineno", 1)
        what = what or self.source.text[line - 1].strip()
        return Finding(kind, self.source.path, line, what, setting)


def _setting(target: ast.expr) -> str:
    match target:
        case ast.Name(name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(slice=ast.Constant(str() as name)):
            return name
    return ""


def _values_in(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of an expression, without what is only compared or looked for."""
    yield node
    if isinstance(node, ast.Compare) or (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"startswith", "replace", "removeprefix", "split"}
    ):
        return
    for child in ast.iter_child_nodes(node):
        yield from _values_in(child)


def _is_sqlite(node: ast.AST) -> bool:
    text = node.value if isinstance(node, ast.Constant) else None
    return isinstance(text, str) and re.match(r"sqlite(\+\w+)?:", text) is not None


def _writes(arguments: Sequence[ast.expr], given: dict[str | None, ast.expr]) -> bool:
    mode = given.get("mode") or (arguments or [None])[0]
    return isinstance(mode, ast.Constant) and isinstance(mode.value, str) and bool(
        set(mode.value) & set("wax+")
    )


def _asks_database(node: ast.AST) -> bool:
    return any(
        isinstance(part, ast.Attribute) and part.attr in {"query", "session", "execute"}
        for part in ast.walk(node)
    )
