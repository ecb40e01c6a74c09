"""RunPod's and Replicate's official Python clients against a running node: NODE_URL and NODE_TOKEN say which.

Run: RUNPOD_ENDPOINT_BASE_URL=$NODE_URL/v2 python3 -m unittest discover -s tests/dialects
"""

import asyncio
import base64
import os
import unittest

NODE_URL = os.environ["NODE_URL"]
TOKEN = os.environ["NODE_TOKEN"]
MODEL = os.environ.get("CHANDELLE_IMAGE_MODEL", "embedded-scene")
# Read when the module is imported.
os.environ.setdefault("RUNPOD_ENDPOINT_BASE_URL", f"{NODE_URL}/v2")

import httpx  # noqa: E402
import replicate  # noqa: E402
import requests  # noqa: E402
import runpod  # noqa: E402
from replicate.exceptions import ReplicateError  # noqa: E402
from runpod.endpoint.asyncio.asyncio_runner import Endpoint as AsyncEndpoint  # noqa: E402
from runpod.http_client import ClientSession  # noqa: E402

INPUT = {"prompt": "a red star, mountains, forest", "num_inference_steps": 2, "seed": 7}
# Long enough to be cancelled while it runs.
LONG = {**INPUT, "num_inference_steps": 150, "num_images": 8}
REF = f"chandelle/{MODEL}"

runpod.api_key = TOKEN
client = replicate.Client(api_token=TOKEN, base_url=NODE_URL)


def is_png(data):
    return data[1:4] == b"PNG"


def of_data_url(url):
    return base64.b64decode(url.split(",", 1)[1])


class RunPod(unittest.TestCase):
    def setUp(self):
        self.endpoint = runpod.Endpoint(MODEL)

    def test_run_sync_gives_the_output(self):
        # The client wraps a payload without `input` by itself.
        for payload in ({"input": INPUT}, INPUT):
            output = self.endpoint.run_sync(payload, timeout=60)
            self.assertTrue(is_png(of_data_url(output["images"][0])))
            self.assertEqual(output["seed"], 7)

    def test_a_job_is_asked_for_until_it_is_done(self):
        job = self.endpoint.run({"input": INPUT})
        self.assertTrue(job.job_id.endswith("-u1"))
        self.assertTrue(is_png(of_data_url(job.output(timeout=60)["images"][0])))
        self.assertEqual(job.status(), "COMPLETED")

    def test_a_stream_gives_chunks_and_ends(self):
        chunks = list(self.endpoint.run({"input": INPUT}).stream())
        self.assertEqual([chunk.get("progress") for chunk in chunks[:2]], [50, 100])
        self.assertTrue(is_png(of_data_url(chunks[-1]["image"])))

    def test_the_stream_of_a_cancelled_job_ends(self):
        job = self.endpoint.run({"input": LONG})
        self.assertEqual(job.cancel()["status"], "CANCELLED")
        list(job.stream())

    def test_what_waits_is_purged(self):
        running = self.endpoint.run({"input": LONG})
        waiting = self.endpoint.run({"input": LONG})
        self.assertGreaterEqual(self.endpoint.purge_queue()["removed"], 1)
        self.assertEqual(waiting.status(), "CANCELLED")
        running.cancel()
        self.assertIn("inQueue", self.endpoint.health()["jobs"])

    def test_an_empty_input_is_a_job_that_failed(self):
        job = self.endpoint.run({"input": {}})
        self.assertIsNone(job.output(timeout=10))
        self.assertEqual(job.status(), "FAILED")

    def test_errors_are_those_of_the_client(self):
        with self.assertRaises(RuntimeError):
            runpod.Endpoint(MODEL, api_key="wrong").health()
        with self.assertRaises(requests.HTTPError) as refused:
            self.endpoint.run({"input": INPUT, "policy": {"ttl": 1}})
        self.assertEqual(refused.exception.response.status_code, 400)
        self.assertIn("policy.ttl", refused.exception.response.json()["error"])

    def test_the_asynchronous_client_works_too(self):
        async def run():
            async with ClientSession() as session:
                endpoint = AsyncEndpoint(MODEL, session)
                job = await endpoint.run(INPUT)
                output = await job.output(timeout=60)
                cancelled = await endpoint.run(LONG)
                await cancelled.cancel()
                chunks = [chunk async for chunk in cancelled.stream()]
                return output, chunks, await endpoint.health()

        output, _, health = asyncio.run(run())
        self.assertTrue(is_png(of_data_url(output["images"][0])))
        self.assertGreaterEqual(health["jobs"]["completed"], 1)


class Replicate(unittest.TestCase):
    def test_run_gives_urls_that_can_be_fetched(self):
        for ref in (REF, f"{REF}:{client.models.get(REF).latest_version.id}"):
            output = list(client.run(ref, input=INPUT))
            self.assertEqual(len(output), 1)
            self.assertTrue(is_png(httpx.get(output[0]).content))

    def test_a_prediction_is_asked_for_until_it_is_done(self):
        prediction = client.models.predictions.create(REF, input=INPUT)
        prediction.wait()
        self.assertEqual((prediction.status, len(prediction.output)), ("succeeded", 1))
        self.assertEqual(prediction.progress.percentage, 1.0)
        self.assertGreater(prediction.metrics["predict_time"], 0)

    def test_a_wait_in_vain_is_answered_in_time(self):
        blocker = client.models.predictions.create(REF, input={**INPUT, "num_inference_steps": 150, "num_outputs": 8})
        # The client hangs up half a second after its wait.
        prediction = client.models.predictions.create(REF, input=INPUT, wait=1)
        self.assertEqual(prediction.status, "starting")
        blocker.cancel()
        self.assertEqual(blocker.status, "canceled")
        prediction.wait()
        self.assertEqual(prediction.status, "succeeded")

    def test_a_deployment_is_a_model(self):
        prediction = client.deployments.predictions.create(("chandelle", MODEL), input=INPUT)
        prediction.wait()
        self.assertEqual((prediction.status, prediction.model), ("succeeded", REF))

    def test_a_stream_tells_progress_and_files(self):
        events = list(client.stream(REF, input=INPUT))
        self.assertEqual([event.event.value for event in events], ["logs", "logs", "output", "done"])
        self.assertTrue(is_png(httpx.get(str(events[2])).content))

    def test_predictions_are_listed(self):
        prediction = client.predictions.create(REF, input=INPUT, wait=True)
        self.assertIn(prediction.id, [listed.id for listed in client.predictions.list()])

    def test_errors_are_those_of_the_client(self):
        with self.assertRaises(ReplicateError) as refused:
            client.run(REF, input={"hue": 3})
        self.assertEqual(refused.exception.status, 422)
        self.assertIn("input.prompt is required; input.hue is not a known field", refused.exception.detail)
        with self.assertRaises(ReplicateError) as missing:
            client.predictions.get("aaaaaaaaaaaaaaaaaaaaaaaaaa")
        self.assertEqual(missing.exception.status, 404)

    def test_the_secret_of_webhooks_can_be_asked_for(self):
        self.assertTrue(client.webhooks.default.secret().key.startswith("whsec_"))


if __name__ == "__main__":
    unittest.main()
