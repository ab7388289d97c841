"""The memory that stands in for a server."""

from shop.records.memory import Memory

from tests.shop.records.places import Clock


def test_what_expired_is_dropped() -> None:
    """What nobody asks for again does not pile up; what lasts stays."""
    clock = Clock()
    memory = Memory(clock)
    memory.write("lasts", {"field": "1"})
    for number in range(1000):
        clock.now += 0.1
        memory.write(f"operation {number}", {"field": "1"}, keep_ms=10_000)
    assert len(memory) < 150
    assert memory.read("lasts") == {"field": "1"}
    assert memory.read("operation 999") == {"field": "1"}
