"""`junit.xml`: each limit as a test case, for the test reports of a CI.

The form is that of Ant and Jenkins, which GitLab and the reporters for GitHub read, too. A limit
that was not kept is a failure. One that is undecided is an error: these programs take what is
skipped for a success, and the command does not exit with 0.
"""

import re
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element, SubElement

from loadtest.harness.gate import Judged, Word
from loadtest.harness.result import RunResult

_SHOWN = 10
# XML 1.0 has no form for them, not even an escaped one.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(folder: Path, result: RunResult) -> Path:
    """Write the file into the run's folder, and return it."""
    path = folder / "junit.xml"
    root = _suites(result)
    ET.indent(root)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
    return path


def _suites(result: RunResult) -> Element:
    root = Element("testsuites")
    suite = SubElement(root, "testsuite")
    SubElement(suite, "properties").extend(
        Element("property", name=name, value=_legal(str(value)))
        for name, value in (
            ("target", result.target.url),
            ("load", result.plan),
            ("commit", result.surroundings.commit),
        )
    )
    for judged in result.verdict.judged:
        _add(suite, result, judged)
    if result.verdict.word is Word.ERROR:
        case = _case(suite, result, "verdict")
        _explain(case, "error", "error", "; ".join(result.verdict.reasons), "")
    lines = [result.verdict.line, *result.verdict.notes]
    if result.exchange:
        lines += ["", result.exchange.request, "", result.exchange.answer]
    SubElement(suite, "system-out").text = _legal("\n".join(lines))
    SubElement(suite, "system-err")
    counts = {tag: str(len(suite.findall(f"testcase/{tag}"))) for tag in ("failure", "error")}
    suite.attrib |= {
        "name": f"load test, profile {_legal(result.profile.name)}",
        "tests": str(len(suite.findall("testcase"))),
        "failures": counts["failure"],
        "errors": counts["error"],
        "skipped": "0",
        "time": f"{result.seconds:.3f}",
        # The form of Ant has no time zone: it is UTC.
        "timestamp": result.time[:19],
        "hostname": urlsplit(result.target.url).hostname or "unknown",
        "id": "0",
        "package": "loadtest",
    }
    return root


def _add(suite: Element, result: RunResult, judged: Judged) -> None:
    case = _case(suite, result, judged.name)
    if judged.word is Word.PASS:
        return
    low, high = judged.interval
    details = [
        f"measured {judged.value:g} ({low:g} to {high:g}) {judged.unit}, limit {judged.limit:g}"
    ]
    found = [finding for finding in result.findings if finding.kind == judged.name]
    details += [
        f"{each.detail} [{' '.join(filter(None, (each.request, each.served_by, each.request_id)))}]"
        for each in found[:_SHOWN]
    ]
    tag = "failure" if judged.word is Word.FAIL else "error"
    _explain(case, tag, str(judged.word), judged.reason, "\n".join(details))


def _case(suite: Element, result: RunResult, name: str) -> Element:
    classname = f"loadtest.{_legal(result.profile.name)}"
    return SubElement(suite, "testcase", classname=classname, name=_legal(name), time="0")


def _explain(case: Element, tag: str, kind: str, message: str, text: str) -> None:
    SubElement(case, tag, message=_legal(message), type=kind).text = _legal(text)


def _legal(text: str) -> str:
    return _ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", text)
