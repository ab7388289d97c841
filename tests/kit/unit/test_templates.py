"""Rendering by the rule of the official nginx image."""

from pathlib import Path

from kit.system import templates


def test_only_defined_names_are_replaced() -> None:
    """`$NAME` and `${NAME}` are replaced where NAME is defined; nginx's own variables stay."""
    text = "listen ${NGINX_LISTEN}; x $NGINX_LISTEN; proxy $host ${missing} $1 $$;"
    assert (
        templates.substitute(text, {"NGINX_LISTEN": "8080"})
        == "listen 8080; x 8080; proxy $host ${missing} $1 $$;"
    )


def test_filter_excludes_other_names() -> None:
    """With a filter, a defined variable of another name is not replaced."""
    variables = {"NGINX_A": "1", "host": "evil"}
    assert templates.substitute("$NGINX_A $host", variables, "^NGINX_") == "1 $host"


def test_longer_name_is_another_name() -> None:
    """`$NAME_MORE` is not `$NAME` followed by text."""
    assert templates.substitute("$NAME_MORE ${NAME}_MORE", {"NAME": "x"}) == "$NAME_MORE x_MORE"


def test_values_are_not_rendered_again() -> None:
    """A value that looks like a variable is text; an empty one leaves nothing."""
    assert templates.substitute("$A,$B", {"A": "$B", "B": ""}) == "$B,"


def test_folder_of_templates_is_rendered(tmp_path: Path) -> None:
    """Each *.template gives a file without the suffix, in the same subfolder; others are left."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "nginx.conf.template").write_text("$A")
    (tmp_path / "sub" / "x.conf.template").write_text("x")
    (tmp_path / "README.md").write_text("$A")
    assert templates.render(tmp_path, {"A": "1"}) == {"nginx.conf": "1", "sub/x.conf": "x"}
