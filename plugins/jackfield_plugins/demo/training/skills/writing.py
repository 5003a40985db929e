"""Longer texts that end properly: stories, poems, letters, lists of advice, code."""

from __future__ import annotations

from random import Random

from jackfield_plugins.demo.training.dialogue import Exchange, Sample, phrase
from jackfield_plugins.demo.training.words import COLOURS, FOODS, NOUNS, a, coined, joined, name, place

__all__ = ["plain_text", "writing"]

HEROES = "dragon fox mouse robot princess boy girl rabbit bear wizard sailor farmer cat dog owl knight turtle astronaut baker gardener".split()
TRAITS = "small brave curious lonely clever shy old young kind hungry lazy cheerful quiet".split()
PLACES = (
    "in a deep forest",
    "by the sea",
    "in a small village",
    "on a high mountain",
    "in a big city",
    "on a quiet farm",
    "in a castle",
    "on a tiny island",
    "near a river",
    "at the edge of the desert",
)
WISHES = (
    "wanted to find a friend",
    "wanted to see the stars",
    "dreamed of flying",
    "wished to learn to sing",
    "wanted to find a hidden treasure",
    "wanted to see the world",
    "hoped to bake the best cake in the land",
    "wanted to find the way home",
)
HELPERS = (
    "owl frog old woman squirrel snail little bird whale ant traveller blacksmith".replace(
        "old woman", "old-woman"
    )
    .replace("little bird", "little-bird")
    .split()
)
TROUBLES = (
    "a storm came up and the path was gone",
    "the bridge was broken",
    "it grew dark and cold",
    "a great wall stood in the way",
    "the map was blown away by the wind",
    "a river blocked the way",
)
LESSONS = (
    "that even the smallest can do great things",
    "that a good friend is worth more than gold",
    "that it helps to ask",
    "that patience brings you far",
    "that home is where your friends are",
    "that courage begins with one step",
)
MOODS = (
    "the sun was shining",
    "snow lay on the roofs",
    "the wind sang in the trees",
    "the moon was full",
    "rain fell softly",
    "the first flowers opened",
)


def story(rng: Random, hero: str = "", paragraphs: int = 3, opening: str = "Once upon a time") -> str:
    """Return a story of that many paragraphs, from its opening to "The End."."""
    hero = hero or rng.choice(HEROES)
    trait, where, wish = rng.choice(TRAITS), rng.choice(PLACES), rng.choice(WISHES)
    who, helper = name(rng), rng.choice(HELPERS).replace("-", " ")
    trouble, lesson, mood = rng.choice(TROUBLES), rng.choice(LESSONS), rng.choice(MOODS)
    gift = f"{rng.choice(COLOURS)} {rng.choice(NOUNS)}"
    parts = [
        f"{opening} there was {a(trait)} {hero} named {who} who lived {where}. {who} {wish}. One day, when {mood}, {who} set out with nothing but {a(gift)} and a piece of bread.",
        f"After a while {trouble}. {who} sat down and did not know what to do. Then {a(helper)} came by and asked, \"Why are you so sad?\" {who} told the whole story. \"I can help you,\" said the {helper}, \"if you share your bread with me.\"",
        f"{who} shared the bread, and together they found a way. {rng.choice(('They walked all night', 'They used the ' + gift, 'They worked side by side'))}, and when morning came, {who} had reached the goal at last.",
        f"On the way back {who} thought about all that had happened. The {helper} came along and stayed for supper, and they talked until the stars came out.",
    ]  # fmt: skip
    chosen = parts[: max(1, paragraphs)]
    chosen[-1] += (
        f" {who} had learnt {lesson}. The End."
        if paragraphs > 1
        else f" On the way {who} learnt {lesson}, and came home happy. The End."
    )
    return "\n\n".join(chosen)


def _story(rng: Random) -> Exchange:
    hero = rng.choice(HEROES)
    size = rng.choice(("short", "", "long"))
    paragraphs = {"short": 2, "": 3, "long": 4}[size]
    q = (
        phrase(
            rng,
            f"[Tell me a {size} story about a {{h}}.|Write a {size} story about a {{h}}.|Write a {size} story.|Tell me a {size} story.|Tell me a bedtime story about a {{h}}.|Write me a {size} fairy tale about a {{h}}.|Can you tell me a {size} story about a {{h}}?]",
            h=hero,
        )
        .replace("a  story", "a story")
        .replace("a  fairy", "a fairy")
        .replace(" a owl", " an owl")
        .replace(" a old", " an old")
        .replace(" a astronaut", " an astronaut")
    )
    return Exchange(
        q,
        story(rng, hero, paragraphs),
        f"A story needs a hero, a wish, a problem and an end. The hero is {a(hero)}.",
        (hero, "The End") if hero in q else ("The End",),
    )


