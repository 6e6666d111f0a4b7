"""The study of pathways (Zhang et al., CVPR 2024): what the paper asks and states, and what its method is held against.

The published numbers are in claims.yaml, the source of every number of the profile "paper" in sources.yaml, and the choices
that the profile does not make in variants.yaml, all beside this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmark.plan.presets import Group, Matrix
from benchmark.plan.study import SecondRule, Study
from benchmark.spec.recipes import SETTINGS

HERE = Path(__file__).parent
TARGETS = ("imagenet", "shapenet", "kinetics", "audioset")
ABLATED = (("imagenet", "point"), ("shapenet", "video"))  # target and auxiliary of the ablations (Table 5)
ARMS = ("finetune", "m2pt")


def group(**fields: Any) -> Group:
    """The paper's targets under the plain baseline and the method, unless others are named."""
    return Group.model_validate({"arms": ARMS, "targets": TARGETS, **fields})


def ablated(*options: dict[str, Any]) -> tuple[Group, ...]:
    """The ablated pairs, with the plain baseline and some variants of the method."""
    return tuple(group(targets=(target,), auxiliaries=(auxiliary,), options=options) for target, auxiliary in ABLATED)


BASELINES = ("finetune", "fix", "scratch")
FROM_AUXILIARY = ("random-norm", "shuffled", "permuted", "aux-init", "merge")
WITHOUT_AUXILIARY = ("random-init", "same-modality", "self-copy", "zero", "ceiling", "gain", "higher-lr")
PLANTED = ("merge-whole", "merge-whole-random", "tokenizer-only", "merge-own", "merge-random")
OWN_DRAWS: tuple[dict[str, Any], ...] = ({"draws": "own"},)  # noise of its own for every target, auxiliary and setting
SOLVED = ("finetune", "fix", "finetune-linear", "solution", "solution-noise")
DOSES: tuple[dict[str, Any], ...] = tuple({"rho": rho} for rho in (1.0, 0.3, 0.1, 0.03))
REAL = (("speech", 4, 6), ("text", 6, 12))  # auxiliaries that no task has, with the blocks and heads of their files
REAL_RECIPES = ((("pretrained", "fix"), ("pretrain.precision=bf16",)),  # the second: chosen as docs/real-auxiliaries.md says
                (("scratch",), ("recipe.epochs=16", "recipe.warmup_epochs=2", "recipe.lr=0.0003")))
LABEL_SHARES = (0.05, 0.1, 0.25, 0.5, 1.0)
# Entries of tiny's blocks are about a tenth: at ten times the rate a scale moves W + sA as far a step as W itself moves.
RATES: tuple[dict[str, Any], ...] = ({}, {"scale_lr_factor": 10.0})
PLAIN_RATES: tuple[dict[str, Any], ...] = ({"lr_factor": 2.0},)  # as many tries as the method has
ALIGNED = ("aligned", "aligned-noise", "aligned-permuted", "aligned-known")
PATHWAYS_KIN = ("lora", "low-rank", "low-rank-noise", "low-rank-known", *ALIGNED, "solution-noise")
FROZEN_KIN = ("scratch", "fpt", "fpt-random", "fpt-shuffled", "fpt-own", "frozen-block", "frozen-block-random",
              "frozen-block-none", "frozen-block-own", "distil", "distil-random", "distil-own", "tokenizer-only")
VECTORS = ("task-vector", "task-vector-noise", "task-vector-permuted")
COEFFICIENTS: tuple[dict[str, Any], ...] = ({}, {"merge_scale": 0.3}, {"merge_scale": 0.1})  # as is: 1

