"""Users: login and logout, the password, the list of sessions. The API and the pages use this."""

from shop.accounts.credentials import LENGTHS
from shop.accounts.login import change_password, log_in, log_out
from shop.accounts.sessions import devices, end_device, end_other_devices
from shop.accounts.visitor import required_user

__all__ = [
    "LENGTHS",
    "change_password",
    "devices",
    "end_device",
    "end_other_devices",
    "log_in",
    "log_out",
    "required_user",
]
