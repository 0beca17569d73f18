"""What MongoDB is asked, and the stub that apps hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from skitai.backend.drivers.base import fingerprint


@dataclass(frozen=True, slots=True)
class Verb:
    """One request to a database.

    :ivar method: a key of `VERBS`.
    """

    method: str
    collection: str
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def repeatable(self) -> bool:
        return self.method in {"find", "findone", "findall", "findkc", "collections"} or (
            self.method == "aggregate" and not any({"$out", "$merge"} & stage.keys() for stage in self.arguments["pipeline"])
        )

    def key(self) -> Any:
        return (
            fingerprint(self.method, self.collection, self.arguments) if self.method not in {"findkc", "get_more"} else None
        )


Ask = Callable[[Any], Any]


class Stub:
    """A MongoDB database, as apps hold it. Each method returns the handle of a `MongoResult`.

    :param ask: sends an operation on its way.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def find(self, colname: str, spec: Mapping[str, Any] | None, offset: int = 0, limit: int = 1) -> Any:
        """Find documents: `data` has them as its `data`.

        :param limit: so many at most; -1 for all.
        """
        return self._find("find", colname, spec, offset, limit)

    def findone(self, colname: str, spec: Mapping[str, Any] | None) -> Any:
        """Find one."""
        return self._find("findone", colname, spec, 0, 1)

    def findall(self, colname: str, spec: Mapping[str, Any] | None) -> Any:
        """Find all."""
        return self._find("findall", colname, spec, 0, -1)

    def findkc(self, colname: str, spec: Mapping[str, Any] | None, offset: int = 0, limit: int = 1) -> Any:
        """Find `limit` documents and keep the cursor: its id is `data["cursor_id"]`, 0 when there are no more."""
        return self._find("findkc", colname, spec, offset, limit)

    def _find(self, method: str, colname: str, spec: Mapping[str, Any] | None, offset: int, limit: int) -> Any:
        return self._ask(Verb(method, colname, {"spec": document(spec or {}), "offset": offset, "limit": limit}))

    def get_more(self, colname: str, cursor_id: int, num_to_return: int) -> Any:
        """More documents from a kept cursor."""
        return self._ask(Verb("get_more", colname, {"cursor_id": cursor_id, "num_to_return": num_to_return}))

    def kill_cursors(self, cursor_ids: Sequence[int] | int) -> Any:
        """Close kept cursors that are not at their end."""
        ids = [cursor_ids] if isinstance(cursor_ids, int) else list(cursor_ids)
        return self._ask(Verb("kill_cursors", "", {"cursor_ids": ids}))

    def insert(self, colname: str, docs: Mapping[str, Any] | Sequence[Mapping[str, Any]], continue_on_error: int = 0) -> Any:
        """Insert a document, or several: `data` has `inserted_ids`.

        :param continue_on_error: insert the others when one cannot be.
        """
        several = [docs] if isinstance(docs, Mapping) else docs
        arguments = {"docs": [document(each) for each in several], "continue_on_error": bool(continue_on_error)}
        return self._ask(Verb("insert", colname, arguments))

    def update(self, colname: str, spec: Mapping[str, Any], doc: Mapping[str, Any]) -> Any:
        """Change all documents, by operators such as ``{"$set": ...}``: `data` has `matched` and `modified`."""
        return self._update("update", colname, spec, doc)

    def updateone(self, colname: str, spec: Mapping[str, Any], doc: Mapping[str, Any]) -> Any:
        """Change one document, or without operators replace it."""
        return self._update("updateone", colname, spec, doc)

    def upsert(self, colname: str, spec: Mapping[str, Any], doc: Mapping[str, Any]) -> Any:
        """Change all, or insert one where there is none: `data` has its `upserted_id`."""
        return self._update("upsert", colname, spec, doc)

    def upsertone(self, colname: str, spec: Mapping[str, Any], doc: Mapping[str, Any]) -> Any:
        """Change or replace one, or insert it where there is none."""
        return self._update("upsertone", colname, spec, doc)

    def _update(self, method: str, colname: str, spec: Mapping[str, Any], doc: Mapping[str, Any]) -> Any:
        one, upsert = method.endswith("one"), method.startswith("upsert")
        arguments = {"spec": document(spec), "doc": document(doc), "one": one, "upsert": upsert}
        return self._ask(Verb(method, colname, arguments))

    def delete(self, colname: str, spec: Mapping[str, Any], flag: int = 0) -> Any:
        """Delete documents: `data` has `deleted`.

        :param flag: 1 for one alone.
        """
        return self._ask(Verb("delete", colname, {"spec": document(spec), "one": bool(flag & 1)}))

    def aggregate(self, colname: str, pipeline: Sequence[Mapping[str, Any]]) -> Any:
        """What a pipeline of stages makes of a collection."""
        return self._ask(Verb("aggregate", colname, {"pipeline": [document(stage) for stage in pipeline]}))


def document(given: Any) -> dict[str, Any]:
    """A copy of a document.

    :raises TypeError: it is none.
    """
    if not isinstance(given, Mapping):
        raise TypeError(f"a document is a dict, not {type(given).__name__}")
    return dict(given)
