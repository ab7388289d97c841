"""Traces of a replica: a span for each request, and for each round trip to the session store.

OpenTelemetry's own variables turn it on. docs/traces.md lists them, and what is in a span. Each
worker sets it up for itself: the thread that sends spans does not survive a fork.

A request's span is made here, and not by OpenTelemetry's instrumentations of Flask or WSGI. Flask's
begins after the session and the application's own `before_request`; both have paths, queries,
addresses and the texts of exceptions in their spans, and WSGI's ends `sendfile`.

If tracing fails, the replica serves on without, and says so once.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from contextlib import suppress
from importlib import import_module
from typing import Any, ClassVar

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PACKAGES = "opentelemetry-sdk and opentelemetry-exporter-otlp-proto-http"
_SECONDS_TO_FLUSH = 2.0
_SECONDS_OF_SILENCE = 300.0
_log = logging.getLogger("gunicorn.error")


def is_on() -> bool:
    """Tell whether OpenTelemetry's variables name a collector to send spans to."""
    setting = os.environ.get
    return (
        bool(
            setting("OTEL_EXPORTER_OTLP_ENDPOINT") or setting("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
        )
        and setting("OTEL_SDK_DISABLED", "").strip().lower() != "true"
        and "otlp" in (setting("OTEL_TRACES_EXPORTER") or "otlp").replace(" ", "").split(",")
    )


def trace_id(error: BaseException | None = None) -> str | None:
    """Return the id of the trace of a request that raised `error`, or that is being served.

    None if there is no span that will be sent.
    """
    if (tracing := Tracing.current) is None:
        return None
    found: str | None = None if error is None else vars(error).get("unsticky_trace_id")
    return found or tracing.id_of(tracing.api.get_current_span())


class Tracing:
    """What makes the spans of one worker.

    Args:
        replica: the name of the replica.

    Attributes:
        current: that of this process; None if it does not trace.

    Raises:
        ImportError: a package is missing.
    """

    current: ClassVar[Tracing | None] = None

    def __init__(self, replica: str) -> None:
        self.api: Any = import_module("opentelemetry.trace")
        self.context: Any = import_module("opentelemetry.context")
        self.extract: Any = import_module("opentelemetry.propagate").extract
        self.own: Any = None  # the provider, unless the application has set one
        provider: Any = self.api.get_tracer_provider()
        if isinstance(provider, self.api.ProxyTracerProvider):
            self.own = provider = _provider(replica)
            self.api.set_tracer_provider(provider)
        self.tracer = provider.get_tracer("unsticky")
        # An application may have an older version of the library, or none.
        if (library := sys.modules.get("unsticky.stores.tracing")) is not None:
            library.begin(provider)

    def id_of(self, span: Any) -> str | None:
        """Return the trace id of a span that will be sent."""
        return f"{span.get_span_context().trace_id:032x}" if span.is_recording() else None

    def traced(self, application: Any) -> Any:
        """Return the application, whose requests have spans from here."""

        def traced(environ: dict[str, Any], start_response: Any) -> Any:
            method = environ["REQUEST_METHOD"]
            known = method if method in _METHODS else "_OTHER"
            shown = known if known == method else "HTTP"
            attributes = {"http.request.method": known, "url.scheme": environ["wsgi.url_scheme"]}
            parent = self.extract(environ, getter=_Headers)
            span = self.tracer.start_span(shown, parent, self.api.SpanKind.SERVER, attributes)
            token = self.context.attach(self.api.set_span_in_context(span, parent))
            environ["unsticky.span"] = span, token
            if (identity := self.id_of(span)) is not None:
                environ["unsticky.trace_id"] = identity

            def start(*arguments: Any, **keywords: Any) -> Any:
                # Flask takes its request out of the environment at the end.
                rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
                if rule is not None:
                    span.update_name(f"{shown} {rule.rule}")
                    span.set_attribute("http.route", rule.rule)
                return start_response(*arguments, **keywords)

            try:
                return application(environ, start)
            except StopIteration:
                span.set_attribute("http.response.status_code", 101)  # so a WebSocket ends
                raise
            except BaseException as error:
                environ["unsticky.failure"] = type(error).__name__
                # Gunicorn logs it after the request.
                vars(error)["unsticky_trace_id"] = identity
                raise

        return traced

    def ended(self, environ: dict[str, Any], response: Any) -> None:
        """End the span of a request whose answer has been sent."""
        span, token = environ.pop("unsticky.span", (None, None))
        if span is None:
            return
        failure = environ.get("unsticky.failure")
        status = 0
        if failure is not None:
            status = 500
        elif response.headers_sent:
            status = int(str(response.status)[:3])
        if status:
            span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_attribute("error.type", failure or str(status))
            span.set_status(self.api.StatusCode.ERROR)
        span.end()
        self.context.detach(token)

    def flush(self) -> None:
        """Send what has not been sent, but do not wait for long for a collector that hangs."""
        if self.own is not None:
            thread = threading.Thread(target=self.own.shutdown, daemon=True)
            thread.start()
            thread.join(_SECONDS_TO_FLUSH)


class _Headers:
    """How OpenTelemetry reads the headers of a request."""

    @staticmethod
    def get(environ: dict[str, Any], name: str) -> list[str] | None:
        value = environ.get(f"HTTP_{name.upper().replace('-', '_')}")
        return None if value is None else [value]

    @staticmethod
    def keys(environ: dict[str, Any]) -> list[str]:
        headers = [name for name in environ if name.startswith("HTTP_")]
        return [name.removeprefix("HTTP_").lower().replace("_", "-") for name in headers]


class _Seldom(logging.Handler):
    """Passes what OpenTelemetry says of its sending on to Gunicorn's log, now and then."""

    silent_until = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.WARNING or time.monotonic() < self.silent_until:
            return
        self.silent_until = time.monotonic() + _SECONDS_OF_SILENCE
        # The text of an exception may have a secret of the endpoint's URL in it.
        given = record.args if isinstance(record.args, tuple) else ()
        shown = [type(each).__name__ if isinstance(each, Exception) else each for each in given]
        with suppress(TypeError):
            _log.warning("traces: %s", record.msg % tuple(shown))


def _provider(replica: str) -> Any:
    """Return a provider that sends spans to the collector from a thread."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    seldom = _Seldom()
    for name in ("opentelemetry.exporter", "opentelemetry.sdk"):
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.addHandler(seldom)
    resource = Resource.create({"service.instance.id": f"{replica}/{os.getpid()}"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def trace(worker: Any, replica: str) -> None:
    """Trace a worker that has just been forked; hooks of its settings run, too."""
    load, settings = worker.load_wsgi, worker.cfg
    initialized, answered = settings.post_worker_init, settings.post_request
    exiting = settings.worker_exit

    def load_wsgi() -> None:
        # gevent has changed Python's modules. The application comes first: its provider counts.
        load()
        try:
            Tracing.current = Tracing(replica)
        except ImportError as error:
            _log.warning("no traces: install %s (%s)", _PACKAGES, error)
        except (AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
            # Its text may have a secret of a variable in it.
            kind = type(error).__name__
            _log.warning("no traces: OpenTelemetry cannot use its variables OTEL_… (%s)", kind)

    def post_worker_init(worker: Any) -> None:
        initialized(worker)
        if Tracing.current is not None:
            worker.wsgi = Tracing.current.traced(worker.wsgi)

    def post_request(worker: Any, request: Any, environ: Any, response: Any) -> None:
        if Tracing.current is not None:
            Tracing.current.ended(environ, response)
        answered(worker, request, environ, response)

    def worker_exit(arbiter: Any, worker: Any) -> None:
        if Tracing.current is not None:
            Tracing.current.flush()
        exiting(arbiter, worker)

    worker.load_wsgi = load_wsgi
    settings.set("post_worker_init", post_worker_init)
    settings.set("post_request", post_request)
    settings.set("worker_exit", worker_exit)
