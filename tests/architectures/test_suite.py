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


class TestMistral3(ArchitectureSuite):
    family = "mistral3"


class TestPhi3(ArchitectureSuite):
    family = "phi3"
    optional_tensors = (*ArchitectureSuite.optional_tensors, "attn_qkv")


class TestGemma2(ArchitectureSuite):
    family = "gemma2"


class TestGemma3(ArchitectureSuite):
    family = "gemma3"
    num_layers = 6


class TestGemma4(ArchitectureSuite):
    family = "gemma4"
    num_layers = 6
    optional_tensors = (*ArchitectureSuite.optional_tensors, "attn_v", "layer_output_scale", "gate_up_exps")


class TestDiffusionGemma(ArchitectureSuite):
    family = "diffusion-gemma"
    num_layers = 3
    optional_tensors = (*ArchitectureSuite.optional_tensors, "attn_v", "gate_up_exps")


class TestGptOss(ArchitectureSuite):
    family = "gpt-oss"


class TestNemotronH(ArchitectureSuite):
    family = "nemotron_h"
    num_layers = 4


class TestNemotronHMoe(ArchitectureSuite):
    family = "nemotron_h_moe"
    num_layers = 4
    optional_tensors = (*ArchitectureSuite.optional_tensors, "ffn_gate_inp.weight")


class TestQwen3Next(ArchitectureSuite):
    family = "qwen3next"


class TestQwen35(ArchitectureSuite):
    family = "qwen35"


class TestQwen35Moe(ArchitectureSuite):
    family = "qwen35moe"
