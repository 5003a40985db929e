"""Make the demonstration model: ``tokenizer``, then ``train``, then ``export``; ``evaluate`` asks it questions."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jackfield_plugins.demo.training.export import export
from jackfield_plugins.demo.training.model import ModelConfig
from jackfield_plugins.demo.training.vocabulary import load_tokenizer, train_tokenizer

if TYPE_CHECKING:
    from jackfield_plugins.demo.training.evaluation import Score

TOKENIZER, WEIGHTS, SIZES = "tokenizer.json", "weights.npz", "sizes.json"


def main() -> None:
    """Run one step."""
    arguments = _parser().parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    arguments.run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m jackfield_plugins.demo.training", description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=Path("demo-model"), help="where the steps keep their files"
    )
    steps = parser.add_subparsers(required=True)
    tokenizer = steps.add_parser("tokenizer", help="train the tokenizer")
    tokenizer.add_argument("--vocab-size", type=int, default=ModelConfig.vocab_size)
    tokenizer.add_argument("--conversations", type=int, default=40_000)
    tokenizer.add_argument("--seed", type=int, default=1)
    tokenizer.set_defaults(run=_tokenizer)
    train = steps.add_parser("train", help="train the model for so many seconds")
    train.add_argument("--seconds", type=float, default=480.0)
    train.add_argument("--device", default="cpu", help="cpu or cuda")
    train.add_argument("--rows", type=int, default=32, help="rows of a step, each as long as the context")
    train.add_argument("--workers", type=int, default=12, help="processes that write data")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--go-on", action="store_true", help="begin with the weights that are there")
    train.add_argument("--start-scale", type=float, default=1.0, help="times the usual learning rates")
    train.add_argument("--decay-share", type=float, default=0.6, help="part of the time with a falling rate")
    train.add_argument("--attention", choices=("flex", "dense"), help="default: flex on cuda, dense on cpu")
    train.add_argument("--sizes", type=json.loads, default={}, help="other sizes, such as '{\"width\": 64}'")
    train.set_defaults(run=_train)
    write = steps.add_parser("export", help="write the GGUF file")
    write.add_argument("--out", type=Path, default=Path("demo.gguf"))
    write.add_argument("--name", default="Jackfield demonstration model")
    write.set_defaults(run=_export)
    ask = steps.add_parser("evaluate", help="ask held-out questions and print a table")
    ask.add_argument("--model", type=Path, default=Path("demo.gguf"))
    ask.add_argument("--questions", type=int, default=50, help="of each skill")
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--show-wrong", type=int, default=0, metavar="N", help="print N wrong answers a skill")
    ask.set_defaults(run=_evaluate)
    return parser


def _tokenizer(arguments: argparse.Namespace) -> None:
    tokenizer = train_tokenizer(arguments.vocab_size, arguments.conversations, arguments.seed)
    tokenizer.save(str(arguments.folder / TOKENIZER))


def _train(arguments: argparse.Namespace) -> None:
    from jackfield_plugins.demo.training.trainer import TrainingConfig, load_weights, save_weights, train

    folder, is_cuda = arguments.folder, arguments.device == "cuda"
    vocab_size = load_tokenizer(folder / TOKENIZER).get_vocab_size()
    model = ModelConfig(**{"vocab_size": vocab_size, **arguments.sizes})
    (folder / SIZES).write_text(json.dumps(asdict(model)) + "\n", encoding="utf-8")
    config = TrainingConfig(
        seconds=arguments.seconds,
        rows=arguments.rows,
        workers=arguments.workers,
        seed=arguments.seed,
        start_scale=arguments.start_scale,
        decay_share=arguments.decay_share,
        attention=arguments.attention or ("flex" if is_cuda else "dense"),
        is_compiled=is_cuda,
    )
    start = load_weights(folder / WEIGHTS, arguments.device) if arguments.go_on else None
    train(
        model,
        config,
        folder / TOKENIZER,
        arguments.device,
        start=start,
        save=lambda weights: save_weights(folder / WEIGHTS, weights),
        report=lambda line: print(line, flush=True),
    )


def _export(arguments: argparse.Namespace) -> None:
    folder = arguments.folder
    model = ModelConfig(**json.loads((folder / SIZES).read_text(encoding="utf-8")))
    with np.load(folder / WEIGHTS, allow_pickle=False) as arrays:
        weights = {name: arrays[name].astype(np.float32) for name in arrays.files}
    tokenizer = (folder / TOKENIZER).read_text(encoding="utf-8")
    path = export(arguments.out, model, weights, tokenizer, arguments.name)
    print(f"{path}: {path.stat().st_size:,} bytes")


def _evaluate(arguments: argparse.Namespace) -> None:
    from jackfield_plugins.demo.training.evaluation import evaluate, held_out_questions

    samples = held_out_questions(arguments.questions, arguments.seed)
    scores: dict[bool, dict[str, Score]] = {}
    for think in (False, True):
        scores[think] = evaluate(arguments.model, samples, think=think)
        for skill, score in scores[think].items():
            _print_wrong(f"{skill}, {'thinking' if think else 'not thinking'}", score, arguments.show_wrong)
    print("| skill | questions | right | right, thinking |\n|---|---:|---:|---:|")
    for skill in scores[False]:
        shares = [
            f"{100 * s.num_right / s.num_asked:.0f} %" for s in (scores[False][skill], scores[True][skill])
        ]
        print(f"| {skill} | {scores[False][skill].num_asked} | {shares[0]} | {shares[1]} |")


def _print_wrong(head: str, score: Score, count: int) -> None:
    for sample, answer in score.wrong[:count]:
        asked = sample.messages[-2]["content"]
        print(
            f"{head} ({score.num_right}/{score.num_asked}): {asked}\n  wanted {sample.check}\n  got {answer.text!r} {answer.calls or ''}\n",
            flush=True,
        )


if __name__ == "__main__":
    main()
