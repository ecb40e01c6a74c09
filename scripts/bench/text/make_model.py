"""Makes GGUF files of the shape of Qwen2.5-0.5B with random weights, compressed by llama.cpp's own program.

Usage: make_model.py FOLDER. Writes qwen2-0.5b-Q8_0.gguf and qwen2-0.5b-Q4_K_M.gguf there unless they are there.
"""

import ctypes
import sys
from pathlib import Path

import gguf
import llama_cpp
import numpy

LAYERS, HIDDEN, HEADS, KV_HEADS, FEED_FORWARD, VOCABULARY = 24, 896, 14, 2, 4864, 151936
FORMATS = {"Q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0, "Q4_K_M": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M}


def write(path: Path) -> None:
    random = numpy.random.default_rng(1)
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_block_count(LAYERS)
    writer.add_context_length(32768)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1e6)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("none")

    def matrix(name: str, outputs: int, inputs: int) -> None:
        values = random.standard_normal((outputs, inputs), dtype=numpy.float32) * 0.02
        writer.add_tensor(name, values.astype(numpy.float16))

    def vector(name: str, length: int, value: float) -> None:
        writer.add_tensor(name, numpy.full(length, value, dtype=numpy.float32))

    keys = HIDDEN // HEADS * KV_HEADS
    matrix("token_embd.weight", VOCABULARY, HIDDEN)
    vector("output_norm.weight", HIDDEN, 1.0)
    for layer in range(LAYERS):
        name = f"blk.{layer}."
        vector(name + "attn_norm.weight", HIDDEN, 1.0)
        vector(name + "ffn_norm.weight", HIDDEN, 1.0)
        for part, outputs in [("attn_q", HIDDEN), ("attn_k", keys), ("attn_v", keys)]:
            matrix(name + part + ".weight", outputs, HIDDEN)
            vector(name + part + ".bias", outputs, 0.0)
        matrix(name + "attn_output.weight", HIDDEN, HIDDEN)
        matrix(name + "ffn_gate.weight", FEED_FORWARD, HIDDEN)
        matrix(name + "ffn_up.weight", FEED_FORWARD, HIDDEN)
        matrix(name + "ffn_down.weight", HIDDEN, FEED_FORWARD)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@llama_cpp.llama_log_callback
def quiet(*_: object) -> None:
    """llama.cpp tells of each of 290 tensors otherwise."""


def main() -> None:
    llama_cpp.llama_log_set(quiet, None)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {name: folder / f"qwen2-0.5b-{name}.gguf" for name in FORMATS}
    if all(path.exists() for path in wanted.values()):
        return
    plain = folder / "plain.gguf"
    write(plain)
    for name, path in wanted.items():
        settings = llama_cpp.llama_model_quantize_default_params()
        settings.ftype = FORMATS[name]
        settings.nthread = 2
        made = path.with_suffix(".part")
        failed = llama_cpp.llama_model_quantize(
            str(plain).encode(), str(made).encode(), ctypes.byref(settings)
        )
        if failed:
            sys.exit(f"{name}: llama.cpp could not compress the model")
        made.rename(path)
    plain.unlink()


main()
