"""The clients of the control socket: who is there, and what they ask for."""

from __future__ import annotations

from collections.abc import Iterator

from skitai.ipc.control import ControlServer, Conversation, Request


class Desk:
    """Takes requests in; answering them is the supervisor's business."""

    def __init__(self, server: ControlServer) -> None:
        self._server = server
        self._conversations: list[Conversation] = []

    def filenos(self) -> Iterator[int]:
        """Descriptors to watch for reading."""
        yield self._server.fileno()
        for conversation in self._conversations:
            yield conversation.fileno()

    def adopt(self, conversations: list[Conversation]) -> None:
        """Clients of the program before an exec, who wait for an outcome."""
        self._conversations += conversations

    def requests(self, now: float) -> Iterator[tuple[Request, Conversation]]:
        """What clients have asked since the last call. None of this blocks."""
        while conversation := self._server.accept(len(self._conversations)):
            self._conversations.append(conversation)
        for conversation in self._conversations:
            asked = conversation.request
            if (request := conversation.receive()) and not asked:
                yield request, conversation
            elif conversation.expired(now):
                conversation.close()
        self._conversations = [each for each in self._conversations if each.fileno() >= 0]

    def close(self) -> None:
        """In a child: the conversations are the master's."""
        for conversation in self._conversations:
            conversation.close()
