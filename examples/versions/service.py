"""Two versions of one service side by side: ``python examples/versions/service.py``, then /v1/ and /v2/.

Old clients stay on /v1 while new ones use /v2; both share the static folder.
"""

import skitai

if __name__ == "__main__":
    skitai.mount("/", "static")
    skitai.mount("/v1", "app_v1")
    skitai.mount("/v2", "app_v2")
    skitai.run(port=5000)
