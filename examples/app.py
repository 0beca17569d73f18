"""A small site: pages, a form, static files, a Flask app, a Django project and a help desk under one server.

python examples/app.py                 start it here; Ctrl-C ends it
python examples/app.py start           start it in the background; also: status, reload, stop
python examples/app.py --port 8080     every option has a flag: --help
"""

from importlib.util import find_spec
from pathlib import Path

import skitai

if __name__ == "__main__":
    django = Path(find_spec("django").origin).parent

    skitai.mount("/", "pages/app.py")
    skitai.mount("/static", "static")
    skitai.mount("/flask", "flaskapp/app.py")
    skitai.mount("/desk", "desk/app.py")
    skitai.mount("/django", "djangosite/mysite/wsgi.py", "application")
    skitai.mount("/django/static/admin", str(django / "contrib/admin/static/admin"))

    skitai.set_max_age("/static", 300)
    skitai.set_max_age("/django/static", 3600)
    skitai.log_off("/static/", "*.ico")
    skitai.deflu("guestbook", "tickets")

    skitai.run(address="127.0.0.1", port=5000, workers=2)