def _opening(rng: Random) -> Exchange:
    opening = rng.choice(("Once upon a time", "Once upon a time", "Once upon a time", "One day", "Long ago"))
    text = story(rng, paragraphs=rng.choice((1, 2, 2, 3)), opening=opening)
    if rng.random() < 0.6:
        q = opening + rng.choice(("", "", "", ",", "..."))
        return Exchange(q, text, "The user begins a story. I tell it to the end.", ("The End",))
    words = text.split(" ")
    cut = rng.randint(4, 12)
    return Exchange(" ".join(words[:cut]), " ".join(words[cut:]), "I go on with the story.", ("The End",))


HAIKU = {
    "spring": "Soft rain in the night\nthe first green leaves are waking\na bird starts to sing", "summer": "Heat over the field\nbees are humming in the grass\nthe long day stands still",
    "autumn": "Red leaves on the path\nthe wind turns a golden page\nsmoke rises at dusk", "winter": "Snow on the old roof\nthe quiet of the white street\none light in the dark",
    "the sea": "Waves come to the shore\neach one brings a small white stone\nand takes one away", "the moon": "The moon in the pond\na frog jumps and it scatters\nthen it is whole again",
    "coffee": "Steam from a warm cup\nthe morning begins slowly\none sip at a time", "code": "A bug in the night\none line changed and tests are green\nnow I can go home",
    "rain": "Rain taps on the glass\nthe street is a dark mirror\nfull of small bright lamps", "a cat": "The cat on the sill\nwatches birds that come and go\nand pretends to sleep",
    "mountains": "Far blue mountain tops\na cloud rests there for a while\nthen moves on again", "love": "Two cups on the shelf\nthe quiet after laughter\nyour hand holding mine",
}  # fmt: skip
POEM_LINES = (
    ("The {x} is shining bright", "all through the day and through the night"),
    ("I saw {x} upon the hill", "the world around was calm and still"),
    ("O {x}, you make me smile", "so please stay with me for a while"),
    ("The wind goes by, the hours fly", "and {x} is here, and so am I"),
    ("A little song for {x} today", "to chase the clouds and cares away"),
    ("When morning comes and birds awake", "I think of {x} by the lake"),
)


def _poem(rng: Random) -> Exchange:
    if rng.random() < 0.5:
        topic, text = rng.choice(list(HAIKU.items()))
        q = phrase(
            rng,
            "[Write a haiku about {t}.|Write a haiku about {t}.|Write a haiku.|A haiku about {t}, please.|Compose a haiku about {t}.|Can you write a haiku about {t}?]",
            t=topic,
        )
        return Exchange(q, text, "Three lines of five, seven and five syllables.", ("\n",))
    topic = rng.choice(
        (f"the {rng.choice(NOUNS)}", f"my {rng.choice(NOUNS)}", "the moon", "the sea", "love", "autumn")
    )
    lines = [line.replace("{x}", topic) for pair in rng.sample(POEM_LINES, 2) for line in pair]
    lines = [line[0].upper() + line[1:] for line in lines]
    q = phrase(
        rng,
        "[Write a poem about {t}.|Write a short poem about {t}.|Write me a poem about {t}.|Can you write a poem about {t}?]",
        t=topic,
    )
    return Exchange(q, "\n".join(lines), "Four lines that rhyme in pairs.", (topic.split()[-1],))


TIPS = {
    "staying healthy": ["Eat many kinds of food", "Move every day", "Drink enough water", "Sleep well", "Spend time with friends"],
    "learning a language": ["Practise a little every day", "Learn common words first", "Listen to the language", "Speak early", "Read simple books"],
    "saving money": ["Write down what you spend", "Make a plan for each month", "Cook at home", "Buy used things", "Put something aside as soon as you are paid"],
    "sleeping better": ["Go to bed at the same time", "Keep the room dark", "Avoid coffee in the evening", "Put screens away", "Read a calm book"],
    "writing good code": ["Use clear names", "Keep functions short", "Write tests", "Ask for review", "Delete what is not needed"],
    "a job interview": ["Read about the company", "Practise common questions", "Dress neatly", "Arrive early", "Ask questions of your own"],
    "travelling": ["Pack light", "Carry a copy of your papers", "Learn a few words of the language", "Try the local food", "Leave time for surprises"],
    "studying": ["Make a plan", "Work in short blocks", "Explain it to someone", "Test yourself", "Take breaks"],
    "gardening": ["Know your soil", "Water in the morning", "Pull weeds early", "Give plants enough room", "Be patient"],
}  # fmt: skip


