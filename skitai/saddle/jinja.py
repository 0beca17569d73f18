"""Jinja2 as a renderer of an app's templates."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import jinja2
from jinja2.ext import Extension

from skitai.errors import Answerable
from skitai.was.context import current

if TYPE_CHECKING:
    from skitai.saddle.templates import Templates

ESCAPED = ("", "html", "htm", "xhtml", "xml", "svg")
"""Extensions of templates whose values are escaped."""

OWN = ("jinja", "jinja2", "j2")
"""Extensions that say nothing of the content: the one before them does."""

SAME = (("variable_start_string", "variable_end_string"), ("block_start_string", "block_end_string"))


def escapes(name: str | None) -> bool:
    """Whether values are escaped in a template of this name; also in one that has none."""
    if name is None:
        return True
    stem, _, extension = name.rpartition("/")[2].lower().rpartition(".")
    if extension in OWN:
        extension = stem.rpartition(".")[2] if "." in stem else ""
    return extension in ESCAPED and bool(stem)


class CurrentWas:
    """`was` of the request that runs, for macros that are imported without the context of the page."""

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(current.get(), "context", None), name)


class Loader(jinja2.FileSystemLoader):
    """Looks into the folders of an app, as they are at that moment."""

    def __init__(self, templates: Templates) -> None:
        super().__init__([])
        self._templates = templates

    def get_source(self, environment: jinja2.Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        self.searchpath = self._templates.folders
        return super().get_source(environment, template)


class Environment(jinja2.Environment):
    """Leaves errors that are answers alone: Jinja would make up frames for them, which hold the error that holds them."""

    def handle_exception(self, source: str | None = None) -> NoReturn:
        if isinstance(sys.exception(), Answerable):
            raise  # noqa: PLE0704 - Jinja calls this while it handles the error
        super().handle_exception(source)


class Doubled(Extension):
    """Where a variable begins and ends with the same text, that text doubled stands for itself."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        mark = self.environment.variable_start_string
        if mark != self.environment.variable_end_string:
            return source
        return source.replace(mark * 2, f'{mark}"{mark}"{mark}')


class Jinja:
    """:ivar env: Jinja2's environment."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates
        self.env: jinja2.Environment = Environment(
            loader=Loader(templates),
            autoescape=escapes,
            auto_reload=templates.watched,
            extensions=[Doubled],
        )
        self.env.globals["was"] = CurrentWas()
        self.install()
        if templates.options:
            self.overlay(templates.options)

    def overlay(self, options: Mapping[str, Any]) -> None:
        """Change options; globals and filters stay."""
        self.env = self.env.overlay(**options)

    def install(self) -> None:
        """Put in what the app offers."""
        self.env.filters.update(self._templates.filters)
        for name, function in self._templates.functions.items():
            self.env.globals[name] = _with_was(function)

    def render(self, was: Any, name: str, values: Mapping[str, Any]) -> str:
        self.env.auto_reload = self._templates.watched  # the app may be told later than its environment is made
        return self.env.get_template(name).render({"was": was, **values})


def _with_was(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function for templates that passes `was` on."""

    @jinja2.pass_context
    @functools.wraps(function)
    def call(context: jinja2.runtime.Context, *args: Any, **kwargs: Any) -> Any:
        return function(context.resolve("was"), *args, **kwargs)

    return call
