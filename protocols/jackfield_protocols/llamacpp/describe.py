"""What clients probe a llama-server for: its properties and its slots."""

from __future__ import annotations

from typing import Any

import msgspec

from jackfield import __version__
from jackfield.service.requests import Sampling
from jackfield.service.status import ModelInfo, ServiceStatus

__all__ = ["props_body", "slots_body"]


def props_body(model: ModelInfo) -> dict[str, Any]:
    """Return ``GET /props``."""
    return {
        "default_generation_settings": {
            "n_ctx": model.context_length,
            "params": msgspec.structs.asdict(Sampling()),
        },
        "total_slots": model.num_slots,
        "model_alias": model.name,
        "model_path": model.file,
        "chat_template": model.chat_template,
        "modalities": {
            "vision": "vision" in model.capabilities,
            "audio": "audio" in model.capabilities,
        },
        "build_info": f"jackfield {__version__}",
    }


def slots_body(model: ModelInfo, status: ServiceStatus) -> list[dict[str, Any]]:
    """Return ``GET /slots``: places in the batch, as many of them busy as requests run."""
    return [
        {"id": slot, "n_ctx": model.context_length, "is_processing": slot < status.num_running}
        for slot in range(model.num_slots)
    ]
