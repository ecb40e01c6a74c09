"""The official Python client against a running node: OPENAI_BASE_URL and OPENAI_API_KEY say which.

Run: python3 -m unittest discover -s tests/openai
"""

import json
import os
import unittest
from typing import Literal

import openai
from openai import OpenAI
from pydantic import BaseModel

MODEL = os.environ.get("CHANDELLE_TEXT_MODEL", "embedded-text")
TOOL_MODEL = os.environ.get("CHANDELLE_TOOL_MODEL", "embedded-tools")
EMBEDDING_MODEL = os.environ.get("CHANDELLE_EMBEDDING_MODEL", "tiny-embedding")
MESSAGES = [{"role": "user", "content": "Propose une idée de contenu sur le jardinage."}]

client = OpenAI(max_retries=0)


def ask(**rest):
    body = {"model": MODEL, "messages": MESSAGES, "max_completion_tokens": 12, "seed": 7, **rest}
    return client.chat.completions.create(**body)


class Idea(BaseModel):
    kind: Literal["photo", "video"]
    is_free: bool


class Weather(BaseModel):
    city: Literal["Paris", "Dakar"]
    celsius: bool


class Models(unittest.TestCase):
    def test_the_list_has_the_model(self):
        models = {model.id: model for model in client.models.list()}
        self.assertEqual(models[MODEL].object, "model")
        self.assertEqual(client.models.retrieve(MODEL).id, MODEL)


class Chat(unittest.TestCase):
    def test_an_answer_has_its_usage(self):
        answer = ask()
        self.assertEqual(answer.object, "chat.completion")
        self.assertEqual(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens)
        self.assertIsNotNone(answer.usage.prompt_tokens_details.cached_tokens)
        self.assertTrue(answer._request_id)

    def test_the_same_seed_gives_the_same_answer_streamed_too(self):
        texts = {ask(temperature=1).choices[0].message.content for _ in range(2)}
        stream = ask(temperature=1, stream=True)
        texts.add("".join(chunk.choices[0].delta.content or "" for chunk in stream))
        self.assertEqual(len(texts), 1)

    def test_a_stream_ends_with_its_usage(self):
        chunks = list(ask(stream=True, stream_options={"include_usage": True}))
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        self.assertEqual(chunks[-1].choices, [])
        self.assertGreater(chunks[-1].usage.completion_tokens, 0)
        self.assertTrue(all(chunk.usage is None for chunk in chunks[:-1]))

    def test_the_stream_helper_assembles_the_answer(self):
        # The helper takes an answer that was cut off for an error, so this one ends by itself.
        body = {"model": MODEL, "messages": MESSAGES, "max_completion_tokens": 80, "seed": 7}
        with client.chat.completions.stream(**body, response_format=Idea) as stream:
            text = "".join(event.delta for event in stream if event.type == "content.delta")
            final = stream.get_final_completion()
        self.assertEqual(final.choices[0].message.content, text)
        self.assertIsInstance(final.choices[0].message.parsed, Idea)

    def test_an_answer_is_parsed_into_its_schema(self):
        answer = client.chat.completions.parse(
            model=MODEL, messages=MESSAGES, max_completion_tokens=60, response_format=Idea
        )
        self.assertIsInstance(answer.choices[0].message.parsed, Idea)

    def test_a_strict_schema_that_is_open_is_refused(self):
        schema = {"name": "open", "strict": True, "schema": {"type": "object", "properties": {}}}
        with self.assertRaises(openai.BadRequestError) as refused:
            ask(response_format={"type": "json_schema", "json_schema": schema})
        self.assertEqual(refused.exception.param, "response_format.json_schema.schema")

    def test_a_tool_is_called_with_arguments_that_follow_its_schema(self):
        tool = openai.pydantic_function_tool(Weather, name="weather")
        body = {"model": TOOL_MODEL, "messages": MESSAGES, "tools": [tool], "max_completion_tokens": 300, "temperature": 0}
        named = {"type": "function", "function": {"name": "weather"}}
        answer = client.chat.completions.parse(**body, tool_choice=named, parallel_tool_calls=False)
        self.assertEqual(answer.choices[0].finish_reason, "tool_calls")
        call = answer.choices[0].message.tool_calls[0]
        self.assertIsInstance(call.function.parsed_arguments, Weather)

        deltas = []
        for chunk in client.chat.completions.create(**body, tool_choice="required", stream=True):
            deltas += chunk.choices[0].delta.tool_calls or []
        first = [delta for delta in deltas if delta.index == 0]
        self.assertEqual(first[0].function.name, "weather")
        Weather.model_validate(json.loads("".join(delta.function.arguments for delta in first)))

    def test_log_probabilities_continuations_and_lengths_are_as_asked(self):
        answer = ask(n=2, logprobs=True, top_logprobs=2, max_completion_tokens=4, temperature=1)
        self.assertEqual([choice.index for choice in answer.choices], [0, 1])
        for choice in answer.choices:
            self.assertIn(choice.finish_reason, ("length", "stop"))
            self.assertTrue(all(len(token.top_logprobs) == 2 for token in choice.logprobs.content))

    def test_a_regular_expression_binds_an_answer(self):
        answer = ask(extra_body={"response_format": {"type": "regex", "pattern": "(yes|no)"}})
        self.assertIn(answer.choices[0].message.content, ("yes", "no"))

    def test_what_has_no_effect_is_named(self):
        raw = client.chat.completions.with_raw_response.create(
            model=MODEL, messages=MESSAGES, max_completion_tokens=2, user="u1", metadata={"a": "b"}
        )
        self.assertEqual(raw.headers["x-parameters-without-effect"], "metadata, user")


