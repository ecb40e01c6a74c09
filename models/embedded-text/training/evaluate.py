"""Answers the held-out prompts with the published files through transformers, constrained by llguidance, and judges them.

    python evaluate.py [--model ..] [--out ../check] [--each 12] [--temperature 0.0]

Writes figures.json and answers.jsonl into --out."""

import argparse
import json
import random
import time
from collections import defaultdict
from pathlib import Path

import llguidance
import llguidance.hf
import llguidance.torch as bits
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import measure
import source

FOUR = ("content_ideas", "message", "concepts", "quiz")
MOST = 1600


class Writer:
    """The published model with constrained decoding, many prompts at a time."""

    def __init__(self, folder):
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.tokenizer.padding_side = "left"
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.guide = llguidance.hf.from_tokenizer(self.tokenizer, n_vocab=self.model.config.vocab_size)

    def matcher(self, schema):
        if schema is None:
            return None
        grammar = llguidance.LLMatcher.grammar_from_json_schema(schema | {"x-guidance": {"whitespace_flexible": False}})
        found = llguidance.LLMatcher(self.guide, grammar)
        if found.get_error():
            raise ValueError(found.get_error())
        return found

    @torch.no_grad()
    def write(self, lines, schemas, temperature, seed=1):
        chats = [[{"role": r, "content": line[r]} for r in ("system", "user")] for line in lines]
        texts = [self.tokenizer.apply_chat_template(c, tokenize=False, add_generation_prompt=True) for c in chats]
        given = self.tokenizer(texts, return_tensors="pt", padding=True)
        ids, mask = given["input_ids"], given["attention_mask"]
        matchers = [self.matcher(schemas.get(line["schema"])) for line in lines]
        room = bits.allocate_token_bitmask(1, self.model.config.vocab_size)
        made, open_rows, past, end = [[] for _ in lines], set(range(len(lines))), None, self.tokenizer.eos_token_id
        torch.manual_seed(seed)
        for _ in range(MOST):
            place = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
            out = self.model(input_ids=ids, attention_mask=mask, position_ids=place, past_key_values=past, use_cache=True, logits_to_keep=1)
            past, logits = out.past_key_values, out.logits[:, -1]
            ids = torch.full((len(lines), 1), end)
            for row in sorted(open_rows):
                scores = logits[row : row + 1]
                if matchers[row]:
                    bits.fill_next_token_bitmask(matchers[row], room, 0)
                    bits.apply_token_bitmask_inplace(scores, room)
                token = int(scores.argmax()) if temperature == 0 else int(torch.multinomial((scores / temperature).softmax(-1), 1))
                ids[row, 0] = token
                if matchers[row] and token != end:
                    matchers[row].consume_token(token)
                if token == end:
                    open_rows.discard(row)
                else:
                    made[row].append(token)
            mask = torch.cat((mask, torch.ones(len(lines), 1, dtype=mask.dtype)), 1)
            if not open_rows:
                break
        return [self.tokenizer.decode(tokens, skip_special_tokens=True) for tokens in made]


def valid(text, schema):
    """Whether the answer follows its schema."""
    import jsonschema

    try:
        jsonschema.validate(json.loads(text), schema)
    except (ValueError, jsonschema.ValidationError):
        return False
    return True


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--model", type=Path, default=source.HERE.parent)
    a.add_argument("--out", type=Path)
    a.add_argument("--each", type=int, default=99, help="prompts per task and language")
    a.add_argument("--temperature", type=float, default=0.0)
    a = a.parse_args()
    torch.set_num_threads(1)
    check = source.HERE.parent / "check"
    schemas, function_words = (json.loads((check / f"{n}.json").read_text()) for n in ("schemas", "words"))
    groups, writer, rng = defaultdict(list), Writer(a.model), random.Random(3)
    for line in map(json.loads, (check / "heldout.jsonl").read_text().splitlines()):
        groups[line["task"], line["lang"]].append(line)
    tallies, answers, reasons, begun, tokens = defaultdict(lambda: [0, 0]), [], defaultdict(int), time.time(), 0

    def count(good, *keys):
        for key in keys:
            tallies[key][0] += good
            tallies[key][1] += 1

    chosen = [[line for lang in source.LANGUAGES for line in groups[task, lang][: a.each]] for task in source.TASKS]
    made = {line["id"]: text for lines in chosen for line, text in zip(lines, writer.write(lines, schemas, a.temperature))}
    for (task, lang), lines in groups.items():
        lines = lines[: a.each]
        for index, line in enumerate(lines):
            text = made[line["id"]]
            tokens += len(writer.tokenizer.encode(text))
            reason = measure.judge(line, text, function_words)
            other = lines[(index + rng.randrange(1, len(lines))) % len(lines)] if len(lines) > 1 else line
            if line["schema"]:
                count(valid(text, schemas[line["schema"]]), "schema-valid", f"schema-valid {task}")
            count(not reason, task, f"{task} {lang}", *(["on topic"] if task in FOUR else []))
            if task in FOUR:
                count(not measure.judge(other, text, function_words), "chance: answers judged by another prompt", f"chance {task}")
                count(not measure.judge(line, line["reference"], function_words), "reference answers")
            reasons[f"{task}: {reason}"] += bool(reason)
            answers.append({"id": line["id"], "reason": reason, "answer": text})
    figures = {key: {"good": good, "of": of, "rate": round(good / of, 4)} for key, (good, of) in sorted(tallies.items())}
    figures["why not"] = {k: v for k, v in sorted(reasons.items()) if v}
    figures["settings"] = {"temperature": a.temperature, "answer tokens": tokens, "seconds": round(time.time() - begun)}
    print(json.dumps(figures, ensure_ascii=False, indent=1))
    if a.out:
        (a.out / "figures.json").write_text(json.dumps(figures, ensure_ascii=False, indent=1) + "\n")
        (a.out / "answers.jsonl").write_text("".join(json.dumps(x, ensure_ascii=False) + "\n" for x in answers))


if __name__ == "__main__":
    main()
