#!/usr/bin/env bash
# A measure of ranking asks for the order of scores, so what keeps the order keeps the measure: a logit and its probability rank alike.
# trec_eval, which is behind pytrec_eval and through it behind ir_measures, keeps scores in float32, and what is equal there it orders by
# the document's name, from the last to the first. Python has float64, in which 200 queries with 20 documents and logits near 14 have no
# two equal probabilities. The best document of each is the relevant one, so MRR and nDCG are 1. By logits they are; by probabilities MRR
# is 0.72 and nDCG 0.79 if relevant documents have the first names, and 1 if they have the last. Times, distances and large sums whose
# differences are below 6e-8 of them are alike. One call of ir_measures says RR 0.72 and RR@10 1.00, though a cut can only lower it, as it
# asks another library for the second. Nothing is said. Ranks in place of scores cure it. Reported to trec_eval as issue 34. Exits with 1
# where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q ir-measures==0.4.3 pytrec-eval-terrier==0.5.11 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

import ir_measures
import numpy as np
import pytrec_eval
from ir_measures import RR, nDCG

print(f"ir-measures {ir_measures.__version__}, pytrec-eval-terrier {version('pytrec-eval-terrier')}, numpy {np.__version__}")
generator = np.random.default_rng(0)
logits = -np.sort(-generator.normal(14, 2, (200, 20)), axis=1)  # the first is the best, and the relevant one
scores = {"logits": logits, "probabilities": 1 / (1 + np.exp(-logits)), "ranks": -np.arange(20.0) + np.zeros((200, 1))}
found = {}
for name, table in scores.items():
    distinct = bool((np.diff(table, axis=1) < 0).all())
    for names in ("first", "last"):
        named = [f"d{place:02}" for place in (range(20) if names == "first" else range(19, -1, -1))]
        truth = {f"q{query}": {named[0]: 1} for query in range(len(table))}
        run = {f"q{query}": dict(zip(named, row.tolist(), strict=True)) for query, row in enumerate(table)}
        each = pytrec_eval.RelevanceEvaluator(truth, {"recip_rank", "ndcg"}).evaluate(run)
        mean = {measure: float(np.mean([values[measure] for values in each.values()])) for measure in ("recip_rank", "ndcg")}
        both = ir_measures.calc_aggregate([RR, RR @ 10, nDCG @ 10], truth, run)
        found[name, names] = mean | {str(measure): float(value) for measure, value in both.items()}
        print(f"{name}, all distinct in float64: {distinct}, relevant documents named {names}: "
              + ", ".join(f"{measure} {value:.3f}" for measure, value in found[name, names].items()))
low = found.pop(("probabilities", "first"))
sys.exit(0 if all(abs(value - 1) < 1e-6 for values in found.values() for value in values.values())
         and low["recip_rank"] < 0.8 and low["RR"] < 0.8 and low["RR@10"] > 0.99 else 1)
PYTHON
