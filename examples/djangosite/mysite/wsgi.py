"""The WSGI app, with its database brought up to date before the first request."""

import fcntl
import os

from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application


def migrate() -> None:
    """Apply what is missing. All workers come here at once: the first does the work while the others wait."""
    with open(settings.DATA / "django.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        call_command("migrate", interactive=False, verbosity=0)


os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
application = get_wsgi_application()
migrate()
