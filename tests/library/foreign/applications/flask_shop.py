"""flask-shop: a shop with lazy translations in its flashes, a language in the session, CSRF."""

from functools import partial
from itertools import count

from .application import Application, Visit
from .browser import Broken, Browser

APPLICATION = Application(
    name="flask-shop",
    repository="hjlarry/flask-shop",
    # Its list lacks what its forms need.
    requirements=("-r requirements.txt", "email-validator"),
    load="from app import app",
    environment={
        "DB_URI": "sqlite:///{work}/shop.db",
        "SECRET_KEY": "not-secret: signs the cookies of a test",
    },
    prepare=(
        ("-m", "flask", "createdb"),
        *(("-m", "flask", "seed", "--type", kind) for kind in ("user", "menu", "product", "ship")),
    ),
)

_PASSWORD = "correct horse"
_names = (f"ann{number}" for number in count())


def _entered(visit: Visit) -> tuple[Browser, str]:
    """Sign up, which logs in."""
    browser, name = visit.browser(), next(_names)
    form = {
        "username": name, "email": f"{name}@example.org", "password": _PASSWORD,
        "confirm": _PASSWORD,
    }  # fmt: skip
    browser.submit("/account/signup", form).needs("You are signed up.")
    return browser, name


@APPLICATION.step("sign up, log out, log in, see each flash once")
def _(visit: Visit) -> None:
    browser, name = _entered(visit)
    browser.get("/").lacks("You are signed up.").needs("Log Out")
    browser.visit("/account/logout").needs("You are logged out.").lacks("Log Out")
    form = {"username": name, "password": _PASSWORD}
    browser.submit("/account/login", form).needs("You are log in.", "Log Out")
    browser.get("/").lacks("You are log in.")


@APPLICATION.step("a wrong password flashes")
def _(visit: Visit) -> None:
    browser = visit.browser()
    browser.submit("/account/login", {"username": "nobody", "password": "x"}).needs(
        "Unknown username"
    )


@APPLICATION.step("the language stays, over login and logout")
def _(visit: Visit) -> None:
    browser = visit.browser()
    english = browser.get("/").text
    browser.get("/?lang=bg")
    if browser.get("/").text == english:
        raise Broken("the language was not switched")
    bulgarian = _label(browser)
    name = next(_names)
    form = {
        "username": name, "email": f"{name}@example.org", "password": _PASSWORD,
        "confirm": _PASSWORD,
    }  # fmt: skip
    browser.submit("/account/signup", form)
    for event in ("login", "logout"):
        if _label(browser) != bulgarian:
            raise Broken(f"{event}: {bulgarian!r} became {_label(browser)!r}")
        browser.visit("/account/logout")


def _label(browser: Browser) -> str:
    """Return a label that is translated."""
    return browser.get("/account/login").text.partition("<label")[2].partition("</label")[0]


@APPLICATION.step("the language is switched in several tabs at once")
def _(visit: Visit) -> None:
    browser, _ = _entered(visit)
    for language in ("bg", "en") * 3:
        switch = partial(browser.get, f"/?lang={language}")
        browser.at_once(*[switch] * 3, lambda: browser.get("/"))


@APPLICATION.step("two tabs add to the cart")
def _(visit: Visit) -> None:
    browser, _ = _entered(visit)
    page = browser.get("/products/1")
    variant = page.text.partition('name="variant"')[2].partition('value="')[2].partition('"')[0]
    form = {"csrf_token": page.hidden("csrf_token"), "quantity": "1", "variant": variant or "1"}
    browser.visit("/products/1/add", form)
    browser.at_once(*[lambda: browser.post("/products/1/add", form)] * 2)
    browser.visit("/checkout/cart").needs("Subtotal")


@APPLICATION.step("a form without a CSRF token is refused")
def _(visit: Visit) -> None:
    browser, _ = _entered(visit)
    if browser.post("/products/1/add", {"quantity": "1"}).status != 400:
        raise Broken("a form without a CSRF token was taken")


@APPLICATION.step("an old cookie after the logout")
def _(visit: Visit) -> None:
    browser, _ = _entered(visit)
    old = visit.browser()
    old.cookies = dict(browser.cookies)
    browser.visit("/account/logout")
    old.get("/", refused=True).lacks("Log Out")


@APPLICATION.step("log out in one tab while three load pages")
def _(visit: Visit) -> None:
    for _ in range(5):
        browser, _ = _entered(visit)
        pages = [partial(browser.get, path) for path in ("/", "/products/1", "/account/login")]
        browser.at_once(partial(browser.get, "/account/logout"), *pages)
        browser.get("/").lacks("Log Out")


@APPLICATION.step("Flask's test client")
def _(visit: Visit) -> None:
    visit.client("""
from flask import session
app.config.update(WTF_CSRF_ENABLED=False)
with app.test_client() as client:
    form = {"username": "bobby", "email": "b@example.org"}
    form |= {"password": "secret1", "confirm": "secret1"}
    assert client.post("/account/signup", data=form).status_code == 302
    assert session["_user_id"], dict(session)
    assert "You are signed up." in client.get("/?lang=en").text
    assert session["lang"] == "en"
    client.get("/account/logout")
    assert "_user_id" not in session
""")
