"""What a start says on the console."""

from skitai.bootstrap.banner import mount_lines
from skitai.config.mounted import AppFile, AppObject, Folder, Mount
from skitai.config.tree import Config

MOUNTS = (
    Mount("/", AppFile("/srv/shop/pages/app.py")),
    Mount("/static/", Folder("/srv/shop/static")),
    Mount("/media/", Folder("/data/media")),
    Mount("/", AppObject("/srv/shop/app.py", "app", None), host="www.example.com"),
)


def test_each_mount_says_where_to_look_and_what_it_is():
    assert list(mount_lines(Config(script="/srv/shop/app.py", mounts=MOUNTS), ["http://127.0.0.1:5000"])) == [
        "  serves     http://127.0.0.1:5000/         pages/app.py",
        "             http://127.0.0.1:5000/static/  static/",
        "             http://127.0.0.1:5000/media/   /data/media/",
        "             www.example.com /              app.py:app",
    ]


def test_behind_a_unix_socket_only_the_mount_points_are_known():
    mounts = MOUNTS[:1]
    assert list(mount_lines(Config(script="/srv/shop/app.py", mounts=mounts), ["unix:/run/shop.sock"])) == [
        "  serves     /  pages/app.py",
    ]
