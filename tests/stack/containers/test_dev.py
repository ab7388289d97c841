"""The overlay for development: a change of the code is served without a build."""

from pathlib import Path

from tests.conftest import copy_checkout
from tests.support.stacks.containers import StartContainers
from tests.support.waiting import wait_until


def test_changed_code_is_served(new_stack: StartContainers, tmp_path: Path) -> None:
    """Each worker starts again with the changed file; image and container stay the same."""
    stack = new_stack(OVERLAYS="dev", REPLICAS="1", WORKERS="2")
    stack.checkout = tmp_path
    copy_checkout(tmp_path)
    stack.up()
    before = stack.replicas()
    changed = tmp_path / "app" / "shop" / "api.py"
    text = changed.read_text()
    assert 'status="ok"' in text
    changed.write_text(text.replace('status="ok"', 'status="changed"'))
    with stack.browser() as browser:
        wait_until(
            lambda: all(
                browser.ask("GET", "/livez").json()["status"] == "changed" for _ in range(20)
            ),
            "every worker serves the changed code",
            seconds=20,
        )
    assert stack.replicas() == before
    error = stack.dispose()
    assert not error, error