class Completions(unittest.TestCase):
    def test_a_prompt_is_continued(self):
        answer = client.completions.create(model=MODEL, prompt="Bonjour", max_tokens=5, echo=True)
        self.assertTrue(answer.choices[0].text.startswith("Bonjour"))
        chunks = list(client.completions.create(model=MODEL, prompt="Bonjour", max_tokens=5, stream=True))
        self.assertIn(chunks[-1].choices[0].finish_reason, ("length", "stop"))

    def test_the_best_of_several_is_kept(self):
        answer = client.completions.create(model=MODEL, prompt="Bonjour", max_tokens=5, best_of=3, n=1)
        self.assertEqual(len(answer.choices), 1)
        self.assertIsNone(answer.choices[0].logprobs)


class Errors(unittest.TestCase):
    def test_errors_come_as_the_classes_the_client_has_for_them(self):
        with self.assertRaises(openai.AuthenticationError):
            OpenAI(api_key="wrong", max_retries=0).models.list()
        with self.assertRaises(openai.NotFoundError) as missing:
            ask(model="huge")
        self.assertEqual(missing.exception.code, "model_not_found")
        with self.assertRaises(openai.BadRequestError) as refused:
            ask(extra_body={"frob": 1})
        self.assertEqual((refused.exception.code, refused.exception.param), ("unknown_parameter", "frob"))
        with self.assertRaises(openai.BadRequestError) as long:
            ask(messages=[{"role": "user", "content": "jardin " * 20_000}])
        self.assertEqual(long.exception.code, "context_length_exceeded")


class Embeddings(unittest.TestCase):
    def test_vectors_come_in_the_order_of_the_texts(self):
        body = {"model": EMBEDDING_MODEL, "input": ["un jardin", "une voiture"]}
        packed = client.embeddings.create(**body)
        plain = client.embeddings.create(**body, encoding_format="float")
        self.assertEqual([one.index for one in packed.data], [0, 1])
        # JSON writes a number of 32 bits in as few digits as tell it apart from its neighbours.
        for one, other in zip(packed.data[0].embedding, plain.data[0].embedding, strict=True):
            self.assertAlmostEqual(one, other, places=6)
        self.assertAlmostEqual(sum(number * number for number in packed.data[0].embedding), 1, places=4)
        self.assertGreater(packed.usage.prompt_tokens, 0)

    def test_a_shorter_vector_is_a_unit_again(self):
        answer = client.embeddings.create(model=EMBEDDING_MODEL, input="un jardin", dimensions=8)
        self.assertEqual(len(answer.data[0].embedding), 8)
        self.assertAlmostEqual(sum(number * number for number in answer.data[0].embedding), 1, places=4)

    def test_what_cannot_be_embedded_is_refused(self):
        for rest, param in (({"input": ""}, "input"), ({"input": "a", "dimensions": 4096}, "dimensions")):
            with self.assertRaises(openai.BadRequestError) as refused:
                client.embeddings.create(model=EMBEDDING_MODEL, **rest)
            self.assertEqual(refused.exception.param, param)


if __name__ == "__main__":
    unittest.main()
