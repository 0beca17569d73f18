"""Templates of an app: Jinja2 in general, Chameleon for ``.pt`` and ``.ptal``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

from skitai.saddle import events
from skitai.saddle.events import call_all as tell

if TYPE_CHECKING:
    import jinja2

    from skitai.saddle.app import Saddle

Function = Callable[..., Any]
F = TypeVar("F", bound=Function)

FOLDER = "templates"

PAGE_TEMPLATES = (".pt", ".ptal")

PRESETS: tuple[tuple[str, str, str, str, str, str], ...] = (
    ("{{", "}}", "{%", "%}", "{#", "#}"),
    ("[[", "]]", "[%", "%]", "[#", "#]"),
    ("<<", ">>", "<%", "%>", "<#", "#>"),
    ("((", "))", "(%", "%)", "(#", "#)"),
    ("${", "}", "{%", "%}", "{#", "#}"),
    ("{$", "$}", "{%", "%}", "{#", "#}"),
    ("{=", "=}", "{%", "%}", "{#", "#}"),
    ("<%=", "%>", "<%", "%>", "<%#", "%>"),
)
"""Delimiters of variables, blocks and comments, for `TemplateFacet.skito_jinja`."""

DELIMITERS = (
    "variable_start_string",
    "variable_end_string",
    "block_start_string",
    "block_end_string",
    "comment_start_string",
    "comment_end_string",
)


class Renderer(Protocol):
    """A kind of templates."""

    def render(self, was: Any, name: str, values: Mapping[str, Any]) -> str: ...


class Templates:
    """What an app has said of its templates, and the engines, made at their first use.

    :ivar extra: folders to look into after the app's own.
    :ivar functions: for all templates, called with `was` first.
    :ivar filters: for Jinja2.
    """

    def __init__(self, app: Saddle) -> None:
        self.app = app
        self.extra: list[str] = []
        self.functions: dict[str, Function] = {}
        self.filters: dict[str, Function] = {}
        self.options: dict[str, Any] = {}
        self._jinja: Any = None
        self._pages: Any = None

    @property
    def folders(self) -> list[str]:
        """Where templates lie."""
        return [os.path.join(self.app.home, FOLDER), *self.extra]

    @property
    def watched(self) -> bool:
        """Whether changed files count at once."""
        return bool(self.app.debug or self.app.use_reloader)

    @property
    def jinja(self) -> Any:
        """The renderer of Jinja2 templates."""
        if self._jinja is None:
            from skitai.saddle import jinja  # at first use: importing Jinja2 takes a while

            self._jinja = jinja.Jinja(self)
        return self._jinja

    @property
    def pages(self) -> Any:
        """The renderer of Chameleon templates."""
        if self._pages is None:
            from skitai.saddle import chameleon

            self._pages = chameleon.Chameleon(self)
        return self._pages

    def renderer(self, name: str) -> Renderer:
        """Who renders a template."""
        found: Renderer = self.pages if name.endswith(PAGE_TEMPLATES) else self.jinja
        return found

    def overlay(self, options: Mapping[str, Any]) -> None:
        self.options.update(options)
        if self._jinja is not None:
            self._jinja.overlay(options)

    def add(self, kind: str, name: str, function: Function) -> None:
        """Add a function ("functions") or a filter ("filters")."""
        getattr(self, kind)[name] = function
        if self._jinja is not None:
            self._jinja.install()

    def prepare(self) -> None:
        """Make the engine now if there are templates, so that no request waits for it."""
        if os.path.isdir(self.folders[0]):
            _ = self.jinja


class TemplateFacet:
    """The members of `Saddle` for templates, which lie in the app's folder ``templates``.

    Every template has `was`. In templates of HTML and XML values are escaped.
    """

    def __init__(self) -> None:
        self._templates = Templates(self)  # type: ignore[arg-type]

    @property
    def jinja_env(self) -> jinja2.Environment:
        """Jinja2's environment."""
        env: jinja2.Environment = self._templates.jinja.env
        return env

    @property
    def templates_dirs(self) -> list[str]:
        """Folders to look for templates in after the app's own."""
        return self._templates.extra

    @templates_dirs.setter
    def templates_dirs(self, folders: Iterable[str]) -> None:
        self._templates.extra = [os.fspath(folder) for folder in folders]

    def jinja_overlay(self, **options: Any) -> None:
        """Change options of Jinja2's environment, delimiters above all: ``app.jinja_overlay(block_start_string="[%", ...)``.

        Where a delimiter begins and ends with the same text, that text doubled stands for itself.
        """
        self._templates.overlay(options)

    def skito_jinja(self, preset: int = 0) -> None:
        """Choose delimiters by number.

        :param preset: 0 is Jinja2's own; see `PRESETS`.
        :raises ValueError: there is no such preset.
        """
        if not 0 <= preset < len(PRESETS):
            raise ValueError(f"skito_jinja({preset}): there are presets 0 to {len(PRESETS) - 1}")
        self.jinja_overlay(**dict(zip(DELIMITERS, PRESETS[preset], strict=True)))

    @overload
    def template_global(self, name: str) -> Callable[[F], F]: ...

    @overload
    def template_global(self, name: F) -> F: ...

    def template_global(self, name: str | F) -> Any:
        """A decorator: offer ``function(was, ...)`` to all templates, which call it without `was`.

        :param name: in templates; the function's own without parentheses.
        """
        return self._offer("functions", name)

    @overload
    def template_filter(self, name: str) -> Callable[[F], F]: ...

    @overload
    def template_filter(self, name: F) -> F: ...

    def template_filter(self, name: str | F) -> Any:
        """A decorator: offer a function as a filter of Jinja2 templates. Parameters as for `template_global`."""
        return self._offer("filters", name)

    def _offer(self, kind: str, name: str | F) -> Any:
        if callable(name):
            self._templates.add(kind, name.__name__, name)
            return name

        def add(function: F) -> F:
            self._templates.add(kind, name, function)
            return function

        return add

    def get_template(self, name: str) -> jinja2.Template:
        """A Jinja2 template."""
        return self.jinja_env.get_template(name)

    def render(  # type: ignore[misc]
        self: Saddle, was: Any, template: str, values: Mapping[str, Any] | None = None, /, **more: Any
    ) -> str:
        """The text of a template with these values.

        :param template: path below a folder of templates.
        :param values: names for the template, either here or as keywords.
        :raises TypeError: values in both ways.
        """
        if values is not None and more:
            raise TypeError("render() takes a dictionary or keywords, not both")
        params = dict(values) if values is not None else more
        handlers = self._events.own
        if events.template_rendering in handlers:
            tell(handlers[events.template_rendering], events.template_rendering, was, (template, params), {})
        text = self._templates.renderer(template).render(was, template, params)
        if events.template_rendered in handlers:
            tell(handlers[events.template_rendered], events.template_rendered, was, (text,), {})
        return text
