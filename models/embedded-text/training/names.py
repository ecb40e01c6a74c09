"""Names of people and places, real and made up. A made-up word belongs to training or to the check by its checksum."""

import zlib
from functools import cache

import source

FIRST = (
    "Anna Paul Marie Luca Sofia Jonas Emma Hugo Clara Marco Lucía Pedro Hannah Felix Chiara Diego Julie Thomas Laura Simon Giulia "
    "Carlos Lena Max Alice Louis Elena Mateo Nina Oscar Sara Leo Camille Victor Marta Andrea Paula David Eva Adrien Rosa Bruno "
    "Charlotte Martin Silvia Javier Greta Noah Olivia Jack Grace Henry Amelia Arthur Ines Samuel Carla Emil Julia Antoine"
).split()
FIRST_HELD = "Margaux Théo Beatrice Lorenzo Matilda Friedrich Ximena Gonzalo Harriet Wilfried Ottavia Zoé Ignacio Philippa Kasimir".split()
LAST = (
    "Martin Bernard Rossi Ferrari García López Müller Schmidt Smith Brown Dubois Moreau Bianchi Romano Sánchez Torres Weber Fischer "
    "Taylor Wilson Laurent Girard Conti Greco Navarro Ramos Becker Wagner Clark Evans Fontaine Leroy Costa Marino Vega Ortiz Koch Vogel Hall Wood"
).split()
CITIES = (
    "Paris Lyon Lille Nantes Madrid Sevilla Valencia Bilbao Roma Milano Torino Napoli Berlin Hamburg Dresden Leipzig London Leeds York "
    "Dublin Bruges Porto Genève Wien Oslo Riga Prague Toulouse Bordeaux Granada Bologna Firenze Köln Bristol Oxford"
).split()
ONSETS = "b c d f g h j k l m n p r s t v w z br ch cl cr dr fl gr kr pl pr qu sh st tr th sk sl".split()
VOWELS = "a e i o u a e i o u ai au ei ia io ou é à ö y".split()
CODAS = ["", "", "", "", "n", "r", "l", "s", "m", "t", "x", "nd", "rk", "st"]


def held(word):
    """Whether a word is kept for the check."""
    return zlib.crc32(word.lower().encode()) % 8 == 0


@cache
def real_words():
    """Words of five languages, to be cut up."""
    found = {word for lang in source.LANGUAGES for text in (*source.nouns(lang), *source.listed(lang, "niche.real")) for word in text.split()}
    return sorted(word.lower() for word in (*found, *FIRST, *LAST, *CITIES) if len(word) > 3 and word.isalpha())


def made_up(rng, check=False, capital=True):
    """A word that no dictionary has: syllables, or the start of one word and the end of another. The second kind teaches to
    copy words that look like real ones, letter by letter, instead of finishing them in the usual way."""
    while True:
        if rng.random() < 0.6:
            start, end = rng.choice(real_words()), rng.choice(real_words())
            word = start[: rng.randint(2, max(2, len(start) - 1))] + end[-rng.randint(2, max(2, len(end) - 1)) :]
        else:
            word = "".join(rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(rng.choice((1, 2, 2, 2, 3))))
            if rng.random() < 0.2:
                word = rng.choice("aeiou") + word
        if 4 <= len(word) <= 13 and held(word) == check:
            return word.capitalize() if capital else word


def first(rng, check=False):
    """A first name."""
    if rng.random() < 0.5:
        return made_up(rng, check)
    return rng.choice(FIRST_HELD if check else FIRST)


def person(rng, check=False):
    """A first and a last name."""
    last = made_up(rng, check) if check or rng.random() < 0.5 else rng.choice(LAST)
    return f"{first(rng, check)} {last}"


def city(rng, check=False):
    """A place's name."""
    return made_up(rng, check) if check or rng.random() < 0.6 else rng.choice(CITIES)


def proper(rng, check=False):
    """The name of a project, a ship, a club: one or two words."""
    return " ".join(made_up(rng, check) for _ in range(rng.choice((1, 1, 2))))
