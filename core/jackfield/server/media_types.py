"""What kind of file a name promises. Only the name: the bytes are judged by whoever decodes them."""

from __future__ import annotations

from typing import Literal

__all__ = ["MediaType", "classify"]

MediaType = Literal["image", "video", "audio", "text", "unknown"]

EXTENSIONS: dict[MediaType, str] = {
    "image": "png jpg jpeg gif webp bmp heic heif",
    "video": "mp4 mov avi mkv webm",
    "audio": "mp3 wav ogg flac m4a",
    "text": (
        "txt text csv tsv json jsonl ndjson xml md markdown rst tex log diff patch srt vtt"
        " html htm css scss less svg vue svelte graphql sql proto"
        " py pyi ipynb js mjs cjs ts tsx jsx java kt kts scala groovy clj cs fs vb go rs swift"
        " c h cc cpp cxx hpp hh m mm rb php pl pm lua r jl dart ex exs erl hs ml elm nim zig v asm s f90 pas"
        " sh bash zsh fish ps1 bat cmd dockerfile make mk cmake gradle tf"
        " yaml yml toml ini cfg conf env properties lock gitignore editorconfig"
    ),
}
MEDIA_TYPES: dict[str, MediaType] = {
    extension: media_type for media_type, names in EXTENSIONS.items() for extension in names.split()
}


def classify(file_name: str) -> MediaType:
    """Return what kind of file a name's extension promises."""
    return MEDIA_TYPES.get(file_name.rpartition(".")[2].lower(), "unknown")
