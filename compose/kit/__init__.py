"""The operator's tool behind the Makefile: it runs the load-balanced stack.

The flow of ``make up``: :mod:`kit.settings` parses what the caller wants, :mod:`kit.environment`
makes the private virtual environment, :mod:`kit.release` freezes the code, :mod:`kit.services`
says which processes there must be, :mod:`kit.supervision` runs them under supervisord, and
:mod:`kit.readiness` waits until each has answered. Only the standard library is imported before
the private environment exists.
"""
