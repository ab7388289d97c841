# The verbs. Bare `make` prints each with one line.
# Variables come from the command line, the environment or .env: see .env.example.

.DEFAULT_GOAL := help
.PHONY: help up down restart status logs open clean test fuzz foreign lint pins bench bench-race \
	bench-page bench-session loadtest report compare sweep

# The first Python that is new enough; PYTHON=/path/to/python3 names the only one to try.
KIT = @set -- "$$PYTHON"; [ "$$1" ] || set -- python3 python3.14 python3.13 python3.12 python3.11; \
	for python in "$$@"; do \
	if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		PYTHONPATH=compose PYTHONDONTWRITEBYTECODE=1 exec "$$python" -m kit $@; \
	fi; done; \
	echo 'error: no Python 3.11 or newer was found (PYTHON=$(PYTHON)).' >&2; \
	echo '  mend it: install one, or name it: make $@ PYTHON=/path/to/python3' >&2; exit 1

help: ## print the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

up: ## start the stack, or make it what REPLICAS= WORKERS= PORT= … say now
	$(KIT)

down: ## stop everything; the store keeps its data
	$(KIT)

restart: ## restart the replicas one after the other, or SERVICE=
	$(KIT)

status: ## show replicas, workers, pids, memory, requests
	$(KIT)

logs: ## follow the logs, or those of SERVICE=
	$(KIT)

open: ## open the shop in a browser
	$(KIT)

clean: ## stop everything and remove all that was made, data included
	$(KIT)

test: ## run the tests; ARGS= goes to pytest
	$(KIT)

fuzz: ## interleave 100,000 requests of one session and judge each step; ARGS='--seed 2 --cases 1000'
	$(KIT)

foreign: ## run other projects' test suites on our sessions; ARGS= names some of them
	$(KIT)

lint: ## check the code, the scripts and the configuration
	$(KIT)

pins: ## pin the newest versions of all dependencies into requirements/
	$(KIT)

loadtest: ## load the stack, check every answer, judge it: USERS= DURATION= SHAPE= HOST= PROFILE= …
	$(KIT)

report: ## open the report of the last load test
	$(KIT)

compare: ## lay two load tests side by side: A= B=, by default the last two
	$(KIT)

sweep: ## find the knee: load replicas x workers x worker class one after the other
	$(KIT)

bench: ## measure the same cart over other frameworks' sessions, side by side; ARGS=
	$(KIT)

bench-race: ## race 401 adds and a late writer against this library and others; ARGS=
	$(KIT)

bench-page: ## load the page of an ordinary site 1,000 times, count what is lost; ARGS=
	$(KIT)

bench-session: ## measure what a session costs a request, beside others; ARGS=
	$(KIT)
