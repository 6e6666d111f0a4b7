"""A planned run that begins with the pretraining of another task in; in what its model differs from what that leaves, out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmark.model.weights import CheckpointError, load_encoder, save_weights
from benchmark.plan.matrix import Job
from benchmark.spec.contracts import Task
from benchmark.train.setup import build_autoencoder, build_model


def fault_of_start(jobs: Iterable[Job], tasks: Mapping[str, Task]) -> str:
    """Of the first of these runs that starts from the pretraining of a task that its own names, why it could not load it; ""
    where it could, or where none does. Both models are built, untrained."""
    for job in jobs:
        start = dict(job.needs).get("target")
        if job.spec.kind != "train" or start is None or start.task != job.task.pretrained_by:
            continue
        model = build_model(job.spec, job.task)
        with TemporaryDirectory(prefix="check-") as folder:
            path = Path(folder) / "weights.safetensors"
            save_weights(build_autoencoder(start, tasks[start.task]).encoder, path)
            try:
                load_encoder(model, path, start.shape)
            except CheckpointError as error:
                said = str(error).replace(f"weights {path}", "its weights")
                return (f"it is pretrained by {start.task}, and {said}; give it the tokenizer and the shape of {start.task}, "
                        "or leave pretrained_by out and give it a modality of its own")
        return ""
    return ""
