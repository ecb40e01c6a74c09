"""Makes the two tiny vocabularies of this folder and what the reference libraries do with them.

Run in this folder: `python make_golden.py`. The templates are our own; they use what the templates of the Qwen, Llama
and Mistral families use. Logits are stored as inputs, so no two random generators are ever compared.
"""

import json
import random
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast
from transformers.generation.logits_process import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

CORPUS = [
    "The quick brown fox jumps over the lazy dog. What is the capital of France? The capital of France is Paris.",
    "Quelle est la capitale de la France ? La capitale de la France est Paris. Élève, où es-tu allé cet été ?",
    "¿Cuál es la capital de España? La capital de España es Madrid. Perché no? Schöne Grüße aus München.",
    '{"name": "get_weather", "arguments": {"city": "Paris", "unit": "celsius", "days": 3}}',
    '{"question": "What is the capital?", "answers": ["Paris", "Madrid", "Rome"], "correct": 0}',
    '{\n  "title": "a red house",\n  "tags": ["red", "house"],\n  "ok": true\n}',
    "fn main() {\n    println!(\"hello\");\n}\n",
    "user assistant system tool function parameters required properties type string number object",
] * 4

TEXTS = [
    "",
    "Hello world",
    " Hello  world ",
    "The capital of France is Paris.",
    "Où est l'été ? Ça va, élève.",
    "naïve café — “quotes” … ½",
    "日本語とемодзи 😀👩‍👩‍👧 done",
    "tabs\tand\nnew\n\nlines   \n",
    "1234567890 3.14159",
    '{"name": "get_weather", "arguments": {"city": "Paris"}}',
    "don't they'll I'm WE'VE",
    "<tool_call>\n{}\n</tool_call>",
    "a\u0301 combining \u0000 nul \u200b zero",
]


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    tokenizer.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in control])
    spoken = ["<tool_call>", "</tool_call>", "<think>", "</think>"]
    tokenizer.add_tokens([AddedToken(text, normalized=False, special=False) for text in spoken])
    return save(tokenizer, "byte-level", bos=None, eos="<|im_end|>", also_ends="<|endoftext|>")


def byte_fallback():
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.normalizer = normalizers.Replace(" ", "▁")
    trained.pre_tokenizer = pre_tokenizers.Split(Regex("▁*[^▁]+|▁+"), "isolated")
    trainer = trainers.BpeTrainer(vocab_size=300, show_progress=False, limit_alphabet=80)
    trained.train_from_iterator([text.replace("\n", " ") for text in CORPUS], trainer)
    learned = json.loads(trained.to_str())["model"]
    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    pieces += [piece for piece, _ in sorted(learned["vocab"].items(), key=lambda item: item[1]) if piece not in pieces]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={piece: index for index, piece in enumerate(pieces)},
            merges=[tuple(merge) for merge in learned["merges"]],
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    control = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"]
    control += ["[TOOL_RESULTS]", "[/TOOL_RESULTS]"]
    tokenizer.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in control])
    from tokenizers.processors import TemplateProcessing

    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return save(tokenizer, "byte-fallback", bos="<s>", eos="</s>", also_ends=None)


def save(tokenizer, name, bos, eos, also_ends):
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": bos, "eos_token": {"content": eos, "special": True}, "tokenizer_class": "PreTrainedTokenizerFast"}
    write(folder / "tokenizer_config.json", settings)
    ends = [tokenizer.token_to_id(text) for text in [eos, also_ends] if text]
    write(folder / "generation_config.json", {"eos_token_id": ends if len(ends) > 1 else ends[0]})
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, eos_token=eos)


def write(path, value):
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def token_cases(tokenizer):
    cases = []
    for text in TEXTS:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        document = tokenizer(text)["input_ids"]
        cases.append({"text": text, "ids": ids, "document": document, "decoded": decode(tokenizer, ids)})
    # Any order of tokens that are no single bytes, control tokens among them.
    draw = random.Random(7)
    whole = [
        index
        for index in range(len(tokenizer))
        if "\ufffd" not in tokenizer.decode([index]) and not tokenizer.convert_ids_to_tokens(index).startswith("<0x")
    ]
    for _ in range(8):
        ids = [draw.choice(whole) for _ in range(12)]
        cases.append({"text": None, "ids": ids, "document": None, "decoded": decode(tokenizer, ids)})
    return cases


def decode(tokenizer, ids):
    return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city; <b>no</b> HTML & no 'escapes'.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "default": 1.5}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}
QUESTION = {"role": "user", "content": "How is the weather in Orléans?"}
SYSTEM = {"role": "system", "content": "  You are brief.\n"}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {"id": "call12345", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Orléans", "days": 2}}}
    ],
}
RESULT = {"role": "tool", "tool_call_id": "call12345", "content": '{"sky": "blue"}'}
ANSWER = {"role": "assistant", "content": "<think>\nblue sky\n</think>\n\nBlue. "}


