"""The help desk alone: python examples/helpdesk.py"""

import skitai

if __name__ == "__main__":
    skitai.mount("/", "desk/app.py")
    skitai.mount("/static", "static")
    skitai.deflu("tickets")
    skitai.run(address="127.0.0.1", port=5000, workers=2)
