"""What breaks on many processes, by names: calls, settings and what they mean."""

import re

CALLS = (
    ("cache", r"(cachelib|werkzeug\.contrib\.cache)\.(\w+\.)?SimpleCache|cachetools\.\w+Cache"),
    ("scheduler", r"apscheduler\.schedulers\.\w+\.\w+Scheduler|flask_apscheduler\.APScheduler"),
    ("sqlite", r"(sqlite3|aiosqlite)\.connect"),
    ("state", r"prometheus_client\.(Counter|Gauge|Histogram|Summary)"),
    ("state", r"prometheus_flask_exporter\.PrometheusMetrics"),
)
CALLS_AT_START = (
    ("scheduler", r"threading\.(Thread|Timer)|multiprocessing\.Process|schedule\.every(\(\))?"),
    ("scheduler", r".+\.start_background_task|_thread\.start_new_thread"),
    ("tables", r".+\.(create_all|drop_all|create_tables)"),
    ("tables", r"(flask_migrate|alembic\.command)\.upgrade"),
)
"""Calls that are wrong only while the application starts."""

CALLS_WITHOUT = (
    ("limit", r"flask_limiter\.(\w+\.)?Limiter", "RATELIMIT_STORAGE_URI"),
    ("socketio", r"flask_socketio\.SocketIO", "message_queue"),
)
"""Calls that are wrong unless some module gives a setting."""

SETTINGS = (
    ("cache", r"CACHE_TYPE", r"(.*\.)?simple(cache)?"),
    ("files", r"CACHE_TYPE", r"(.*\.)?filesystem(cache)?"),
    ("limit", r"RATELIMIT_STORAGE_URI", r"(async\+)?memory://.*"),
    ("session", r"SESSION_TYPE", r"filesystem|cachelib|simple|memory"),
)
"""Settings and the values that are wrong."""

WRITERS = (
    (r"(io\.)?open", 0, "file", 1),
    (r".+\.open", -1, "", 0),
    (r".+\.write_(text|bytes)", -1, "", None),
    (r"logging\.((handlers\.)?\w*FileHandler|basicConfig)", 0, "filename", None),
    (r"cachelib\.(\w+\.)?FileSystemCache", 0, "cache_dir", None),
    (r"shutil\.(copy\w*|move)", 1, "dst", None),
    (r".*\.(save|to_csv|to_excel|savefig)", 0, "fp", None),
)
"""Calls that write a file; which argument is its path (-1: the object), and which the mode."""

SAME = {
    "storage_uri": "RATELIMIT_STORAGE_URI",
    "RATELIMIT_STORAGE_URL": "RATELIMIT_STORAGE_URI",
    "client_manager": "message_queue",
    "secret_key": "SECRET_KEY",
}
RANDOM = re.compile(r"os\.urandom|(secrets|random)\.\w+|uuid\.uuid[14]|.*\.Fernet\.generate_key")
CONTAINER = re.compile(
    r"dict|list|set|(collections\.)?(defaultdict|deque|Counter|OrderedDict)|itertools\.count"
)
CHANGING = re.compile(
    "add|append(left)?|clear|discard|extend|insert|pop(item)?|remove|setdefault|update"
)
FACTORY = re.compile(r"(create|make|build)_(\w*_)?app(lication)?|init_app")
COMMAND = re.compile(r".*\.(command|shell_context_processor)(\(\))?")
ROUTE = re.compile(r".+\.(route|get|post|put|patch|delete)\(\)")
BEFORE = re.compile(r".+\.before_(app_)?request")
REMEMBERS = re.compile(r"functools\.(lru_)?cache(\(\))?")
SINGLETON = re.compile(r"cls\._*instances?\b")
FOR_DEVELOPERS = re.compile(r".*(test|dev|local|debug).*", re.IGNORECASE)
QUERY = re.compile(r"\.(query|session|execute)\b")
ACCEPTED = "# check: ok"
