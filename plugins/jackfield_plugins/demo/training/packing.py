"""Rows of tokens, filled with whole documents by several processes; the same rows for the same seed."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from jackfield_plugins.demo.training.dialogue import Sample
from jackfield_plugins.demo.training.mixture import training_samples
from jackfield_plugins.demo.training.rendering import END_OF_TEXT, Segment, rendered
from jackfield_plugins.demo.training.skills.writing import plain_text
from jackfield_plugins.demo.training.vocabulary import load_tokenizer

__all__ = ["PackedRows", "documents", "packed_rows", "parallel_rows"]

READING_WEIGHT = 8
ANSWER_WEIGHT = 255
"""How much a token counts in the loss, in parts of 255: what is read teaches a little, too."""

CHUNK = 256
WAITING = 48
PLAIN_TEXT_SHARE = 0.03


@dataclass(frozen=True)
class PackedRows:
    """``[R, T]`` each: tokens, which document of the row they are of (0 is padding), and their loss weight."""

    tokens: npt.NDArray[np.int16]
    documents: npt.NDArray[np.int16]
    weights: npt.NDArray[np.uint8]


Document = tuple[list[int], list[int]]


def _segments(sample: Sample, rng: Random) -> list[Segment]:
    last = sample.messages[-1]
    think = bool(last.get("thinking")) and rng.random() < 0.4
    return rendered(sample, think=think, is_spliced=rng.random() < 0.6, rng=rng)


def documents(seed: int, tokenizer: Any) -> Iterator[Document]:
    """Yield tokens and loss weights of one document after the other, without end."""
    samples, rng = training_samples(seed), Random(f"documents {seed}")
    end = tokenizer.token_to_id(END_OF_TEXT)
    while True:
        batch: list[list[Segment]] = []
        for _ in range(CHUNK):
            if rng.random() < PLAIN_TEXT_SHARE:
                batch.append([Segment(plain_text(rng), is_answer=True)])
            else:
                batch.append(_segments(next(samples), rng))
        encoded = iter(
            tokenizer.encode_batch_fast([s.text for parts in batch for s in parts], add_special_tokens=False)
        )
        for parts in batch:
            tokens: list[int] = []
            weights: list[int] = []
            for part in parts:
                ids = next(encoded).ids
                tokens += ids
                weights += [ANSWER_WEIGHT if part.is_answer else READING_WEIGHT] * len(ids)
            if len(parts) == 1:
                tokens.append(end)
                weights.append(ANSWER_WEIGHT)
            yield tokens, weights


def packed_rows(seed: int, tokenizer: Any, row_length: int, num_rows: int) -> Iterator[PackedRows]:
    """Yield groups of rows; of the documents that wait, the longest that fits goes into a row next."""
    source = documents(seed, tokenizer)
    waiting: list[Document] = []
    while True:
        tokens = np.zeros((num_rows, row_length), np.int16)
        owners = np.zeros((num_rows, row_length), np.int16)
        weights = np.zeros((num_rows, row_length), np.uint8)
        for row in range(num_rows):
            filled = number = 0
            while True:
                while len(waiting) < WAITING:
                    document = next(source)
                    if len(document[0]) <= row_length:
                        waiting.append(document)
                chosen = _next_to_place(waiting, row_length - filled, first=filled == 0)
                if chosen is None:
                    break
                number += 1
                ids, parts = waiting.pop(chosen)
                stop = filled + len(ids)
                tokens[row, filled:stop], owners[row, filled:stop], weights[row, filled:stop] = (
                    ids,
                    number,
                    parts,
                )
                filled = stop
        yield PackedRows(tokens, owners, weights)


def _next_to_place(waiting: list[Document], room: int, *, first: bool) -> int | None:
    """Return the oldest document while there is much room, then the longest that fits."""
    if first or (room > 1024 and len(waiting[0][0]) <= room):
        return 0
    fitting = [index for index, document in enumerate(waiting) if len(document[0]) <= room]
    return max(fitting, key=lambda index: len(waiting[index][0]), default=None)


def _work(queue: Queue[PackedRows], seed: int, tokenizer_path: Path, row_length: int, num_rows: int) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.nice(5)
    for rows in packed_rows(seed, load_tokenizer(tokenizer_path), row_length, num_rows):
        queue.put(rows)


def parallel_rows(
    seed: int, tokenizer_path: Path, row_length: int, num_rows: int, num_workers: int
) -> Iterator[PackedRows]:
    """Yield the rows of several processes in turn; they end with this one.

    Args:
        num_workers: 0 to make the rows here.
    """
    if num_workers == 0:
        yield from packed_rows(seed, load_tokenizer(tokenizer_path), row_length, num_rows)
        return
    context = multiprocessing.get_context("spawn")
    queues: list[Queue[PackedRows]] = [context.Queue(8) for _ in range(num_workers)]
    workers = [
        context.Process(
            target=_work, args=(queue, seed * 1000 + index, tokenizer_path, row_length, num_rows), daemon=True
        )
        for index, queue in enumerate(queues)
    ]
    for worker in workers:
        worker.start()
    try:
        while True:
            for queue in queues:
                yield queue.get(timeout=120)
    finally:
        for worker in workers:
            worker.terminate()