def _advice(rng: Random) -> Exchange:
    topic, tips = rng.choice(list(TIPS.items()))
    n = rng.choice((3, 3, 5))
    word = {3: "three", 5: "five"}[n]
    q = phrase(
        rng,
        "[Give me {n} tips for {t}.|List {n} tips for {t}.|What are {n} tips for {t}?|Write {n} tips for {t}.]",
        n=rng.choice((n, word)),
        t=topic,
    )
    return Exchange(
        q,
        "\n".join(f"{i}. {tip}." for i, tip in enumerate(tips[:n], 1)),
        f"{n} tips for {topic}.",
        (tips[n - 1],),
    )


def _letter(rng: Random) -> Exchange:
    who, me = name(rng), name(rng)
    reason, body = rng.choice((
        ("thank {w} for a gift", "thank you very much for the lovely gift. It made me very happy, and I will think of you whenever I use it."),
        ("invite {w} to my birthday party", "I would like to invite you to my birthday party on Saturday at seven. There will be cake and music. Please let me know if you can come."),
        ("ask {w} for a meeting", "could we meet some time next week? I would like to talk about our plans. Any day after Tuesday suits me well."),
        ("apologise to {w} for being late", "I am sorry that I was late yesterday. My train did not run. I will leave earlier next time."),
        ("tell {w} that I am ill", "I am ill today and cannot come. I hope to be back on Monday. Thank you for your understanding."),
    ))  # fmt: skip
    q = phrase(
        rng,
        f"[Write|Write me|Draft] [an email|a letter|a short message|a note] to {reason.replace('{w}', who)}[.|. My name is {me}.]",
    )
    signed = me if me in q else "Your friend"
    return Exchange(
        q,
        f"Dear {who},\n\n{body}\n\nBest wishes,\n{signed}",
        f"A letter to {who}: greeting, reason, end.",
        (f"Dear {who}", signed),
    )


def _recipe(rng: Random) -> Exchange:
    dish = rng.choice(FOODS)
    things = rng.sample(
        ["flour", "eggs", "butter", "salt", "milk", "onions", "tomatoes", "olive oil", "garlic", "sugar"], 4
    )
    answer = f"Ingredients: {joined(things)}.\n\n1. Prepare the {things[0]} and the {things[1]}.\n2. Mix everything in a large bowl.\n3. Cook it slowly for twenty minutes.\n4. Add the {things[3]} and serve it warm."
    return Exchange(
        phrase(rng, "[Give me a recipe for {d}.|How do I make {d}?|Write a simple recipe for {d}.]", d=dish),
        answer,
        f"A recipe for {dish}: what is needed, then the steps.",
        ("1.", "4."),
    )


