"""Trains the network on endless generated examples, on one CPU core, for a time budget; continues where it stopped.

    OMP_NUM_THREADS=1 python train.py --work DIR --seconds 5000 [--export-every 600 --export-to ..]

A step sees several groups; the examples of a group share task and language, so their common system message is computed once."""

import argparse
import math
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

import export
import samples
import source
import tokens
from model import Shape, Text, rotate


HEAVY = {("name", "fr"): 8.0, ("title", "description"): 2.0, ("contentType", "estimatedEngagement"): 4.0}


def weigh(words):
    """Weights of an answer's tokens: more where it is decided what the answer is about."""
    weight, until, found = 1.0, None, []
    for word in words:
        if word == until:
            weight, until = 1.0, None
        found.append(weight)
        for (first, last), heavy in HEAVY.items():
            if until is None and word == first:
                weight, until = heavy, last
    return found


class Feed:
    """Groups of examples of similar length."""

    def __init__(self, tokenizer, seed, size):
        self.tokenizer, self.rng, self.size, self.ready = tokenizer, random.Random(seed), size, []
        self.openings = {(t, l): torch.tensor(tokens.opening(tokenizer, t, l)) for t in source.TASKS for l in source.LANGUAGES}

    def refill(self):
        tasks, weights = list(samples.WEIGHTS), list(samples.WEIGHTS.values())
        while len(self.ready) < 900:
            task, lang = self.rng.choices(tasks, weights)[0], self.rng.choice(source.LANGUAGES)
            made = [tokens.rest(self.tokenizer, samples.sample(self.rng, task, lang)) for _ in range(100 if task in ("message", "pricing", "assistant") else 40)]
            made = sorted((m for m in made if len(m[0]) < 640), key=lambda m: len(m[0]) + self.rng.random() * 20)
            rows, total = [], 0
            for ids, start in made:
                if rows and len(ids) * (len(rows) + 1) > self.size:
                    self.ready.append(self.pack(task, lang, rows))
                    rows = []
                rows.append((ids, start))
        self.rng.shuffle(self.ready)

    def pack(self, task, lang, rows):
        length = max(len(ids) for ids, _ in rows)
        ids = torch.zeros(len(rows), length, dtype=torch.long)
        targets, weights = torch.full((len(rows), length), -1), torch.zeros(len(rows), length)
        for row, (found, start) in enumerate(rows):
            ids[row, : len(found)] = torch.tensor(found)
            targets[row, start - 1 : len(found) - 1] = torch.tensor(found[start:])
            words = [self.tokenizer.id_to_token(token) for token in found[start:]]
            weights[row, start - 1 : len(found) - 1] = torch.tensor(weigh(words))
        return task, self.openings[task, lang], ids, targets, weights

    def next(self):
        if len(self.ready) < 300:
            self.refill()
        return self.ready.pop()


def attend(q, k, v, mask):
    """Attention by plain products: on a CPU their gradient is faster than the fused kernel's."""
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + mask
    return torch.softmax(scores, -1, dtype=torch.float32).to(v.dtype) @ v


def block(layer, x, spans, cos, sin):
    """One layer over several groups; a group is a shared opening and the examples that continue it."""
    s, attention = layer.self_attn.s, layer.self_attn
    h = layer.input_layernorm(x)
    q = attention.q_norm(attention.q_proj(h).float().view(-1, s.heads, s.head_dim))
    k = attention.k_norm(attention.k_proj(h).float().view(-1, s.kv_heads, s.head_dim))
    v = attention.v_proj(h).view(-1, s.kv_heads, s.head_dim)
    q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)
    groups, out, start = s.heads // s.kv_heads, [], 0
    k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    for first, batch, length, mask in spans:
        end = start + first + batch * length

        def apart(t):
            opening, examples = t[start:end].split((first, batch * length))
            return opening.transpose(0, 1).unsqueeze(0), examples.view(batch, length, s.heads, s.head_dim).transpose(1, 2)

        (qa, qb), (ka, kb), (va, vb) = apart(q), apart(k), apart(v)
        kb, vb = torch.cat((ka.expand(batch, -1, -1, -1), kb), 2), torch.cat((va.expand(batch, -1, -1, -1), vb), 2)
        out.append(attend(qa, ka, va, mask[:first, :first]).squeeze(0).transpose(0, 1).reshape(first, -1))
        out.append(attend(qb, kb, vb, mask[first:]).transpose(1, 2).reshape(batch * length, -1))
        start = end
    x = x + attention.o_proj(torch.cat(out))
    return x + layer.mlp(layer.post_attention_layernorm(x))


def losses(model, groups):
    """The loss of every answer token, group after group."""
    ids, places, spans, kept, wanted, start = [], [], [], [], [], 0
    for _, opening, rows, targets, _ in groups:
        first, (batch, length) = len(opening), rows.shape
        ids += [opening, rows.reshape(-1)]
        places += [torch.arange(first), (first + torch.arange(length)).repeat(batch)]
        mask = torch.full((first + length, first + length), -torch.inf, dtype=torch.bfloat16).triu(1)
        spans.append((first, batch, length, mask))
        answers = (targets.reshape(-1) >= 0).nonzero().squeeze(1)
        kept.append(start + first + answers)
        wanted.append(targets.reshape(-1)[answers])
        start += first + batch * length
    x, place = model.embed_tokens(torch.cat(ids)), torch.cat(places)
    cos, sin = model.cos[place].unsqueeze(1), model.sin[place].unsqueeze(1)
    for layer in model.layers:
        x = block(layer, x, spans, cos, sin)
    logits = model.logits(model.norm(x[torch.cat(kept)]))
    return F.cross_entropy(logits.float(), torch.cat(wanted), reduction="none")


