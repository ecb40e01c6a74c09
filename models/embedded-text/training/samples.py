"""Makes one example of a task: a prompt of the edge, filled in, and the answer to it. With `check` the copied words are
those that training never uses; `facts` then says what the answer must hold."""

import json
import re

import names
import source
from source import listed, paired, texts


def upper(text):
    """The text with a capital."""
    return text[:1].upper() + text[1:]


def lower(text):
    """A sentence that follows a comma: without its capital, save for words that always have one."""
    if text.startswith(("I ", "Glückwunsch")):
        return text
    start = 1 if text[0] in "¡¿" else 0
    return text[:start] + text[start].lower() + text[start + 1 :]


def fill(rng, lang, text, check=False, **more):
    """The text with its free slots filled: {m} a made-up name, {c} a city, {n} a niche, {month}, {day}."""
    free = {
        "m": lambda: names.proper(rng, check),
        "c": lambda: names.city(rng, check),
        "n": lambda: niche(rng, lang, check),
        "month": lambda: rng.choice(listed(lang, "words.month")),
        "day": lambda: rng.choice(listed(lang, "words.day")),
    }
    for slot, draw in {**free, **{key: (lambda value=value: value) for key, value in more.items()}}.items():
        if "{" + slot + "}" in text:
            text = text.replace("{" + slot + "}", str(draw()))
    return text


def niche(rng, lang, check=False):
    """What a creator is about."""
    draw = rng.random()
    if check:
        base = rng.choice(listed(lang, "niche.held")) if draw < 0.75 else names.made_up(rng, True, capital=lang == "de")
        return base if rng.random() < 0.6 else f"{base} {rng.choice(listed(lang, 'niche.modifier'))}"
    if draw < 0.2:
        base = rng.choice(listed(lang, "niche.real"))
    elif draw < 0.4:
        base = rng.choice(source.nouns(lang))
    else:
        base = names.made_up(rng, capital=lang == "de" or rng.random() < 0.2)
        if rng.random() < 0.4:
            other = names.made_up(rng, capital=False) if rng.random() < 0.6 else rng.choice(source.nouns(lang))
            base = f"{base} {other}" if rng.random() < 0.5 else f"{other} {base}"
    return f"{base} {rng.choice(listed(lang, 'niche.modifier'))}" if rng.random() < 0.25 else base


def ordered(chosen, among):
    """What was chosen, in the order of the whole: a list that has an order is never continued with what it already holds."""
    return sorted(chosen, key=among.index)


def pick(rng, lang, key, most, chance, check=False):
    """Some values of a list, filled in, or none."""
    if rng.random() >= chance:
        return []
    values = listed(lang, key)
    return [fill(rng, lang, value, check) for value in rng.sample(values, rng.randint(1, min(most, len(values))))]


