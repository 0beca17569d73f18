"""A group chat over WebSocket, whichever worker its members are connected to.

python examples/chat.py     then open http://127.0.0.1:5000/ in two windows

"@7 psst" is for client 7 alone; its number is beside what it says.
"""

import skitai
from skitai.saddle import Saddle

app = Saddle(__name__)

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Chat</title>
<ul id="said"></ul>
<form><input id="text" autofocus autocomplete="off" placeholder="say something"></form>
<script>
  const name = prompt("Your name?") || "somebody"
  const scheme = location.protocol.replace("http", "ws")
  let socket

  function show(line) {
    const item = document.createElement("li")
    item.textContent = line
    document.getElementById("said").append(item)
  }

  function connect() {
    socket = new WebSocket(`${scheme}//${location.host}/talk?room=tea&name=${encodeURIComponent(name)}`)
    socket.onmessage = event => {
      const said = JSON.parse(event.data)
      show(said.name ? `${said.name} (${said.client}): ${said.text}` : `${said.text}, ${said.present} in the room`)
    }
    socket.onclose = event => {
      show(`disconnected (${event.code})`)
      setTimeout(connect, 1000 + Math.random() * 2000)
    }
  }

  document.querySelector("form").onsubmit = event => {
    event.preventDefault()
    const text = document.getElementById("text")
    socket.send(JSON.stringify({text: text.value}))
    text.value = ""
  }
  connect()
</script>
"""


@app.route("/")
def page(was):
    return PAGE


def entered(was):
    return {"text": f"{was.request.args['name']} has come", "present": len(was.websocket.clients)}


def left(was):
    return {"text": f"{was.request.args['name']} has gone", "present": len(was.websocket.clients)}


@app.route("/talk")
@app.websocket_config(skitai.WS_GROUPCHAT, 3600, entered, left, skitai.WS_MSG_JSON)
def talk(was, message, room, name):
    said = {"name": name, "client": was.wsclient(), "text": message["text"]}
    to, _, text = message["text"].partition(" ")
    if to.startswith("@") and to[1:].isdecimal():
        return said | {"text": text}, int(to[1:])
    return said


if __name__ == "__main__":
    skitai.mount("/", app)
    skitai.run(port=5000, workers=2)