def template_cases(byte_level, byte_fallback):
    two_calls = {**CALL, "tool_calls": CALL["tool_calls"] + [{"function": {"name": "clock", "arguments": {}}}]}
    parts = [{"type": "text", "text": " one "}, {"type": "image"}, {"type": "text", "text": "two"}]
    cases = [
        ("chatml_tools", [QUESTION], None, {}),
        ("chatml_tools", [SYSTEM, QUESTION], None, {"enable_thinking": False}),
        ("chatml_tools", [SYSTEM, QUESTION], None, {"enable_thinking": True}),
        ("chatml_tools", [SYSTEM, QUESTION, ANSWER, QUESTION], None, {}),
        ("chatml_tools", [SYSTEM, QUESTION], [WEATHER, CLOCK], {}),
        ("chatml_tools", [QUESTION, CALL, RESULT], [WEATHER], {}),
        ("chatml_tools", [QUESTION, two_calls, RESULT, RESULT, ANSWER], [WEATHER, CLOCK], {}),
        ("headers", [QUESTION], None, {"date_string": "1 Jan 2026"}),
        ("headers", [SYSTEM, QUESTION, ANSWER, QUESTION], None, {"date_string": "1 Jan 2026"}),
        ("headers", [SYSTEM, QUESTION, CALL, RESULT], [WEATHER, CLOCK], {"date_string": "1 Jan 2026"}),
        ("instructions", [QUESTION], None, {}),
        ("instructions", [SYSTEM, QUESTION, {"role": "assistant", "content": " Fine. "}, QUESTION], None, {}),
        ("instructions", [QUESTION, CALL, RESULT], [WEATHER, CLOCK], {}),
        ("parts", [{"role": "user", "content": parts}, QUESTION], None, {"flags": {"x": True, "y": None}}),
        ("parts", [QUESTION] * 12, None, {}),
    ]
    found = []
    for name, messages, tools, variables in cases:
        tokenizer = byte_fallback if name == "instructions" else byte_level
        template = (HERE / "templates" / f"{name}.jinja").read_text()
        for adds_prompt in [True, False]:
            rendered = tokenizer.apply_chat_template(
                messages,
                tools=tools,
                chat_template=template,
                tokenize=False,
                add_generation_prompt=adds_prompt,
                bos_token="<s>",
                eos_token="</s>",
                **variables,
            )
            ids = tokenizer(rendered, add_special_tokens=False)["input_ids"]
            found.append(
                {
                    "template": name,
                    "vocabulary": "byte-fallback" if name == "instructions" else "byte-level",
                    "messages": messages,
                    "tools": tools or [],
                    "variables": variables,
                    "adds_generation_prompt": adds_prompt,
                    "rendered": rendered,
                    "ids": ids,
                }
            )
    return found


def sampling_cases():
    generator = torch.Generator().manual_seed(3)
    settings = [
        dict(temperature=1.0),
        dict(temperature=0.7, top_k=5),
        dict(temperature=1.3, top_p=0.8),
        dict(temperature=0.5, min_p=0.1),
        dict(temperature=2.0, top_k=20, min_p=0.05, top_p=0.9),
        dict(temperature=0.9, top_p=0.3),
        dict(temperature=1.0, repetition_penalty=1.3, top_k=12),
        dict(temperature=0.8, repetition_penalty=0.8, top_p=0.95),
        dict(temperature=1.5, top_k=1),
        dict(temperature=1.0, min_p=1.0),
    ]
    cases = []
    for index, setting in enumerate(settings):
        logits = (torch.randn(64, generator=generator) * 2.5).mul(1000).round().div(1000)
        if index == 1:
            # Two equal at the border of the best five.
            order = logits.argsort(descending=True)
            logits[order[5]] = logits[order[4]]
        seen = torch.randint(0, 64, (1, 10), generator=generator)
        steps = LogitsProcessorList()
        if "repetition_penalty" in setting:
            steps.append(RepetitionPenaltyLogitsProcessor(setting["repetition_penalty"]))
        steps.append(TemperatureLogitsWarper(setting["temperature"]))
        if "top_k" in setting:
            steps.append(TopKLogitsWarper(setting["top_k"]))
        if "min_p" in setting:
            steps.append(MinPLogitsWarper(setting["min_p"]))
        if "top_p" in setting:
            steps.append(TopPLogitsWarper(setting["top_p"]))
        scores = steps(seen, logits[None].clone())[0].double()
        kept = torch.isfinite(scores).nonzero().flatten()
        cases.append(
            {
                "settings": setting,
                "logits": [round(value, 3) for value in logits.tolist()],
                "prompt": seen[0, :6].tolist(),
                "answer": seen[0, 6:].tolist(),
                "kept": kept.tolist(),
                "probabilities": [round(value, 9) for value in scores.softmax(0)[kept].tolist()],
                "log_softmax": [round(value, 6) for value in logits.double().log_softmax(0).tolist()],
            }
        )
    return cases


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    level, fallback = byte_level(), byte_fallback()
    write(GOLDEN / "tokens.json", {"byte-level": token_cases(level), "byte-fallback": token_cases(fallback)})
    write(GOLDEN / "templates.json", template_cases(level, fallback))
    write(GOLDEN / "sampling.json", sampling_cases())
