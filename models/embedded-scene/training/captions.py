"""Captions: how a person may name a scene in five free-text fields, and the one template that joins them.

`caption` names the true labels of a scene, drops fields, adds words without meaning, mixes languages, case and typos.
`template` is the rule the application follows: "{class}, {pose}, {decor}, {world}, {era}", empty values left out.
"""

import unicodedata

import lexicon
import scene

_WEIGHTS = [.36, .34, .10, .10, .10]


def template(class_, pose="", decor="", world="", era=""):
    values = [" ".join(value.split()) for value in (class_, pose, decor, world, era)]
    return ", ".join(value for value in values if value)


def _names(entry):
    return [name.strip() for name in entry.split(",") if name.strip()]


def _choose(rng, options):
    return options[int(rng.integers(len(options)))]


def _form(adjective, gender):
    forms = adjective.split("/")
    if len(forms) == 3:
        return forms["mfn".index(gender)]
    return forms[-1] if gender == "f" else forms[0]


def _noise(rng, language):
    if rng.random() < .3:  # An invented name: the tokenizer cuts it into letters the model must learn to ignore.
        syllables = [_choose(rng, "ka lo mir dra zen tu vel or ish ba ne qua fy sol ar gri tha mo".split()) for _ in range(int(rng.integers(2, 4)))]
        return "".join(syllables).capitalize()
    return _choose(rng, _names(lexicon.NOISE[language]))


def subject(rng, language, labels, named_colour=True, named_size=False):
    """The class field: article, size, noun and colour, in an order the language allows."""
    noun, _, gender = _choose(rng, _names(lexicon.OBJECTS[language][scene.OBJECTS[labels[1]]])).partition("/")
    gender = gender or "m"
    colour = _form(_choose(rng, _names(lexicon.COLOURS[language][scene.COLOURS[labels[0]]])), gender) if named_colour else ""
    sizes = _names(lexicon.SIZES[language][scene.SIZES[labels[3]]]) if named_size else []
    size = _form(_choose(rng, sizes), gender) if sizes else ""
    extra = _noise(rng, language) if rng.random() < .12 else ""
    article = _choose(rng, lexicon.ARTICLES[language].get(gender, lexicon.ARTICLES[language]["m"])) if rng.random() < .65 else ""
    before = language in ("en", "de")
    if rng.random() < .06:
        before = not before
    words = [article, size, colour, noun, extra] if before else [article, size, noun, colour, extra]
    if before and rng.random() < .3:
        words = [article, size, extra, colour, noun]
    return " ".join(word for word in words if word)


def _plain(rng, language, table, label):
    return _choose(rng, _names(table[language][label]))


def _setting(rng, language, table, label, kind):
    name = _plain(rng, language, table, label)
    if rng.random() < .15:
        suffix = _choose(rng, _names(lexicon.SUFFIXES[kind][language]))
        return f"{name} {suffix}" if language in ("en", "de") else f"{suffix} {name}"
    return name


def fields(rng, labels, keep=.8, noise=.12, full=False):
    """The five fields for the labels, and which labels they really name (the others are left to chance)."""
    main = lexicon.LANGUAGES[int(rng.choice(5, p=_WEIGHTS))]
    language = lambda: main if rng.random() < .88 else lexicon.LANGUAGES[int(rng.choice(5, p=_WEIGHTS))]
    named = [full or rng.random() < .96, True] + [full or rng.random() < keep for _ in range(5)]
    named[3] = named[3] and rng.random() < .5
    size_in_class = rng.random() < .5
    out = {"class": subject(rng, language(), labels, named[0], named[3] and size_in_class)}
    spoken = language()
    pose = [_plain(rng, spoken, lexicon.POSITIONS, scene.POSITIONS[labels[2]])] if named[2] else []
    sizes = _names(lexicon.SIZES[spoken][scene.SIZES[labels[3]]])
    if named[3] and not size_in_class and sizes:
        pose.append(_form(_choose(rng, sizes), "m"))
    named[3] = named[3] and scene.SIZES[labels[3]] != "medium"
    out["pose"] = _choose(rng, [" ", ", ", " "]).join(pose)
    out["decor"] = _plain(rng, language(), lexicon.DECORS, scene.DECORS[labels[4]]) if named[4] else ""
    out["world"] = _setting(rng, language(), lexicon.WORLDS, scene.WORLDS[labels[5]], "world") if named[5] else ""
    out["era"] = _setting(rng, language(), lexicon.ERAS, scene.ERAS[labels[6]], "era") if named[6] else ""
    for name in ("pose", "decor", "world", "era"):
        if rng.random() < noise:
            word = _noise(rng, main)
            out[name] = word if not out[name] else f"{out[name]} {word}" if rng.random() < .6 else f"{word} {out[name]}"
    return out, named


def caption(rng, labels):
    """One training caption and a mask of the labels it names."""
    if rng.random() < .15:  # The bare style: "red star".
        language = lexicon.LANGUAGES[int(rng.choice(5, p=_WEIGHTS))]
        text, named = subject(rng, language, labels), [True, True] + [False] * 5
    else:
        values, named = fields(rng, labels, keep=float(rng.choice([.5, .85, 1.0])))
        text = template(values["class"], values["pose"], values["decor"], values["world"], values["era"])
    return _spoil(rng, text), named


def _spoil(rng, text):
    if rng.random() < .15:
        text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode() or text
    style = rng.random()
    if style < .06:
        text = text.upper()
    elif style < .16:
        text = text.capitalize()
    if rng.random() < .06 and len(text) > 12:
        at = int(rng.integers(1, len(text) - 1))
        text = text[:at] + text[at + 1:]
    return text
