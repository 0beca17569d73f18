"""Where Python lacks the modules of POSIX, apps can be written and tested in memory."""

import subprocess
import sys
import textwrap

PROGRAM = """
    import sys

    import psutil  # which knows what system it runs on

    for name in ("fcntl", "grp", "pwd", "resource", "termios"):
        sys.modules[name] = None  # what makes its import fail

    import skitai
    from skitai.saddle import Saddle

    app = Saddle(__name__)
    app.securekey = "a secret of this app"

    @app.route("/")
    def index(was):
        with app.plock, app.plock:
            was.session["seen"] = was.session.get("seen", 0) + 1
        return was.session["seen"]

    with app.make_client() as client:
        print(client.get("/").text, client.get("/").text, skitai.email.__name__)
"""


def test_an_app_is_imported_and_asked() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.stdout, done.stderr) == ("1 2 email\n", "")
