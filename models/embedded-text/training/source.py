"""Reads what the generator is made of: the prompts of the edge and the lexicons of five languages."""

import json
import re
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROMPTS = HERE.parents[2] / "edge" / "prompts"
LANGUAGES = ("fr", "en", "es", "it", "de")
TASKS = ("content_ideas", "message", "pricing", "concepts", "quiz", "assistant")


@cache
def texts(lang):
    """Every text of one language: key -> list of lines."""
    found = {}
    for line in (HERE / "lexicon" / f"{lang}.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            key, value = line.split(": ", 1)
            found.setdefault(key, []).append(value)
    return found


@cache
def listed(lang, key):
    """A line that is a list."""
    return texts(lang)[key][0].split("; ")


@cache
def paired(lang, key):
    """A line `a; b | c; d`: both lists."""
    left, right = texts(lang)[key][0].split(" | ")
    return left.split("; "), right.split("; ")


@cache
def fields():
    """The fields of concrete things: key -> (wordings per language, rows of translations)."""
    found, key = {}, None
    for line in (HERE / "lexicon" / "things.txt").read_text().splitlines():
        if line.startswith("= "):
            key = line[2:]
            found[key] = ({}, [])
        elif line[2:4] == ": ":
            found[key][0][line[:2]] = line[4:].split("; ")
        elif line and not line.startswith("#"):
            found[key][1].append(dict(zip(LANGUAGES, line.split("|"))))
    return found


@cache
def nouns(lang):
    """Every noun of one language."""
    return sorted({row[lang] for _, rows in fields().values() for row in rows})


@cache
def prompt_file(task, lang):
    """The two parts of a prompt."""
    system, user = (PROMPTS / f"{task}.{lang}.txt").read_text().split("\n---\n")
    return system.strip(), user.strip()


@cache
def extras(lang):
    """The optional sentences of `content_ideas`."""
    return json.loads((PROMPTS / "extras.json").read_text())[lang]


def prompt(task, lang, values):
    """The system and the user message, filled in as the edge does."""
    system, user = prompt_file(task, lang)
    lines = []
    for line in user.splitlines():
        names = re.findall(r"{{(\w+)}}", line)
        if all(values.get(name, "") != "" for name in names):
            lines.append(re.sub(r"{{(\w+)}}", lambda m: str(values[m[1]]), line))
    return system, "\n".join(lines)
