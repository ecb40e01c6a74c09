"""Words for every concept in five languages (French and English in full), and words that mean nothing here.

Nouns carry their gender after a slash (m, f, n); colours and sizes give their forms in the order m/f(/n).
Several names per concept are separated by commas.
"""

LANGUAGES = ["en", "fr", "es", "it", "de"]

COLOURS = {
    "en": {"red": "red, scarlet, crimson", "orange": "orange, amber", "yellow": "yellow, golden, gold", "green": "green, emerald",
           "cyan": "cyan, turquoise, teal", "blue": "blue, azure", "purple": "purple, violet", "pink": "pink, rose",
           "white": "white, snowy, silver", "black": "black, dark, ebony"},
    "fr": {"red": "rouge, écarlate", "orange": "orange", "yellow": "jaune, doré/dorée", "green": "vert/verte, émeraude",
           "cyan": "cyan, turquoise", "blue": "bleu/bleue, azur", "purple": "violet/violette, pourpre, mauve", "pink": "rose",
           "white": "blanc/blanche, argenté/argentée", "black": "noir/noire"},
    "es": {"red": "rojo/roja", "orange": "naranja", "yellow": "amarillo/amarilla, dorado/dorada", "green": "verde",
           "cyan": "cian, turquesa", "blue": "azul", "purple": "morado/morada, violeta, púrpura", "pink": "rosa, rosado/rosada",
           "white": "blanco/blanca", "black": "negro/negra"},
    "it": {"red": "rosso/rossa", "orange": "arancione", "yellow": "giallo/gialla, dorato/dorata", "green": "verde",
           "cyan": "ciano, turchese", "blue": "blu, azzurro/azzurra", "purple": "viola", "pink": "rosa",
           "white": "bianco/bianca", "black": "nero/nera"},
    "de": {"red": "roter/rote/rotes", "orange": "oranger/orange/oranges", "yellow": "gelber/gelbe/gelbes, goldener/goldene/goldenes",
           "green": "grüner/grüne/grünes", "cyan": "türkiser/türkise/türkises, cyan", "blue": "blauer/blaue/blaues",
           "purple": "lila, violetter/violette/violettes", "pink": "rosa, pinker/pinke/pinkes", "white": "weißer/weiße/weißes",
           "black": "schwarzer/schwarze/schwarzes"},
}

OBJECTS = {
    "en": {"wizard": "wizard, mage, sorcerer, magician, witch, warlock", "knight": "knight, warrior, soldier, guard, paladin",
           "dragon": "dragon, drake, wyvern", "robot": "robot, android, droid, golem", "cat": "cat, kitten, feline",
           "castle": "castle, fortress, citadel", "house": "house, cottage, hut, home", "boat": "boat, ship, sailboat, sailing ship",
           "tree": "tree, oak", "star": "star", "heart": "heart", "fish": "fish", "flower": "flower, blossom, daisy",
           "mushroom": "mushroom, toadstool"},
    "fr": {"wizard": "mage/m, sorcier/m, sorcière/f, magicien/m, magicienne/f, enchanteur/m", "knight": "chevalier/m, guerrier/m, guerrière/f, soldat/m, paladin/m",
           "dragon": "dragon/m, wyverne/f", "robot": "robot/m, androïde/m, golem/m", "cat": "chat/m, chatte/f, chaton/m",
           "castle": "château/m, forteresse/f, citadelle/f", "house": "maison/f, cabane/f, chaumière/f", "boat": "bateau/m, navire/m, voilier/m",
           "tree": "arbre/m, chêne/m", "star": "étoile/f", "heart": "cœur/m, coeur/m", "fish": "poisson/m", "flower": "fleur/f, marguerite/f",
           "mushroom": "champignon/m"},
    "es": {"wizard": "mago/m, maga/f, hechicero/m, bruja/f", "knight": "caballero/m, guerrero/m, guerrera/f", "dragon": "dragón/m", "robot": "robot/m, androide/m",
           "cat": "gato/m, gata/f", "castle": "castillo/m, fortaleza/f", "house": "casa/f, cabaña/f", "boat": "barco/m, velero/m, nave/f", "tree": "árbol/m",
           "star": "estrella/f", "heart": "corazón/m", "fish": "pez/m, pescado/m", "flower": "flor/f", "mushroom": "seta/f, hongo/m"},
    "it": {"wizard": "mago/m, maga/f, stregone/m, strega/f", "knight": "cavaliere/m, guerriero/m, guerriera/f", "dragon": "drago/m", "robot": "robot/m, androide/m",
           "cat": "gatto/m, gatta/f", "castle": "castello/m, fortezza/f", "house": "casa/f, capanna/f", "boat": "barca/f, nave/f, veliero/m", "tree": "albero/m",
           "star": "stella/f", "heart": "cuore/m", "fish": "pesce/m", "flower": "fiore/m", "mushroom": "fungo/m"},
    "de": {"wizard": "Zauberer/m, Magier/m, Hexe/f", "knight": "Ritter/m, Krieger/m, Kriegerin/f", "dragon": "Drache/m", "robot": "Roboter/m, Android/m",
           "cat": "Katze/f, Kater/m", "castle": "Burg/f, Schloss/n, Festung/f", "house": "Haus/n, Hütte/f", "boat": "Boot/n, Schiff/n, Segelboot/n", "tree": "Baum/m, Eiche/f",
           "star": "Stern/m", "heart": "Herz/n", "fish": "Fisch/m", "flower": "Blume/f, Blüte/f", "mushroom": "Pilz/m, Fliegenpilz/m"},
}

