from __future__ import annotations

from envpack.packages.dependencies import chains
from envpack.packages.package import PackedPackage


def packages(**needs: str) -> list[PackedPackage]:
    return [
        PackedPackage(
            name=name.replace("_", "-"),
            version="1",
            source="pypi",
            sha256="",
            url="",
            requires=tuple(need.replace("_", "-") for need in text.split()),
        )
        for name, text in needs.items()
    ]


def test_every_requested_package_that_leads_to_another_gives_its_shortest_chain() -> None:
    inside = packages(app="web data", web="http", http="six", data="six", six="", lone="")
    assert chains(inside, ["app", "web", "lone"], "six") == [("app", "data", "six"), ("web", "http", "six")]


def test_what_was_requested_itself_is_a_chain_of_one() -> None:
    assert chains(packages(app="six", six=""), ["six", "app"], "six") == [("six",), ("app", "six")]


def test_names_are_compared_in_their_normalised_form() -> None:
    assert chains(packages(my_app="ruamel_yaml", ruamel_yaml=""), ["My_App"], "Ruamel.YAML") == [
        ("my-app", "ruamel-yaml")
    ]


def test_a_ring_of_needs_ends() -> None:
    assert chains(packages(a="b", b="a c", c=""), ["a"], "c") == [("a", "b", "c")]


def test_there_is_no_chain_to_what_is_not_there_or_what_nothing_needs() -> None:
    assert chains(packages(a="", b=""), ["a"], "b") == []
    assert chains(packages(a=""), ["a"], "zzz") == []
