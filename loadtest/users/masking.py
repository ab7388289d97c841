"""Masks secrets in a request and its answer, because reports are shown to others.

A secret is known by the name before it: of a header, a cookie, a field of JSON or of a form, a
value in a URL, an input of a page. Once known, it is masked wherever it stands. What no name tells,
such as a token within a path, stays.
"""

import html
import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

MASK = "***"
# Shorter ones would mask parts of words everywhere. They are masked in their own place.
_LEAST = 3
_QUOTES = "\"'\\"

_WORDS = re.compile(
    "password|passwd|passwort|passphrase|passcode|pwd|secret|token|csrf|xsrf|apikey|accesskey|"
    "privatekey|signingkey|sessionkey|credential|authorization|cookie|sessionid|sessid|jwt|bearer|"
    "signature|assertion|samlresponse|verifier|nonce|ticket"
)
"""What a name with a secret contains, in lower case and without signs."""
_NAMES = frozenset({"pw", "pass", "pin", "otp", "totp", "auth", "sid", "sig", "cvc", "cvv"})
"""Whole names."""
_IN_PAIRS = frozenset({"code", "state", "session", "key"})
"""Whole names in headers, URLs and forms: OAuth's, for example. In JSON they mean other things."""


def is_secret(name: str, *, in_pair: bool = False) -> bool:
    """Whether the value of this name is a secret."""
    plain = re.sub(r"[^a-z0-9]", "", unquote(name).lower())
    whole = {plain, plain.removeprefix("x")}
    return (
        _WORDS.search(plain) is not None
        or bool(whole & _NAMES)
        or (in_pair and bool(whole & _IN_PAIRS))
    )


# The same for each request of a route.
@lru_cache(maxsize=4096)
def masked(text: str) -> str:
    """Return one text without the secrets that names in it tell."""
    masking = Masking()
    return masking.found(masking.text(text))


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
            text = text.replace(value, MASK)
        return text

    def _header(self, name: str, value: str) -> str:
        match name.lower():
            case "cookie":
                return "; ".join(self._cookie(pair) for pair in value.split(";"))
            case "set-cookie":
                pair, *attributes = value.split(";")
                return ";".join([self._cookie(pair), *attributes])
        if is_secret(name, in_pair=True):
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
            return {
                name: self._secret(value) if is_secret(name) else self._document(value)
                for name, value in item.items()
            }
        if isinstance(item, list):
            return [self._document(each) for each in item]
        return self.text(item) if isinstance(item, str) else item

    def _secret(self, item: Any) -> Any:
        """Learn all that is below the name of a secret. What is empty or a choice tells nothing."""
        if isinstance(item, dict | list):
            for each in item.values() if isinstance(item, dict) else item:
                self._secret(each)
        elif item in {None, True, False, ""}:
            return item
        else:
            self._learn(str(item))
        return MASK

    def _masked(self, value: str) -> str:
        """Learn a value and return its mask, with its quotes. What is empty shows a removal."""
        bare = value.lstrip(_QUOTES)
        if not bare.rstrip(_QUOTES):
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
            self._values.update(form for form in (*forms, *escaped) if len(form) >= _LEAST)

    def _named(self, head: re.Pattern[str], value: re.Pattern[str], text: str) -> str:
        """Mask each value behind the name of a secret. Other values may hold further names."""
        parts, done = [], 0
        for match in head.finditer(text):
            if match.start() < done or not is_secret(match["name"], in_pair="=" in match[0]):
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


# Each repetition before a value has a limit: without, long words would take quadratic time. A value
# also ends with the text, which may be cut off.
_NAME = r"(?P<name>[\w.\-\[\]%$]{1,80})"
_COLON = r"\s{0,20}:\s{0,20}"
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
        (rf"'{_NAME}'{_COLON}", r"""'(?:[^'\\]|\\.)*|"(?:[^"\\]|\\.)*|[{\[][^}\]]*|[^\s',}\]]+"""),
        # A header, a URL, a form.
        (rf"^[ \t]{{0,20}}{_NAME}:[ \t]{{0,20}}", r"[^\r\n]+"),
        (rf"{_NAME}\s?=\s?", r"""\\?"[^"]*|'[^']*|[^&\s;,<>"']+"""),
    )
]
_TAG = re.compile(r"<(?:input|meta|textarea|button)\b[^>]{0,4000}>?", re.IGNORECASE)
_ATTRIBUTE = re.compile(
    r"""\b([a-z-]{1,20})\s{0,20}=\s{0,20}("[^"]*"|'[^']*'|[^\s"'>]+)""", re.IGNORECASE
)
_LOOKS_SECRET: Sequence[re.Pattern[str]] = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # The password in a URL, an Authorization, a JSON Web Token.
        r"(\b[a-z][a-z0-9+.-]{0,20}://[^/\s:@]{0,200}:)([^/\s@]{1,400})(?=@)",
        r"(\b(?:bearer|basic) {1,20})([\w.~+/=-]{8,})",
        r"()(\beyJ[\w-]{5,4000}\.[\w-]{1,4000}\.[\w-]{0,4000})",
    )
]
