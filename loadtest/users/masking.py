"""Masks secrets in a request and its answer, because reports are shown to others.

A secret is known by the name before it: of a header, a cookie, a field of JSON, XML or a form, a
value in a URL, an input of a page. Once known, it is masked wherever it stands. What no name tells,
such as a token within a path, stays.
"""

import html
import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from loadtest.users.secret_names import is_secret

MASK = "***"
# Shorter ones would mask parts of words everywhere, and numbers a status. They are masked in their
# own place.
_LEAST, _LEAST_DIGITS = 3, 4
# Shorter ones are masked only as a word of their own: `ada`, and not in `metadata`.
_LONG = 6
_QUOTES = "\"'\\"
# They tell nothing, and would be masked everywhere.
_CHOICES = frozenset({"", "none", "null", "true", "false", "yes", "no", "on", "off", "0", "1"})
# In JSON, the name of what `value` holds, or where in its document (`loc`) it was.
_NAMING = frozenset({"name", "key", "field", "id", "path", "loc"})
_VALUES = frozenset({"value", "values", "input", "rejectedValue"})


def masker(known: Iterable[str] = ()) -> Callable[[str], str]:
    """Return what masks one text: all secrets that names in it tell, and those that are known."""
    secrets = tuple(known)

    # Many texts are the same: the names of routes, the errors of a target that is down.
    @lru_cache(maxsize=4096)
    def masked(text: str) -> str:
        masking = Masking(secrets)
        return masking.found(masking.text(text))

    return masked


class Masking:
    """Masks one exchange: first each part by its names, then what was found, in all parts.

    Args:
        known: secrets that are known already.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._values: set[str] = set()
        for value in known:
            self._learn(value)

    def headers(self, fields: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return headers, masked by their names."""
        return [(name, self._header(name, value)) for name, value in fields]

    def body(self, text: str) -> str:
        """Return a body, masked by the names in it: JSON, a form, or a page."""
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return self.text(text)
        if not isinstance(document, dict | list):
            return self.text(text)
        return json.dumps(self._document(document), ensure_ascii=False)

    def text(self, text: str) -> str:
        """Return text of any form, also a URL, masked by the names in it."""
        text = _TAG.sub(lambda match: self._tag(match[0]), text)
        for head, value in _NAMED:
            text = self._named(head, value, text)
        for pattern in _LOOKS_SECRET:
            text = pattern.sub(lambda match: match[1] + self._masked(match[2]), text)
        return text

    def found(self, text: str) -> str:
        """Return a part without all secrets that were found in any part."""
        for value in sorted(self._values, key=len, reverse=True):
            if value not in text:
                continue
            if len(value) < _LONG:
                text = re.sub(f"{_BEFORE}{re.escape(value)}{_AFTER}", MASK, text)
            else:
                text = text.replace(value, MASK)
        return text

    def _header(self, name: str, value: str) -> str:
        match name.lower():
            case "cookie":
                return "; ".join(self._cookie(pair) for pair in value.split(";"))
            case "set-cookie":
                pair, *attributes = value.split(";")
                return ";".join([self._cookie(pair), *attributes])
        if is_secret(name, in_pair=True) and value.lower() not in _CHOICES:
            scheme, _, rest = value.partition(" ")
            self._learn(rest or scheme)
            return f"{scheme} {MASK}" if rest else MASK
        return self.text(value)

    def _cookie(self, pair: str) -> str:
        name, equals, value = pair.strip().partition("=")
        # Without a name, the whole is the value.
        return f"{name}={self._masked(value)}" if equals else self._masked(name)

    def _document(self, item: Any) -> Any:
        if isinstance(item, dict):
            is_named = any(_names_secret(item[key]) for key in _NAMING & item.keys())
            return {
                name: self._secret(value)
                if is_secret(name) or (is_named and name in _VALUES)
                else self._document(value)
                for name, value in item.items()
            }
        if isinstance(item, list):
            return [self._document(each) for each in item]
        return self.text(item) if isinstance(item, str) else item

    def _secret(self, item: Any) -> Any:
        """Learn all that is below the name of a secret."""
        if isinstance(item, dict | list):
            for each in item.values() if isinstance(item, dict) else item:
                self._secret(each)
        elif str(item).lower() in _CHOICES:
            return item
        else:
            self._learn(str(item))
        return MASK

    def _masked(self, value: str) -> str:
        """Learn a value and return its mask, with its quotes. What is empty shows a removal."""
        bare = value.lstrip(_QUOTES)
        if bare.rstrip(_QUOTES).lower() in _CHOICES:
            return value
        self._learn(value)
        opening = value[: len(value) - len(bare)]
        return f"{opening}{MASK}{value[len(value.rstrip(_QUOTES)) :]}"

    def _learn(self, value: str) -> None:
        """Remember a value in all forms in which it may stand elsewhere."""
        bare = value.strip(_QUOTES).strip()
        for each in (bare, unquote(bare), unquote_plus(bare)):
            forms = (each, quote(each), quote(each, safe=""), quote_plus(each), html.escape(each))
            escaped = (json.dumps(each)[1:-1], json.dumps(each, ensure_ascii=False)[1:-1])
            self._values.update(
                form
                for form in (*forms, *escaped)
                if len(form) >= (_LEAST_DIGITS if form.isdecimal() else _LEAST)
            )

    def _named(self, head: re.Pattern[str], value: re.Pattern[str], text: str) -> str:
        """Mask each value behind the name of a secret. Other values may hold further names."""
        parts, done = [], 0
        for match in head.finditer(text):
            is_pair = _PAIR.search(match[0]) is not None
            if match.start() < done or not is_secret(match["name"], in_pair=is_pair):
                continue
            if found := value.match(text, match.end()):
                parts += [text[done : match.end()], self._masked(found[0])]
                done = found.end()
        return "".join([*parts, text[done:]])

    def _tag(self, tag: str) -> str:
        attributes = {name.lower(): value for name, value in _ATTRIBUTE.findall(tag)}
        named = [
            attributes.get(key, "").strip(_QUOTES) for key in ("name", "id", "property", "type")
        ]
        if any(is_secret(name) for name in named):
            for value in (attributes[key] for key in ("value", "content") if key in attributes):
                self._learn(html.unescape(value))
                tag = tag.replace(value, self._masked(value))
        return tag