def orthogonal(g):
    """The nearest orthogonal matrix, by five Newton-Schulz steps."""
    x = g / (g.norm() + 1e-7)
    flip = x.shape[0] > x.shape[1]
    x = x.T if flip else x
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.T if flip else x


class Optimiser:
    """Orthogonalised momentum for matrices, Adam for the rest."""

    def __init__(self, model):
        self.matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
        self.momenta = [torch.zeros_like(p) for p in self.matrices]
        self.adam = torch.optim.Adam([p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n], betas=(0.9, 0.98), eps=1e-9)

    @torch.no_grad()
    def step(self, scale, rate, rate_adam):
        for p, m in zip(self.matrices, self.momenta):
            m.mul_(0.95).add_(p.grad)
            update = orthogonal(p.grad + 0.95 * m)
            p.mul_(1 - scale * rate * 0.05).add_(update, alpha=-scale * rate * max(1, p.shape[0] / p.shape[1]) ** 0.5)
        for group in self.adam.param_groups:
            group["lr"] = scale * rate_adam
        self.adam.step()

    def state(self):
        return {"momenta": self.momenta, "adam": self.adam.state_dict()}

    def load(self, state):
        self.momenta = state["momenta"]
        self.adam.load_state_dict(state["adam"])


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--work", type=Path, required=True)
    a.add_argument("--seconds", type=float, required=True, help="of training in all, over every start")
    a.add_argument("--export-every", type=float, default=600)
    a.add_argument("--export-to", type=Path)
    a.add_argument("--tokens", type=int, default=450, help="of examples in a group")
    a.add_argument("--groups", type=int, default=10, help="in a step")
    a.add_argument("--decay", type=float, default=0.22, help="share of the time, at its end, over which the rates fall")
    a.add_argument("--rate", type=float, default=0.01)
    a.add_argument("--rate-adam", type=float, default=0.002)
    a = a.parse_args()
    a.work.mkdir(parents=True, exist_ok=True)
    shipped = source.HERE.parent
    torch.manual_seed(5)
    torch.set_num_threads(1)
    kept = a.work / "tokenizer.json" if (a.work / "tokenizer.json").exists() else shipped / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(kept))
    model = Text(Shape(vocab=tokenizer.get_vocab_size()))
    average = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimiser, spent, step, seen = Optimiser(model), 0.0, 0, 0
    checkpoint = a.work / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        average, spent, step, seen = state["average"], state["spent"], state["step"], state["seen"]
        optimiser.load(state["optimiser"])
    elif (shipped / "model.safetensors").exists() and kept.parent == shipped:
        export.read_weights(model, shipped / "model.safetensors")
    feed = Feed(tokenizer, 100 + step, a.tokens)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, from step {step}", flush=True)
    begun, last, sums, lines = time.time(), time.time(), {}, 0
    exported = saved = time.time()

    def save():
        state = {"model": model.state_dict(), "average": average, "spent": spent, "step": step, "seen": seen, "optimiser": optimiser.state()}
        torch.save(state, checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").replace(checkpoint)

    while spent < a.seconds:
        done = spent / a.seconds
        scale = min(1, (step + 1) / 30) * min(1, max(0.02, (1 - done) / a.decay))
        batch = [feed.next() for _ in range(a.groups)]
        with torch.autocast("cpu", torch.bfloat16):
            loss = losses(model, batch)
        weights = torch.cat([weights[targets >= 0] for *_, targets, weights in batch])
        ((loss * weights).sum() / weights.sum()).backward()
        parts = loss.detach().split([int((targets >= 0).sum()) for *_, targets, _ in batch])
        for (task, opening, ids, *_), part in zip(batch, parts):
            count = sums.setdefault(task, [0.0, 0])
            count[0] += part.sum().item()
            count[1] += part.numel()
            seen += opening.numel() + ids.numel()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step(scale, a.rate, a.rate_adam)
        model.zero_grad()
        step += 1
        decay = min(0.99, 1 - 1 / (1 + step / 5))
        with torch.no_grad():
            for n, p in model.named_parameters():
                average[n].lerp_(p, 1 - decay)
        now = time.time()
        spent += now - last
        last = now
        if step % 20 == 0:
            lines += 1
            told = "  ".join(f"{t} {s / max(1, n):.3f}" for t, (s, n) in sorted(sums.items()))
            print(f"{step} {spent:.0f}s {seen / 1e6:.2f}M scale {scale:.2f}  {told}", flush=True)
            sums = {}
        if now - saved > 120:
            save()
            saved = now
        if a.export_to and now - exported > a.export_every:
            export.write(a.export_to, average, model.shape, tokenizer)
            exported = now
    save()
    if a.export_to:
        export.write(a.export_to, average, model.shape, tokenizer)


if __name__ == "__main__":
    main()
