"""What ends a load test or a benchmark without a result."""


class LoadTestError(Exception):
    """The run cannot be made, or cannot be judged.

    Args:
        problem: what is wrong, with the value.
        hint: what to do about it.
    """

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(f"{problem}\n  hint: {hint}" if hint else problem)
        self.problem = problem
        self.hint = hint