ARTICLES = {"en": {"m": ["a", "the", "one"]}, "fr": {"m": ["un", "le"], "f": ["une", "la"]}, "es": {"m": ["un", "el"], "f": ["una", "la"]},
            "it": {"m": ["un", "il"], "f": ["una", "la"]}, "de": {"m": ["ein", "der"], "f": ["eine", "die"], "n": ["ein", "das"]}}

SIZES = {
    "en": {"small": "small, little, tiny", "medium": "", "big": "big, large, huge, giant"},
    "fr": {"small": "petit/petite, minuscule", "medium": "", "big": "grand/grande, gros/grosse, énorme, géant/géante"},
    "es": {"small": "pequeño/pequeña", "medium": "", "big": "gran, grande, enorme, gigante"},
    "it": {"small": "piccolo/piccola", "medium": "", "big": "grande, enorme, gigante"},
    "de": {"small": "kleiner/kleine/kleines", "medium": "", "big": "großer/große/großes, riesiger/riesige/riesiges"},
}

POSITIONS = {
    "en": {"centre": "in the centre, in the middle, centred, in the center, facing us", "left": "on the left, left, to the left, on the left side, at left",
           "right": "on the right, right, to the right, on the right side, at right", "top": "at the top, on top, above, flying, jumping, floating, up high",
           "bottom": "at the bottom, below, standing, sitting, down low, on the ground, lying down"},
    "fr": {"centre": "au centre, au milieu, centré, centrée, de face", "left": "à gauche, sur la gauche, gauche, du côté gauche",
           "right": "à droite, sur la droite, droite, du côté droit", "top": "en haut, au-dessus, qui vole, en vol, volant, flottant, qui saute, en l'air",
           "bottom": "en bas, debout, assis, assise, au sol, par terre, couché"},
    "es": {"centre": "en el centro, en medio", "left": "a la izquierda, izquierda", "right": "a la derecha, derecha",
           "top": "arriba, volando, en lo alto", "bottom": "abajo, de pie, sentado, en el suelo"},
    "it": {"centre": "al centro, in mezzo", "left": "a sinistra, sulla sinistra", "right": "a destra, sulla destra",
           "top": "in alto, sopra, in volo", "bottom": "in basso, in piedi, seduto, a terra"},
    "de": {"centre": "in der Mitte, mittig", "left": "links, auf der linken Seite", "right": "rechts, auf der rechten Seite",
           "top": "oben, fliegend, in der Luft", "bottom": "unten, stehend, sitzend, am Boden"},
}

