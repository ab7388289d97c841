"""Where a path in the code leads: beside the code, into the working folder, or elsewhere."""

import ast
import re

from kit.check.sources import Scope

_FIRST_ARGUMENT = re.compile(
    r"os\.path\.(join|abspath|realpath|dirname|normpath)|os\.fspath|str"
    r"|pathlib\.(Pure)?(Posix)?Path|(werkzeug\.utils|flask)\.safe_join"
)
_HERE = re.compile(r"os\.getcwd|pathlib\.Path(\(\))?\.cwd|__file__|.+\.(root_path|static_folder)")
_DEFAULT = re.compile(r"os\.(environ\.get|getenv)|.*config\.get|decouple\.config|.*\.getenv")
_ELSEWHERE = re.compile(r"([/~\\]|[A-Za-z]:|[a-z+]+://|:memory:|$)")
_MOST_STEPS = 12


def is_beside_code(node: ast.AST | None, scope: Scope, steps: int = _MOST_STEPS) -> bool:
    """Whether a path is relative to the working folder or to a module's file."""
    if node is None or steps == 0:
        return False

    def leads(part: ast.AST | None) -> bool:
        return is_beside_code(part, scope, steps - 1)

    name = scope.full_name(node)
    match node:
        case ast.Constant(str() as text):
            return not _ELSEWHERE.match(text)
        case ast.JoinedStr(values=[first, *_]):
            return leads(first)
        case ast.FormattedValue(value=inner) | ast.Subscript(value=inner):
            return not isinstance(node, ast.Subscript) or ".parents" in name
        case ast.BinOp(left=left):
            return leads(left)
        case ast.BoolOp(values=[*_, last]):
            return leads(last)
        case ast.IfExp(body=body, orelse=other):
            return leads(body) or leads(other)
        case ast.Call(func, args):
            if _HERE.fullmatch(scope.full_name(func)):
                return True
            if _DEFAULT.fullmatch(scope.full_name(func)):
                return len(args) > 1 and leads(args[1])
            if _FIRST_ARGUMENT.fullmatch(scope.full_name(func)):
                return leads(args[0]) if args else True
            return isinstance(func, ast.Attribute) and leads(func.value)
        case ast.Name() | ast.Attribute():
            if _HERE.fullmatch(name):
                return True
            value = scope.value(node)
            if value is not None:
                return leads(value)
            return isinstance(node, ast.Attribute) and node.attr == "parent" and leads(node.value)
    return False
