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
    """

    name: str
    target: Callable[[Child], int]
    count: int
    title: str
    numbered: bool = True

    def label(self, number: int) -> str:
        """How people call the child: "worker #3"."""
        return f"{self.name} #{number}" if self.numbered else self.name
