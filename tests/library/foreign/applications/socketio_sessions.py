"""Flask-SocketIO's example of sessions that HTTP and sockets share (`manage_session=False`).

The example installs Flask-Session itself, with files: this is what it is compared with.
"""

from .application import Application, Visit

APPLICATION = Application(
    name="socketio",
    repository="miguelgrinberg/Flask-SocketIO",
    folder="example",
    requirements=(
        "flask", "flask-socketio", "flask-login", "flask-session", "cachelib", "simple-websocket",
        "python-socketio[client]", "requests",
    ),
    load="from sessions import app",
    gunicorn=("--threads", "8"),
)  # fmt: skip

_VISITOR = """
import requests, socketio

base, http = f"http://127.0.0.1:{port}", requests.Session()

def store(**data):
    answer = http.post(f"{base}/session", json=data)
    assert answer.status_code == 204, answer.text

def shown():
    answer = http.get(f"{base}/session")
    assert answer.status_code == 200, answer.text
    return answer.json()

def opened():
    client = socketio.SimpleClient(http_session=http)
    client.connect(base, transports=["websocket"])
    return client

def seen(client):
    client.call("get-session")  # returns once the session was saved
    return client.receive(timeout=10)[1]

def asked(client, **data):
    try:
        client.call("set-session", data, timeout=3)
    except socketio.exceptions.TimeoutError:
        pass  # an event that raises is not acknowledged

def expect(found, session, user):
    assert found == {"session": session, "user": user}, found
"""


def _add(name: str, script: str) -> None:
    @APPLICATION.step(name)
    def _(visit: Visit) -> None:
        visit.client(_VISITOR + script)


_add(
    "HTTP keeps a value, a login and a logout",
    """
store(session="a"); expect(shown(), "a", "anonymous")
store(user="ann"); expect(shown(), "a", "ann")
store(user=None); assert shown()["user"] == "anonymous", shown()
""",
)

_add(
    "a logout over HTTP keeps the value",
    """
store(session="a"); store(user="ann"); store(user=None); expect(shown(), "a", "anonymous")
""",
)

_add(
    "a socket sees what HTTP stored before and after it was opened",
    """
store(session="a"); store(user="ann")
client = opened(); expect(seen(client), "a", "ann")
store(session="b"); expect(seen(client), "b", "ann")
""",
)

_add(
    "a socket stores four times within a second, HTTP sees the last",
    """
store(session="a")
client = opened()
for value in "1231":
    client.call("set-session", {"session": value}); expect(seen(client), value, "anonymous")
expect(shown(), "1", "anonymous")
""",
)

_add(
    "a login by socket is seen over HTTP, or is refused and loses nothing",
    """
store(session="a")
client = opened()
asked(client, user="ann")
expect(seen(client), "a", (user := shown()["user"]))
expect(shown(), "a", user)
""",
)

_add(
    "a logout by socket is seen over HTTP",
    """
store(session="a"); store(user="ann")
client = opened()
asked(client, user=None)
assert shown()["user"] == "anonymous", shown()
""",
)
