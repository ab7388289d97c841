"""The operator's tool behind the Makefile: it runs the load-balanced stack.

`make up` goes through `verbs`, which reads `settings` and chooses a runtime, `local` or `docker`;
`setup` builds the private Python environment; `deployment` starts the store, the replicas and nginx
through that runtime, and waits until each has answered. `system` asks the operating system.
Only the standard library is imported before the private environment exists.
"""
