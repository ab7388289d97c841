"""The cookie's value: what was signed here, in one spelling, and nothing else."""

from hypothesis import given
from hypothesis import strategies as st
from unsticky.cookie import BUCKETS, KeyRing, Reference

_RING = KeyRing((b"s" * 20,), None)
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@given(st.integers(0, BUCKETS - 1), st.integers(0, 2**39 - 1), st.booleans())
def test_what_was_signed_is_accepted(bucket: int, ends_at: int, permanent: bool) -> None:  # noqa: FBT001 (drawn)
    """Bucket, id, absolute limit and whether it outlives the browser come back from the cookie."""
    token = _RING.mint(bucket)
    value = _RING.sign(token, ends_at, permanent=permanent)
    found = _RING.verify(value)
    assert found is not None
    assert (found.identifier, found.reference) == (token.identifier, token.reference)
    assert (found.ends_at, found.outdated) == (ends_at, False)
    assert found.permanent is permanent
    assert len(value) == 96


@given(st.integers(0, 95), st.sampled_from(_ALPHABET))
def test_any_other_character_breaks_it(place: int, character: str) -> None:
    """Changing one character makes a cookie that is refused: no second spelling."""
    value = _RING.sign(_RING.mint(), 5)
    changed = value[:place] + character + value[place + 1 :]
    assert (_RING.verify(changed) is not None) == (changed == value)


@given(st.one_of(st.text(max_size=120), st.text(_ALPHABET + "+/= %\0", min_size=96, max_size=96)))
def test_what_was_not_signed_is_refused(value: str) -> None:
    """Whatever is sent: None, and never an error."""
    assert _RING.verify(value) is None


def test_a_good_value_with_more_around_it_is_refused() -> None:
    """Padding, spaces and repetitions are other values."""
    value = _RING.sign(_RING.mint(), 5)
    others = ("", value + "=", value + "\n", " " + value, value * 2, value[:-1], value[:-4])
    assert [_RING.verify(other) for other in others] == [None] * len(others)


def test_earlier_secrets_are_accepted_and_marked() -> None:
    """A cookie signed with a fallback is good and outdated; the id and its place are the same."""
    old = KeyRing((b"old" * 7,), None)
    token = old.mint()
    value = old.sign(token, 0)
    found = KeyRing((b"new" * 7, b"older" * 7, b"old" * 7), None).verify(value)
    assert found is not None
    assert found.outdated
    assert found.reference == token.reference
    assert KeyRing((b"new" * 7,), None).verify(value) is None


def test_the_pepper_places_sessions_and_the_secret_does_not() -> None:
    """Other secrets find a session at the same place, another pepper finds nothing there."""
    token = _RING.mint()
    value = _RING.sign(token, 0)
    peppered = KeyRing((b"s" * 20,), b"p" * 16).verify(value)
    assert peppered is not None
    assert peppered.reference.digest != token.reference.digest


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_user_has_one_place(user: str) -> None:
    """The same name leads to the same bucket and digest, which show nothing of it."""
    subject = _RING.subject(user)
    assert subject == _RING.subject(user)
    assert 0 <= subject.bucket < BUCKETS
    assert subject != _RING.subject(user + "x")


@given(st.integers(0, BUCKETS - 1), st.binary(min_size=16, max_size=16))
def test_a_handle_leads_back(bucket: int, digest: bytes) -> None:
    """A handle is 24 characters and names its reference."""
    reference = Reference(bucket, digest)
    assert len(reference.handle) == 24
    assert Reference.from_handle(reference.handle) == reference


@given(st.one_of(st.text(max_size=40), st.text(_ALPHABET, min_size=24, max_size=24)))
def test_any_text_is_a_handle_or_none(text: str) -> None:
    """No text raises, and what is a handle has one spelling."""
    found = Reference.from_handle(text)
    assert found is None or found.handle == text
