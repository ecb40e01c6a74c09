"""Times llama.cpp on a GGUF file: a prompt in one pass, and decoding at several numbers of sequences.

Usage: llama_cpp_speed.py FILE THREADS PROMPT START TOKENS SEQUENCES... Prints one JSON object of tokens per second.
"""

import json
import sys
import time

import llama_cpp


class Runner:
    def __init__(self, path: str, threads: int, sequences: int, prompt: int, context: int) -> None:
        llama_cpp.llama_backend_init()
        quiet = llama_cpp.llama_log_callback(lambda *_: None)
        llama_cpp.llama_log_set(quiet, None)
        self.quiet = quiet
        settings = llama_cpp.llama_model_default_params()
        settings.n_gpu_layers = 0
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), settings)
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = context * sequences
        settings.n_seq_max = sequences
        settings.n_batch = settings.n_ubatch = max(prompt, sequences)
        settings.n_threads = settings.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, settings)
        self.batch = llama_cpp.llama_batch_init(max(prompt, sequences), 0, 1)
        self.memory = llama_cpp.llama_get_memory(self.context)

    def clear(self) -> None:
        llama_cpp.llama_memory_clear(self.memory, True)

    def step(self, rows: list[tuple[int, int, int, bool]]) -> None:
        """Rows of token, position, sequence, and whether its logits are wanted."""
        batch = self.batch
        batch.n_tokens = len(rows)
        for at, (token, position, sequence, wanted) in enumerate(rows):
            batch.token[at] = token
            batch.pos[at] = position
            batch.n_seq_id[at] = 1
            batch.seq_id[at][0] = sequence
            batch.logits[at] = wanted
        if llama_cpp.llama_decode(self.context, batch):
            sys.exit("llama.cpp could not decode")
        llama_cpp.llama_synchronize(self.context)


def token(position: int, sequence: int) -> int:
    return (position * 7919 + sequence * 104729) % 150000


def main() -> None:
    path = sys.argv[1]
    threads, prompt, start, tokens, *sequences = map(int, sys.argv[2:])
    runner = Runner(path, threads, max(sequences), prompt, max(prompt, start + tokens) + 32)
    speeds = {}

    def fill(length: int, sequence: int) -> None:
        runner.step([(token(at, sequence), at, sequence, at == length - 1) for at in range(length)])

    fill(prompt, 0)
    runner.clear()
    begin = time.perf_counter()
    fill(prompt, 0)
    speeds["prompt"] = prompt / (time.perf_counter() - begin)
    for count in sequences:
        runner.clear()
        for sequence in range(count):
            fill(start, sequence)
        times = []
        for at in range(start, start + tokens):
            begin = time.perf_counter()
            runner.step([(token(at, sequence), at, sequence, True) for sequence in range(count)])
            times.append(time.perf_counter() - begin)
        speeds[f"decode_{count}"] = count * tokens / sum(times)
    print(json.dumps({**speeds, "version": llama_cpp.__version__}))


main()