DECORS = {
    "en": {"none": "nothing else, plain, no decor, empty", "moon": "a moon, the moon, moonlight, a crescent moon", "sun": "a sun, the sun, a bright sun, sunshine",
           "stars": "stars, shooting stars, a starry sky", "mountains": "mountains, a mountain, high peaks, hills",
           "trees": "trees, pine trees, fir trees, bushes", "clouds": "clouds, a cloud, a cloudy sky, mist", "castle": "a castle, a tall castle, a tower, a fortress, ruins, a tall tower",
           "birds": "birds, a bird, crows, ravens, bats"},
    "fr": {"none": "rien d'autre, sans décor, vide, uni", "moon": "une lune, la lune, un croissant de lune, clair de lune", "sun": "un soleil, le soleil, un grand soleil",
           "stars": "des étoiles, un ciel étoilé, étoiles filantes", "mountains": "des montagnes, une montagne, la montagne, des collines, sommets",
           "trees": "des arbres, des sapins, les arbres, des buissons", "clouds": "des nuages, un nuage, ciel nuageux, brume", "castle": "un château, une tour, un grand château, une forteresse, des ruines",
           "birds": "des oiseaux, un oiseau, des corbeaux, chauves-souris"},
    "es": {"none": "nada más, vacío", "moon": "una luna, la luna", "sun": "un sol, el sol", "stars": "estrellas, cielo estrellado", "mountains": "montañas, una montaña",
           "trees": "árboles, pinos", "clouds": "nubes, una nube", "castle": "un castillo, una torre", "birds": "pájaros, aves"},
    "it": {"none": "nient'altro, vuoto", "moon": "una luna, la luna", "sun": "un sole, il sole", "stars": "stelle, cielo stellato", "mountains": "montagne, una montagna",
           "trees": "alberi, pini", "clouds": "nuvole, una nuvola", "castle": "un castello, una torre", "birds": "uccelli, corvi"},
    "de": {"none": "sonst nichts, leer", "moon": "ein Mond, der Mond", "sun": "eine Sonne, die Sonne", "stars": "Sterne, Sternenhimmel", "mountains": "Berge, ein Berg",
           "trees": "Bäume, Tannen", "clouds": "Wolken, eine Wolke", "castle": "eine Burg, ein Turm, ein Schloss", "birds": "Vögel, Raben"},
}

WORLDS = {
    "en": {"sea": "sea, ocean, at sea, the beach, underwater world, islands", "forest": "forest, woods, jungle, enchanted forest, woodland", "desert": "desert, sand dunes, the sands",
           "ice": "ice, snow, ice kingdom, frozen land, winter, arctic, glacier", "night": "night, space, night sky, outer space, galaxy, cosmos", "meadow": "meadow, fields, countryside, grassland, prairie, garden",
           "volcano": "volcano, lava, fire world, hell, volcanic land, underworld", "city": "city, town, village, street, metropolis"},
    "fr": {"sea": "mer, océan, la mer, plage, au bord de la mer, îles", "forest": "forêt, bois, jungle, forêt enchantée, dans la forêt", "desert": "désert, dunes de sable, sables",
           "ice": "glace, neige, royaume de glace, hiver, banquise, monde gelé", "night": "nuit, espace, la nuit, galaxie, cosmos", "meadow": "prairie, champs, campagne, jardin, pré",
           "volcano": "volcan, lave, monde de feu, enfer, terre volcanique, enfers", "city": "ville, cité, village, rue, métropole"},
    "es": {"sea": "mar, océano, playa", "forest": "bosque, selva", "desert": "desierto, dunas", "ice": "hielo, nieve, reino de hielo, invierno", "night": "noche, espacio, galaxia",
           "meadow": "prado, campo, jardín", "volcano": "volcán, lava, infierno", "city": "ciudad, pueblo, calle"},
    "it": {"sea": "mare, oceano, spiaggia", "forest": "foresta, bosco, giungla", "desert": "deserto, dune", "ice": "ghiaccio, neve, regno di ghiaccio, inverno", "night": "notte, spazio, galassia",
           "meadow": "prato, campagna, giardino", "volcano": "vulcano, lava, inferno", "city": "città, villaggio, strada"},
    "de": {"sea": "Meer, Ozean, Strand", "forest": "Wald, Dschungel", "desert": "Wüste, Dünen", "ice": "Eis, Schnee, Eiskönigreich, Winter", "night": "Nacht, Weltraum, Galaxie",
           "meadow": "Wiese, Felder, Garten", "volcano": "Vulkan, Lava, Hölle", "city": "Stadt, Dorf, Straße"},
}

