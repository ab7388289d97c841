"""`make check`: it finds what breaks on many processes, and accepts what does not."""

import os
import re
import sys
import time
from pathlib import Path

import psutil
import pytest
from kit.check import processes, report
from kit.check.processes import Target, observe
from kit.errors import KitError

from tests.conftest import StartStack
from tests.support.checkout import ROOT
from tests.support.waiting import at_most

_FLASK = (
    "import os\nfrom flask import Flask, current_app, request, session\napp = Flask(__name__)\n"
)
_SECRET = "app.secret_key = os.environ['SECRET_KEY']\n"

# Extensions that this environment does not have: enough of them to import an application.
_EXTENSIONS = {
    "flask_caching": """
        class SimpleCache: pass
        class RedisCache: pass
        class Cache:
            def __init__(self, app):
                kind = globals()[app.config['CACHE_TYPE']]()
                app.extensions['cache'] = {self: kind}
    """,
    "flask_limiter": "class Limiter:\n    def __init__(self, *_, **__): pass\n",
    "flask_socketio": "class SocketIO:\n    def __init__(self, *_, **__): pass\n",
    "apscheduler/schedulers/background": """
        class BackgroundScheduler:
            def start(self): pass
    """,
    "flask_sqlalchemy": """
        class SQLAlchemy:
            session = None
            def create_all(self): pass
    """,
    "sqlalchemy/__init__": "from .engine import create_engine\n",
    "sqlalchemy/engine": """
        class Pool:
            _max_overflow = 10
            def size(self): return 20
        class Dialect: pass
        class Engine:
            pool, dialect = Pool(), Dialect()
        def create_engine(url, pool_size):
            Engine.dialect.name = url.partition(':')[0]
            return Engine()
    """,
    "flask_migrate": "def upgrade(): pass\n",
}

# Each line with a mark is found, with that kind, and no other line is.
_PLANTED = {
    "secrets": """
        import secrets, uuid
        def make():
            return uuid.uuid4().hex
        class Config:
            JWT_SECRET_KEY = os.environ.get('JWT_SECRET_KEY') or secrets.token_hex()  #! secret
        app.config.from_object(Config)
        app.secret_key = make()  #! secret
    """,
    "no secret": """
        app.secret_key = None  #! secret
        @app.post('/')
        def login():
            session['user'] = 1
    """,
    "caches": """
        from functools import lru_cache
        from cachelib import SimpleCache
        from flask_caching import Cache
        from flask_sqlalchemy import SQLAlchemy
        app.config.from_mapping(CACHE_TYPE='SimpleCache')  #! cache
        flasks, own, db = Cache(app), SimpleCache(), SQLAlchemy()  #! cache
        @lru_cache
        def names():  #! cache
            return db.session.execute('select name from users')
    """,
    "limit": """
        from flask_limiter import Limiter
        limiter = Limiter(app)  #! limit
    """,
    "limit in memory": """
        from flask_limiter import Limiter
        limiter = Limiter(app, storage_uri='memory://')  #! limit
    """,
    "state": """
        import itertools
        from collections import defaultdict
        visits = 0
        attempts = defaultdict(list)
        numbers = itertools.count()
        class Room:
            members = set()
        @app.post('/')
        def join():
            global visits
            visits += 1  #! state
            attempts[request.remote_addr].append(next(numbers))  #! state
            Room.members.add(request.form['name'])  #! state
            current_app.config['LAST'] = 1  #! state
            return ''
        @app.delete('/')
        def leave():
            del attempts[request.remote_addr]  #! state
            return str(next(numbers))  #! state
    """,
    "schedulers": """
        import threading, time
        from apscheduler.schedulers.background import BackgroundScheduler
        scheduler = BackgroundScheduler()  #! scheduler
        def work():
            while True: time.sleep(60)
        def begin():
            threading.Thread(target=work).start()  #! scheduler
        begin()
    """,
    "a thread of a class": """
        import threading, time
        class Mailer(threading.Thread):
            def run(self):  #! scheduler
                time.sleep(60)
        Mailer().start()
    """,
    "tables": """
        from flask_sqlalchemy import SQLAlchemy
        from flask_migrate import upgrade
        db = SQLAlchemy()
        def prepare():
            db.create_all()  #! tables
            upgrade()  #! tables
        def create_app():
            prepare()
            return app
        create_app()
    """,
    "SQLite": """
        import sqlite3
        URL = os.environ.get('DATABASE_URL', 'sqlite:///blog.db')  #! sqlite
        def connect():
            return sqlite3.connect(app.instance_path + '/blog.db')  #! sqlite
    """,
    "files": """
        import logging
        from pathlib import Path
        HERE = os.path.dirname(__file__)
        UPLOAD_FOLDER = 'uploads'  #! files
        handler = logging.FileHandler('app.log')  #! files
        @app.post('/')
        def save():
            name = os.path.join(current_app.root_path, 'static', 'picture')
            request.files['picture'].save(name)  #! files
            with open(f'{HERE}/count', 'a') as file:  #! files
                file.write('1')
            Path('count').write_text('1')  #! files
            return ''
    """,
    "pool": """
        from sqlalchemy import create_engine
        engine = create_engine('postgresql://db', pool_size=20)  #! pool
    """,
    "Socket.IO": """
        from flask_socketio import SocketIO
        socketio = SocketIO(app)  #! socketio
    """,
    "sessions in files": "app.config['SESSION_TYPE'] = 'filesystem'  #! session",
    "last seen": """
        from flask_sqlalchemy import SQLAlchemy
        db = SQLAlchemy()
        @app.before_request
        def seen():
            current_app.user.last_seen = 1
            db.session.commit()  #! writes
    """,
}

