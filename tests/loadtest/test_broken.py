"""Builds that are broken on purpose: the load test finds and names each."""

import re

import pytest

from tests.support.stacks.loadtests import run_until_found
from tests.support.stacks.local import Stack

_TABS = {"JOURNEYS": "Shopper=0 Bot=0 AnonymousBrowser=0 Member=0 Buyer=0"}
# Few: hashing their passwords takes the time of a run.
_MEMBERS = {"JOURNEYS": "Shopper=0 Bot=0 AnonymousBrowser=0 TwoTabs=0 Buyer=0", "USERS": "3"}
# With fewer findings it may be chance that one worker is involved in all.
_SUSPICIOUS = 20


@pytest.mark.parametrize(
    ("build", "users", "kind", "suspect"),
    [
        ("last_writer_wins", _TABS, "lost update", ""),
        ("own_secret", {}, "lost session", r", all with (app-\d+/\d+)"),
        ("dropped_cookies", {}, "lost session", r", all with (app-\d+)"),
        ("revived", _MEMBERS, "revived session", ""),
    ],
)
def test_what_is_broken_is_named(
    copied: Stack, build: str, users: dict[str, str], kind: str, suspect: str
) -> None:
    """The verdict names the one kind of failure, and the worker or replica that it comes from."""
    copied.up(APP=f"broken:{build}()")
    ran = run_until_found(copied, _SUSPICIOUS if suspect else 1, **users)
    assert ran.exit_code == 1, ran.printed
    named = re.match(rf"VERDICT fail: {kind} \d+ times{suspect} \(0 allowed\)", ran.verdict)
    assert named, ran.printed
    assert {name for name, count in ran.document["findings"].items() if count} == {kind}
    for name in named.groups():
        replica, _, pid = name.partition("/")
        assert replica in copied.replicas()
        assert not pid or int(pid) in copied.workers(replica)
    found = ran.document["found"][0]
    assert found["request_id"] in (copied.folder.log / "nginx.access.log").read_text()
    assert kind != "lost update" or re.search(r"\w+ is \d+ instead of \d+", found["detail"])
