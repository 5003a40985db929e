"""The unmodified ``openai`` package against ``/v1/embeddings``."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import openai
import pytest

from jackfield.testing.service import FakeService

MODEL = "echo-tiny.gguf"


@pytest.fixture
def client(serve: Callable[[FakeService], str]) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{serve(FakeService())}/v1", api_key="x", max_retries=0) as client:
        yield client


def test_base64_which_the_client_asks_for_is_the_same_as_floats(client: openai.OpenAI):
    texts = ["a", "bb"]
    by_default = client.embeddings.create(model=MODEL, input=texts)
    as_floats = client.embeddings.create(model=MODEL, input=texts, encoding_format="float")
    vectors = [item.embedding for item in as_floats.data]
    assert [list(item.embedding) for item in by_default.data] == vectors == [[1.0, 0.0], [0.0, 1.0]]
    assert [item.index for item in by_default.data] == [0, 1]
    assert by_default.usage.prompt_tokens == by_default.usage.total_tokens == 3
    assert by_default.model == MODEL


def test_base64_is_little_endian_float32(client: openai.OpenAI):
    body = {"model": MODEL, "input": "a", "encoding_format": "base64"}
    answer = httpx.post(f"{client.base_url}embeddings", json=body).json()
    assert answer["data"][0]["embedding"] == "AACAPwAAAAA="


def test_tokens_may_be_given_instead_of_texts(client: openai.OpenAI):
    one = client.embeddings.create(model=MODEL, input=[5, 6, 7])
    several = client.embeddings.create(model=MODEL, input=[[5], [6, 7]])
    assert (len(one.data), len(several.data)) == (1, 2)
    assert one.usage.prompt_tokens == several.usage.prompt_tokens == 3


def test_vector_is_cut_and_made_one_of_unit_length_again(client: openai.OpenAI):
    cut = client.embeddings.create(model=MODEL, input="a", dimensions=1, encoding_format="float")
    assert cut.data[0].embedding == [1.0]
    with pytest.raises(openai.BadRequestError, match="at most 2") as refused:
        client.embeddings.create(model=MODEL, input="a", dimensions=3)
    assert refused.value.param == "dimensions"


@pytest.mark.parametrize("given", [[], [[]], ["a", 1], [True], [["a"]]])
def test_other_inputs_are_refused(client: openai.OpenAI, given):
    with pytest.raises(openai.BadRequestError, match="input must be"):
        client.embeddings.create(model=MODEL, input=given)
