"""The store's URL: what it may be, and that its secrets are never shown."""

import pytest
from unsticky.errors import ConfigurationError
from unsticky.stores import client_from_url, open_store

from tests.support.stores.places import CAPS


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:s3cret@store:6380/2", "redis://store:6380/2"),
        ("rediss://ann:s3cret@store?ssl_cert_reqs=none", "rediss://store:6379/0"),
        ("redis://ann:s3%2Fcr%23e%3Ft%40@[::1]:1", "redis://[::1]:1/0"),
        ("unix:///run/redis.sock?db=3&password=s3cret", "unix:///run/redis.sock?db=3"),
        ("unix://ann:s3cret@/run/redis.sock", "unix:///run/redis.sock?db=0"),
        ("unix:///run/redis.sock?username=s3&password=s3/c?ret", "unix:///run/redis.sock?db=0"),
        ("redis://store?password=s3cret&username=s3", "redis://store:6379/0"),
        ("redis://sto%0are", "redis://sto%0Are:6379/0"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, shown: str) -> None:
    """What is shown is made of the host, the port, the path and the database."""
    assert client_from_url(url).address == shown
    assert open_store(url, None, "", CAPS).description == shown


_MALFORMED = [
    "redis://:s3c/ret@store:6379/0",
    "redis://:12/s3cret@store/0",
    "redis://:12#s3cret@store/0",
    "redis://:12?s3cret@store/0",
    "redis://ann:12?s3cret@store/0",
    "redis://s3cret:12#x",
    "redis://:s3cret",
    "redis://ann:s3cret",
    "redis://store/s3cret",
    "redis://store?s3cret=1",
    "redis://store?db=s3cret",
    "redis://[s3cret",
    "unix://:s3/cret@/run/redis.sock",
    "unix:///run/redis.sock?password=a#s3cret",
    "unix://s3cret",
    "redis:s3cret",
    "s3cret",
    "S3cret://:s3cret@store",
    "http://:s3cret@store",
]


@pytest.mark.parametrize("url", _MALFORMED)
def test_a_malformed_url_is_not_repeated(url: str) -> None:
    """Any piece of it may be one of the password; nor is it read as something else than meant."""
    with pytest.raises(ConfigurationError) as caught:
        client_from_url(url)
    assert "s3c" not in str(caught.value).lower()
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__
