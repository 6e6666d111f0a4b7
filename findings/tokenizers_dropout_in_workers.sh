#!/usr/bin/env bash
# BPE dropout splits the same words otherwise each time, so that a model sees many spellings, and workers of a loader are to draw each their
# own. In a process that has tokenised something, were it one word, tokenizers has a generator, a fork copies it, and each worker goes
# on from there: four workers that are forked give one and the same splits for the same texts, to the last token, and the four that are
# forked for the next epoch give them again. So the eighth epoch has the splits of the first where a loader starts its workers anew, as
# torch's does on Linux without persistent_workers, and what was to be noise is a fixed choice. Whoever has not tokenised before the
# fork has workers that differ. No seed changes it: not Python's, numpy's or torch's, which loaders set for each worker, as tokenizers has
# none to be set, and so no run with dropout can be repeated either. Seen with TOKENIZERS_PARALLELISM=false, as its warning of forks
# advises, and without batches. With spawn in place of fork workers differ. Nothing is said. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q tokenizers==0.23.3 numpy==2.4.6
cat > "$folder/workers.py" <<'PYTHON'
import multiprocessing
import random
import sys

import numpy as np
import tokenizers
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.trainers import BpeTrainer


def texts() -> list[str]:
    draw = random.Random(0)
    return [" ".join("".join(draw.choices("abcdefgh", k=draw.randint(2, 8))) for _ in range(10)) for _ in range(300)]


def trained() -> str:
    tokenizer = Tokenizer(BPE(dropout=0.3))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.train_from_iterator(texts(), BpeTrainer(vocab_size=500, show_progress=False))
    return tokenizer.to_str()


def work(tokenizer: Tokenizer | str, seed: int, queue: multiprocessing.SimpleQueue) -> None:
    random.seed(seed)
    np.random.seed(seed)
    tokenizer = Tokenizer.from_str(tokenizer) if isinstance(tokenizer, str) else tokenizer
    queue.put([tokenizer.encode(text).ids for text in texts()[:20]])


def epoch(tokenizer: Tokenizer | str, way: str) -> list[str]:
    """What each of four workers makes of the same twenty texts."""
    context, made = multiprocessing.get_context(way), []
    for seed in range(4):
        queue = context.SimpleQueue()
        worker = context.Process(target=work, args=(tokenizer, seed, queue))
        worker.start()
        made.append(str(queue.get()))
        worker.join()
    return made


if __name__ == "__main__":
    saved = trained()
    tokenizer = Tokenizer.from_str(saved)
    fresh = epoch(tokenizer, "fork")
    here = {str(tokenizer.encode(texts()[0]).ids) for _ in range(20)}
    first, second, spawned = epoch(tokenizer, "fork"), epoch(tokenizer, "fork"), epoch(saved, "spawn")
    print(f"tokenizers {tokenizers.__version__}; of 20 times one text in one process {len(here)} differ")
    print(f"distinct results of four forked workers: {len(set(fresh))} before the first text is tokenised, {len(set(first))} after it, "
          f"{len(set(first + second))} of eight with the next epoch; of four spawned {len(set(spawned))}")
    sys.exit(0 if len(here) > 10 and len(set(fresh)) == 4 and len(set(first + second)) == 1 and len(set(spawned)) == 4 else 1)
PYTHON
TOKENIZERS_PARALLELISM=false "$folder/venv/bin/python" "$folder/workers.py"