def content_ideas(rng, lang, check=False):
    """Ideas on a niche."""
    niches = [niche(rng, lang, check) for _ in range(rng.choice((1, 1, 1, 2)))]
    formats = rng.sample(("photo", "video", "story", "live"), rng.randint(1, 4))
    given = {
        name: pick(rng, lang, f"idea.{key}", most, chance, check)
        for name, key, most, chance in (
            ("audience", "audience", 2, 0.7), ("goals", "goal", 2, 0.6), ("equipment", "equipment", 2, 0.5), ("locations", "place", 2, 0.5),
            ("time_available", "time", 1, 0.4), ("platforms", "platform", 2, 0.5), ("creativity", "creativity", 1, 0.4),
        )
    }
    count = rng.choice((1, 2, 3, 3)) if check else rng.choice((1, 1, 1, 2, 2, 2, 3, 3, 4, 6))
    titles = rng.sample(texts(lang)["idea.title"], count + 2)
    history = [titles.pop() for _ in range(rng.randint(1, 2))] if rng.random() < 0.25 else []
    titles = ordered(titles[:count], texts(lang)["idea.title"])
    captions, hashtags = rng.random() < 0.4, rng.random() < 0.4
    values = {
        "count": count, "niches": ", ".join(niches), "content_types": ", ".join(formats),
        "history": ", ".join(fill(rng, lang, title, n=niches[0]) for title in history),
        "with_captions": source.extras(lang)["with_captions"] if captions else "",
        "with_hashtags": source.extras(lang)["with_hashtags"] if hashtags else "",
        **{name: ", ".join(found) for name, found in given.items()},
    }
    usable = {"p": "locations", "e": "equipment", "l": "platforms", "g": "goals"}
    tips = [tip for tip in texts(lang)["idea.tip"] if all("{" + s + "}" not in tip or given[name] for s, name in usable.items())]
    told = [tip for tip in tips if "{" in tip]
    descriptions = [text for text in texts(lang)["idea.description"] if "{a}" not in text or given["audience"]]
    descriptions = ordered(rng.sample(descriptions, min(count, len(descriptions))), descriptions)
    ideas = []
    for index in range(count):
        about = niches[index % len(niches)]
        slots = {s: rng.choice(given[name] or [""]) for s, name in usable.items()}
        slots |= {"n": about, "a": rng.choice(given["audience"] or [""])}
        chosen = rng.sample(tips, rng.choice((1, 1, 2)))
        if told and not any("{" in tip for tip in chosen):
            chosen[0] = rng.choice(told)
        hard = rng.choice(("easy", "easy", "medium", "hard"))
        idea = {
            "title": fill(rng, lang, titles[index], **slots),
            "description": fill(rng, lang, descriptions[index % len(descriptions)], **slots),
            "contentType": formats[index % len(formats)],
            "estimatedEngagement": rng.choice((35, 40, 45, 50, 55, 60, 65, 70, 75, 80)),
            "estimatedRevenue": rng.choice((20, 30, 40, 50, 60, 80, 100, 120, 150, 200)),
            "difficulty": hard,
            "timeRequired": {"easy": rng.choice(("15 min", "20 min", "30 min")), "medium": rng.choice(("45 min", "60 min")), "hard": rng.choice(("90 min", "120 min"))}[hard],
        }
        if captions:
            idea["caption"] = fill(rng, lang, rng.choice(texts(lang)["idea.caption"]), **slots)
        if hashtags:
            tags = ["".join(upper(word) if place else word for place, word in enumerate(about.replace("'", " ").split()))]
            idea["hashtags"] = ["#" + tag for tag in tags + rng.sample(texts(lang)["idea.tag"], rng.choice((1, 2)))]
        idea["tips"] = [fill(rng, lang, tip, **slots) for tip in chosen]
        ideas.append(idea)
    return values, {"ideas": ideas}, {"niches": niches, "count": count, "formats": formats, "captions": captions, "hashtags": hashtags}


PURPOSES = ("thank", "invite", "sorry", "announce", "opinion", "congratulate", "remind", "discount", "welcome", "return", "birthday")


def message(rng, lang, check=False):
    """A private message."""
    purpose = rng.choice(PURPOSES + PURPOSES[:8])
    tone = rng.choice(("warm", "formal", "playful"))
    wordings, bodies = paired(lang, f"message.purpose.{purpose}")
    subject = fill(rng, lang, rng.choice([x for x in listed(lang, "message.x") if not check or "{" in x]), check)
    person = names.first(rng, check)
    slots = {"x": subject, "r": person}
    wanted, body = fill(rng, lang, rng.choice(wordings), **slots), fill(rng, lang, rng.choice(bodies), **slots)
    template = ""
    if purpose in ("thank", "announce", "invite") and rng.random() < 0.3:
        template, body = texts(lang)[f"message.template.{purpose}"][0].split(" | ")
        parts = [fill(rng, lang, body, **slots)]
    else:
        opening = fill(rng, lang, rng.choice(listed(lang, f"message.open.{tone}")), **slots)
        parts = [opening, lower(body) if opening.endswith(",") else body]
    known, told = [], []
    for fact in rng.sample(("likes", "since", "city", "day"), rng.choice((0, 1, 1, 2))):
        contexts, sentences = paired(lang, f"message.context.{fact}")
        slot = {"likes": "n", "since": "month", "city": "c", "day": "day"}[fact]
        word = {slot: fill(rng, lang, "{" + slot + "}", check)}
        known.append(fill(rng, lang, rng.choice(contexts), **word))
        told.append(fill(rng, lang, rng.choice(sentences), **word))
    parts += told + [rng.choice(listed(lang, f"message.close.{tone}"))]
    values = {"purpose": wanted, "recipient": person, "tone": rng.choice(listed(lang, f"message.tone.{tone}")), "context": ", ".join(known), "template": template}
    return values, {"message": " ".join(parts)}, {"recipient": person, "purpose": purpose, "subject": subject if subject in wanted else ""}


