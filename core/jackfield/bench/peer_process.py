"""llama.cpp's side of a benchmark: opens a file, then measures the workload of each line on standard input.

Everything is measured without and with flash attention, and the better of the two counts.

Runs with the interpreter of an environment that has llama-cpp-python and perhaps nothing of ours, so it
imports nothing else. Results are JSON lines on standard output.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import random
import sys
import time
from typing import Any

import numpy as np

try:
    llama_cpp: Any = importlib.import_module("llama_cpp")
except ImportError as missing:
    advice = (
        "install llama-cpp-python, or name the interpreter of an environment that has it with --peer-python"
    )
    print(json.dumps({"error": f"{missing}; {advice}"}), flush=True)
    sys.exit(1)

SHORTER_IS_BETTER = "time_to_first_token_s"
FLASH_ATTENTION = (0, 1)  # llama.cpp's names: disabled, enabled


class Peer:
    """One model in llama.cpp."""

    def __init__(self, path: str, work: dict[str, Any]) -> None:
        llama_cpp.llama_backend_init()
        self._work = work
        self._most = max([1, *work["streams"]])
        self._longest = max([work["prefill"], *work["contexts"]]) + work["decode"] + 8
        self._model = llama_cpp.llama_model_load_from_file(
            path.encode(), llama_cpp.llama_model_default_params()
        )
        if not self._model:
            raise RuntimeError("the file cannot be opened")
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        self._vocab_size = llama_cpp.llama_vocab_n_tokens(self._vocab)
        self._contexts = [self._new_context(flash_attention) for flash_attention in FLASH_ATTENTION]
        for context in self._contexts:
            self._context = context
            self._decode_rows([(token, 0, token) for token in range(8)])

    def _new_context(self, flash_attention: int) -> Any:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = self._longest * self._most
        params.n_batch = max(512, self._work["prefill"])
        params.n_ubatch = 512
        params.n_seq_max = self._most
        params.n_threads = params.n_threads_batch = self._work["threads"]
        if hasattr(params, "flash_attn_type"):
            params.flash_attn_type = flash_attention
        params.kv_unified = True
        return llama_cpp.llama_init_from_model(self._model, params)

    def _decode_rows(self, rows: list[tuple[int, int, int]]) -> None:
        """Run rows of (position, sequence, token); the last row of each sequence gives logits."""
        batch = llama_cpp.llama_batch_init(len(rows), 0, 1)
        last = {sequence: index for index, (_, sequence, _) in enumerate(rows)}
        batch.n_tokens = len(rows)
        for index, (position, sequence, token) in enumerate(rows):
            batch.token[index] = token
            batch.pos[index] = position
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = sequence
            batch.logits[index] = index == last[sequence]
        if llama_cpp.llama_decode(self._context, batch) != 0:
            raise RuntimeError("decoding failed")
        llama_cpp.llama_batch_free(batch)

    def _best(self, row: int) -> int:
        """Pick greedily, as fast as a C program would: the scan is numpy's."""
        logits = llama_cpp.llama_get_logits_ith(self._context, row)
        address = ctypes.addressof(logits.contents)
        values = (ctypes.c_float * self._vocab_size).from_address(address)
        return int(np.argmax(np.frombuffer(values, dtype=np.float32)))

    def _forget(self) -> None:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)

    def _run(self, num_prompt: int, num_tokens: int) -> tuple[float, float]:
        """Return the seconds to the first token, and the tokens a second from there."""
        self._forget()
        tokens = [random.randrange(min(1000, self._vocab_size)) for _ in range(num_prompt)]
        started = time.perf_counter()
        for start in range(0, num_prompt, 512):
            chunk = tokens[start : start + 512]
            self._decode_rows([(start + index, 0, token) for index, token in enumerate(chunk)])
        token = self._best(-1)
        first = time.perf_counter()
        for index in range(num_tokens - 1):
            self._decode_rows([(num_prompt + index, 0, token)])
            token = self._best(-1)
        return first - started, (num_tokens - 1) / (time.perf_counter() - first)

    def _run_together(self, streams: int, num_tokens: int) -> float:
        self._forget()
        for sequence in range(streams):
            self._decode_rows([(index, sequence, index) for index in range(32)])
        tokens = [1] * streams
        started = time.perf_counter()
        for index in range(num_tokens):
            rows = [(32 + index, sequence, tokens[sequence]) for sequence in range(streams)]
            self._decode_rows(rows)
            tokens = [self._best(row) for row in range(streams)]
        return streams * num_tokens / (time.perf_counter() - started)

    def measure(self, work: dict[str, Any]) -> dict[str, Any]:
        """Run the workload once with each setting and return the better figures."""
        best: dict[str, Any] = {}
        for context in self._contexts:
            self._context = context
            found = self._measure(work)
            best = _better(best, found) if best else found
        best["resident_bytes"] = _resident_bytes()
        return best

    def _measure(self, work: dict[str, Any]) -> dict[str, Any]:
        first_s, rate = self._run(work["prefill"], work["decode"])
        return {
            "prefill_tokens_per_s": work["prefill"] / first_s,
            "decode_tokens_per_s": rate,
            "time_to_first_token_s": first_s,
            "batch_tokens_per_s": {n: self._run_together(n, work["decode"]) for n in work["streams"]},
            "context_tokens_per_s": {n: self._run(n, work["decode"])[1] for n in work["contexts"]},
        }


def _better(one: Any, other: Any) -> Any:
    """Return the higher of each rate, and the shorter time to the first token."""
    if isinstance(one, dict):
        both: dict[str, Any] = {**one}
        return {
            name: min(value, other[name]) if name == SHORTER_IS_BETTER else _better(value, other[name])
            for name, value in both.items()
        }
    return max(one, other)


def _resident_bytes() -> int:
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def main() -> None:
    """Open the file, then measure for every line."""
    started = time.perf_counter()
    try:
        peer = Peer(sys.argv[1], json.loads(sys.argv[2]))
    except RuntimeError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return
    opened = {"load_s": time.perf_counter() - started, "version": llama_cpp.__version__}
    print(json.dumps(opened), flush=True)
    for line in sys.stdin:
        print(json.dumps(peer.measure(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