_RIGHT = {
    "secrets": "app.config['JWT_SECRET_KEY'] = os.environ.get('X') or 'constant'\n",
    "tokens of users": """
        import secrets
        @app.post('/token')
        def token():
            client_secret = secrets.token_hex()
            return client_secret
    """,
    "extensions": """
        from flask_limiter import Limiter
        from flask_socketio import SocketIO
        limiter, socketio = Limiter(), SocketIO()
        app.config['RATELIMIT_STORAGE_URI'] = 'redis://store'
        SocketIO(app, message_queue='redis://store')
    """,
    "registry, client made once, memory of computed values": """
        views, client, words = {}, None, {}
        def register(function):
            views[function.__name__] = function
            return function
        @register
        def index(): pass
        def connect():
            global client
            if client is None:
                client = object()
            return client
        def parsed(text):
            if text not in words:
                words[text] = text.split()
            return words[text]
    """,
    "local names": """
        items = []
        @app.get('/')
        def index(words=()):
            items = list(words)
            items.append(1)
            return str(items)
    """,
    "commands": """
        from flask_sqlalchemy import SQLAlchemy
        @app.cli.command('init')
        def init():
            SQLAlchemy().create_all()
            open('done', 'w').close()
        if __name__ == '__main__':
            SQLAlchemy().create_all()
    """,
    "threads in requests": """
        import threading
        @app.post('/')
        def mail():
            threading.Thread(target=print).start()
            return ''
    """,
    "files elsewhere": """
        app.config['UPLOAD_FOLDER'] = os.path.join(app.instance_path, 'uploads')
        def read():
            return open('words.txt').read(), open('/var/tmp/x', 'w')
        os.makedirs(app.instance_path, exist_ok=True)
        open(os.path.join(app.instance_path, 'x.log'), 'a').close()
    """,
    "settings of tests": """
        class TestingConfig:
            SECRET_KEY = os.urandom(8)
            URL = 'sqlite://'
    """,
    "a line that is accepted": "SESSION_TYPE = 'filesystem'  # check: ok\n",
    "overridden": """
        from flask_caching import Cache
        class Config:
            CACHE_TYPE = 'SimpleCache'
            SECRET_KEY = os.environ.get('SECRET_KEY') or os.urandom(24)
        app.config.from_object(Config)
        app.config['CACHE_TYPE'] = os.environ.get('CACHE_TYPE', 'SimpleCache')
        cache = Cache(app)
    """,
}


def _application(folder: Path, code: str) -> Target:
    """Return an application with this code in a folder, and all extensions beside it."""
    extensions = folder / "extensions"
    for name, text in _EXTENSIONS.items():
        path = extensions / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_dedented(text))
    (folder / "code").mkdir()
    (folder / "code" / "blog.py").write_text(_dedented(code))
    env = {"SECRET_KEY": "k" * 32, "PYTHONPATH": str(extensions), "CACHE_TYPE": "RedisCache"}
    return Target(folder / "code", "blog:app", Path(sys.executable), env)


def _dedented(code: str) -> str:
    spaces = re.match(r"\n*( *)", code)
    return re.sub(rf"^{spaces[1] if spaces else ''}", "", code, flags=re.MULTILINE)


@pytest.mark.parametrize("name", _PLANTED)
def test_check_finds_what_is_planted(tmp_path: Path, name: str) -> None:
    """Each kind is found at its line, and nothing else is."""
    code = _FLASK + _SECRET + _dedented(_PLANTED[name])
    target = _application(tmp_path, code)
    found = report.examine(target, observe(target))
    marks = (re.search(r"#! (\w+)", line) for line in code.splitlines())
    expected = {(line, mark[1]) for line, mark in enumerate(marks, 1) if mark}
    assert {(finding.line, finding.kind) for finding in found} == expected


