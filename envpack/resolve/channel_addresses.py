"""The addresses of channels that are given by name, by URL or by directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rattler import Channel
from rattler.exceptions import InvalidChannelError

from envpack.channel_names import expanded, is_directory, without_subdir
from envpack.errors import UsageError
from envpack.redact import public
from envpack.requirements.addresses import checked_login
from envpack.requirements.text import Refused, quoted
from envpack.tools.channel_access import ChannelAddress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


def channel_addresses(
    channels: Iterable[str], base: Path, locked: Callable[[str], str] = public
) -> tuple[ChannelAddress, ...]:
    """Return the addresses of channels given by name, URL or directory, in their order; `defaults` means two.

    Directories are relative to `base`. `locked` gives the form of a URL that a lock holds. Raises UsageError for a
    directory that holds no channel, and for a text that is neither a name nor a URL.
    """
    return tuple(dict.fromkeys(found for channel in channels for found in _addresses(channel, base, locked)))


def _addresses(channel: str, base: Path, locked: Callable[[str], str]) -> Iterator[ChannelAddress]:
    if is_directory(channel, base):
        url = _of_directory(channel, base)
        yield ChannelAddress(url, url)
    elif "://" in channel:
        url = _checked(without_subdir(channel)[0])
        yield ChannelAddress(url, without_subdir(locked(channel))[0])
    else:
        for url in _of_name(without_subdir(channel)[0]):
            yield ChannelAddress(url, url)


def _checked(channel: str) -> str:
    try:
        url = checked_login(channel)
        if "?" in url or "#" in url:
            raise Refused(f"{quoted(public(url))}: a channel's URL must not contain `?` or `#`")
    except (Refused, ValueError) as error:
        raise UsageError(
            f"the channel cannot be used: {getattr(error, 'reason', error)}",
            hint="correct the channel's URL in --channel, the environment file or envpack.yaml",
        ) from error
    return url


def _of_directory(channel: str, base: Path) -> str:
    path = base / Path(channel).expanduser()
    if not (path / "noarch").is_dir():
        raise UsageError(
            f"the directory {channel} is not a conda channel: it has no noarch/",
            hint="make one with `envpack channel init DIR`",
        )
    return path.resolve().as_uri()


def _of_name(channel: str) -> Iterator[str]:
    if channel == "local":
        raise UsageError(
            "the channel name `local` is not supported",
            hint="give conda's directory of built packages instead, such as ~/conda-bld",
        )
    for name in expanded(channel):
        try:
            yield (name if "://" in name else Channel(name).base_url).rstrip("/")
        except InvalidChannelError as error:
            raise UsageError(
                f"{channel!r} is not a conda channel: {error}", hint="give a name, a URL or a directory"
            ) from error
