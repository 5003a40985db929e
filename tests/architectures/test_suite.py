"""Our architectures in the suite that a stranger's go through too."""

from __future__ import annotations

from jackfield.testing.architectures import ArchitectureSuite


class TestLlama(ArchitectureSuite):
    family = "llama"


class TestQwen2(ArchitectureSuite):
    family = "qwen2"


class TestQwen3(ArchitectureSuite):
    family = "qwen3"


class TestQwen3Moe(ArchitectureSuite):
    family = "qwen3moe"
