"""The demo's users, and their passwords until they choose others."""

from collections.abc import Mapping
from typing import Final

USERS: Final = ("ada", "grace", "linus")

# Each password is the user's name. They are not in the store, so a shop that is no longer a demo
# lets none of these users in.
PASSWORD_HASHES: Final[Mapping[str, str]] = {
    "ada": (
        "scrypt:16384:8:5$RfMX6efd7cS0qjyo$2f7e327745b938800465d061a81e1c1b950851625"
        "1ceb58e8585cc3807ea7faa8348c3338530eaaa8f654ac77aca770bc3b38d11e166439fdeea951f9fdb1bb5"
    ),
    "grace": (
        "scrypt:16384:8:5$UpI1pZjuY95iyApR$015daeaec0985411c9dead53c5e46d237f67bb0bd"
        "3ed09a64938150fcf67926eb04fc7dd3b6a3a19c34a490fa9bd2d998a9e677da4f464fa426e868848f3686e"
    ),
    "linus": (
        "scrypt:16384:8:5$ldKf4sHg9xq8lJl8$2c1a036e41f94555c9a580041e4d59ebdf06e17ba"
        "4ea2d73580dd43e621e39266676a5c534515a05e0bc88c8aeb920ab8e0ff9fbf2b43d6e9d1c5e3acd2d648e"
    ),
}
