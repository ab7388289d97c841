"""How properties are tried here."""

from hypothesis import settings

# No deadline: a busy machine is no finding. No database: a run leaves no file in the checkout.
settings.register_profile("unsticky", deadline=None, database=None)
settings.load_profile("unsticky")
