"""Lists of words that the skills draw from, and words coined on the spot so that copying has to be learnt."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

__all__ = [
    "ANIMALS", "CITIES", "COLOURS", "COMPANIES", "FIRST_NAMES", "FOODS", "HOBBIES", "JOBS", "NOUNS", "PETS",
    "PRODUCTS", "SURNAMES", "a", "code", "coined", "email", "joined", "name", "phone", "place",
]  # fmt: skip

FIRST_NAMES = (
    "Alice Bob Charlie David Emma Frank Grace Henry Isabella Jack Kate Liam Mia Noah Olivia Peter Quinn Rachel Sam"
    " Tom Uma Victor Wendy Xavier Yara Zoe Anna Ben Clara Daniel Elena Felix George Hannah Ivan Julia Kevin Laura"
    " Marco Nina Oscar Paula Robert Sofia Thomas Ursula Vera William Maria John James Mary Sarah Michael Lisa Paul"
    " Mark Lucy Leo Max Eva Adam Ella Omar Fatima Yuki Hiro Chen Wei Mei Priya Raj Arjun Amara Kofi Ade Ingrid Lars"
    " Sven Freya Pierre Marie Claire Hugo Diego Carmen Pablo Lucia Ahmed Leila Noor Tariq Dmitri Olga Natasha Boris"
    " Aisha Jamal Keiko Kenji Ravi Anita Stefan Petra Jonas Greta Luca Chiara Matteo Bianca Tim Jane Alex Chris Jamie"
    " Taylor Morgan Casey Robin Jordan Simon Rosa Ruth Ethan Chloe Lily Harry Oliver Amelia Ryan Megan Dora Ned"
).split()
SURNAMES = (
    "Smith Johnson Brown Miller Davis Garcia Wilson Anderson Taylor Moore Martin Lee Thompson White Clark Lewis Walker"
    " Hall Young King Wright Scott Green Baker Adams Nelson Carter Mitchell Turner Parker Evans Collins Stewart Morris"
    " Murphy Cook Rogers Reed Bailey Cooper Richardson Cox Ward Peterson Gray Ramirez Watson Brooks Kelly Sanders Price"
    " Bennett Wood Ross Henderson Jenkins Perry Powell Patterson Hughes Foster Schmidt Fischer Weber Meyer Wagner Rossi"
    " Bianchi Dubois Moreau Laurent Silva Santos Costa Kowalski Novak Ivanov Petrov Tanaka Suzuki Sato Kim Park Wang"
    " Zhang Liu Singh Patel Khan Ali Hassan Okafor Mensah Nguyen Tran Larsen Hansen Berg Lindqvist Chen Doe"
).split()
_CITIES = (
    "Paris,France|London,United Kingdom|Berlin,Germany|Madrid,Spain|Rome,Italy|Tokyo,Japan|Osaka,Japan|Kyoto,Japan"
    "|Beijing,China|Shanghai,China|Seoul,South Korea|Delhi,India|Mumbai,India|Cairo,Egypt|Lagos,Nigeria|Nairobi,Kenya"
    "|Sydney,Australia|Melbourne,Australia|Toronto,Canada|Montreal,Canada|Vancouver,Canada|New York,United States"
    "|Boston,United States|Chicago,United States|San Francisco,United States|Los Angeles,United States"
    "|Seattle,United States|Houston,United States|Miami,United States|Denver,United States|Mexico City,Mexico"
    "|Lima,Peru|Bogota,Colombia|Santiago,Chile|Buenos Aires,Argentina|Rio de Janeiro,Brazil|Lisbon,Portugal"
    "|Porto,Portugal|Barcelona,Spain|Seville,Spain|Lyon,France|Marseille,France|Nice,France|Munich,Germany"
    "|Hamburg,Germany|Cologne,Germany|Vienna,Austria|Zurich,Switzerland|Geneva,Switzerland|Amsterdam,Netherlands"
    "|Brussels,Belgium|Copenhagen,Denmark|Oslo,Norway|Bergen,Norway|Stockholm,Sweden|Helsinki,Finland|Warsaw,Poland"
    "|Krakow,Poland|Prague,Czech Republic|Budapest,Hungary|Athens,Greece|Istanbul,Turkey|Ankara,Turkey|Moscow,Russia"
    "|Kyiv,Ukraine|Dublin,Ireland|Edinburgh,United Kingdom|Manchester,United Kingdom|Oxford,United Kingdom"
    "|Milan,Italy|Venice,Italy|Naples,Italy|Florence,Italy|Bangkok,Thailand|Hanoi,Vietnam|Manila,Philippines"
    "|Jakarta,Indonesia|Singapore,Singapore|Kuala Lumpur,Malaysia|Dubai,United Arab Emirates|Tel Aviv,Israel"
    "|Tehran,Iran|Baghdad,Iraq|Karachi,Pakistan|Dhaka,Bangladesh|Accra,Ghana|Dakar,Senegal|Casablanca,Morocco"
    "|Tunis,Tunisia|Cape Town,South Africa|Johannesburg,South Africa|Auckland,New Zealand|Wellington,New Zealand"
    "|Havana,Cuba|Quito,Ecuador|Montevideo,Uruguay|Reykjavik,Iceland|Riga,Latvia|Vilnius,Lithuania|Tallinn,Estonia"
)
CITIES: list[tuple[str, str]] = [
    (city, land) for city, land in (row.split(",") for row in _CITIES.split("|"))
]
COLOURS = (
    "red blue green yellow purple orange pink brown black white gray turquoise violet gold silver crimson teal navy"
    " olive maroon"
).split()
JOBS = (
    "teacher|doctor|nurse|engineer|software developer|pilot|baker|chef|lawyer|carpenter|plumber|electrician|farmer"
    "|journalist|photographer|musician|painter|architect|accountant|librarian|scientist|dentist|firefighter"
    "|police officer|gardener|tailor|translator|writer|designer|data analyst|mechanic|biologist|veterinarian"
    "|bus driver|sailor|astronomer|physicist|barber|waiter|project manager"
).split("|")
PETS = "dog cat rabbit hamster parrot goldfish turtle horse pony guinea-pig snake lizard mouse ferret canary".split()
ANIMALS = (
    "lion tiger elephant giraffe zebra monkey bear wolf fox deer eagle owl penguin dolphin whale shark octopus frog"
    " crocodile camel kangaroo koala panda rhino hippo cheetah leopard squirrel hedgehog otter beaver bat swan duck"
).split()
FOODS = (
    (
        "pizza pasta sushi tacos curry soup salad bread cheese chocolate pancakes noodles rice apples bananas cherries"
        " strawberries grapes lasagna dumplings falafel hummus paella ramen burgers waffles cookies ice_cream"
    )
    .replace("_", "-")
    .split()
)
HOBBIES = (
    "painting|chess|hiking|swimming|cooking|photography|gardening|cycling|reading|dancing|fishing|climbing|knitting"
    "|running|sailing|playing the piano|playing the guitar|pottery|astronomy|birdwatching|surfing|yoga|tennis|football"
    "|basketball|drawing|singing|archery"
).split("|")
PRODUCTS = (
    "laptop|phone|keyboard|mouse|monitor|desk lamp|office chair|backpack|water bottle|headphones|camera|printer|tablet"
    "|notebook|coffee mug|bicycle|tent|jacket|umbrella|watch|blender|toaster|guitar|skateboard|sofa|bookshelf|pen"
    "|charger|speaker|microphone|router|drone|helmet|pillow|blanket|kettle"
).split("|")
COMPANIES = (
    "Acme|Globex|Initech|Umbrella Labs|Northwind|Contoso|Blue Harbor|Silver Oak|Bright Path|Red Maple|Sunrise Foods"
    "|Quantum Works|Greenfield|Stonebridge|Riverside Motors|Atlas Systems|Nimbus|Orion Media|Pinecone|Vertex"
    "|Lighthouse Bank|Maple Street Books|Cedar Air|Polar Logistics|Evergreen Energy"
).split("|")
NOUNS = (
    "apple bridge candle door engine forest garden house island journey kitchen letter mirror notebook ocean pencil"
    " queen river school table umbrella village window yard anchor basket castle desert eagle feather guitar hammer"
    " insect jacket kettle ladder market needle orange pocket rabbit saddle tunnel valley wagon zebra blanket cheese"
    " dragon flower glass hill ice jungle key lemon moon nest onion planet ring stone tree violin water box coin drum"
    " egg fish gate hat ink jar knife leaf map net oak paper road sand tower urn vase wheel book chair lamp cloud star"
    " train bottle button carpet dinner empire farmer hotel iron juice king lake mouse night office piano rope ship"
).split()

_ONSETS = "b br ch d dr f fl g gr h j k kl l m n p pr qu r s sh st t th tr v w y z".split()
_VOWELS = "a e i o u ai ea ee oo ou a e i o u".split()
_CODAS = " n r l s m x k th nd rt d t v".split(" ")
_UNKIND = ("shit", "fuk", "fuck", "tit", "nig", "kunt", "dik", "kok", "fag")
_ENDS = "com org net io example.com example.org".split()


def coined(rng: Random, syllables: int | None = None) -> str:
    """Return a lower-case word that no list holds."""
    count = syllables or rng.choice((1, 2, 2, 2, 3))
    word = "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(count))
    return coined(rng, syllables) if any(part in word for part in _UNKIND) else word


def name(rng: Random) -> str:
    """Return a first name; one in three is coined."""
    return coined(rng).capitalize() if rng.random() < 0.33 else rng.choice(FIRST_NAMES)


def place(rng: Random) -> str:
    """Return a town; one in four is coined."""
    return coined(rng).capitalize() if rng.random() < 0.25 else rng.choice(CITIES)[0]


def code(rng: Random, length: int | None = None) -> str:
    """Return a code of capitals and digits, such as ``QX-7120``."""
    letters = "".join(rng.choice("ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(rng.randint(1, 3)))
    digits = "".join(rng.choice("0123456789") for _ in range(length or rng.randint(2, 5)))
    return letters + rng.choice(("-", "", "-")) + digits


def email(rng: Random, first: str = "", last: str = "") -> str:
    """Return an address that fits the name."""
    first, last = first or name(rng), last or rng.choice(SURNAMES)
    user = rng.choice((f"{first}.{last}", first, f"{first}{rng.randint(1, 99)}", f"{first[0]}{last}"))
    return f"{user}@{rng.choice((coined(rng), 'mail', 'example'))}.{rng.choice(_ENDS[:4])}".lower().replace(
        " ", ""
    )


def phone(rng: Random) -> str:
    """Return a telephone number in one of the usual spellings."""
    digits = "".join(rng.choice("0123456789") for _ in range(7))
    return rng.choice((f"555-{digits[:4]}", f"+{rng.randint(1, 49)} {digits[:3]} {digits[3:]}", f"0{digits}"))


def a(noun: str) -> str:
    """Return the noun with its article."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def joined(items: Sequence[str], last: str = "and") -> str:
    """Return ``x, y and z``."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {last} {items[-1]}"
