"""What apps say about their WebSocket connections, by names that `skitai` exports."""

WS_SIMPLE = 1
"""Messages come in, answers go out."""
WS_THREADSAFE = 6
"""The same: all sending is safe from any thread."""
WS_GROUPCHAT = 5
"""What is answered goes to everybody in the room."""

WS_EVT_INIT = "init"
WS_EVT_OPEN = "open"
WS_EVT_CLOSE = "close"
WS_EVT_NONE = None

WS_MSG_TEXT = WS_MSG_DEFAULT = "text"
WS_MSG_JSON = "json"
WS_MSG_XMLRPC = "xmlrpc"
WS_MSG_GRPC = "grpc"

WS_OPCODE_TEXT = 1
WS_OPCODE_BINARY = 2
WS_OPCODE_CLOSE = 8
WS_OPCODE_PING = 9
WS_OPCODE_PONG = 10

SPECS = (WS_SIMPLE, WS_THREADSAFE, WS_GROUPCHAT)
ENCODINGS = (WS_MSG_TEXT, WS_MSG_JSON, WS_MSG_XMLRPC)
