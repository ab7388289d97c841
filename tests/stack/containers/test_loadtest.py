"""`make loadtest` against containers: found without HOST, and measured as far as can be seen."""

from tests.support.stacks.containers import ContainerStack
from tests.support.stacks.loadtests import run


def test_the_containers_of_a_state_folder_are_the_target(stack: ContainerStack) -> None:
    """After `make up RUNTIME=docker`, tiers and workers are known wherever the engine is here."""
    ran = run(stack, DURATION="4s")
    assert ran.verdict == "VERDICT pass", ran.printed
    assert ran.document["target"]["url"] == f"http://127.0.0.1:{stack.port}"
    workers = {f"{r}/{pid}" for r in stack.replicas() for pid in stack.workers(r)}
    assert set(ran.document["workers"]) == workers
    tiers = ran.document["tiers"]
    assert set(tiers) == {"app", "nginx", "store", "load generator"}
    assert all(tier["cpu_us"] > 0 and tier["memory"] > 0 for tier in tiers.values())