def _names_secret(value: object) -> bool:
    parts = value if isinstance(value, list) else [value]
    return any(isinstance(part, str) and is_secret(part) for part in parts)


# No letter before or after a short secret, unless it belongs to an escape: `\n`, `%2F`.
_BEFORE = r"(?:(?<![^\W\d_])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2}))"
_AFTER = r"(?![^\W\d_])"

# Each repetition before a value has a limit: without, long words would take quadratic time. A value
# also ends with the text, which may be cut off.
_NAME = r"(?P<name>[\w.\-\[\]%$]{1,80})"
_COLON = r"\s{0,20}:\s{0,20}"
# Of bytes and the like in Python.
_PREFIX = r"""(?:[bru]{1,2}(?=['"]))?"""
_IN_QUOTES = r"""'(?:[^'\\]|\\.)*|"(?:[^"\\]|\\.)*"""
_QUOTE, _SAME = r"""(?P<quote>\\?["'])""", "(?P=quote)"
_VALUE_OF = rf"{_SAME}{_NAME}{_SAME}\s{{0,20}},\s{{0,20}}{_SAME}"
_TAG_OF = rf"<(?:[\w-]{{1,40}}:)?{_NAME}(?:\s[^<>]{{0,400}})?>"
_NAMED: Sequence[tuple[re.Pattern[str], re.Pattern[str]]] = [
    (re.compile(head, re.MULTILINE), re.compile(value, re.DOTALL))
    for head, value in (
        # A form of several parts.
        (
            rf'\bname="{_NAME}"[^\r\n]{{0,400}}\r?\n(?:[^\r\n]{{1,400}}\r?\n){{0,9}}\r?\n',
            r"(?:(?!\r?\n--).)+",
        ),
        # JSON as a part of other text, also within a string of JSON; then Python's way of writing.
        (rf'\\"{_NAME}\\"{_COLON}', r'\\"(?:(?!\\").)*|[^\s,}}\\]+'),
        (rf'"{_NAME}"{_COLON}', r'"(?:[^"\\]|\\.)*|[{\[][^}\]]*|[^\s",}\]]+'),
        (rf"'{_NAME}'{_COLON}{_PREFIX}", rf"{_IN_QUOTES}|[{{\[][^}}\]]*|[^\s',}}\]]+"),
        # {"name": "password", "value": …
        (
            rf"{_QUOTE}(?:name|key|field|id){_SAME}{_COLON}{_VALUE_OF}values?{_SAME}{_COLON}",
            rf'\\"(?:(?!\\").)*|{_IN_QUOTES}|[^\s,}}\\]+',
        ),
        # XML.
        (rf"{_TAG_OF}\s{{0,20}}<!\[CDATA\[", r"(?:(?!\]\]>).)+"),
        (_TAG_OF, r"[^<]+(?=</)|[^<\s]+"),
        (
            rf"""<textarea\b[^<>]{{0,400}}\bname\s?=\s?["']?{_NAME}["']?[^<>]{{0,400}}>""",
            r"[^<]+",
        ),
        # A header, a URL, a form.
        (rf"^[ \t]{{0,20}}{_NAME}:[ \t]{{0,20}}", r"[^\r\n]+"),
        (rf"{_NAME}\s?=\s?{_PREFIX}", r"""\\?"[^"]*|'[^']*|[^&\s;,<>"']+"""),
    )
]
# The ends of a pair's head: in a URL or a form, also of several parts.
_PAIR = re.compile(r"=\s?(?:[bru]{1,2})?$|\n$")
_TAG = re.compile(r"<(?:input|meta|textarea|button)\b[^>]{0,4000}>?", re.IGNORECASE)
_ATTRIBUTE = re.compile(
    r"""\b([a-z-]{1,20})\s{0,20}=\s{0,20}("[^"]*"|'[^']*'|[^\s"'>]+)""", re.IGNORECASE
)
_USER = r"""(\b[a-z][a-z0-9+.-]{0,20}://[^/\s:@"'<>]{0,200}:)"""
_NO_SLASH, _NO_AT = r"""[^/?#\s"'<>]{1,400}""", r"""[^\s@"'<>]{1,400}"""
_LOOKS_SECRET: Sequence[re.Pattern[str]] = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # The password in a URL, up to the last `@` before the path; or one with a slash, unless it
        # begins as a port does.
        rf"{_USER}({_NO_SLASH}(?=@)|(?!\d{{1,5}}[/?#,]){_NO_AT}(?=@))",
        # An Authorization, a JSON Web Token.
        r"(\b(?:bearer|basic) {1,20})([\w.~+/=-]{8,})",
        r"()(\beyJ[\w-]{5,4000}\.[\w-]{1,4000}\.[\w-]{0,4000})",
        # A private key in PEM's form, up to five hyphens.
        r"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY[A-Z ]{0,40}-----)((?:[^-]|-(?!----))+)",
    )
]
