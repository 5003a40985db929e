"""Tokenizer contract, sandboxed chat templates, streaming detokeniser, output-stream parsing."""

from jackfield.text.detokenizer import StreamDetokenizer
from jackfield.text.stop_strings import StopStrings

__all__ = ["StopStrings", "StreamDetokenizer"]