ERAS = {
    "en": {"ancient": "ancient, antiquity, prehistoric, stone age, ancient times, ancient era", "medieval": "medieval, middle ages, medieval era, feudal age, renaissance",
           "modern": "modern, contemporary, present day, modern era, today", "future": "future, futuristic, cyberpunk, science fiction, far future, sci-fi"},
    "fr": {"ancient": "antique, antiquité, préhistoire, époque antique, temps anciens", "medieval": "médiéval, médiévale, moyen âge, époque médiévale, renaissance",
           "modern": "moderne, contemporain, époque moderne, aujourd'hui, de nos jours", "future": "futur, futuriste, cyberpunk, science-fiction, avenir, époque future"},
    "es": {"ancient": "antiguo, antigüedad, prehistoria", "medieval": "medieval, edad media, época medieval", "modern": "moderno, época moderna, hoy", "future": "futuro, futurista, ciencia ficción"},
    "it": {"ancient": "antico, antichità, preistoria", "medieval": "medievale, medioevo, epoca medievale", "modern": "moderno, epoca moderna, oggi", "future": "futuro, futuristico, fantascienza"},
    "de": {"ancient": "antik, Antike, Urzeit", "medieval": "mittelalterlich, Mittelalter", "modern": "modern, Gegenwart, heute", "future": "Zukunft, futuristisch, Science-Fiction"},
}

SUFFIXES = {"world": {"en": "world, land, kingdom, realm, planet", "fr": "monde, royaume, pays, univers", "es": "mundo, reino", "it": "mondo, regno", "de": "Welt, Reich"},
            "era": {"en": "era, times, age, period, epoch", "fr": "époque, ère, période", "es": "época, era", "it": "epoca, era", "de": "Zeitalter, Epoche"}}

# Words a person may well type which this model does not know: they must do no harm.
NOISE = {
    "en": "brave, mysterious, epic, detailed, noble, old, young, wise, angry, happy, sad, cute, beautiful, mighty, legendary, fierce, gentle, glowing, "
          "holding a sword, with a long beard, reading a book, looking away, running, walking, fighting, dancing, sleeping, cinematic, 4k, masterpiece, portrait, "
          "soft light, dramatic, a lantern, a chest, an old bridge, a banner, torches, magic runes, a table, steam, fog of war, heroic, warrior pose, of the north, named Aldric",
    "fr": "courageux, mystérieux, épique, détaillé, noble, vieux, jeune, sage, en colère, heureux, triste, mignon, magnifique, puissant, légendaire, féroce, lumineux, "
          "avec une épée, avec une longue barbe, lisant un livre, en train de courir, qui marche, qui combat, qui danse, endormi, cinématographique, chef-d'œuvre, portrait, "
          "lumière douce, dramatique, une lanterne, un coffre, un vieux pont, une bannière, des torches, des runes, une table, vapeur, héroïque, du nord, nommé Aldric",
    "es": "valiente, misterioso, épico, viejo, joven, sabio, feliz, triste, con una espada, corriendo, bailando, retrato, una linterna, un cofre",
    "it": "coraggioso, misterioso, epico, vecchio, giovane, saggio, felice, triste, con una spada, correndo, ballando, ritratto, una lanterna, uno scrigno",
    "de": "mutig, geheimnisvoll, episch, alt, jung, weise, glücklich, traurig, mit einem Schwert, laufend, tanzend, Porträt, eine Laterne, eine Truhe",
}