def successive(rng, rows, count):
    """Rows that follow each other from anywhere, the first after the last: what comes next depends on what stands there."""
    start = rows.index(rng.sample(rows, count)[0])
    return [rows[(start + more) % len(rows)] for more in range(count)]


def concepts(rng, lang, check=False):
    """A list of concepts in five languages."""
    count = rng.choice((3, 4, 5, 6)) if check else rng.choice((1, 1, 2, 3, 3, 4, 5, 6))
    wrappers = listed(lang, "concept.wrap")
    if rng.random() < (0.3 if check else 0.1):
        key, theme = "", names.proper(rng, check)
        rows = [row for _, all_rows in source.fields().values() for row in all_rows]
        rows = [{of: texts(of)["concept.compose"][0].format(c=row[of], m=theme) for of in source.LANGUAGES} for row in successive(rng, rows, count)]
    else:
        key = rng.choice(sorted(source.fields()))
        wordings, rows = source.fields()[key]
        theme = wordings[lang][-1] if check else rng.choice(wordings[lang][:-1])
        rows = successive(rng, rows, count)
    name = theme
    if rng.random() < 0.4:
        theme = rng.choice(wrappers[-1:] if check else wrappers[:-1]).replace("{t}", theme)
    if rng.random() < 0.3:
        theme = upper(theme)
    answer = {"concepts": [{"name": row[lang], **{of: row[of] for of in source.LANGUAGES}} for row in rows]}
    return {"theme": theme, "count": count}, answer, {"field": key, "name": "" if key else name, "count": count}


def value(rng, lang, kind, check=False):
    """A fact's value."""
    if kind in ("month", "day", "colour", "material"):
        return rng.choice(listed(lang, f"words.{kind}"))
    draws = {
        "year": lambda: str(rng.randint(1650, 2023)),
        "count": lambda: str(rng.choice((rng.randint(11, 99), rng.randint(100, 999), rng.randint(1000, 9999)))),
        "city": lambda: names.city(rng, check),
        "person": lambda: names.person(rng, check),
        "thing": lambda: rng.choice(source.nouns(lang)),
    }
    return draws[kind]()


def wrong(rng, lang, kind, right):
    """Three wrong values of the same kind: those that follow the right one, or follow each other from anywhere."""
    if kind in ("year", "count"):
        return [right[:-1] + str((int(right[-1]) + more) % 10) for more in (1, 2, 3)]
    if kind == "city":
        among = [city for city in names.CITIES if city != right]
    elif kind == "person":
        among = [f"{first} {names.LAST[place % len(names.LAST)]}" for place, first in enumerate(names.FIRST)]
    elif kind == "thing":
        among = [row[lang] for _, rows in source.fields().values() for row in rows]
        among = [word for place, word in enumerate(among) if word not in among[:place]]
    else:
        among = listed(lang, f"words.{kind}")
    start = among.index(right) if right in among else rng.randrange(len(among))
    return [among[(start + more) % len(among)] for more in (1, 2, 3)]


