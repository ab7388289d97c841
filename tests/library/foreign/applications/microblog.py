"""Miguel Grinberg's microblog: Flask-Login, Flask-WTF, Flask-Babel, pinned to older versions."""

from functools import partial
from itertools import count

from .application import Application, Visit
from .browser import Broken, Browser

APPLICATION = Application(
    name="microblog",
    repository="miguelgrinberg/microblog",
    requirements=("-r requirements.txt",),
    load="from microblog import app",
    environment={
        "DATABASE_URL": "sqlite:///{work}/app.db",
        "FLASK_APP": "microblog.py",
        "SECRET_KEY": "not-secret: signs the cookies of a test",
        "LOG_TO_STDOUT": "1",
    },
    prepare=(
        ("-m", "flask", "db", "upgrade"),
        ("-m", "babel.messages.frontend", "compile", "-d", "app/translations"),
    ),
)

_PASSWORD = "correct horse"
_names = (f"ann{number}" for number in count())


def _entered(visit: Visit, *, remember: bool = False) -> tuple[Browser, str]:
    """Register a person and log in."""
    browser, name = visit.browser(), next(_names)
    browser.submit(
        "/auth/register",
        {
            "username": name, "email": f"{name}@example.org", "password": _PASSWORD,
            "password2": _PASSWORD,
        },
    ).needs("Congratulations")  # fmt: skip
    form = {"username": name, "password": _PASSWORD, **({"remember_me": "y"} if remember else {})}
    browser.submit("/auth/login", form).needs(f"Hi, {name}!")
    return browser, name


@APPLICATION.step("register, log in, see each flash once")
def _(visit: Visit) -> None:
    browser, _ = _entered(visit)
    browser.submit("/index", {"post": "Hello"}).needs("Your post is now live!", "Hello")
    browser.get("/index").lacks("Your post is now live!").needs("Hello")


@APPLICATION.step("a page that needs a login says so, translated")
def _(visit: Visit) -> None:
    browser = visit.browser()
    browser.visit("/index").needs("Please log in to access this page.")
    path = browser.get("/index", Accept_Language="es").location
    browser.get(path, Accept_Language="es").needs("Por favor")


@APPLICATION.step("a wrong password flashes")
def _(visit: Visit) -> None:
    browser = visit.browser()
    browser.submit("/auth/login", {"username": "nobody", "password": "x"}).needs("Invalid username")


@APPLICATION.step("two first tabs, both forms are good")
def _(visit: Visit) -> None:
    browser = visit.browser()
    browser.visit("/auth/login")
    pages = browser.at_once(*[lambda: browser.get("/auth/login")] * 4)
    form = {"username": "nobody", "password": "x"}
    for page in pages:
        sent = {**form, "csrf_token": page.hidden("csrf_token")}
        browser.visit("/auth/login", sent).needs("Invalid username")


@APPLICATION.step("page, pop-ups and notifications in parallel, posts in two tabs")
def _(visit: Visit) -> None:
    browser, name = _entered(visit)
    token = browser.get("/index").hidden("csrf_token")
    paths = ("/index", "/explore", f"/user/{name}", "/notifications", f"/user/{name}/popup")
    for number in range(5):
        posts = [{"post": f"{number}-{tab}-post", "csrf_token": token} for tab in range(2)]
        browser.at_once(
            *[lambda path=path: browser.get(path) for path in paths],
            *[lambda form=form: browser.post("/index", form) for form in posts],
        )
        browser.get("/index").needs(*[each["post"] for each in posts])


@APPLICATION.step("a wrong CSRF token is refused")
def _(visit: Visit) -> None:
    browser, _ = _entered(visit)
    browser.visit("/index", {"post": "forged", "csrf_token": "x"})
    browser.get("/index").lacks("forged")


@APPLICATION.step("log out, also with an old cookie")
def _(visit: Visit) -> None:
    browser, _ = _entered(visit)
    old = visit.browser()
    old.cookies = dict(browser.cookies)
    browser.visit("/auth/logout").needs("Sign In")
    if old.get("/index", refused=True).status == 200:
        raise Broken("the cookie from before the logout is still logged in")


@APPLICATION.step("log out in one tab while three load pages")
def _(visit: Visit) -> None:
    for _ in range(5):
        browser, name = _entered(visit)
        pages = [partial(browser.get, path) for path in ("/index", "/explore", f"/user/{name}")]
        browser.at_once(partial(browser.get, "/auth/logout"), *pages)
        browser.visit("/index").needs("Sign In")


@APPLICATION.step("remember me: back without a session, several tabs at once")
def _(visit: Visit) -> None:
    browser, name = _entered(visit, remember=True)
    for _ in range(5):
        browser.cookies.pop("session")
        for page in browser.at_once(*[lambda: browser.get("/index")] * 4):
            page.needs(f"Hi, {name}!")
        browser.submit("/index", {"post": "still here"}).needs("Your post is now live!")
    browser.visit("/auth/logout").needs("Sign In")
    browser.visit("/index").needs("Sign In")


@APPLICATION.step("Flask's test client")
def _(visit: Visit) -> None:
    visit.client("""
from flask import session
app.config.update(WTF_CSRF_ENABLED=False)
with app.test_client() as client:
    client.get("/index")
    assert session["_flashes"], dict(session)
    with client.session_transaction() as changed:
        changed["_user_id"] = "1"
    assert client.get("/explore").status_code == 200
    client.get("/auth/logout")
    assert "_user_id" not in session
""")
