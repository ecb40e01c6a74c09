"""Pictures through the official Python client against a running node: OPENAI_BASE_URL and OPENAI_API_KEY say which.

Run: python3 -m unittest discover -s tests/openai
"""

import base64
import os
import struct
import unittest
import urllib.request

import openai
from openai import OpenAI

MODEL = os.environ.get("CHANDELLE_IMAGE_MODEL", "embedded-scene")
EDIT_MODEL = os.environ.get("CHANDELLE_EDIT_MODEL", "tiny-pictures")
TEXT_MODEL = os.environ.get("CHANDELLE_TEXT_MODEL", "embedded-text")
PROMPT = "a red house in the desert, at night"

client = OpenAI(max_retries=0)


def make(extra=None, **rest):
    extra_body = {"seed": 7, "steps": 2, **(extra or {})}
    return client.images.generate(**{"model": MODEL, "prompt": PROMPT, "extra_body": extra_body, **rest})


def edit(image, **rest):
    return client.images.edit(**{"model": EDIT_MODEL, "prompt": PROMPT, "image": image, "extra_body": {"seed": 7}, **rest})


def file_of(answer):
    return base64.b64decode(answer.b64_json)


def png_size(content):
    assert content[1:4] == b"PNG"
    return struct.unpack(">II", content[16:24])


class Generations(unittest.TestCase):
    def test_pictures_come_as_files_in_one_job(self):
        raw = client.images.with_raw_response.generate(
            model=MODEL, prompt=PROMPT, n=2, size="256x128", quality="low", extra_body={"seed": 3, "metadata": False}
        )
        answer = raw.parse()
        self.assertEqual([png_size(file_of(one)) for one in answer.data], [(256, 128)] * 2)
        self.assertEqual((answer.quality, answer.size, answer.background), ("low", "256x128", "opaque"))
        self.assertEqual(answer.usage.output_tokens, 2 * 16 * 8)
        self.assertEqual(answer.usage.input_tokens_details.image_tokens, 0)
        self.assertEqual(len(raw.headers["x-job-id"]), 36)

    def test_extras_change_the_picture(self):
        plain = make().data[0].b64_json
        for extra in ({"seed": 8}, {"negative_prompt": "a house"}, {"guidance": 7.5}, {"scheduler": "euler"}, {"steps": 3}):
            self.assertNotEqual(make(extra).data[0].b64_json, plain, extra)

    def test_formats_and_compression(self):
        for name, mark in (("png", b"\x89PNG"), ("jpeg", b"\xff\xd8"), ("webp", b"RIFF")):
            answer = make(output_format=name, output_compression=100)
            self.assertTrue(file_of(answer.data[0]).startswith(mark))
            self.assertEqual(answer.output_format, name)
        small = make(output_format="jpeg", output_compression=10)
        self.assertLess(len(small.data[0].b64_json), len(make(output_format="jpeg").data[0].b64_json))

    def test_a_stream_has_typed_events(self):
        events = list(make({"steps": 6}, stream=True, partial_images=2))
        self.assertEqual([type(event).__name__ for event in events], ["ImageGenPartialImageEvent"] * 2 + ["ImageGenCompletedEvent"])
        self.assertEqual([event.partial_image_index for event in events[:-1]], [0, 1])
        self.assertTrue(file_of(events[0]).startswith(b"\xff\xd8"))
        self.assertEqual(events[-1].b64_json, make({"steps": 6}).data[0].b64_json)
        self.assertGreater(events[-1].usage.total_tokens, 0)

    def test_what_has_no_effect_is_named(self):
        raw = client.images.with_raw_response.generate(model=MODEL, prompt=PROMPT, size="128x128", user="u1")
        self.assertEqual(raw.headers["x-parameters-without-effect"], "user")


class Edits(unittest.TestCase):
    def setUp(self):
        self.picture = ("house.png", file_of(make(size="128x128").data[0]), "image/png")

    def test_a_picture_is_edited(self):
        answer = edit(self.picture, size="64x32", n=2)
        self.assertEqual([png_size(file_of(one)) for one in answer.data], [(64, 32)] * 2)
        self.assertEqual(answer.usage.input_tokens_details.image_tokens, 8)
        again = edit([self.picture], size="64x32", n=2)
        self.assertEqual([one.b64_json for one in again.data], [one.b64_json for one in answer.data])

    def test_a_stream_has_typed_events(self):
        events = list(edit(self.picture, stream=True, partial_images=1))
        self.assertEqual([type(event).__name__ for event in events], ["ImageEditPartialImageEvent", "ImageEditCompletedEvent"])

    def test_json_gives_the_same_picture(self):
        url = "data:image/png;base64," + base64.b64encode(self.picture[1]).decode()
        body = {"model": EDIT_MODEL, "prompt": PROMPT, "seed": 7, "images": [{"image_url": url}]}
        answer = client.post("/images/edits", body=body, cast_to=openai.types.ImagesResponse)
        self.assertEqual(answer.data[0].b64_json, edit(self.picture).data[0].b64_json)
        body["images"] = [{"image_url": "https://example.com/house.png"}]
        with self.assertRaises(openai.BadRequestError) as refused:
            client.post("/images/edits", body=body, cast_to=openai.types.ImagesResponse)
        self.assertEqual(refused.exception.param, "images[0].image_url")

    def test_what_is_wrong_is_named(self):
        wrong = (("mask", {"mask": self.picture}), ("size", {"size": "33x33"}), ("input_fidelity", {"input_fidelity": "high"}))
        for param, rest in wrong:
            with self.assertRaises(openai.BadRequestError) as refused:
                edit(self.picture, **rest)
            self.assertEqual(refused.exception.param, param)
        with self.assertRaises(openai.BadRequestError) as refused:
            edit(("a.png", b"no picture", "image/png"))
        self.assertEqual(refused.exception.param, "image[0]")


class Errors(unittest.TestCase):
    def test_errors_come_as_the_classes_the_client_has_for_them(self):
        wrong = (("size", {"size": "100x100"}), ("n", {"n": 11}), ("model", {"model": TEXT_MODEL}), ("style", {"style": "vivid"}))
        for param, rest in wrong:
            with self.assertRaises(openai.BadRequestError) as refused:
                make(**rest)
            self.assertEqual(refused.exception.param, param)
        with self.assertRaises(openai.NotFoundError) as missing:
            make(model="huge")
        self.assertEqual(missing.exception.code, "model_not_found")
        with self.assertRaises(openai.AuthenticationError):
            OpenAI(api_key="wrong", max_retries=0).images.generate(model=MODEL, prompt=PROMPT)

    def test_a_job_that_somebody_deletes_ends_its_stream_with_an_error(self):
        raw = client.images.with_raw_response.generate(
            model=MODEL, prompt=PROMPT, n=8, stream=True, extra_body={"steps": 150}
        )
        job = str(client.base_url).replace("/v1/", f"/v1/jobs/{raw.headers['x-job-id']}")
        delete = urllib.request.Request(job, method="DELETE", headers={"authorization": f"Bearer {client.api_key}"})
        with urllib.request.urlopen(delete) as deleted:
            self.assertEqual(deleted.status, 204)
        with self.assertRaises(openai.APIError) as ended:
            list(raw.parse())
        self.assertEqual(ended.exception.code, "conflict")


if __name__ == "__main__":
    unittest.main()