def quiz(rng, lang, check=False):
    """Questions on a paragraph. The right choice comes first: where it stands is for the edge to decide."""
    keys = sorted(key for key in texts(lang) if key.startswith("quiz."))
    kind = rng.choice(sorted({key.split(".")[1] for key in keys}))
    templates = [texts(lang)[key][0].split(" | ") for key in keys if key.split(".")[1] == kind]
    opening = [template for template in templates if "{x}" in template[1]]
    others = [template for template in templates if template not in opening]
    rng.shuffle(others)
    chosen = opening[:1] + others[: rng.randint(1, len(others))]
    subject = names.proper(rng, check)
    count = rng.randint(1, min(4, len(chosen)))
    asked = sorted(rng.sample(range(len(chosen)), count)) if rng.random() < 0.7 else list(range(count))
    sentences, questions, known, facts = [], [], [], []
    for index, (slot, sentence, question) in enumerate(chosen):
        right = value(rng, lang, slot, check)
        while right in known:
            right = value(rng, lang, slot, check)
        known.append(right)
        sentences.append(fill(rng, lang, sentence, x=subject, **{slot: right}))
        facts.append({"keys": [word for word in re.findall(r"[^\W\d_]+", question.lower()) if word != "x"], "value": right})
        if index in asked:
            choices = [right, *wrong(rng, lang, slot, right)]
            questions.append({"question": fill(rng, lang, question, x=subject), "choices": choices, "answer": 0})
    return {"count": count, "paragraph": " ".join(sentences)}, {"questions": questions}, {"subject": subject, "facts": facts, "count": count}


def pricing(rng, lang, check=False):
    """Advice on a price."""
    content = fill(rng, lang, rng.choice(listed(lang, "price.content")), check)
    trend = rng.choice(("up", "down", "same"))
    history, reasons = paired(lang, f"price.{trend}")
    price = rng.choice((rng.randint(3, 60), rng.randint(3, 60), rng.randint(5, 30) * 5))
    step = 5 if price > 11 else 1
    best = price + {"up": step, "down": -step, "same": 0}[trend]
    audience = pick(rng, lang, "idea.audience", 1, 0.7, check)
    reasoning = rng.choice(reasons).replace("{k}", content)
    if audience:
        reasoning += " " + rng.choice(listed(lang, "price.audience")).replace("{a}", audience[0])
    values = {
        "content_type": content, "current_price": rng.choice((str(price), f"{price}.00")), "currency": rng.choice(("EUR", "USD", "€", "$")),
        "audience": ", ".join(audience), "history": rng.choice(history),
    }
    answer = {"recommendedPrice": best, "minPrice": best - step, "maxPrice": best + step, "reasoning": reasoning}
    return values, answer, {"content": content, "trend": trend, "price": price}


def assistant(rng, lang, check=False):
    """One turn of a conversation."""
    draw = rng.random()
    key = "chat" if draw < 0.8 or check else ("chat.unknown" if draw < 0.96 else "chat.hello")
    asked, answer = rng.choice(texts(lang)[key]).split(" | ")
    slots = {"n": niche(rng, lang, check), "m": names.proper(rng, check)}
    return {"message": fill(rng, lang, rng.choice(asked.split("; ")), **slots)}, fill(rng, lang, answer, **slots), {"niche": slots["n"]}


MAKERS = {"content_ideas": content_ideas, "message": message, "pricing": pricing, "concepts": concepts, "quiz": quiz, "assistant": assistant}
WEIGHTS = {"content_ideas": 16, "message": 13, "pricing": 6, "concepts": 26, "quiz": 22, "assistant": 4}


def sample(rng, task, lang, check=False):
    """One example: its prompt, its answer as text, and what the check needs."""
    values, answer, facts = MAKERS[task](rng, lang, check)
    system, user = source.prompt(task, lang, values)
    text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
    return {"task": task, "lang": lang, "system": system, "user": user, "answer": text, "facts": facts}