@pytest.mark.parametrize("name", _RIGHT)
def test_check_accepts_what_is_right(tmp_path: Path, name: str) -> None:
    """What looks alike and works on many processes is not reported."""
    target = _application(tmp_path, _FLASK + _SECRET + _dedented(_RIGHT[name]))
    assert report.examine(target, observe(target)) == []


def test_check_reports_kinds_with_places_and_hints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A block has the title, the places, the reason and what to do; the verb then fails."""
    target = _application(
        tmp_path, _FLASK + _SECRET + "app.config['SESSION_TYPE'] = 'filesystem'\n"
    )
    with pytest.raises(KitError, match="breaks on many processes: 1 finding\n"):
        report.run(target)
    printed = capsys.readouterr().err
    assert "\nerror: sessions in files or in memory\n" in printed
    assert "\n       blog.py:5: app.config['SESSION_TYPE'] = 'filesystem'\n" in printed
    assert "\n  hint: keep them in the store" in printed


def test_check_finds_nothing_in_the_shop(capsys: pytest.CaptureFixture[str]) -> None:
    """The demo shop works on many processes, and one line says so."""
    env = {"SECRET_KEY": os.urandom(32).hex(), "REDIS_URL": "redis://localhost:1"}
    report.run(Target(ROOT / "app", "shop:create_app()", Path(sys.executable), env))
    assert capsys.readouterr() == (f"Nothing in {ROOT / 'app'} breaks on many processes.\n", "")


def test_check_shows_that_two_processes_disturb_each_other(tmp_path: Path) -> None:
    """If one of two processes fails because of the other, the error is a finding."""
    code = "import time\ntime.sleep(0.5)\nos.mkdir('lock')\ntime.sleep(2)\nos.rmdir('lock')\n"
    target = _application(tmp_path, _FLASK + _SECRET + code)
    (finding,) = report.examine(target, observe(target))
    assert finding.kind == "tables"
    assert "FileExistsError" in finding.what


def test_check_shows_an_import_that_fails(tmp_path: Path) -> None:
    """The message has the traceback, the folder and the interpreter; findings are shown too."""
    target = _application(tmp_path, "CACHE_TYPE = 'simple'\nimport missing_package\n")
    with pytest.raises(KitError) as caught:
        report.run(target)
    for part in (
        "cannot import APP=blog:app\n",
        '  File "blog.py", line 2, in <module>\n',
        "ModuleNotFoundError: No module named 'missing_package'\n",
        f"looked for it in {target.folder} with {sys.executable}",
    ):
        assert part in caught.value.problem


def test_check_ends_what_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import that does not end is stopped, with the processes that it started."""
    monkeypatch.setattr(processes, "_SECONDS", 2)
    mark = f"sleep 7{time.time_ns() % 10**6}"
    code = (
        f"import subprocess, time\nsubprocess.Popen(['sh', '-c', '{mark}; true'])\ntime.sleep(60)\n"
    )
    with at_most(20), pytest.raises(KitError, match="it takes over 2 s"):
        observe(_application(tmp_path, code))
    assert not [p for p in psutil.process_iter(["cmdline"]) if mark in str(p.info["cmdline"])]


def test_check_leaves_the_folder_as_it_is(tmp_path: Path) -> None:
    """The application writes into a copy, and not beside its own code."""
    target = _application(tmp_path, _FLASK + _SECRET + "open('made.txt', 'w').close()\n")
    (finding,) = report.examine(target, observe(target))
    assert (finding.kind, finding.line) == ("files", 5)
    assert [path.name for path in target.folder.iterdir()] == ["blog.py"]


def test_check_rejects_a_missing_folder(tmp_path: Path) -> None:
    """A folder that is none is named."""
    with pytest.raises(KitError, match="is not a folder"):
        report.run(Target(tmp_path / "none", "blog:app", Path(sys.executable), {}))


def test_make_check_looks_at_the_application_of_app_dir(
    new_stack: StartStack, tmp_path: Path
) -> None:
    """The verb builds the application's environment, and fails if it finds something."""
    (tmp_path / "requirements.txt").write_text("flask\n")
    (tmp_path / "app.py").write_text(f"{_FLASK}{_SECRET}SESSION_TYPE = 'filesystem'\n")
    stack = new_stack()
    assert "app.py:5: SESSION_TYPE" in stack.fail("check", APP_DIR=str(tmp_path))
    assert "breaks on many processes." in stack.succeed("check")
