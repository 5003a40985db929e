"""Tokenizer contract, sandboxed chat templates, streaming detokeniser, output-stream parsing."""

from jackfield.text.chat_template import ChatTemplate
from jackfield.text.detokenizer import StreamDetokenizer
from jackfield.text.renderer import Rendered, TemplateRenderer
from jackfield.text.rendering import RenderJob
from jackfield.text.stop_strings import StopStrings

__all__ = ["ChatTemplate", "RenderJob", "Rendered", "StopStrings", "StreamDetokenizer", "TemplateRenderer"]
