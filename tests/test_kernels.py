"""Where the kernels of a GPU run, and that they compute what they should: see `interpreted.py`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmark.model import loops

HERE = Path(__file__).parent


def test_what_a_gpu_does_in_one_launch_is_what_it_should_be():
    pytest.importorskip("triton")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider",
                           str(HERE / "interpreted.py")], capture_output=True, text=True, check=False,
                          env={**os.environ, "TRITON_INTERPRET": "1"})
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    count = len(re.findall(r"^def test_", (HERE / "interpreted.py").read_text(encoding="utf-8"), re.M))
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= count > 8


def test_kernels_are_for_gpus_beside_a_compiler_unless_they_are_interpreted(monkeypatch, tmp_path):
    pytest.importorskip("triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    assert not loops.has_kernels(gpu)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gcc").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert loops.has_kernels(gpu)
    assert not loops.has_kernels(cpu)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert loops.has_kernels(cpu)
