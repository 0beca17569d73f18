"""The documentation says what is: its snippets compile, its names exist, its commands parse, its links lead somewhere."""

import re
import shlex

import pytest

import skitai
from docs import tables
from skitai import was
from skitai.cli import cache
from skitai.cli.helper import grammar
from skitai.cli.line import SCRIPT, parse, understand
from skitai.cli.world import WORLD
from skitai.config import conf
from skitai.config.alone import build_alone
from skitai.config.tree import options
from skitai.saddle import Was
from tests.support.snippets import PAGES, ROOT, own_tests, snippets, tries

EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))
names = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@names
def test_python_compiles(page):
    for snippet in snippets(page):
        if snippet.language == "python":
            compile(snippet.text, f"{page.name}: {snippet.file or 'a snippet'}", "exec")


@names
def test_what_is_named_of_the_package_exists(page):
    mentioned = set(re.findall(r"\bskitai\.([a-z_]+)\(", page.read_text()))
    assert mentioned <= set(skitai.__all__)


@names
def test_what_is_named_of_was_exists(page):
    in_apps = {name for kind in Was.__mro__ for name in getattr(kind, "__annotations__", ())}
    registered = re.findall(r'\bwac\.register\("([a-z_]+)"', page.read_text())
    assert set(re.findall(r"\bwas\.([a-z_][a-z_0-9]*)", page.read_text())) <= {*dir(was), *dir(Was), *in_apps, *registered}


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: str(file.relative_to(ROOT)))
def test_what_examples_name_of_the_package_exists(file):
    assert set(re.findall(r"\bskitai\.([a-z_]+)\(", file.read_text())) <= set(skitai.__all__)


@names
def test_commands_are_understood(page):
    for snippet in snippets(page):
        if snippet.language == "console":
            for line in snippet.text.splitlines():
                _understand(shlex.split(line.removeprefix("$ "), comments=True))


def _understand(words):
    match words:
        case ["python3", script, *rest] if script.endswith(".py"):
            parse(rest, takes_app=False)
        case ["skitai", "cache", *rest]:
            cache.understand(rest)
        case ["skitai", *rest]:
            parse(rest, takes_app=True)
        case ["skitai-smtpda" | "skitai-cron" as name, *rest]:
            understand(rest, grammar(name.removeprefix("skitai-")))


def test_commands_that_are_wrong_would_be_found():
    with pytest.raises(Exception, match="--wrokers"):
        _understand(["python3", "app.py", "start", "--wrokers", "2"])
    with pytest.raises(Exception, match="qeue"):
        _understand(["skitai-smtpda", "qeue"])


def test_the_example_of_a_configuration_file_is_in_order():
    file = conf.parse("skitai.conf", (ROOT / "examples" / "skitai.conf").read_text())
    for helper in ("smtpda", "cron"):
        assert build_alone(helper, "/home/ann/.skitai.conf", file, {}, {}, WORLD).helper == helper


def test_the_unit_starts_the_script_with_options_that_exist():
    unit = (ROOT / "examples" / "skitai.service").read_text()
    (command,) = re.findall(r"^ExecStart=\S+ \S+\.py (.*)$", unit, re.MULTILINE)
    assert parse(shlex.split(command), takes_app=False).flags


@names
def test_options_in_backticks_exist(page):
    flags = {"--" + each.name.replace("_", "-") for each in options()}
    flags |= {f"--no-{flag[2:]}" for flag in flags} | {"--no-"} | {*SCRIPT.spellings()}
    assert set(re.findall(r"`(--[a-z-]+)", page.read_text())) <= flags


@names
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


@names
def test_what_is_tried_is_shown(page):
    shown = {snippet.file for snippet in snippets(page)}
    assert {each.script for each in tries(page)} | set(own_tests(page)) <= shown


def test_every_option_is_in_the_reference():
    text = tables.TABLES["options"]()
    assert [each.name for each in options() if f"``{each.name}``" not in text] == []


def test_every_limit_is_listed_with_its_default():
    rows = [row for row in tables.limits().splitlines() if "`max_post_body_size`" in row]
    assert len(rows) == 1
    assert "5242880 bytes" in rows[0]


def test_every_page_is_in_the_table_of_contents():
    listed = set(re.findall(r"^(\w+)$", (ROOT / "docs" / "index.md").read_text(), re.MULTILINE))
    pages = {file.stem for suffix in ("md", "rst") for file in (ROOT / "docs").glob(f"*.{suffix}")} - {"index"}
    assert pages <= listed


def test_the_ten_lines_of_the_readme_are_an_example():
    (shown,) = [snippet.text for snippet in snippets(ROOT / "README.md") if snippet.file == "app.py"]
    example = (ROOT / "examples" / "hello.py").read_text()
    assert example.split('"""', 2)[2].strip() == shown.strip()


@pytest.mark.filterwarnings("ignore")  # those of Sphinx and its extensions; their own are errors by -W
def test_the_pages_build_without_a_warning(tmp_path):
    build = pytest.importorskip("sphinx.cmd.build")
    assert build.build_main(["-q", "-W", "-E", "-b", "html", str(ROOT / "docs"), str(tmp_path)]) == 0
    assert "max_post_body_size" in (tmp_path / "configuration.html").read_text()
