"""shell_words: what a command line holds that only a shell would understand."""

from __future__ import annotations

import pytest

from rustchain_airflow.steps.control.shell_words import shell_syntax, split

SYNTAX = [
    ("cat a | wc -l", "|"),
    ("ls|wc", "|"),
    ("make && make install", "&&"),
    ("false || true", "||"),
    ("cd x; make", ";"),
    ("server &", "&"),
    ("echo hi > out.txt", ">"),
    ("echo hi >> out.txt", ">>"),
    ("sort < in.txt", "<"),
    ("make 2>&1", ">&"),
    ("cat <<EOF", "<<"),
    ("echo $(date)", "$("),
    ("echo `date`", "`"),
    ("echo $HOME", "$HOME"),
    ("echo ${HOME}", "${"),
    ('echo "in $HOME"', "$HOME"),
    ('echo "today $(date)"', "$("),
    ("NAME=x make", "NAME="),
    ("echo a\necho b\n", "a line break"),
    ("echo 'quoted' | cat", "|"),
]


@pytest.mark.parametrize(("command", "found"), SYNTAX)
def test_shell_syntax(command, found):
    """Where a shell would do something, it is named."""
    assert shell_syntax(command) == found


WORDS = [
    ("echo hello", ["echo", "hello"]),
    ("  spaced   out  ", ["spaced", "out"]),
    ("echo 'a | b && c > $HOME `x`'", ["echo", "a | b && c > $HOME `x`"]),
    ('echo "a | b; c"', ["echo", "a | b; c"]),
    (r'echo "costs \$HOME"', ["echo", r"costs \$HOME"]),
    (r"find . -name *.py -exec rm {} \;", ["find", ".", "-name", "*.py", "-exec", "rm", "{}", ";"]),
    ("grep end$ file", ["grep", "end$", "file"]),
    ("curl 'http://host/?a=1&b=2'", ["curl", "http://host/?a=1&b=2"]),
    ("python -c print(1)", ["python", "-c", "print(1)"]),
    ("tool --name=value", ["tool", "--name=value"]),
    ("one \\\n  two\n", ["one", "two"]),
    ("echo 'kept \\\n as is'", ["echo", "kept \\\n as is"]),
    ("echo ''", ["echo", ""]),
]


@pytest.mark.parametrize(("command", "words"), WORDS)
def test_words(command, words):
    """What is quoted, escaped or no shell syntax at all is split into words as a shell would split it."""
    assert shell_syntax(command) is None
    assert split(command) == words
