"""Shell scripts made up at random, of what activation scripts are made of and of what they are not."""

from __future__ import annotations

import random

VARIABLES = ("ALPHA", "BETA", "GAMMA", "DELTA")

WORDS = (
    *("foo", "''", '""', "'a b'", '"c d"', "$V", "${V}", '"$V"', '"${V:-other}"', "${V-x}", "${V:+yes}"),
    *('"${V+set}"', "$CONDA_PREFIX/share", '"${CONDA_PREFIX}/share/data.txt"', "$CONDA_PREFIX/none", "$(uname)"),
    *("$(echo hi)", "`echo hi`", "a\\ b", "x\\$y", '"q\\"r"', '"it\'s"', "~/z", "$HOME/x", "${V%b}", "${#V}"),
    *("$((1+2))", 'p"$V"q', "pre${V}post", "*", "$'t\\tx'", '"${V:-a b}"', "a#b", "{x,y}", "$1", "${V:=set}"),
)
TESTS = (
    *('[ -n "$V" ]', "[ -n $V ]", '[ -z "${V:-}" ]', "[[ -n $V ]]", "[[ ! -z ${V+x} && -d $CONDA_PREFIX/share ]]"),
    *("[ -d $CONDA_PREFIX/share ]", '[ -f "$CONDA_PREFIX/share/data.txt" ]', "[ ! -d $CONDA_PREFIX/none ]"),
    *("[ W = W ]", "[[ W == W ]]", "[[ $V == f* ]]", 'test -n "$V"', "true", "false", "[ -w $CONDA_PREFIX ]"),
    *("grep -q data $CONDA_PREFIX/share/data.txt", "[[ -v V || -e /nowhere ]]", "[ W ]", "! true", ": foo"),
    *("command -v ls > /dev/null", '[ -n "$V" -a -n "$V" ]', '[[ "$V" != foo ]]', "[ ]"),
)
COMMON = (
    *(
        "export V=W",
        "export V=W",
        "V=W",
        "export V",
        "unset V",
        "V+=W",
        "V=W ; export V # V=no",
        "T && S",
        "T || S",
    ),
    *('export "V=${CONDA_PREFIX}/share"', "if T; then\nS\nfi", "if T; then\nS\nS\nelse\nS\nfi"),
    *("if T; then S; elif T ; then\nS\nelse S\nfi", "echo W > /dev/null 2>&1", "echo hi | cat"),
)
RARE = (
    *(". $CONDA_PREFIX/inner.sh", "eval export V=W", "set -e", "set -u", "read V <<< hi", "export V=W | cat"),
    *(
        "for i in 1 2; do V=$i; done",
        "f() { V=in; }; f",
        "case x in x) V=in;; esac",
        "( V=in )",
        "V=W ls > /dev/null",
    ),
    *(
        "declare -x V=W",
        "printf -v V in",
        "export -n V",
        "return",
        "exit 0",
        "V=(1 2)",
        "{ V=in; }",
        "readonly V=W",
    ),
)
DEEPEST = 3


def random_script(dice: random.Random) -> str:
    """Return a script of a few statements about VARIABLES."""
    return "\n".join(_filled("S", dice, 0) for _ in range(dice.randint(1, 5))) + "\n"


def _filled(pattern: str, dice: random.Random, depth: int) -> str:
    """Return a pattern whose S, T, W and V are a statement, a test, a word and a variable of their own."""
    statements = COMMON[:7] if depth >= DEEPEST else RARE if dice.random() < 0.1 else COMMON
    choices = {"S": statements, "T": TESTS, "W": WORDS, "V": VARIABLES}
    filled = [
        _filled(dice.choice(choices[character]), dice, depth + 1) if _stands_for_more(pattern, at) else character
        for at, character in enumerate(pattern)
    ]
    return "".join(filled) if pattern not in VARIABLES else pattern


def _stands_for_more(pattern: str, at: int) -> bool:
    around = pattern[max(0, at - 1) : at] + pattern[at + 1 : at + 2]
    return pattern[at] in "STWV" and not any(character.isalnum() or character == "_" for character in around)