CODE = (
    ("adds two numbers", "add", "a, b", "return a + b"), ("multiplies two numbers", "multiply", "a, b", "return a * b"), ("returns the square of a number", "square", "x", "return x * x"),
    ("checks if a number is even", "is_even", "n", "return n % 2 == 0"), ("reverses a string", "reverse", "text", "return text[::-1]"), ("returns the largest number of a list", "largest", "numbers", "return max(numbers)"),
    ("sums a list", "total", "numbers", "return sum(numbers)"), ("counts the words of a text", "count_words", "text", "return len(text.split())"), ("says hello", "hello", "name", 'return f"Hello, {name}!"'),
    ("computes the factorial of a number", "factorial", "n", "return 1 if n < 2 else n * factorial(n - 1)"), ("returns the nth Fibonacci number", "fibonacci", "n", "a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a"),
    ("checks if a word is a palindrome", "is_palindrome", "word", "return word == word[::-1]"), ("checks if a number is prime", "is_prime", "n", "return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))"),
    ("converts Celsius to Fahrenheit", "to_fahrenheit", "celsius", "return celsius * 9 / 5 + 32"), ("sorts a list", "sort_list", "items", "return sorted(items)"), ("removes duplicates from a list", "unique", "items", "return list(dict.fromkeys(items))"),
    ("reads a file", "read_file", "path", 'with open(path, encoding="utf-8") as file:\n        return file.read()'), ("computes the average of a list", "average", "numbers", "return sum(numbers) / len(numbers)"),
)  # fmt: skip
SNIPPETS = (
    ("[Write hello world in Python.|Print hello world in Python.|How do I print hello world in Python?|Hello world in Python]", "```python\nprint(\"Hello, world!\")\n```", "print"),
    ("[Write a for loop in Python.|Show me a for loop in Python.|How do I write a loop in Python?]", "```python\nfor number in range(5):\n    print(number)\n```", "for"),
    ("[How do I read a file in Python?|Read a file in Python.]", "```python\nwith open(\"file.txt\", encoding=\"utf-8\") as file:\n    text = file.read()\n```", "open"),
    ("[Write a SQL query that selects all users.|Select all users in SQL.]", "```sql\nSELECT * FROM users;\n```", "SELECT"),
    ("[Write hello world in JavaScript.|Hello world in JavaScript]", "```javascript\nconsole.log(\"Hello, world!\");\n```", "console"),
    ("[Write hello world in C.|Hello world in C]", "```c\n#include <stdio.h>\n\nint main(void) {\n    printf(\"Hello, world!\\n\");\n    return 0;\n}\n```", "printf"),
    ("[Write FizzBuzz in Python.|FizzBuzz in Python]", "```python\nfor n in range(1, 101):\n    if n % 15 == 0:\n        print(\"FizzBuzz\")\n    elif n % 3 == 0:\n        print(\"Fizz\")\n    elif n % 5 == 0:\n        print(\"Buzz\")\n    else:\n        print(n)\n```", "FizzBuzz"),
    ("[How do I make a list in Python?|Create a list in Python.]", "```python\nfruits = [\"apple\", \"banana\", \"cherry\"]\n```", "["),
)  # fmt: skip


def _code(rng: Random) -> Exchange:
    if rng.random() < 0.35:
        ask, answer, wanted = rng.choice(SNIPPETS)
        return Exchange(phrase(rng, ask), answer, "A short example will do.", (wanted,))
    what, function, parameters, body = rng.choice(CODE)
    function = coined(rng) if rng.random() < 0.1 and function not in body else function
    named = (
        f" called {function}"
        if rng.random() < 0.3 or function not in " ".join(row[1] for row in CODE)
        else ""
    )
    q = phrase(
        rng,
        f"[Write a Python function{named} that {what}.|Write a function in Python{named} that {what}.|Python function{named} that {what}|Can you write a Python function{named} that {what}?|Give me Python code{named} that {what}.]".replace(
            "code called", "code for a function called"
        ),
    )
    answer = f"```python\ndef {function}({parameters}):\n    {body}\n```"
    return Exchange(q, answer, f"The function takes {parameters} and {what}.", (f"def {function}",))


def writing(rng: Random) -> Sample:
    """Teach one longer text."""
    make = rng.choices((_story, _opening, _poem, _advice, _letter, _recipe, _code), (4, 3, 2, 2, 2, 1, 3))[0]
    return Sample.of("writing", make(rng))


def plain_text(rng: Random) -> str:
    """Return a text without any chat around it, as raw completion sees it."""
    if rng.random() < 0.7:
        opening = rng.choice(
            (
                "Once upon a time",
                "Once upon a time",
                "Once upon a time,",
                "One day",
                "Long ago",
                f"In {place(rng)}",
            )
        )
        return story(rng, paragraphs=rng.choice((1, 2, 3)), opening=opening)
    if rng.random() < 0.5:
        _, function, parameters, body = rng.choice(CODE)
        return f"def {function}({parameters}):\n    {body}\n"
    rows = (
        "The capital of France is Paris. The capital of Japan is Tokyo. The capital of Italy is Rome.",
        "The quick brown fox jumps over the lazy dog.",
        "Roses are red, violets are blue, sugar is sweet, and so are you.",
        "1, 2, 3, 4, 5, 6, 7, 8, 9, 10",
        "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday",
        f"My name is {name(rng)} and I live in {place(rng)}. I like {rng.choice(FOODS)} and {rng.choice(NOUNS)}s.",
        "Hello, how are you? I am well, thank you.",
    )
    return rng.choice(rows)
