"""The policy's check of a lock, before anything of it is installed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from envpack.build import policy, sources
from envpack.build.make import allow, described
from envpack.errors import EnvpackError, PolicyViolated
from envpack.files.cache import Cache
from envpack.packages.package import packages_of

if TYPE_CHECKING:
    from envpack.config.config import Config
    from envpack.lock.lock import Lock
    from envpack.packages.package import PackedPackage
    from envpack.progress import Progress
    from envpack.resolve.request import Request


def allow_lock(lock: Lock, request: Request, config: Config, progress: Progress, *, sure: bool = False) -> None:
    """Raise PolicyViolated with everything in a lock that the configured policy does not allow.

    The licences of wheels are only in the wheels. Where the policy is about licences they are fetched: when
    something is denied anyway, so that everything is reported at once, and when the answer has to be `sure`, as
    nothing will be installed. In that case errors of fetching are raised too.
    """
    chosen = policy.configured(config)
    asks_wheels = bool(chosen.licenses and lock.wheels)
    try:
        allow(packages_of(lock), lock, request, config, installed=False)
    except PolicyViolated as known:
        if asks_wheels:
            try:
                packages = _with_licenses(lock, request, config, progress)
            except EnvpackError:  # the known reasons are enough
                raise known from None
            allow(packages, lock, request, config)
        raise
    if sure and asks_wheels:
        allow(_with_licenses(lock, request, config, progress), lock, request, config)


def _with_licenses(lock: Lock, request: Request, config: Config, progress: Progress) -> tuple[PackedPackage, ...]:
    from envpack.prefix.install import only_wheels  # noqa: PLC0415 - rattler takes long to import

    cache = Cache(Path(config.cache_dir))
    with cache.scratch() as scratch:
        building = partial(sources.builder, request, config, cache, scratch, progress)
        built = sources.provided(lock, building, lambda _: None)
        prefix = only_wheels(lock, request, cache=cache, scratch=scratch, built=built, progress=progress)
        return described(packages_of(lock), lock, request, prefix)
