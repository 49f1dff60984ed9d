"""The libraries that most jobs use work from a slim archive, and it is smaller by what it says."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest

from envpack.archive.slim import left_out
from tests.support.channel import Channel
from tests.support.command import desk_at

pytestmark = pytest.mark.acceptance

COMPUTATION = """
import numpy as np, pandas as pd, pyarrow as pa, pyarrow.parquet as pq
from numpy.testing import assert_allclose
from scipy import optimize, sparse, stats
from sklearn.linear_model import LinearRegression
frame = pd.DataFrame({"x": np.arange(100.0), "y": 3 * np.arange(100.0) + 1})
sink = pa.BufferOutputStream()
pq.write_table(pa.Table.from_pandas(frame), sink)
back = pq.read_table(pa.BufferReader(sink.getvalue())).to_pandas()
pd.testing.assert_frame_equal(back, frame)
model = LinearRegression().fit(back[["x"]].to_numpy(), back["y"])
assert_allclose([model.coef_[0], model.intercept_], [3, 1])
assert_allclose(stats.linregress(back.x, back.y).slope, 3)
assert_allclose(optimize.brentq(lambda x: x * x - 2, 0, 2) ** 2, 2)
print(int(sparse.eye(5).sum()), back.groupby(back.x // 10).y.sum().size)
"""


def test_pandas_and_its_like_compute_from_a_slim_archive(full_channel: Channel, tmp_path: Path) -> None:
    desk = desk_at(tmp_path / "a desk", full_channel, tmp_path / "a cache")
    desk.write("r.txt", "numpy", "pandas", "pyarrow", "scipy", "scikit-learn")
    built = desk.build("r.txt", "--python", desk.channel.python, "--slim")
    saved = {row["rule"]: row for row in built["slim"]}
    assert saved["tests"]["size"] > 30_000_000
    assert {"tests", "headers", "stubs", "sources"} <= saved.keys()
    (archive,) = desk.store.glob("r/*/r-*.tar.gz")
    with tarfile.open(archive) as tar:
        assert [info.name for info in tar if info.isfile() and left_out(info.name)] == []
    node = tmp_path / "environment"
    node.mkdir()
    subprocess.run(["tar", "-xzf", archive, "-C", node], check=True)
    command: list[str | Path] = [node / "bin/python", "-I", "-W", "ignore", "-c", COMPUTATION]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["5", "10"]
