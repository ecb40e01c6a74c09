"""Stage 2: the text encoder alone, by telling the labels from captions. Writes text.pt.

It spares the picture model the long plateau before its cross-attention finds anything to attend to. Each label has
one more class, "not named", so the encoder also learns what a caption leaves open.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import captions
import common
import models
import scene
import tokenizer

CLASSES = [len(names) + 1 for names in scene.FIELDS.values()]


class Head(torch.nn.Linear):
    """Reads all labels from one hidden state; used in training only, never exported."""

    def __init__(self):
        super().__init__(models.HIDDEN, sum(CLASSES))

    def loss(self, hidden, ids, targets):
        end = (ids == models.VOCABULARY - 1).int().argmax(1)
        rows = torch.arange(len(ids))
        total, right = 0, []
        for states in (hidden[rows, end], hidden[:, -1]):
            for k, logits in enumerate(self(states).split(CLASSES, 1)):
                total = total + F.cross_entropy(logits, targets[:, k])
                right.append((logits.argmax(1) == targets[:, k]).float().mean())
        return total / len(right), torch.stack(right[-len(CLASSES):])


def batch(rng, reader, labels, length=None, empty=.1):
    """Token ids and targets for given label rows; a tenth of the captions is empty, for guidance."""
    texts, targets = [], []
    for row in labels:
        text, named = ("", [False] * 7) if rng.random() < empty else captions.caption(rng, row)
        texts.append(text)
        targets.append([value if told else size - 1 for value, told, size in zip(row, named, CLASSES)])
    return torch.from_numpy(reader(texts, length)), torch.tensor(targets)


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--work", type=Path, required=True)
    options.add_argument("--seconds", type=float, default=180)
    args = options.parse_args()
    common.setup(1)
    reader, text, head = tokenizer.Reader(args.work / "tokenizer"), models.text_encoder(), Head()
    parameters = [*text.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, 1e-3, weight_decay=1e-2)
    path, step, budget = args.work / "text.pt", 0, common.Budget(args.seconds)
    if state := common.load(path):
        text.load_state_dict(state["model"]), head.load_state_dict(state["head"]), optimizer.load_state_dict(state["optimizer"])
        step, budget.spent = state["step"], state["spent"]
    keep = lambda: common.save(path, model=text.state_dict(), head=head.state_dict(), optimizer=optimizer.state_dict(), step=step, spent=budget.spent)
    mean = torch.zeros(len(CLASSES))
    while (done := budget.tick()) < 1:
        common.cosine(optimizer, 1.5e-3, step, done)
        rng = np.random.default_rng([2, step])
        ids, targets = batch(rng, reader, [scene.draw_scene(rng).labels() for _ in range(128)])
        loss, right = head.loss(text(ids).last_hidden_state, ids, targets)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        step += 1
        mean = .95 * mean + .05 * right
        if step % 100 == 0:
            print("text", step, f"{loss.item():.3f}", [round(v, 2) for v in mean.tolist()], round(budget.spent), flush=True)
            keep()
    keep()


if __name__ == "__main__":
    main()
