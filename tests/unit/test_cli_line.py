"""The command line: verbs, options that derive from the tree, and one clear line for what it does not know."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.cli.line import VERBS, Line, UsageError, parse
from skitai.config.reference import flags_help, rst
from skitai.config.sources import OPTIONS, environment_name, flag
from skitai.config.tree import SECTIONS


def script(*words: str) -> Line:
    return parse(list(words), takes_app=False)


def command(*words: str) -> Line:
    return parse(list(words), takes_app=True)


def test_no_word_is_no_verb() -> None:
    assert script() == Line()


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_is_a_word(verb: str) -> None:
    assert script(verb).verb == verb


@pytest.mark.parametrize(("short", "verb"), [("-d", "start"), ("-s", "stop"), ("-r", "restart")])
def test_documented_short_forms(short: str, verb: str) -> None:
    assert script(short).verb == verb
    assert script(short, verb).verb == verb


@pytest.mark.parametrize("verb", VERBS)
def test_verb_and_app_come_in_either_order(verb: str) -> None:
    one, other = command(verb, "app.py"), command("app.py", verb)
    assert (one.verb, one.app, one.words) == (other.verb, other.app, other.words) == (verb, "app.py", (verb,))


def test_a_second_word_like_a_verb_names_an_app() -> None:
    assert command("run", "start").app == "start"


SECRET = sorted(name for name, each in OPTIONS.items() if each.secret)
OPEN = [name for name in OPTIONS if name not in SECRET]


@pytest.mark.parametrize("name", SECRET)
def test_a_secret_does_not_belong_on_a_command_line(name: str) -> None:
    for words in ([flag(name), "x"], [f"{flag(name)}=x"]):
        with pytest.raises(UsageError, match=f"everybody's to read; use {environment_name(name)} or a config"):
            script(*words)


@pytest.mark.parametrize("name", OPEN)
def test_every_option_of_the_tree_is_a_flag(name: str) -> None:
    option = OPTIONS[name]
    if option.type == "bool":
        assert script(flag(name)).flags == {name: True}
        assert script(flag("no-" + name)).flags == {name: False}
        assert script(flag(name) + "=off").flags == {name: "off"}
    else:
        value: Any = ["7"] if option.type.startswith("tuple") else "7"
        assert script(flag(name), "7").flags == {name: value}
        assert script(flag(name) + "=7").flags == {name: value}
        if option.short:
            assert script("-" + option.short, "7").flags == script(f"-{option.short}7").flags == {name: value}


def test_short_flags_are_unique() -> None:
    shorts = [option.short for option in OPTIONS.values() if option.short]
    assert len(set(shorts)) == len(shorts)
    assert not set(shorts) & set("dsrfh")


def test_lists_are_repeated_and_the_last_of_other_values_counts() -> None:
    assert script("--bind", "fd:3", "--bind=unix:/a b", "-p", "1", "-p", "2").flags == {
        "bind": ["fd:3", "unix:/a b"],
        "port": "2",
    }


def test_a_value_may_look_like_a_flag_or_be_empty() -> None:
    assert script("--threads", "-1").flags == {"threads": "-1"}
    assert script("--server-name", "").flags == {"server_name": ""}


def test_options_stand_anywhere_and_the_app_keeps_its_own() -> None:
    line = command("--port", "80", "start", "-w2", "site.py", "--config", "a.toml", "--", "stop", "--port", "x")
    assert (line.verb, line.app, line.config) == ("start", "site.py", "a.toml")
    assert line.flags == {"port": "80", "workers": "2"}
    assert line.words == ("--port", "80", "start", "-w2", "--config", "a.toml", "--", "stop", "--port", "x")
    assert script(*line.words) == Line("start", "", line.flags, "a.toml", words=line.words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["strat"], "unknown word 'strat'; did you mean start?"),
        (["start", "app.py"], "unknown word 'app.py'"),
        (["--prot", "80"], "unknown option '--prot'; did you mean --port?"),
        (["--no-port"], "unknown option '--no-port'; did you mean --port?"),
        (["--no-compress=1"], "unknown option '--no-compress=1'; did you mean --no-compress?"),
        (["-x"], "unknown option '-x'"),
        (["-vx"], "unknown option '-vx'"),
        (["--port"], "--port needs a value"),
        (["-p"], "-p needs a value"),
        (["--config"], "--config needs a value"),
        (["-d", "stop"], "stop: start and stop do not go together"),
        (["start", "stop"], "stop: start and stop do not go together"),
        (["-d", "-v"], "start and -v do not go together: a server in the background has no console"),
        (["-f"], "-f goes with logs"),
        (["reload", "--port", "80"], "--port has no effect on reload"),
    ],
)
def test_what_it_does_not_know_is_one_line(words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        script(*words)
    assert str(caught.value) == message


def test_places_matter_to_every_verb() -> None:
    assert script("status", "--varpath", "/v").flags == {"varpath": "/v"}


def test_the_help_names_every_option_once_and_by_section() -> None:
    text = flags_help()
    named = [line.split("--")[1].split()[0].removeprefix("[no-]") for line in text.splitlines() if "--" in line[:8]]
    assert named == [flag(name)[2:] for name in OPEN]
    assert [line.partition(":")[0] for line in text.splitlines() if line[:1].isalpha()] == list(SECTIONS)
    assert max(map(len, text.splitlines())) <= 100


def test_the_reference_has_a_row_for_every_option() -> None:
    text = rst()
    for name in OPTIONS:
        assert text.count(f"   * - ``{name}``\n") == 1, name
        assert f"{'' if name in SECRET else f'``{flag(name)}``, '}``{environment_name(name)}``." in text
    for section in SECTIONS:
        assert f"[{section}]\n{'-' * (len(section) + 2)}\n" in text


WORDS = st.one_of(
    st.sampled_from(
        [*VERBS, "-d", "-s", "-r", "-f", "-v", "--", "--config", "--bind", "--port", "--no-compress", "-p7", "a.py"]
    ),
    st.text(max_size=8),
)


@given(st.lists(WORDS, max_size=6), st.booleans())
def test_any_words_are_understood_or_refused_in_one_line(words: list[str], takes_app: bool) -> None:
    try:
        line = parse(words, takes_app=takes_app)
    except UsageError as error:
        assert str(error)
        return
    assert line.verb in {"", *VERBS}
    again = parse(list(line.words), takes_app=False)
    assert (again.verb, again.flags, again.config) == (line.verb, line.flags, line.config)
