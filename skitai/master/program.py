"""What the master keeps running."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from skitai.ipc.link import Child


@dataclass(frozen=True, slots=True)
class Program:
    """A kind of child process.

    :param name: "worker"; unique.
    :param target: called in the forked child; what it returns is the exit code.
    :param count: processes wanted.
    :param title: of the server, "skitai(dir/script)"; the process title is this and the child's label.
    :param numbered: whether the label carries the child's number.
    :param helper: it works beside the workers. There is never more than one at work: a new one starts when the old one has
        said, in its row, that it retires, or has left. It stops after the workers, and nobody waits for it at the start.
    """

    name: str
    target: Callable[[Child], int]
    count: int
    title: str
    numbered: bool = True
    helper: bool = False

    def label(self, number: int) -> str:
        """How people call the child: "worker #3"."""
        return f"{self.name} #{number}" if self.numbered else self.name
