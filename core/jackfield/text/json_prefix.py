"""Following JSON as it arrives: is it valid so far, is it whole, what would complete it."""

from __future__ import annotations

import json
import re

__all__ = ["JsonPrefix"]

MAX_DEPTH = 64
MAX_NUMBER_CHARS = 1_000
_SPACE = " \t\r\n"
_WORDS = ("true", "false", "null")
_NUMBER_START = re.compile(r"-?(?:(?:0|[1-9]\d*)(?:(?:\.\d*)?|\.\d+[eE][+-]?\d*|[eE][+-]?\d*))?")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_ESCAPABLE = frozenset('"\\/bfnrtu')
_HEX = frozenset("0123456789abcdefABCDEF")
_CLOSERS = {"{": "}", "[": "]"}

# what may come next, outside of strings and words
VALUE, VALUE_OR_END, KEY, KEY_OR_END, COLON, COMMA, DONE = range(7)


class JsonPrefix:
    """One JSON value, taken a piece at a time.

    Three things that models write and JSON forbids are put right on the way: control characters inside strings
    are escaped, so is a backslash that escapes nothing, and a comma before a closing bracket is left out.
    Apart from that the text is the text that came.

    Attributes:
        text: What was taken; a key only together with the beginning of its value.
        has_failed: The next character cannot belong to a JSON value.
        has_pair: A first key has its value's beginning.
    """

    def __init__(self) -> None:
        self.text = ""
        self.has_failed = False
        self.has_pair = False
        self._expected = VALUE
        self._stack: list[str] = []
        self._string: str | None = None  # since the last backslash: "", "\\", "\\u12"
        self._is_key = False
        self._word = ""
        self._repair = ""  # what a character needs in front
        self._held = ""  # a comma or a key, until what follows it begins

    @property
    def is_complete(self) -> bool:
        """Whether the value is whole; a number outside of brackets never says so of itself."""
        return self._expected == DONE and self._string is None and not self._word

    def take(self, text: str) -> int:
        """Take characters until the value is whole or they do not fit; return how many."""
        pieces: list[str] = []
        used = 0
        while used < len(text) and not self.is_complete:
            if not self._accepts(text[used]):
                # a word outside of brackets ends where something else begins
                self.has_failed = not self.is_complete
                break
            pieces.append(self._released(text[used]))
            used += 1
        self.text += "".join(pieces)
        return used

    def _released(self, char: str) -> str:
        """Return what the character adds to the text, after it was accepted."""
        if self._string is not None and char < " ":
            char = json.dumps(char)[1:-1]
        char, self._repair = self._repair + char, ""
        inside_key = self._is_key and self._string is not None
        if inside_key or self._expected in (KEY, COLON) or (self._expected == VALUE and self._is_between):
            self._held += char
            return ""
        held, self._held = self._held, ""
        self.has_pair = self.has_pair or ":" in held
        # what is left of a comma at a closing bracket is dropped
        return char if char in _CLOSERS.values() and held.lstrip().startswith(",") else held + char

    @property
    def _is_between(self) -> bool:
        """Whether a value is due and has not begun."""
        return self._string is None and not self._word

    def end(self) -> None:
        """Nothing follows: a number at the end is whole."""
        if self._word:
            self._end_word()

    def closing(self) -> str:
        """Return the shortest text that makes a valid value of ``text``."""
        text = ""
        if self._string is not None and not self._is_key:
            text = {"": "", "\\": "\\"}.get(self._string, "0" * (6 - len(self._string))) + '"'
        elif self._word:
            text = _rest_of_word(self._word)
        elif self._expected == VALUE and not self._stack:
            text = "null"
        return text + "".join(_CLOSERS[bracket] for bracket in reversed(self._stack))

    # ---- one character ----

    def _accepts(self, char: str) -> bool:
        if self._string is not None:
            return self._in_string(char)
        if self._word:
            if self._in_word(char):
                return True
            if not self._end_word():
                return False
            if self._expected == DONE:
                return False
        if char in _SPACE:
            return True
        return self._outside(char)

    def _in_string(self, char: str) -> bool:
        if self._string == "":
            if char == '"':
                self._string = None
                self._expected = COLON if self._is_key else self._after_value()
            elif char == "\\":
                self._string = char
            return True
        if self._string == "\\":
            self._string = "\\u" if char == "u" else ""
            self._repair = "" if char in _ESCAPABLE else "\\"
            return True
        if char not in _HEX:
            return False
        escape = f"{self._string}{char}"
        self._string = "" if len(escape) == 6 else escape
        return True

    def _in_word(self, char: str) -> bool:
        word = self._word + char
        is_number = len(word) <= MAX_NUMBER_CHARS and _NUMBER_START.fullmatch(word)
        fits = is_number or any(full.startswith(word) for full in _WORDS)
        if fits:
            self._word = word
        return bool(fits)

    def _end_word(self) -> bool:
        if not (self._word in _WORDS or _NUMBER.fullmatch(self._word)):
            return False
        self._word = ""
        self._expected = self._after_value()
        return True

    def _outside(self, char: str) -> bool:
        expected = self._expected
        if char == '"' and expected in (VALUE, VALUE_OR_END, KEY, KEY_OR_END):
            self._string = ""
            self._is_key = expected in (KEY, KEY_OR_END)
            return True
        if char == ":" and expected == COLON:
            self._expected = VALUE
            return True
        if char == "," and expected == COMMA:
            self._expected = KEY if self._stack[-1] == "{" else VALUE
            return True
        if char in "}]":
            return self._end_bracket(char)
        return expected in (VALUE, VALUE_OR_END) and self._start_value(char)

    def _start_value(self, char: str) -> bool:
        if char in _CLOSERS and len(self._stack) < MAX_DEPTH:
            self._stack.append(char)
            self._expected = KEY_OR_END if char == "{" else VALUE_OR_END
            return True
        return self._in_word(char)

    def _end_bracket(self, char: str) -> bool:
        if not self._stack or _CLOSERS[self._stack[-1]] != char:
            return False
        after_comma = self._held.lstrip().startswith(",") and ":" not in self._held
        may_end = self._expected in (COMMA, KEY_OR_END, VALUE_OR_END)
        if not may_end and not (after_comma and self._expected in (KEY, VALUE)):
            return False
        self._stack.pop()
        self._expected = self._after_value()
        return True

    def _after_value(self) -> int:
        return COMMA if self._stack else DONE


def _rest_of_word(word: str) -> str:
    for full in _WORDS:
        if full.startswith(word):
            return full[len(word) :]
    return "" if _NUMBER.fullmatch(word) else "0"
