"""Is an answer valid, and on topic? One rule per task, described in ../check/README.md."""

import json
import re


def normal(text):
    """Lower case, single spaces."""
    return " ".join(text.lower().split())


def words(text):
    return re.findall(r"[^\W\d_]+", text.lower())


def language(text, function_words):
    """The language whose function words are most frequent; of equals, all."""
    found = words(text)
    counts = {lang: sum(word in known for word in found) for lang, known in function_words.items()}
    best = max(counts.values())
    return {lang for lang, count in counts.items() if count == best and best > 0}


def ideas(answer, expect):
    """Every idea is about a niche asked for, in a format asked for, and no title comes twice."""
    titles = [normal(idea["title"]) for idea in answer["ideas"]]
    if len(set(titles)) < len(titles):
        return "title twice"
    for idea in answer["ideas"]:
        if not any(normal(n) in normal(idea["title"] + " " + idea["description"]) for n in expect["niches"]):
            return "niche missing"
        if idea["contentType"] not in expect["formats"]:
            return "format not asked for"
    return ""


def message(answer, expect):
    """The message names the recipient and the subject, and says what the purpose says."""
    text = normal(answer["message"])
    if normal(expect["recipient"]) not in text:
        return "recipient missing"
    if normal(expect["subject"]) not in text:
        return "subject missing"
    if not any(sign in text for sign in expect["signs"]):
        return "purpose missing"
    return ""


def concepts(answer, expect):
    """Every concept is a row of the theme's field, or, for a theme that is a name, holds that name in five languages."""
    rows = [tuple(normal(c[k]) for k in ("name", "fr", "en", "es", "it", "de")) for c in answer["concepts"]]
    if len(set(rows)) < len(rows):
        return "concept twice"
    for row in rows:
        if expect["rows"] and list(row) not in expect["rows"]:
            return "not in the field" if row[1] not in {r[1] for r in expect["rows"]} else "translation wrong"
        if not expect["rows"] and not all(normal(expect["name"]) in text for text in row):
            return "name missing"
    return ""


def quiz(answer, expect):
    """Every question asks for a fact of the paragraph, offers it once among four, and marks it."""
    asked = [normal(q["question"]) for q in answer["questions"]]
    if len(set(asked)) < len(asked):
        return "question twice"
    for q in answer["questions"]:
        text, choices = normal(q["question"]), [normal(c) for c in q["choices"]]
        if normal(expect["subject"]) not in text:
            return "subject missing"
        best = max(expect["facts"], key=lambda fact: sum(key in words(text) for key in fact["keys"]) / len(fact["keys"]))
        if len(set(choices)) < 4:
            return "choice twice"
        if normal(best["value"]) not in choices:
            return "right answer missing"
        if choices[q["answer"]] != normal(best["value"]):
            return "wrong answer marked"
    return ""


def pricing(answer, expect):
    """The prices are in order, move the way the sales did, and the reason names the content."""
    low, best, high = answer["minPrice"], answer["recommendedPrice"], answer["maxPrice"]
    if not low <= best <= high:
        return "prices out of order"
    if {"up": best > expect["price"], "down": best < expect["price"], "same": abs(best - expect["price"]) <= 0.1 * expect["price"]}[expect["trend"]] is False:
        return "against the sales"
    return "" if normal(expect["content"]) in normal(answer["reasoning"]) else "content missing"


def assistant(answer, expect):
    """The answer names what was asked about."""
    return "" if normal(expect["niche"]) in normal(answer) else "niche missing"


RULES = {"content_ideas": ideas, "message": message, "concepts": concepts, "quiz": quiz, "pricing": pricing, "assistant": assistant}


def strings(value):
    """Every text in an answer."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for item in inner for text in strings(item)]


def judge(line, text, function_words):
    """Empty if the answer is on topic, otherwise why not."""
    try:
        answer = text if line["task"] == "assistant" else json.loads(text)
    except ValueError:
        return "not JSON"
    reason = RULES[line["task"]](answer, line["expect"])
    if not reason and line["task"] != "concepts" and line["lang"] not in language(" ".join(strings(answer)), function_words):
        reason = "language"
    return reason
