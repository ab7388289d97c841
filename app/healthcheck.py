"""Check that this container's Gunicorn answers: exit code 0, or 1 and the reason.

The image has no curl. The check asks for HEALTH_PATH as nginx does, under the first of
TRUSTED_HOSTS. Every status except 2xx and 3xx is a failure.
"""

import http.client
import os
import sys
from http import HTTPStatus


def main() -> str | None:
    """Ask once, for at most 2 s; return the reason of a failure, else None."""
    port = int(os.environ.get("BIND", "127.0.0.1:8000").rpartition(":")[2])
    host = (os.environ.get("TRUSTED_HOSTS") or "localhost").partition(",")[0].strip().lstrip(".")
    path = os.environ.get("HEALTH_PATH") or "/livez"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path, headers={"Host": host})
        status = connection.getresponse().status
    except OSError as error:
        return f"GET {path}: {error}"
    finally:
        connection.close()
    return None if HTTPStatus.OK <= status < HTTPStatus.BAD_REQUEST else f"GET {path}: {status}"


if __name__ == "__main__":
    sys.exit(main())
