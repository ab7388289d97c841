"""Released applications by `make up APP_DIR=`, unmoved: used, and deployed while others read."""

from pathlib import Path

import pytest

from tests.conftest import StartStack
from tests.support.released import APPS, fetch, use_and_deploy


@pytest.mark.parametrize("name", APPS)
def test_released_application_works_and_is_deployed(
    name: str, tmp_path: Path, new_stack: StartStack
) -> None:
    """A visitor's session holds on four workers; a new release loses neither data nor requests."""
    app = APPS[name]
    code = fetch(app, tmp_path)
    stack = new_stack(APP_DIR=str(code), REPLICAS="2", WORKERS="2", **app.settings)
    stack.up()
    before = stack.replicas()

    def edit() -> None:
        (code / "edited.py").write_text("# A new release.\n")
        stack.up()

    use_and_deploy(app, f"http://127.0.0.1:{stack.port}", edit)

    assert not set(before) & set(stack.replicas())
    assert not stack.dispose()
