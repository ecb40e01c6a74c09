"""Writes the data of the check: heldout.jsonl, schemas.json and words.json (fixed seed).

    python make_check.py
"""

import json
import random

import measure
import samples
import source
from source import listed, texts

SEED = 20_261_121
COUNTS = {"content_ideas": 12, "message": 12, "concepts": 12, "quiz": 12, "pricing": 5, "assistant": 5}
CHECK = source.HERE.parent / "check"


def expected(made):
    """What the rules need to know about one example."""
    task, lang, facts = made["task"], made["lang"], made["facts"]
    if task == "content_ideas":
        return {"niches": facts["niches"], "formats": facts["formats"]}
    if task == "message":
        signs = dict(entry.split("=") for entry in listed(lang, "check.purpose"))[facts["purpose"]].split(",")
        return {"recipient": facts["recipient"], "subject": facts["subject"], "signs": signs}
    if task == "concepts":
        rows = source.fields()[facts["field"]][1] if facts["field"] else []
        return {"name": facts["name"], "rows": [[measure.normal(row[k]) for k in (lang, *source.LANGUAGES)] for row in rows]}
    if task == "quiz":
        return {"subject": facts["subject"], "facts": facts["facts"]}
    return facts


def schema(task, facts):
    """The task's schema as the edge sends it, and a name for it."""
    found = json.loads((source.PROMPTS / "schemas" / f"{task}.json").read_text())
    name = task
    for outer in ("ideas", "concepts", "questions"):
        if outer in found["properties"]:
            name += f"-{facts['count']}"
            found["properties"][outer] |= {"minItems": facts["count"], "maxItems": facts["count"]}
    if task == "content_ideas":
        item = found["properties"]["ideas"]["items"]
        item["properties"]["contentType"]["enum"] = sorted(facts["formats"])
        name += "-" + "-".join(sorted(facts["formats"]))
        for field, wanted in (("caption", facts["captions"]), ("hashtags", facts["hashtags"])):
            if wanted:
                name += f"-{field}"
            else:
                del item["properties"][field]
                item["required"].remove(field)
    return name, found


def main():
    CHECK.mkdir(exist_ok=True)
    rng, lines, schemas = random.Random(SEED), [], {}
    for task, count in COUNTS.items():
        for lang in source.LANGUAGES:
            for _ in range(count):
                made = samples.sample(rng, task, lang, check=True)
                name = ""
                if task != "assistant":
                    name, schemas_found = schema(task, made["facts"])
                    schemas[name] = schemas_found
                line = {"id": len(lines), "task": task, "lang": lang, "system": made["system"], "user": made["user"], "schema": name}
                lines.append(line | {"expect": expected(made), "reference": made["answer"]})
    (CHECK / "heldout.jsonl").write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    (CHECK / "schemas.json").write_text("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in schemas.items()) + "\n}\n")
    function_words = {lang: texts(lang)["words.function"][0].split() for lang in source.LANGUAGES}
    (CHECK / "words.json").write_text(json.dumps(function_words, ensure_ascii=False, indent=1) + "\n")
    for line in lines:
        reason = measure.judge(line, line["reference"], function_words)
        if reason:
            print("reference fails:", reason, line["lang"], line["user"], line["reference"])


if __name__ == "__main__":
    main()
