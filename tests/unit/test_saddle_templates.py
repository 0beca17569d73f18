"""Templates: `was` in all of them, what an app adds to them, and their delimiters."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import pytest

from skitai import saddle
from skitai.saddle import Saddle
from skitai.saddle.context import Was
from skitai.saddle.templates import PRESETS

Write = Callable[..., Saddle]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """An app with these templates, by the names of their files with "_" for the point."""

    def make(**templates: str) -> Saddle:
        app = Saddle(__name__)
        app.home = str(tmp_path)
        for name, text in templates.items():
            file = tmp_path / "templates" / name.replace("_", ".").replace("..", "/")
            file.parent.mkdir(exist_ok=True, parents=True)
            file.write_text(text)
        return app

    return make


def test_a_template_has_was_and_values(write: Write) -> None:
    app = write(index_html="{{ was.g.product }} {{ choice }} {{ was.app.name }}")
    was = Was(app)
    was.g.product = "Apples"
    assert was.render("index.html", choice=2) == was.render("index.html", {"choice": 2}) == f"Apples 2 {__name__}"
    assert app.render(was, "index.html") == f"Apples  {__name__}"
    with pytest.raises(TypeError, match="not both"):
        was.render("index.html", {"choice": 2}, product="Apples")


def test_a_value_may_have_any_name(write: Write) -> None:
    app = write(a_txt="{{ template }} {{ values }} {{ self_ }}")
    assert Was(app).render("a.txt", template=1, values=2, self_=3) == "1 2 3"


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("a.html", True),
        ("A.HTM", True),
        ("a.xml", True),
        ("a.svg", True),
        ("a.html.j2", True),
        ("a.j2", True),
        ("a.txt", False),
        ("a.txt.j2", False),
        ("a.js", False),
        ("noext", False),
    ],
)
def test_html_is_escaped_and_text_is_not(write: Write, tmp_path: Path, name: str, escaped: bool) -> None:
    app = write(x_txt="")
    (tmp_path / "templates" / name).write_text("{{ x }}")
    assert Was(app).render(name, x="<&>") == ("&lt;&amp;&gt;" if escaped else "<&>")
    assert app.jinja_env.from_string("{{ x }}").render(x="<") == "&lt;"


def test_what_an_app_adds(write: Write) -> None:
    app = write(a_html="{{ names('-') }} {{ 'Hello' | reverse }} {{ twice(2) }} {{ form_token() }} {{ 'a' | shout }}")

    @app.template_global("names")
    def make_names(was: Was, separator: str) -> str:
        return separator.join(sorted(vars(was.g)))

    @app.template_global
    def twice(was: Was, number: int) -> int:
        return number * 2

    @app.template_filter("reverse")
    def reverse_filter(text: str) -> str:
        return text[::-1]

    app.jinja_env.globals["form_token"] = lambda: "token"

    @app.template_filter
    def shout(text: str) -> str:
        return text.upper()

    was = Was(app)
    was.g.b = was.g.a = 1
    assert was.render("a.html") == "a-b olleH 4 token A"
    assert (make_names(was, ","), reverse_filter("ab"), twice(was, 2)) == ("a,b", "ba", 4)


def test_macros_and_inheritance(write: Write) -> None:
    app = write(
        base_html="<{% block body %}{% endblock %}>",
        parts__m_html="{% macro hello(name) %}{{ name }} at {{ place() }}{% endmacro %}",
        page_html="{% extends 'base.html' %}{% from 'parts/m.html' import hello with context %}"
        "{% block body %}{{ hello('me') }}{% endblock %}",
    )

    @app.template_global("place")
    def place(was: Was) -> str:
        return str(was.g.place)

    was = Was(app)
    was.g.place = "home"
    assert was.render("page.html") == "<me at home>"


def test_folders_of_templates(write: Write, tmp_path: Path) -> None:
    app = write(a_txt="mine")
    more = tmp_path / "more"
    more.mkdir()
    (more / "a.txt").write_text("theirs")
    (more / "b.txt").write_text("theirs")
    with pytest.raises(jinja2.TemplateNotFound):
        Was(app).render("b.txt")
    app.templates_dirs.append(str(more))
    assert (Was(app).render("a.txt"), Was(app).render("b.txt")) == ("mine", "theirs")
    app.templates_dirs = [tmp_path]  # type: ignore[list-item]
    assert app.templates_dirs == [str(tmp_path)]
    assert app.get_template("more/b.txt").render() == "theirs"


@pytest.mark.parametrize("name", ["../app.py", "../../etc/passwd", "/etc/passwd", "a/../../x", "..\\x", "missing.html"])
def test_no_name_leads_out_of_the_folders(write: Write, tmp_path: Path, name: str) -> None:
    (tmp_path / "app.py").write_text("secret")
    app = write(a_txt="")
    for each in (name, name + ".pt"):
        with pytest.raises((jinja2.TemplateNotFound, FileNotFoundError)):
            Was(app).render(each)


def test_changed_templates_count_at_once_while_developing(write: Write, tmp_path: Path) -> None:
    app = write(a_txt="old", a_pt="<p>old</p>")
    app.jinja_env.globals["made"] = "before"
    app.debug = True
    file, page = tmp_path / "templates" / "a.txt", tmp_path / "templates" / "a.pt"
    assert (Was(app).render("a.txt"), Was(app).render("a.pt")) == ("old", "<p>old</p>")
    for each, text in ((file, "new"), (page, "<p>new</p>")):
        each.write_text(text)
        os.utime(each, (1, 1))
    assert (Was(app).render("a.txt"), Was(app).render("a.pt")) == ("new", "<p>new</p>")


def test_delimiters(write: Write) -> None:
    app = write(a_txt="[[ x ]] {{ x }} [% if x %]yes[% endif %]")
    app.skito_jinja(1)
    assert Was(app).render("a.txt", x=1) == "1 {{ x }} yes"
    with pytest.raises(ValueError, match="presets 0 to 7"):
        app.skito_jinja(8)


@pytest.mark.parametrize("preset", range(8))
def test_every_preset_works(write: Write, preset: int) -> None:
    variable, variable_end, block, block_end, comment, comment_end = PRESETS[preset]
    app = write(
        a_txt=f"{variable} x {variable_end}{block} if x {block_end}yes{block} endif {block_end}{comment} no {comment_end}"
    )
    app.skito_jinja(preset)
    assert Was(app).render("a.txt", x=1) == "1yes"


def test_options_may_change_before_and_after_the_first_use(write: Write) -> None:
    app = write(a_txt="% if x\n<< x >>\n% endif")
    app.jinja_overlay(line_statement_prefix="%")
    assert Was(app).render("a.txt", x=1) == "<< x >>\n"

    @app.template_global("y")
    def y(was: Was) -> str:
        return "kept"

    app.jinja_overlay(variable_start_string="<<", variable_end_string=">>")
    assert Was(app).render("a.txt", x=1) == "1\n"
    assert app.jinja_env.from_string("<< y() >>").render(was=Was(app)) == "kept"


def test_line_statements_are_off_unless_asked_for(write: Write) -> None:
    assert Was(write(a_txt="% if x\n%% note")).render("a.txt") == "% if x\n%% note"


def test_a_delimiter_that_begins_and_ends_alike_is_doubled_for_itself(write: Write) -> None:
    app = write(a_html="#x# is ##1")
    app.jinja_overlay(variable_start_string="#", variable_end_string="#")
    assert Was(app).render("a.html", x="<") == "&lt; is #1"


def test_page_templates(write: Write) -> None:
    app = write(
        index_ptal='<a tal:repeat="each items" tal:attributes="href was.g.base + each" tal:content="each"/>'
        "${ twice(2) }${ less }",
        index_pt="<p>${ x }</p>",
    )

    @app.template_global("twice")
    def twice(was: Was, number: int) -> int:
        return number * 2

    was = Was(app)
    was.g.base = "/"
    assert was.render("index.ptal", items=["a"], less="<") == '<a href="/a">a</a>4&lt;'
    assert was.render("index.pt", {"x": "&"}) == "<p>&amp;</p>"


def test_errors_in_templates_are_the_apps(write: Write) -> None:
    app = write(a_txt="{{ 1 / 0 }}", b_txt="{% if %}", c_pt="<p>${ 1 / 0 }</p>")
    with pytest.raises(ZeroDivisionError):
        Was(app).render("a.txt")
    with pytest.raises(jinja2.TemplateSyntaxError):
        Was(app).render("b.txt")
    with pytest.raises(ZeroDivisionError):
        Was(app).render("c.pt")


def test_template_engines_are_imported_when_they_are_used() -> None:
    code = "import sys, skitai.saddle.app; print([m for m in ('jinja2', 'chameleon') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_page_templates_without_chameleon_say_what_is_missing(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "chameleon", None)
    with pytest.raises(RuntimeError, match=r"skitai\[chameleon\]"):
        Was(write(a_pt="")).render("a.pt")


def test_prepared_only_where_there_are_templates(write: Write) -> None:
    without, having = write(), write(a_txt="")
    without.home = "/nonexistent"
    for app, made in ((without, False), (having, True)):
        app._templates.prepare()
        assert (app._templates._jinja is not None) is made


def test_events(write: Write) -> None:
    app = write(a_txt="{{ x }}")
    told: list[Any] = []

    @app.on(saddle.template_rendering)
    def rendering(was: Was, template: str, params: dict[str, Any]) -> None:
        told.append((template, dict(params)))
        params["x"] = 5

    @app.on(saddle.template_rendered)
    def rendered(was: Was, text: str) -> None:
        told.append(text)

    assert Was(app).render("a.txt", x=1) == "5"
    assert told == [("a.txt", {"x": 1}), "5"]
