# The verbs. Bare `make` lists them. `compose/kit/run` finds Python and runs one.
# A variable comes from the command line, the environment or .env; see .env.example.

# make would expand a `$` in a value: half of a password would be gone, and nobody would notice.
$(foreach name,$(.VARIABLES),$(if $(findstring command,$(origin $(name))),\
    $(if $(findstring $$,$(subst $$$$,,$(value $(name)))),\
        $(error cannot use $(name)=…: make expands the `$$` in it. \
            Write `$$$$` for each, or set $(name) in .env or in the environment))))

.DEFAULT_GOAL := help
.PHONY: help init check up deploy rollback releases down restart status logs open clean test fuzz \
	foreign lint pins prove bench loadtest capacity

help:
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

up: ## start the stack, or change it to what REPLICAS= WORKERS= PORT= … say
deploy: ## the same for new code or packages: tried first, and undone if it is wrong
rollback: ## go back to the release before
releases: ## show the releases, and which serves
down: ## stop everything; the store keeps its data
restart: ## restart the replicas one after the other, or SERVICE=
status: ## show replicas, workers, pids, memory, requests
logs: ## follow the logs, or those of SERVICE=
init: ## write the stack's files into an application's folder: DIR=../blog
check: ## find what in an application breaks on many processes: APP_DIR=../blog
open: ## open the shop in a browser
clean: ## stop everything and remove all that was made, data included

test: ## run the tests; ARGS= goes to pytest
fuzz: ## interleave 100,000 requests of one session and check each step; ARGS='--seed 2 --cases 1000'
foreign: ## run other projects' test suites on our sessions; ARGS= names some of them
lint: ## check the code, the scripts and the configuration
pins: ## pin the newest versions of all dependencies in requirements/
prove: ## load a stack of its own, deploy and kill, and write what was lost: ARGS=, SOAK=1h
bench: ## measure the same cart on other frameworks, side by side; ARGS=

loadtest: ## load the stack and check every answer: USERS= SHAPE= HOST= …; ARGS=report, compare, sweep
capacity: ## find the highest rate of visits at which the stack, or HOST=, keeps the gate: PROFILE= STEP=

init check up deploy rollback releases down restart status logs open clean test fuzz foreign lint \
pins prove bench loadtest capacity:
	@exec compose/kit/run $@