MATRICES: dict[str, Matrix] = {matrix.name: matrix for matrix in (
    Matrix(name="smoke", summary="every cell of the paper's matrix on a few samples for two epochs: does everything run?",
           seeds="0", groups=(group(),), limited=True,
           quick=tuple(f"{scope}.{value}" for scope in ("recipe", "pretrain") for value in ("epochs=2", "warmup_epochs=1"))),
    Matrix(name="quick", summary="one pair beside its baseline, noise and a self-copy, on all samples for few epochs: a first "
           "answer in about three minutes, at a scale that settles nothing",
           seeds="0-1",
           quick=("pretrain.epochs=20", "recipe.epochs=8", *(f"{scope}.warmup_epochs=1" for scope in ("recipe", "pretrain")),
                  "recipe.eval_every=8"),
           groups=(group(targets=("imagenet",), auxiliaries=("audio",), arms=(*ARMS, "random-norm", "self-copy")),)),
    Matrix(name="full", summary="every target x auxiliary pair of the paper against its fine-tuned baseline",
           groups=(group(),)),
    Matrix(name="auxiliaries", summary="do the auxiliaries know anything? pretrained against scratch, for every embedded task",
           groups=(group(targets=(*TARGETS, "modelnet", "kinetics-frame"), arms=("finetune", "scratch"),
                         settings=("pretrained", "scratch")),)),
    Matrix(name="settings", summary="every pair fine-tuned, frozen and from scratch (Tables 1-4)",
           groups=(group(arms=(*BASELINES, "m2pt"), settings=SETTINGS),)),
    Matrix(name="ablation", summary="which layers, how the scale starts, whether it trains (Table 5)", groups=ablated(
        *({"layers": [layer]} for layer in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")), {},
        {"scale_init": 1e-2, "train_scale": False}, *({"scale_init": value} for value in (1e-2, 1e-4, 1e-6)))),
    Matrix(name="order", summary="the auxiliary's blocks in order, reversed, permuted (Table 6)",
           groups=ablated({}, {"order": "reversed"}, {"order": "permuted"})),
    Matrix(name="maturity", summary="the auxiliary early and late in its pretraining (Table 6: 20, 220 and 300 of 300 epochs)",
           groups=ablated({"maturity": 20 / 300}, {"maturity": 220 / 300}, {})),
    Matrix(name="cost", summary="time, parameters and memory of training and inference (Table 7); one run at a time",
           timed=True,
           groups=(group(targets=("imagenet",), auxiliaries=("point",)),)),
    Matrix(name="controls", summary="every control on every target, in every setting", seeds="0-5", groups=(
        group(arms=(*BASELINES, "m2pt", *FROM_AUXILIARY, *WITHOUT_AUXILIARY), settings=SETTINGS),
        group(arms=("m2pt",), settings=SETTINGS, options=(
            {"order": "reversed"}, {"order": "permuted"}, {"maturity": 20 / 300},
            *({"scale_init": value, "train_scale": False} for value in (0.01, 0.1, 1.0)))),
        group(arms=("m2pt",), settings=("pretrained", "scratch"), options=(  # under `fix` A is frozen anyway
            {"train_auxiliary": False}, {"auxiliary_decay": False}, {"auxiliary_lr_factor": 10.0})))),
    Matrix(name="evidence", summary="every pair against the controls that a gain must beat, in every setting", seeds="0-5",
           groups=(group(arms=(*BASELINES, "m2pt", "random-norm", "self-copy", "same-modality"), settings=SETTINGS),)),
    Matrix(name="unseen", summary="as evidence, pretrained, on seeds that no one has seen, with noise of its own for every "
           "target and auxiliary",
           seeds="6-13",
           groups=(group(arms=("finetune", "m2pt", "random-norm", "self-copy", "same-modality"), options=OWN_DRAWS),)),
    Matrix(name="lead", summary="frozen blocks: is it the auxiliary's structure? its weights permuted, shuffled, untrained",
           seeds="0-5",
           groups=(group(arms=("fix", "m2pt", "permuted", "shuffled", "random-init"), settings=("fix",),
                         options=OWN_DRAWS),)),
    Matrix(name="shared-origin", summary="auxiliaries pretrained from the target's own initial blocks, beside noise of "
           "their size",
           seeds="0-5",
           groups=tuple(group(arms=arms, settings=("fix", "pretrained"), options=({"origin": "target", **drawn},))
                        for arms, drawn in ((("finetune", "fix", "m2pt", "self-copy"), {}), (("random-norm",), OWN_DRAWS[0])))),
    Matrix(name="planted", summary="an effect planted on purpose, its controls, and pathways from the target's own blocks, "
           "from scratch",
           seeds="0-5",
           groups=(group(arms=("scratch", *PLANTED, "ceiling", "self-copy"), settings=("scratch",)),)),
    Matrix(name="known-solution", summary="pathways from what fine-tuning itself adds to the linear layers: is a known "
           "solution found, with frozen weights and with trained ones?",
           seeds="0-5",
           groups=(group(arms=(*SOLVED, "self-copy"), settings=("fix", "pretrained")),)),
    Matrix(name="dose", summary="the known solution diluted with noise: which cosine with the target's own change is detected?",
           seeds="0-5",
           groups=(group(arms=SOLVED, settings=("fix", "pretrained"), options=DOSES),)),
    Matrix(name="kin", summary="the next claims, each with its own controls: low rank, aligned units, frozen blocks of another "
           "modality, teachers of another modality, task vectors",
           groups=(group(arms=("finetune", "fix", "m2pt", *PATHWAYS_KIN), settings=("fix", "pretrained")),
                   group(arms=ALIGNED, settings=("fix", "pretrained"), options=({"by": "activations"},)),
                   group(arms=FROZEN_KIN, settings=("scratch",)),  # options apart, so that arms can be chosen without them
                   group(arms=("fpt-own",), settings=("scratch",), options=({"tokenizer": "own"},)),
                   group(arms=(*VECTORS, "task-vector-known"), settings=("fix",), options=COEFFICIENTS),
                   group(arms=("higher-lr",), settings=("fix",), options=({}, {"lr_factor": 0.5})))),  # the plain model, tuned
    Matrix(name="kin-shared-origin", summary="task vectors of auxiliaries that began from the target's own initial blocks",
           groups=(group(arms=("fix",), settings=("fix",)), group(arms=VECTORS, settings=("fix",), options=tuple(
                       {"origin": "target", **coefficient} for coefficient in COEFFICIENTS)),
                   group(arms=("higher-lr",), settings=("fix",), options=({}, {"lr_factor": 0.5})))),
    Matrix(name="shuffled-labels", summary="labels dealt out at random: everything must be at chance",
           groups=(group(set=("recipe.shuffle_labels=true",)),)),
    Matrix(name="real", summary="auxiliaries that were trained elsewhere, from files: the encoders of Whisper tiny.en (speech) "
           "and MiniLM (text), into targets of their sizes (docs/real-auxiliaries.md)",
           groups=tuple(group(targets=("imagenet", "audioset"), auxiliaries=(auxiliary,), arms=arms, settings=settings,
                              options=(drawn,), set=("shape.embed_dim=384", f"shape.depth={depth}", f"shape.num_heads={heads}",
                                                     "shape.mlp_ratio=4", "recipe.precision=bf16", *recipe))
                        for auxiliary, depth, heads in REAL
                        for settings, recipe in REAL_RECIPES
                        for arms, drawn in (((*BASELINES, "m2pt", "self-copy", "aux-init"), {}),
                                            (("random-norm", "shuffled"), OWN_DRAWS[0])))),
    Matrix(name="fifth-modality", summary="a fifth modality as auxiliary, a manual's text, beside noise of its size "
           "and a self-copy",
           groups=(group(auxiliaries=("prose",), arms=("finetune", "m2pt", "random-norm", "self-copy"), options=OWN_DRAWS),)),
    Matrix(name="labels", summary="5, 10, 25, 50 and 100 % of the labels: does an auxiliary help where labels are few? (4.4.2)",
           groups=tuple(group(arms=("finetune", "m2pt", "random-norm", "self-copy"), set=(f"recipe.label_share={share:g}",))
                        for share in LABEL_SHARES)),
    Matrix(name="steelman", summary="scales at ten times the rate, against controls and a plain model tuned as hard, with few "
           "labels and many",
           groups=tuple(group(arms=arms, options=options, set=(f"recipe.label_share={share:g}",))
                        for share in (0.1, 1.0) for arms, options in (
                            (("finetune", "m2pt", "random-norm", "self-copy"), RATES), (("higher-lr",), PLAIN_RATES)))),
)}

STUDY = Study(
    name="m2pt",
    title="m2pt-bench report",
    summary="Does a transformer of one modality really help a transformer of another? "
            "A reproducibility benchmark of Multimodal Pathway (CVPR 2024).",
    question="Does a transformer trained on one modality help a transformer of another, and by how much?",
    method="m2pt",
    arms=ARMS,
    targets=TARGETS,
    matrices=MATRICES,
    rivals={
        "m2pt": ("random-norm", "self-copy"), "ceiling": ("self-copy",),
        "merge-whole": ("merge-whole-random", "self-copy"), "merge-whole-random": ("self-copy",),
        "merge-own": ("merge-random", "self-copy"), "merge-random": ("self-copy",),
        "solution": ("solution-noise", "self-copy")},
    beside={"m2pt": ("same-modality",), "low-rank": ("lora", "m2pt"), "aligned": ("m2pt",), "fpt": ("fpt-own",),
            "frozen-block": ("frozen-block-own",), "distil": ("distil-own",)},
    told={"m2pt": ("permuted", "shuffled", "random-init")},  # what the matrix `lead` asks
    positive={"low-rank": "low-rank-known", "aligned": "aligned-known", "task-vector": "task-vector-known", "fpt": "fpt-own",
              "frozen-block": "frozen-block-own", "distil": "distil-own"},
    tuned_baseline="higher-lr",
    noise=("random-norm",),
    dose=("solution", "rho"),
    second_rule=SecondRule(HERE / "rule-2.md", "tiny", "pretrained", range(6, 14), {
        "imagenet": ("point", "video", "audio"), "shapenet": ("image", "video", "audio"),
        "kinetics": ("image", "point", "audio"), "audioset": ("image", "point", "video")}),
    treatment="adding the weights of a transformer of another modality to a model's own, through one learned scale a layer "
              "(a pathway),",
    called={"random-norm": "noise of the auxiliary's size", "self-copy": "a copy of the target's own weights",
            "same-modality": "the target's own modality, pretrained under another seed",
            "permuted": "the auxiliary, rows and columns of its weights permuted",
            "shuffled": "the auxiliary, the entries of its weights shuffled",
            "random-init": "untrained blocks",
            "aux-init": "the auxiliary's blocks in place of the target's",
            "ceiling": "pathways from the target's own pretrained blocks",
            "merge-whole": "planted on purpose, the target's own pretrained encoder",
            "merge-whole-random": "noise of that encoder's size",
            "merge-own": "planted on purpose, first attempt, its blocks alone", "merge-random": "noise of those blocks' size",
            "finetune-linear": "fine-tuning of the linear layers alone",
            "solution": "pathways from what fine-tuning adds",
            "solution-noise": "noise of that size",
            "m2pt": "pathways",
            "higher-lr": "the plain model at other rates", "tokenizer-only": "the pretrained tokenizer before fresh blocks",
            "low-rank": "pathways of a low rank", "low-rank-noise": "noise of that rank and size",
            "low-rank-known": "pathways from what fine-tuning adds, cut to that rank",
            "aligned": "pathways from the auxiliary, its units put in the target's order",
            "aligned-noise": "noise, put in order alike", "aligned-permuted": "the auxiliary permuted, put in order alike",
            "aligned-known": "pathways from what fine-tuning adds, put in order again",
            "task-vector": "what pretraining added to the auxiliary, added", "task-vector-noise": "noise of that size, added",
            "task-vector-permuted": "the same, rows and columns permuted",
            "task-vector-known": "what fine-tuning adds, added before training",
            "fpt": "the auxiliary's blocks, frozen", "fpt-random": "untrained blocks, frozen",
            "fpt-shuffled": "the auxiliary's blocks, entries shuffled, frozen",
            "fpt-own": "blocks of the target's own modality, frozen",
            "frozen-block": "a frozen block of the auxiliary behind the last one",
            "frozen-block-random": "an untrained block there",
            "frozen-block-none": "two linear layers alone there",
            "frozen-block-own": "a block of the target's own modality there",
            "distil": "the auxiliary's blocks as a teacher", "distil-random": "an untrained teacher",
            "distil-own": "the target's own pretrained blocks as a teacher", "lora": "adapters of a low rank"},
    stand_ins={"imagenet": "emoji (stands in for ImageNet)", "shapenet": "game models in parts (stands in for ShapeNetPart)",
               "kinetics": "sprite animations (stands in for Kinetics-400)",
               "audioset": "game sounds and notes (stands in for AudioSet)",
               "modelnet": "game models (stands in for ModelNet40)"},
    limits=(
        "Models of a few blocks on a few thousand samples: nothing follows for ViT-B on the official data, either way.",
        "No gain found is not no gain: an effect below what a row is found from would have been missed more often than not.",
        "With trained blocks pathways that hold all that fine-tuning adds to the linear layers are found on one of four "
        "targets (profile tiny, results/known), the only one where that is better than the plain model: where blocks train, "
        "no gain says little of what an auxiliary knows.",
        "Means over pairs and targets hide a pair that gains while another loses; the figure shows each.",
        "The suite's own auxiliaries are as small as targets, and those from points may know little.",
        "The first rule was altered after the first seed of its controls had been seen, so it is no rule of unseen data.",
        "The planted effect that is found (merge-whole: the target's own pretrained encoder) came after a first one had "
        "failed (merge-own: its blocks alone); it shows that the pipeline sees a large effect, not one of the size in "
        "question.",
        "The target's own pretrained blocks through pathways, from scratch (ceiling), bound nothing: they come without the "
        "tokenizer that they were trained with; and the fresh model of a seed begins with the weights from which that "
        "pretraining began, so that they are in part a copy of its own. The same is so of merge-own."),
    equal=("zero",),
    profile="paper",
    claims=HERE / "claims.yaml",
    sources=HERE / "sources.yaml",
    variants=HERE / "variants.yaml",
)
