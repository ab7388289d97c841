"""Where a path in the code leads: beside the code or into the working folder, or elsewhere."""

import ast
import re

from kit.check.sources import Scope

_ELSEWHERE = re.compile(r"[/~\\]|[A-Za-z]:|[a-z+]+://|:memory:|$")
_HERE = re.compile(r"__file__|.+\.(root_path|static_folder)|os\.getcwd\(\)|pathlib\.Path\.cwd\(\)")
_OF_FIRST = re.compile(
    r"os\.path\.(join|abspath|realpath|dirname|normpath)|os\.fspath|str|pathlib\.Path"
    r"|(werkzeug\.utils|flask)\.safe_join"
)
_OF_SECOND = re.compile(r"os\.environ\.get|.*config\.get|.*getenv")
_MOST_STEPS = 12


def is_beside_code(node: ast.AST | None, scope: Scope, steps: int = _MOST_STEPS) -> bool:
    """Whether a path is relative to the working folder or to a module's file."""
    name = scope.full_name(node) if node else ""
    if node is None or steps == 0 or _HERE.fullmatch(name):
        return steps > 0 and node is not None
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and not _ELSEWHERE.match(node.value)
    return any(is_beside_code(part, scope, steps - 1) for part in _deciding(node, name, scope))


def _deciding(node: ast.AST, name: str, scope: Scope) -> list[ast.AST]:
    """Return the parts of a path that decide where it leads: mostly the first."""
    match node:
        case ast.JoinedStr(values=values):
            return [*values[:1]]
        case ast.FormattedValue(value=value) | ast.BinOp(left=value):
            return [value]
        case ast.BoolOp(values=values):
            return [*values]
        case ast.IfExp(body=body, orelse=other):
            return [body, other]
        case ast.Subscript(value=ast.Attribute(value, "parents")):
            return [value]
        case ast.Call(func, args):
            if _OF_SECOND.fullmatch(name[:-2]):
                return [*args[1:2]]
            if _OF_FIRST.fullmatch(name[:-2]):
                return [*args[:1]] or [ast.Constant(".")]
            return [func.value] if isinstance(func, ast.Attribute) else []
        case ast.Attribute(value, "parent"):
            return [value]
    found = scope.value(node)
    return [found] if found is not None else []
