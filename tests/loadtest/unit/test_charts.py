"""The pictures of a report."""

from runs.charts import Line, lines


def test_a_line_at_nought_is_drawn() -> None:
    """Of a run that was interrupted at once all values are 0."""
    drawn = lines([Line("served", "c1", [(0.0, 0.0)])], title="Throughput", x_unit="s")
    assert "polyline" in drawn or "<path" in drawn
