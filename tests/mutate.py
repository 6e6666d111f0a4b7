"""Do the tests catch wrong code? Some fifty hand-made errors, one at a time, in a copy of the repository.

    python tests/mutate.py [-j 2] [NUMBER...]

Each is a plausible slip in what computes a result or a verdict. The tests beside it are run until the first one fails; its
name is printed. Exit code 1 where an error goes unnoticed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TIMEOUT = 600.0


@dataclass(frozen=True)
class Error:
    """`old` stands once in `file` and is replaced by `new`; `tests` should notice."""

    what: str
    file: str
    old: str
    new: str
    tests: str


PATHWAY, OPTIM = "tests/test_pathway.py tests/test_contracts.py", "tests/test_optim.py"
SHARED = "tests/test_shared_runs.py -k imagenet"
ERRORS = (
    Error("the sign of the scale", "benchmark/model/pathway.py", "return nn.functional.linear(x, self.weight, bias) + scale * joined",
          "return nn.functional.linear(x, self.weight, bias) - scale * joined", PATHWAY),
    Error("the sum is written with the auxiliary alone", "benchmark/model/pathway.py",
          "torch.addcmul(self.weight[rows], _rows(self.scale, rows), self.auxiliary[rows],",
          "torch.addcmul(self.weight[rows], _rows(self.scale, rows) * 0 + 1, self.auxiliary[rows],", PATHWAY),
    Error("the auxiliary's gradient is the sum's", "benchmark/model/pathway.py", "(self.auxiliary, scale)]", "(self.auxiliary, None)]",
          PATHWAY),
    Error("the scale's gradient of W", "benchmark/model/pathway.py", "torch.dot(gradient.flatten(), self.auxiliary.flatten())",
          "torch.dot(gradient.flatten(), self.weight.flatten())", PATHWAY),
    Error("A steps with the scale of after the step", "benchmark/train/optim.py", "pieced.append((pathway, pathway.scale.clone()))",
          "pieced.append((pathway, pathway.scale))", PATHWAY),
    Error("the same in one loop", "benchmark/model/loops.py", "g = scale * g", "g = new_scale * g", PATHWAY),
    Error("W steps in the place of A", "benchmark/train/optim.py", "*moved):", "*moved[:3], *moved[:3]):",
          PATHWAY),
    Error("a farthest point too near", "benchmark/model/loops.py", "near[i] = min(near[i], distance)", "near[i] = distance",
          "tests/test_points.py"),
    Error("of equally near points the last", "benchmark/model/loops.py", "if every[i] < far[last]:", "if every[i] <= far[last]:",
          "tests/test_points.py"),
    Error("clipping forgets the pathway", "benchmark/train/optim.py",
          "norms += weight_norms(pathways)", "pass", PATHWAY),
    Error("the average of factors", "benchmark/train/optim.py", "merge(self.module)", "pass", OPTIM),
    Error("scales of frozen blocks are each process's own", "benchmark/train/processes.py", "distributed.all_reduce(joined)", "pass",
          "tests/test_shared_runs.py -k frozen_blocks"),
    Error("a look at frozen blocks sees a process's own rows", "benchmark/train/signed.py", "self.feed.team.complete_sums()", "pass",
          "tests/test_shared_runs.py -k frozen_blocks"),
    Error("the auxiliary's own parameter is trained", "benchmark/model/connect.py", "other.weight.detach().to(linear.weight, copy=True)",
          "other.weight.detach()", PATHWAY),
    Error("head counts are not compared", "benchmark/model/connect.py", "if counts[0] != counts[1]:", "if False:", PATHWAY),
    Error("only the first block is joined", "benchmark/model/connect.py", "for name, linear in linears.items()\n",
          "for name, linear in linears.items() if index == 0\n", PATHWAY),
    Error("a scale that may not train trains", "benchmark/model/pathway.py", "nn.Parameter(scale, requires_grad=train_scale)", "nn.Parameter(scale)", PATHWAY),
    Error("cosine with itself", "benchmark/model/pathway.py", "cosine_similarity(one, other, dim=0)",
          "cosine_similarity(one, one, dim=0)", PATHWAY),
    Error("weights of a pathway do not decay", "benchmark/train/optim.py", '{"weight", "auxiliary"}', '{"weight"}', OPTIM),
    Error("scales decay", "benchmark/train/optim.py", "parameter.ndim > 1 and name.rsplit", "name.rsplit", OPTIM),
    Error("layer decay counts from the other end", "benchmark/train/optim.py", "layer_decay ** (depth + 1 - layer_of(name, depth))",
          "layer_decay ** layer_of(name, depth)", OPTIM),
    Error("the cosine goes up", "benchmark/train/optim.py", "0.5 * (1 + math.cos", "0.5 * (1 - math.cos", OPTIM),
    Error("clipping by the largest norm", "benchmark/train/optim.py", "math.sqrt(math.fsum(norm * norm for norm in norms))",
          "max(norms)", OPTIM),
    Error("the mean over the wrong axis", "benchmark/model/classification.py", "features.patches.mean(1)",
          "features.patches.mean(2, keepdim=True).expand_as(features.patches)[:, 0]", "tests/test_patches.py tests/test_contracts.py "
          "tests/test_task_imagenet.py"),
    Error("top-5 counts as top-1", "benchmark/model/classification.py", "int(hit[:, 0].sum())", "int(hit.sum())",
          "tests/test_augment.py"),
    Error("an absent part counts 0", "tasks/shapenet/model.py", "both / either.clamp(min=1), 1.0)",
          "both / either.clamp(min=1), 0.0)", "tests/test_task_shapenet.py"),
    Error("parts of other categories may be predicted", "tasks/shapenet/model.py", "logits[rows, :, first:end].argmax(-1)",
          "logits[rows].argmax(-1).clamp(first, end - 1) - first", "tests/test_task_shapenet.py"),
    Error("classes without positives count", "tasks/audioset/metrics.py", "for c in np.flatnonzero(present)]",
          "for c in range(labels.shape[1])]", "tests/test_task_audioset.py"),
    Error("masked and visible tokens change places", "benchmark/model/mae.py",
          "return order[:, :num_keep].sort(1).values, order[:, num_keep:].sort(1).values",
          "return order[:, num_keep:].sort(1).values, order[:, :num_keep].sort(1).values", "tests/test_patches.py "
          "tests/test_points.py tests/test_contracts.py tests/test_pictures.py"),
    Error("the decoder's positions in order of the input", "benchmark/model/mae.py",
          "gather_tokens(position, ids_keep), gather_tokens(position, ids_masked)], 1)",
          "position.expand(batch_size, -1, -1)], 1)", "tests/test_patches.py tests/test_points.py tests/test_contracts.py"),
    Error("the spread of a patch is biased", "benchmark/model/mae.py", "eps=eps * biased) * biased**0.5", "eps=eps)",
          "tests/test_patches.py"),
    Error("val and test change places", "benchmark/train/execute.py", "evaluate(tested, task, splits[split], spec, device,",
          'evaluate(tested, task, splits[{"val": "test", "test": "val"}[split]], spec, device,',
          "tests/test_contracts.py::test_what_is_recorded_of_a_split_is_what_the_exported_weights_reach_on_it"),
    Error("the arm's name enters the data's seed", "benchmark/train/execute.py", 'spec.shape.depth, splits["train"], spec.seed, device,',
          'spec.shape.depth, splits["train"], spec.seed + len(spec.arm or ""), device,', "tests/test_contracts.py "
          "tests/test_controls.py"),
    Error("the order of an epoch is the same in all", "benchmark/train/feed.py", 'generator(seed, "order", epoch)',
          'generator(seed, "order")', "tests/test_train.py"),
    Error("a resumed run begins its epoch again", "benchmark/train/feed.py", "self.recipe.batch_size)[first:end]", "self.recipe.batch_size)[:end]",
          "tests/test_runner.py"),
    Error("augmentation does not depend on the epoch", "benchmark/data/seeds.py", '"sample", use, self.epoch)', '"sample", use)',
          "tests/test_augment.py"),
    Error("a window of a clip may lie outside it", "benchmark/data/augment.py", "low=-1, high=1) * (1 - scale)", "low=-1, high=1)",
          "tests/test_augment.py"),
    Error("the standard deviation divides by n", "benchmark/evidence/stats.py", "for value in values) / (n - 1))", "for value in values) / n)",
          "tests/test_stats.py"),
    Error("Holm counts one test too few", "benchmark/evidence/stats.py", "p * (len(tested) - rank))", "p * max(1, len(tested) - rank - 1))",
          "tests/test_stats.py"),
    Error("selection on test", "benchmark/evidence/collect.py", 'curves.get(("val", main.name), {})',
          'curves.get(("test", main.name), {})', "tests/test_report.py"),
    Error("differences the wrong way round", "benchmark/evidence/collect.py", "treated - reference", "reference - treated",
          "tests/test_report.py"),
    Error("one rival is enough", "benchmark/evidence/rule.py", 'known(group["p"].astype(float).max(skipna=False))',
          'known(group["p"].astype(float).min(skipna=False))', "tests/test_claims.py"),
    Error("a rival that is ahead is beaten", "benchmark/evidence/rule.py",
          'ahead = bool((sign * group["difference"].astype(float) > 0).all())', "ahead = True", "tests/test_claims.py"),
    Error("what the loosest reference leaves is excluded", "benchmark/evidence/rule.py", "edges.min(skipna=False)",
          "edges.max(skipna=False)", "tests/test_claims.py"),
    Error("an arm beside the rule decides", "benchmark/evidence/rule.py",
          'ruled = contrasts[contrasts["in_rule"].astype(bool)]', "ruled = contrasts", "tests/test_claims.py"),
    Error("one seed is evidence", "benchmark/evidence/rule.py", 'ONE_SEED if group["n"].min() < 2 else NO',
          "NO", "tests/test_claims.py"),
    Error("a difference that is the same in every seed is no evidence of help", "benchmark/evidence/rule.py",
          'NO_SPREAD if group["p"].isna().any()', "NO_EVIDENCE if False", "tests/test_claims.py"),
    Error("from scratch, another start is another comparison", "benchmark/spec/runspec.py",
          'return self.setting != "scratch"', "return True",
          "tests/test_claims.py"),
    Error("the runs of a stack drop what those of the first seed do", "benchmark/train/stacked_model.py",
          'derive_seed(seed, "step", number)', 'derive_seed(seeds[0], "step", number)', "tests/test_lockstep.py"),
    Error("the scale of a layer has the gradient of each output", "benchmark/train/stacked_optim.py",
          "torch.where(self.tied, shared, inner)", "inner", "tests/test_stacked_optim.py"),
    Error("a stack goes on from that of other places", "benchmark/train/stacked_runs.py",
          "for member in self.all), str(self.size)]", "for member in self.all)]", "tests/test_lockstep.py"),
    Error("runs of a stack are paired with runs alone", "benchmark/evidence/pairing.py",
          "where.lockstep or 1, where.processes", "1, where.processes", "tests/test_lockstep.py"),
    Error("any interval that holds a number reproduces it", "benchmark/evidence/claims.py",
          "if inside and evidence.high - evidence.low > 2 * VALUE_MARGIN:", "if False:", "tests/test_claims.py"),
    Error("noise merged like the planted effect keeps its weights", "baselines/planted.py",
          "parameter.data = drawn * (parameter.detach().norm() / drawn.norm())", "pass", "tests/test_controls.py"),
    Error("pairs of other seeds", "benchmark/evidence/pairing.py", "baselines.get((run.comparison, run.spec.seed), [])",
          "[b for (c, _), found in baselines.items() if c == run.comparison for b in found][:1]", "tests/test_report.py"),
    Error("whatever has the most runs heads the report", "benchmark/evidence/sections.py",
          "expected = {**conditions_of(group[(fitting or ranked)[0]]), **(stated or {})}", "expected = conditions_of(group[ranked[0]])",
          "tests/test_report.py"),
    Error("a tuned arm need not beat a tuned plain model", "benchmark/evidence/rule.py", "**(best if tuned_baseline else {})",
          "**{}", "tests/test_claims.py"),
    Error("a leak is looked for below chance", "benchmark/evidence/sanity.py", "above = (estimate.mean - chance)",
          "above = (chance - estimate.mean)", "tests/test_sanity.py"),
    Error("a process drops by the rows of the first", "benchmark/train/shared_layers.py",
          "own = rows.everyone[self.at_hand.rank]", "own = rows.everyone[0]", SHARED),
    Error("each process's mean in a shared batch norm", "benchmark/train/shared_layers.py",
          "distributed.all_reduce(sums)\n        count", "count", SHARED.replace("imagenet", "shapenet")),
    Error("the mean of processes in the place of the sum", "benchmark/train/processes.py",
          "lambda future: future.value()[0])", "lambda future: future.value()[0] / self.size)", SHARED),
    Error("a sample at the border is mixed with itself", "benchmark/train/processes.py", "partners = places + 1", "partners = places",
          "tests/test_shared_runs.py -k take_all_rows"),
    Error("each share of the labels is a family of its own", "benchmark/evidence/shares.py", 'drop=True), ["profile", "setting", "arm"])',
          'drop=True), ["profile", "setting", "arm", "share"])', "tests/test_sanity.py"),
    Error("an effect of the wrong sign is reproduced", "benchmark/evidence/claims.py", "if significant and sign * evidence.mean > 0:",
          "if significant:", "tests/test_claims.py"),
)


def try_one(error: Error) -> tuple[Error, str | None]:
    """The test that notices, or None."""
    with tempfile.TemporaryDirectory(prefix="mutate-") as scratch:
        copy = Path(scratch) / "repository"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", ".tox", "results", "__pycache__", ".*_cache"))
        path = copy / error.file
        text = path.read_text(encoding="utf-8")
        if text.count(error.old) != 1:
            raise SystemExit(f"{error.file}: {error.old!r} stands {text.count(error.old)} times, expected once")
        path.write_text(text.replace(error.old, error.new), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *error.tests.split()]
        try:
            done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False, timeout=TIMEOUT,
                                  env={**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"})
        except subprocess.TimeoutExpired:
            return error, f"no end within {TIMEOUT:.0f} s"
        found = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
        if done.returncode not in (0, 1) and found is None:
            raise SystemExit(f"{error.what}: pytest ended with {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return error, found.group(1) if found and done.returncode else None


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("numbers", nargs="*", type=int, help="which, from 1 (default: all)")
    parser.add_argument("-j", "--jobs", type=int, default=2)
    options = parser.parse_args()
    chosen = [ERRORS[number - 1] for number in options.numbers] or list(ERRORS)
    missed = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for error, catcher in pool.map(try_one, chosen):
            missed += catcher is None
            print(f"{ERRORS.index(error) + 1:>2}  {error.what}: {catcher or 'NOT NOTICED'}", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} errors are noticed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
