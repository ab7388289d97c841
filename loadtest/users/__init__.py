"""Users: what they do in a visit, and what each answer has to show.

Only `browser` and `locustfile` import Locust, which patches the process that it is in.
"""
