"""One cache for the node and for huggingface_hub: what either has downloaded the other finds.

Run by `npm test -- clients`, or: GPU_NODE=target/release/gpu-node python3 -m unittest discover -s tests/hub-cache
(needs huggingface_hub of tests/openai/requirements.txt).
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NODE = os.path.abspath(os.environ.get("GPU_NODE", "target/release/gpu-node"))
REPOSITORY = "acme/tiny-writer"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"sub/config.json": b'{"a": 1}\n', "weights.safetensors": bytes(range(256)) * 4096}

MANIFEST = f"""
name = "tiny"
modality = "image"
architecture = "stable-diffusion"
revision = "r1"
licence = "Apache-2.0"
memory_bytes = 1
source = {{ kind = "hub", repository = "{REPOSITORY}", revision = "{COMMIT}" }}
defaults = {{ width = 32, height = 32, steps = 2, guidance = 2.0, scheduler = "ddim" }}
""" + "".join(f'[[files]]\npath = "{path}"\n' for path in FILES)

DOWNLOAD = f"""
from huggingface_hub import hf_hub_download
for path in {list(FILES)!r}:
    print(hf_hub_download({REPOSITORY!r}, path, revision={COMMIT!r}))
"""

SCAN = """
from huggingface_hub import scan_cache_dir
cache = scan_cache_dir()
assert not cache.warnings, cache.warnings
for repository in cache.repos:
    print(repository.repo_id, repository.nb_files, *(r.commit_hash for r in repository.revisions))
"""


class Hub(BaseHTTPRequestHandler):
    """Small files as they are, large ones at another address that the first one names."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, with_body):
        resolve = f"/{REPOSITORY}/resolve/{COMMIT}/"
        name = self.path.removeprefix(resolve).removeprefix("/store/")
        content = FILES.get(name)
        if content is None:
            return self.reply(404, {}, b"")
        is_large = name.endswith(".safetensors")
        if is_large:
            etag = hashlib.sha256(content).hexdigest()
        else:
            etag = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}
        if is_large and self.path.startswith(resolve):
            headers |= {"X-Linked-ETag": f'"{etag}"', "X-Linked-Size": len(content)}
            headers["Location"] = f"http://{self.headers['Host']}/store/{name}"
            return self.reply(302, headers, b"")
        self.reply(200, headers, content, with_body)

    def reply(self, status, headers, content, with_body=True):
        self.send_response(status)
        for name, value in (headers | {"Content-Length": len(content)}).items():
            self.send_header(name, str(value))
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def log_message(self, *_):
        pass


class OneCache(unittest.TestCase):
    def setUp(self):
        self.hub = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
        threading.Thread(target=self.hub.serve_forever, daemon=True).start()
        self.addCleanup(self.hub.server_close)
        self.addCleanup(self.hub.shutdown)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        models = Path(folder.name, "models")
        Path(models, "tiny").mkdir(parents=True)
        Path(models, "tiny", "manifest.toml").write_text(MANIFEST)
        self.env = {
            "PATH": os.environ["PATH"],
            "HF_HOME": str(Path(folder.name, "hf")),
            "HF_ENDPOINT": f"http://127.0.0.1:{self.hub.server_port}",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "MODELS_DIR": str(models),
        }

    def run_in(self, command, **env):
        ran = subprocess.run(command, env=self.env | env, capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        return ran.stdout

    def node(self, *arguments, **env):
        return self.run_in([NODE, "models", *arguments], **env)

    def python(self, program, **env):
        return self.run_in([sys.executable, "-c", program], **env)

    def test_python_reads_offline_what_the_node_pulled(self):
        self.assertIn("2 files pulled", self.node("pull", "tiny"))
        paths = self.python(DOWNLOAD, HF_HUB_OFFLINE="1").split()
        self.assertEqual([Path(path).read_bytes() for path in paths], list(FILES.values()))
        self.assertEqual(self.python(SCAN).split(), [REPOSITORY, "2", COMMIT])

    def test_the_node_finds_what_python_downloaded(self):
        self.assertIn("(not pulled)", self.node("list"))
        self.python(DOWNLOAD)
        self.assertNotIn("(not pulled)", self.node("list"))
        self.assertIn("tiny: here", self.node("pull", "tiny", "--offline"))
        self.assertIn("whole", self.node("verify", "tiny"))

    def test_both_may_download_into_the_same_cache(self):
        self.node("pull", "tiny")
        self.python(DOWNLOAD)
        snapshot = Path(self.env["HF_HOME"], "hub", "models--acme--tiny-writer", "snapshots", COMMIT)
        (snapshot / "weights.safetensors").unlink()
        self.python(DOWNLOAD)
        self.assertIn("whole", self.node("verify", "tiny"))


if __name__ == "__main__":
    unittest.main()
