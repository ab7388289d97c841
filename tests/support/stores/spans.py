"""The spans of round trips in this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from unsticky.stores import tracing


class Spans:
    """What was traced since the last look."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def taken(self) -> list[tuple[str, Any]]:
        """Return the names of the spans, each with its `error.type`."""
        spans = self._exporter.get_finished_spans()
        self._exporter.clear()
        for span in spans:
            attributes = dict(span.attributes or {})
            error = attributes.get("error.type")
            assert span.status.is_ok == (error is None)
            assert attributes["db.operation.name"] == span.name
            assert attributes["server.address"]
            assert not span.events
        return [(span.name, (span.attributes or {}).get("error.type")) for span in spans]


@contextmanager
def spans() -> Iterator[Spans]:
    """Trace round trips until the block ends."""
    traced = Spans()
    tracing.begin(traced.provider)
    try:
        yield traced
    finally:
        tracing.Traced.tracer = None
