"""Empty wheels in the place of the CUDA libraries that torch asks for: no node without a GPU needs them.

PyPI has torch for Linux with CUDA only. Its own wheel is as large as a CPU build or a little larger; the libraries
that it depends on would be several gigabytes more.
"""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

from bench import places

if TYPE_CHECKING:
    from pathlib import Path

PINS = """\
cuda-bindings==13.5.0
cuda-pathfinder==1.9.0
cuda-toolkit==13.2.2
nvidia-cublas==13.4.1.3
nvidia-cuda-cccl==13.3.5.0.6
nvidia-cuda-cupti==13.2.86
nvidia-cuda-nvrtc==13.2.86
nvidia-cuda-runtime==13.2.86
nvidia-cudnn-cu13==9.26.0.51
nvidia-cufft==12.2.0.57
nvidia-cufile==1.17.1.22
nvidia-cusolver==12.2.0.11
nvidia-cusparse==12.7.10.12
nvidia-cusparselt-cu13==0.8.1
nvidia-nccl-cu12==2.32.3
nvidia-nccl-cu13==2.30.7
nvidia-nvjitlink==13.5.37
nvidia-nvshmem-cu13==3.7.2
nvidia-nvtx==13.2.86
triton==3.9.0
"""


def wheels() -> Path:
    """Return a folder of the empty wheels, for `--find-links`; a local version goes before the index's own."""
    return places.kept("absent", _write)


def _write(folder: Path) -> None:
    for pin in PINS.split():
        name, version = pin.split("==")
        _write_wheel(folder, name.replace("-", "_"), f"{version}+absent")


def _write_wheel(folder: Path, name: str, version: str) -> None:
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
