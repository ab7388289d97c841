"""Users: logging in and out, the password, the devices. The API and the pages call the same."""

from shop.accounts.devices import Device, devices, end_device, end_other_devices
from shop.accounts.login import change_password, log_in, log_out
from shop.accounts.visitor import current_user, required_user

__all__ = [
    "Device",
    "change_password",
    "current_user",
    "devices",
    "end_device",
    "end_other_devices",
    "log_in",
    "log_out",
    "required_user",
]
