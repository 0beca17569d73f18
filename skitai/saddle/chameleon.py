"""Chameleon as a renderer of an app's page templates (``.pt``, ``.ptal``); the extra ``chameleon``."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skitai.saddle.templates import Templates


class Chameleon:
    """Page templates by path, compiled once."""

    def __init__(self, templates: Templates) -> None:
        """:raises RuntimeError: Chameleon is not installed."""
        try:
            from chameleon import PageTemplateFile
        except ImportError:
            raise RuntimeError("page templates (.pt, .ptal) need Chameleon: pip install 'skitai[chameleon]'") from None
        self._make = PageTemplateFile
        self._templates = templates
        self._known: dict[str, Any] = {}

    def render(self, was: Any, name: str, values: Mapping[str, Any]) -> str:
        functions = {key: functools.partial(each, was) for key, each in self._templates.functions.items()}
        text: str = self._find(name).render(**{**functions, "was": was, **values})
        return text

    def _find(self, name: str) -> Any:
        path = self._path(name)
        template = self._known.get(path)
        if template is None:
            template = self._known[path] = self._make(
                path, auto_reload=self._templates.watched, search_path=self._templates.folders
            )
        return template

    def _path(self, name: str) -> str:
        """The file of a template.

        :raises FileNotFoundError: there is none below the folders.
        """
        parts = name.replace("\\", "/").split("/")
        if os.pardir not in parts and not os.path.isabs(name):
            for folder in self._templates.folders:
                path = os.path.join(folder, *parts)
                if os.path.isfile(path):
                    return path
        raise FileNotFoundError(f"no page template {name!r} in {', '.join(self._templates.folders)}")
