"""How properties are tried here."""

from hypothesis import HealthCheck, settings

# No deadline: a busy machine is no finding. No database: a run leaves no file in the checkout.
settings.register_profile(
    "unsticky", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unsticky")
