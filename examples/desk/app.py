"""A help desk: tickets with notes and attachments, a JSON API, and who did what. Written with Saddle.

python examples/helpdesk.py            alone, at http://127.0.0.1:5000/
python examples/app.py                 among the other examples, at /desk/

The first who signs up is an admin.
"""

from decorative import accounts, activity, api, guests, notes, tickets
from decorative.store import Store
from place import data_folder, secret

from skitai.saddle import Saddle

app = Saddle(__name__)
app.securekey = secret()
app.session_timeout = 3600
app.realm = "Help desk"
app.max_client_body_size = "5M"
app.config.folder = data_folder() / "desk"
app.config.page_size = 20

app.decorate_with(accounts)
app.decorate_with(tickets)
app.decorate_with(notes)
app.decorate_with(guests)
app.decorate_with(activity, mount="/activity")
app.decorate_with(api, mount="/api", ns="api", authenticate="bearer")
app.enable_docs("/docs")


@app.before_mount
def open_store(wac):
    """Once in each worker, when the settings are final: the store is `app.storage.store`, for all modules."""
    app.storage.store = Store(app.config.folder)


@app.before_request
def check_form(was):
    """Every form of ours carries a token; programs bring a bearer token, which no form of another site can."""
    if was.request.method == "POST" and not was.request.token and not was.csrf_verify(keep=True):
        return was.response("403 Forbidden", was.render("error.html", title="Forbidden", text="This form has expired."))
    return None


@app.default_error_handler
def failed(was, error):
    if "application/json" in was.request.get_header("accept", ""):
        return {"code": error.code, "message": error.message, "detail": error.detail}
    return was.render("error.html", title=f"{error.code} {error.message}", text=error.detail or "")


@app.template_filter("size")
def size(count):
    return f"{count} bytes" if count < 2048 else f"{count / 1024:.0f} KiB"
