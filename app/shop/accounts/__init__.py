"""Users: login and logout, the password, the list of sessions. The API and the pages use this."""

from shop.accounts.credentials import required_user
from shop.accounts.login import change_password, log_in, log_out
from shop.accounts.passwords import NEW_LENGTHS, TRIED_LENGTHS
from shop.accounts.sessions import end_other_sessions, end_session, list_sessions

__all__ = [
    "NEW_LENGTHS",
    "TRIED_LENGTHS",
    "change_password",
    "end_other_sessions",
    "end_session",
    "list_sessions",
    "log_in",
    "log_out",
    "required_user",
]
