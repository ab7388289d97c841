"""What ends a run that says nothing about the target."""


class RunError(Exception):
    """The run cannot be made, or not be judged.

    Args:
        problem: what is wrong, with the value.
        cure: what to do about it.
    """

    def __init__(self, problem: str, cure: str) -> None:
        super().__init__(f"{problem}\n  mend it: {cure}")
        self.problem = problem
        self.cure = cure
