"""The rules by which `--slim` leaves out files that nodes never need.

A rule depends only on the path, so a package's files are treated alike in every environment. If the path does not
decide, the file stays; files that stay are unchanged, and the archive is verified without the rest.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from envpack import digest
from envpack.archive.saving import Saving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from envpack.archive.members import Member

_SITE = r"^lib/python[^/]+/site-packages/"

_METADATA = r"\.(dist|egg)-info/"
"""The metadata of distributions, including licences."""

_COMPILES = _SITE + (
    r"(torch|torchgen|triton|cuda|nvidia|cupy|cupyx|cupy_backends|numba|numba_cuda|pycuda|pyopencl|flashinfer|"
    r"deepspeed|tilelang|cutlass|tvm|taichi|warp|halide|pykeops|keopscore|brian2|neuron|httpstan|cppyy|"
    r"cppyy_backend|clang|ziglang|cmake|pyximport|Cython|pythran|pytensor|cffi|(.*/)?cmdstan[^/]*)/"
)
"""Packages that pass their own sources or headers to a compiler, on the node or on its GPU."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One kind of file that is left out."""

    name: str
    """A word or two, as in the manifest."""
    patterns: tuple[str, ...]
    """Regular expressions; one of them matches the path."""
    keeps: tuple[str, ...] = ()
    """Regular expressions of paths that stay although a pattern matches."""

    def leaves_out(self, path: str) -> bool:
        """Return whether the rule leaves a path of the archive out."""
        return bool(self._patterns.search(path)) and not (self.keeps and self._keeps.search(path))

    @cached_property
    def _patterns(self) -> re.Pattern[str]:
        return re.compile("|".join(self.patterns))

    @cached_property
    def _keeps(self) -> re.Pattern[str]:
        return re.compile("|".join(self.keeps))


RULES: tuple[Rule, ...] = (
    Rule(
        name="tests",
        # No job runs them; test tools, such as numpy.testing, stay
        patterns=(
            _SITE + r"(.*/)?tests(/|$)",
            # `test` is often a part of the interface (tensorflow.test): only where it is known not to be one
            _SITE + r"((gensim|joblib|nltk|tornado)/test|Crypt(o|odome)/SelfTest)(/|$)",
            r"^lib/python[^/]+/((ctypes|distutils|idlelib|lib2to3|sqlite3|tkinter|unittest)/)?tests?(/|$)",
        ),
        keeps=(
            _METADATA,
            _SITE + r"(astropy|dbt|h5py|pulp|tables)/tests(/|$)",  # imported with the package itself
            _SITE + r"torch/",
        ),
    ),
    Rule(
        name="static libraries",
        # Only linkers read them
        patterns=(r"\.l?a$",),
        keeps=(_METADATA, _COMPILES),
    ),
    Rule(
        name="headers",
        # Only compilers read them; Python's own stay, and those of packages that compile on a node
        patterns=(r"^include/", r"\.(h|hh|hpp|hxx|h\+\+|inl|ipp|tcc|cuh)$"),
        keeps=(
            _METADATA,
            _COMPILES,
            r"^include/python",
            r"^lib/(R|clang|gcc|perl5)/",
            r"/sysroot/",
            r"^bin/cmdstan/",
        ),
    ),
    Rule(
        name="sources",
        # The compiled modules are what is imported
        patterns=(_SITE + r".*\.(c|cc|cpp|cxx|c\+\+|f|f77|f90|for|pyx|pxd|pxi|pyf)$",),
        keeps=(_METADATA, _COMPILES),
    ),
    Rule(
        name="stubs",
        # Only type checkers and editors read them; lazy_loader reads a package's __init__.pyi, which stays
        patterns=(r"\.pyi$",),
        keeps=(_METADATA, r"/__init__\.pyi$", _SITE + r"(basedpyright|jedi|mypy|pyright|pytype)/"),
    ),
    Rule(
        name="build files",
        # Only builds read them; the Makefile that sysconfig names stays
        patterns=(
            r"^(lib|lib64|share)/(aclocal|cmake|pkgconfig)(/|$)",
            _SITE + r"(.*/)?pkgconfig(/|$)",
            _SITE + r".*/(CMakeLists\.txt|meson\.build|[^/]+\.cmake)$",
            r"^lib/python[^/]+/config-[^/]+/",
        ),
        keeps=(_METADATA, _COMPILES, r"^lib/python[^/]+/config-[^/]+/Makefile$"),
    ),
    Rule(
        name="manuals",
        # Nobody reads them on a node; licences stay
        patterns=(r"^(share/)?(man|info|doc|gtk-doc|help)(/|$)",),
        keeps=(r"(?i:licen[cs]e|copying|copyright|notice|authors)",),
    ),
    Rule(
        name="translations",
        # Processes on a node speak English
        patterns=(r"^share/locale/.*\.mo$",),
    ),
    Rule(
        name="completions",
        # Nobody types on a node
        patterns=(r"^share/(bash-completion|fish|zsh)(/|$)", r"^etc/bash_completion\.d(/|$)"),
    ),
    Rule(
        name="debug symbols",
        # Only debuggers read them
        patterns=(r"^lib/debug(/|$)", r"\.so(\.[0-9.]+)?\.debug$", r"\.(css|js)\.map$"),
    ),
    Rule(
        name="windows",
        # Nodes run Linux
        patterns=(r"/(distlib|setuptools)/[^/]+\.exe$", r"/distutils/command/[^/]+\.exe$"),
    ),
    Rule(
        name="bytecode duplicates",
        # Workers run without -O and read the other
        patterns=(r"/__pycache__/[^/]+\.opt-[12]\.pyc$",),
    ),
)
"""The first matching rule counts."""

VERSION = digest.of_json([[rule.name, rule.patterns, rule.keeps] for rule in RULES])[: digest.SHORT]
"""Changes with every change of the rules' results; part of the key of everything made with the rules."""


def left_out(path: str) -> Rule | None:
    """Return the rule that leaves a path of the archive out, or None if it stays."""
    return next((rule for rule in RULES if rule.leaves_out(path)), None)


def trimmed(
    members: Mapping[str, Member], owner_of: Callable[[str], str]
) -> tuple[dict[str, Member], tuple[Saving, ...]]:
    """Return the members by path that stay, each unchanged, and the saving of each rule.

    The target of a link that stays also stays, if it is of the same package (`owner_of` a path): a package's part
    of an archive must not depend on the other packages.
    """
    gone = {path: rule for path in members if (rule := left_out(path))}
    stay = [member for path, member in members.items() if member.link and path not in gone]
    while stay:
        link = stay.pop()
        target = posixpath.normpath(posixpath.join(posixpath.dirname(link.path), link.link))
        if target in gone and owner_of(target) == owner_of(link.path):
            del gone[target]
            stay += [members[target]] if members[target].link else []
    return {path: member for path, member in members.items() if path not in gone}, _savings(members, gone)


def _savings(members: Mapping[str, Member], gone: Mapping[str, Rule]) -> tuple[Saving, ...]:
    files = (path for path in gone if members[path].kind != "directory")
    return total(Saving(rule=gone[path].name, files=1, size=members[path].size) for path in files)


def total(savings: Iterable[Saving]) -> tuple[Saving, ...]:
    """Return the total saving of each rule."""
    files: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for saving in savings:
        files[saving.rule] += saving.files
        sizes[saving.rule] += saving.size
    return tuple(
        Saving(rule=rule.name, files=files[rule.name], size=sizes[rule.name]) for rule in RULES if files[rule.name]
    )
