"""Pictures that go in, through the official Python clients against a running node: NODE_URL and NODE_TOKEN say which.

Run: RUNPOD_ENDPOINT_BASE_URL=$NODE_URL/v2 python3 -m unittest discover -s tests/dialects
"""

import asyncio
import base64
import io
import os
import pathlib
import tempfile
import unittest

NODE_URL = os.environ["NODE_URL"]
TOKEN = os.environ["NODE_TOKEN"]
MODEL = os.environ.get("CHANDELLE_IMAGE_MODEL", "embedded-scene")
EDIT_MODEL = os.environ.get("CHANDELLE_EDIT_MODEL", "tiny-pictures")
TEXT_MODEL = os.environ.get("CHANDELLE_TEXT_MODEL", "embedded-text")
# Read when the module is imported.
os.environ.setdefault("RUNPOD_ENDPOINT_BASE_URL", f"{NODE_URL}/v2")

import httpx  # noqa: E402
import openai  # noqa: E402
import replicate  # noqa: E402
import runpod  # noqa: E402
from replicate.exceptions import ReplicateError  # noqa: E402

PROMPT = "a red star, mountains, forest"
HALF = {"prompt": PROMPT, "seed": 7, "num_inference_steps": 4, "prompt_strength": 0.5}
REF = f"chandelle/{EDIT_MODEL}"

runpod.api_key = TOKEN
client = replicate.Client(api_token=TOKEN, base_url=NODE_URL)


def openai_below(model):
    return openai.OpenAI(api_key=TOKEN, base_url=f"{NODE_URL}/v2/{model}/openai/v1", max_retries=0)


def predict(**options):
    return httpx.get(client.run(REF, **options)[0]).content


class Pictures(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        made = openai_below(MODEL).images.generate(
            model=MODEL, prompt=PROMPT, size="128x128", extra_body={"seed": 7, "steps": 2}
        )
        cls.picture = base64.b64decode(made.data[0].b64_json)
        cls.data_url = f"data:image/png;base64,{base64.b64encode(cls.picture).decode()}"

    def test_an_open_file_is_uploaded_and_ordered_with(self):
        before = len(client.files.list())
        made = predict(input={**HALF, "image": self.data_url})
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "star.png"
            path.write_bytes(self.picture)
            with path.open("rb") as file:
                self.assertEqual(predict(input={**HALF, "image": file}), made)
            self.assertEqual(predict(input={**HALF, "image": path}), made)
            self.assertEqual(client.files.list()[0].name, "star.png")
        self.assertEqual(len(client.files.list()), before + 2)
        inline = {**HALF, "image": io.BytesIO(self.picture)}
        self.assertEqual(predict(input=inline, file_encoding_strategy="base64"), made)
        self.assertEqual(len(client.files.list()), before + 2)

    def test_uploads_are_created_read_listed_and_deleted(self):
        file = client.files.create(io.BytesIO(self.picture), filename="a.png", metadata={"by": "test"})
        about = (file.name, file.content_type, file.size, file.metadata)
        self.assertEqual(about, ("a.png", "image/png", len(self.picture), {"by": "test"}))
        self.assertEqual(client.files.get(file.id), file)
        self.assertIn(file.id, [listed.id for listed in client.files.list()])
        self.assertTrue(client.files.delete(file.id))
        with self.assertRaises(ReplicateError) as gone:
            client.files.get(file.id)
        self.assertEqual(gone.exception.status, 404)

    def test_the_asynchronous_client_uploads_too(self):
        async def run():
            return await client.async_run(REF, input={**HALF, "image": io.BytesIO(self.picture)})

        made = httpx.get(asyncio.run(run())[0]).content
        self.assertEqual(made, predict(input={**HALF, "image": self.data_url}))

    def test_runpod_takes_base64_and_data_urls(self):
        endpoint = runpod.Endpoint(EDIT_MODEL)
        plain = base64.b64encode(self.picture).decode()
        made = [endpoint.run_sync({"input": {**HALF, "image": image}}, timeout=60)["images"][0] for image in (self.data_url, plain)]
        self.assertEqual(made[0], made[1])
        self.assertEqual(base64.b64decode(made[0].split(",", 1)[1]), predict(input={**HALF, "image": self.data_url}))
        far = endpoint.run_sync({"input": {**HALF, "image": plain, "prompt_strength": 1}}, timeout=60)
        self.assertNotEqual(far["images"][0], made[0])

    def test_openais_client_works_below_an_endpoint(self):
        below = openai_below(EDIT_MODEL)
        self.assertEqual([model.id for model in below.models.list()], [EDIT_MODEL])
        edited = below.images.edit(
            model=EDIT_MODEL,
            prompt=PROMPT,
            image=("star.png", self.picture, "image/png"),
            response_format="url",
            extra_body={"seed": 7, "steps": 4, "strength": 0.5},
        )
        self.assertEqual(httpx.get(edited.data[0].url).content, predict(input={**HALF, "image": self.data_url}))
        chat = openai_below(TEXT_MODEL).chat.completions
        order = {"model": TEXT_MODEL, "messages": [{"role": "user", "content": "hello"}], "max_completion_tokens": 8}
        self.assertEqual(chat.create(**order).object, "chat.completion")
        chunks = list(chat.create(**order, stream=True))
        self.assertEqual({chunk.object for chunk in chunks}, {"chat.completion.chunk"})
        with self.assertRaises(openai.NotFoundError):
            openai_below("huge").models.list()


if __name__ == "__main__":
    unittest.main()
