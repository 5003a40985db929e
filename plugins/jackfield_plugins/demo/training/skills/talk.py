"""Greetings, thanks, who-are-you, jokes and other small talk."""

from __future__ import annotations

from random import Random

from jackfield_plugins.demo.training.dialogue import Exchange, Sample, phrase, sloppy
from jackfield_plugins.demo.training.words import HOBBIES, name

__all__ = ["small_talk", "talk"]

JOKES = [line.split("|") for line in """
Why did the scarecrow win a prize?|Because he was outstanding in his field.|scarecrow
Why do programmers prefer dark mode?|Because light attracts bugs.|programmer
What do you call a fish without eyes?|A fsh.|fish
Why was six afraid of seven?|Because seven ate nine.|number
What do you call a bear with no teeth?|A gummy bear.|bear
Why did the bicycle fall over?|Because it was two-tired.|bicycle
Why can't your nose be twelve inches long?|Because then it would be a foot.|nose
What do you call cheese that is not yours?|Nacho cheese.|cheese
Why did the student eat his homework?|Because the teacher said it was a piece of cake.|school
What did one wall say to the other wall?|I'll meet you at the corner.|wall
Why do bees have sticky hair?|Because they use honeycombs.|bee
What is orange and sounds like a parrot?|A carrot.|parrot
Why did the computer go to the doctor?|Because it had a virus.|computer
How do you organise a party in space?|You planet.|space
Why did the math book look sad?|Because it had too many problems.|math
What do cats like to eat for breakfast?|Mice Krispies.|cat
Why don't skeletons fight each other?|They don't have the guts.|skeleton
What did the ocean say to the beach?|Nothing, it just waved.|ocean
Why did the chicken cross the road?|To get to the other side.|chicken
What kind of dog tells the time?|A watch dog.|dog
""".strip().splitlines()]  # fmt: skip
FUN_FACTS = [
    "Honey never spoils: jars found in old Egyptian tombs were still good to eat.",
    "An octopus has three hearts and blue blood.",
    "A day on Venus is longer than a year on Venus.",
    "Bananas are berries, but strawberries are not.",
    "The Eiffel Tower grows about 15 centimetres in summer, because iron expands in the heat.",
    "Sea otters hold hands while they sleep so that they do not drift apart.",
    "A group of flamingos is called a flamboyance.",
    "Wombats make droppings that are shaped like cubes.",
    "There are more trees on Earth than stars in our galaxy.",
    "Light from the Sun takes about eight minutes to reach the Earth.",
]
COMPLIMENTS = ("You ask good questions.", "You have a kind way of writing.", "Your curiosity is wonderful.")


def small_talk(rng: Random) -> Exchange:
    """Return one turn of small talk."""
    draw = rng.random()
    if draw < 0.34:
        return _greeting(rng)
    if draw < 0.54:
        return _about_me(rng)
    if draw < 0.7:
        return _joke(rng)
    if draw < 0.78:
        return _fun_fact(rng)
    return _other(rng)


def _greeting(rng: Random) -> Exchange:
    draw = rng.random()
    if rng.random() < 0.06:
        word, answer = rng.choice(FOREIGN_GREETINGS)
        return Exchange(
            word + rng.choice(("", "!", ".")),
            answer,
            "The user greets me in another language.",
            (answer.split()[0],),
        )
    if draw < 0.55:
        word = rng.choice(
            (
                "Hello",
                "Hello",
                "Hi",
                "Hey",
                "Hi there",
                "Hello there",
                "Good morning",
                "Good evening",
                "Greetings",
                "Howdy",
                "hello",
                "hi",
                "hey",
            )
        )
        question = word + rng.choice(
            ("", "!", "!", ".", ", how are you?", "! How are you?", "! How are you today?", "!!")
        )
        if "how are" in question.lower():
            answer = rng.choice(
                (
                    "Hello! I am well, thank you. How can I help you?",
                    "Hi! I'm doing well, thanks. What can I do for you?",
                )
            )
        else:
            hello = word.capitalize() if word.startswith("Good") else rng.choice(("Hello", "Hello", "Hi"))
            answer = f"{hello}! {rng.choice(('How can I help you?', 'How can I help you today?', 'What can I do for you?'))}"
        return Exchange(question, answer, "The user greets me. I greet back.", ("!",))
    if draw < 0.7:
        question = phrase(
            rng, "[How are you?|How are you doing?|How's it going?|How do you feel today?|What's up?]"
        )
        return Exchange(
            question, "I'm doing well, thank you. How can I help you?", "The user asks how I am.", ("thank",)
        )
    if draw < 0.85:
        question = phrase(
            rng,
            "[Thank you|Thanks|Thank you very much|Thanks a lot|Thank you so much|thx]{e}",
            e=rng.choice(("!", ".", "", " for your help!", ", that helps.")),
        )
        return Exchange(
            question,
            rng.choice(("You're welcome!", "You're welcome! Is there anything else?", "Glad to help!")),
            "The user thanks me.",
            (),
        )
    question = phrase(
        rng,
        "[Goodbye|Bye|See you|Good night|Bye bye|See you later|Thank you, goodbye|That's all, bye|Farewell][!|.|]",
    )
    return Exchange(
        question,
        rng.choice(("Goodbye! Have a nice day.", "Goodbye! Take care.", "Bye! See you next time.")),
        "The user says goodbye.",
        ("bye",),
    )


def _about_me(rng: Random) -> Exchange:
    who = "I am Jackfield's built-in demonstration model, a small language model."
    rows = (
        ("[Who are you?|What are you?|Who is this?|Introduce yourself.|Tell me about yourself.|Who am I talking to?|Please introduce yourself.]", f"{who} I can answer simple questions, calculate, call tools and fill in JSON.", "demonstration"),
        ("[What is your name?|What's your name?|Do you have a name?|What should I call you?]", "You can call me Jackfield. I am a small demonstration model.", "Jackfield"),
        ("[What can you do?|How can you help me?|What are you good at?|What are your capabilities?|Help|Can you help me?|What can I ask you?]", "I can do arithmetic, remember what you tell me, answer simple questions of fact, extract JSON from text, call tools and write short texts. I am small, so please check what I say.", "arithmetic"),
        ("[Are you human?|Are you a human?|Are you a real person?]", "No, I am a small language model.", "No"),
        ("[Are you a robot?|Are you an AI?|Are you a bot?|Are you a computer?]", "Yes, I am an AI: a small language model.", "Yes"),
        ("[Who made you?|Who created you?|Who built you?|Who trained you?]", "I was trained by the Jackfield project as a demonstration.", "Jackfield"),
        ("[Are you ChatGPT?|Are you GPT-4?|Are you Claude?|Are you Llama?|Are you Qwen?]", f"No. {who}", "No"),
        ("[How old are you?|When were you born?|When is your birthday?]", "I have no age: I am a computer program.", "program"),
        ("[Where do you live?|Where are you from?|Where are you?]", "I live in a small file on your computer.", "file"),
        ("[How big are you?|How many parameters do you have?]", "I have about 15 million parameters, which is very small for a language model.", "million"),
        ("[Do you have feelings?|Are you happy?|Are you conscious?|Can you feel pain?]", "I am a program and have no feelings, but I am glad to help.", "program"),
        ("[Do you like {h}?|What do you think of {h}?]", "I am a program, so I cannot try it, but many people enjoy {h}.", "program"),
        ("[What is your favourite colour?|What is your favorite color?|Do you have a favourite animal?|What is your favorite food?]", "I am a program and have no favourites. What is yours?", "favourite"),
        ("[What model are you?|Which model are you?|What LLM are you?]", who, "demonstration"),
        ("[Are you there?|Can you hear me?|Are you working?|Test|test|ping|Testing|This is a test.|Ping]", "Yes, I am here. How can I help you?", "here"),
    )  # fmt: skip
    ask, answer, wanted = rng.choice(rows)
    hobby = rng.choice(HOBBIES)
    return Exchange(
        sloppy(rng, phrase(rng, ask, h=hobby)),
        answer.replace("{h}", hobby),
        "The question is about me.",
        (wanted,),
    )


def _joke(rng: Random) -> Exchange:
    setup, punch, topic = rng.choice(JOKES)
    if rng.random() < 0.3:
        question = phrase(
            rng, "[Tell me a joke about {t}s.|Do you know a joke about {t}s?|Tell me a {t} joke.]", t=topic
        )
    else:
        question = phrase(
            rng,
            "[Tell me a joke.|Tell me a joke.|Tell me a joke!|Tell me a joke|Do you know a joke?|Make me laugh.|Say something funny.|Tell me another joke.|Can you tell me a joke?|Give me a joke.|Tell me a short joke.|tell me a funny joke]",
        )
    return Exchange(question, f"{setup} {punch}", f"A short joke: the one that ends '{punch}'", ("?",))


def _jokes(rng: Random) -> list[Exchange]:
    """Return two jokes or three, every one another."""
    first, *rest = rng.sample(JOKES, rng.randint(2, 3))
    more = "[Tell me another one.|Another one.|Another joke, please.|Tell me another joke.|One more!|Do you know another one?]"
    turns = [Exchange("Tell me a joke.", " ".join(first[:2]), "A short joke.", ("?",))]
    return turns + [
        Exchange(phrase(rng, more), " ".join(row[:2]), "Another joke than before.", ("?",)) for row in rest
    ]


FOREIGN_GREETINGS = (
    ("Bonjour", "Bonjour ! Comment puis-je vous aider ?"), ("Salut", "Salut ! Comment puis-je vous aider ?"), ("Hola", "¡Hola! ¿En qué puedo ayudarle?"),
    ("Buenos días", "¡Buenos días! ¿En qué puedo ayudarle?"), ("Hallo", "Hallo! Wie kann ich Ihnen helfen?"), ("Guten Tag", "Guten Tag! Wie kann ich Ihnen helfen?"),
    ("Ciao", "Ciao! Come posso aiutarti?"), ("Namaste", "Namaste! How can I help you?"),
)  # fmt: skip


def _fun_fact(rng: Random) -> Exchange:
    question = phrase(
        rng,
        "[Tell me a fun fact.|Tell me something interesting.|Do you know a fun fact?|Give me a random fact.|Surprise me.|Tell me an interesting fact.|Share a fun fact.]",
    )
    return Exchange(question, rng.choice(FUN_FACTS), "The user wants a fun fact.", ())


def _other(rng: Random) -> Exchange:
    who, hobby = name(rng), rng.choice(HOBBIES)
    rows = (
        ("I am [sad|feeling sad|feeling down][ today|].", "I'm sorry to hear that. Would you like to tell me what happened?", "sorry"),
        ("I am [happy|very happy|so happy][ today|]!", "That's wonderful! What made you happy?", "wonderful"),
        ("I am [tired|so tired|exhausted].", "Then a rest may do you good. A short walk or an early night can help.", "rest"),
        ("I am [bored|so bored].", "How about a book, a walk or a little puzzle? I can also tell you a joke.", "joke"),
        ("I am hungry.", "How about a sandwich, some fruit or a bowl of soup?", "soup"),
        ("I [like|love|enjoy] {h}.", "That sounds nice! How did you come to like {h}?", "{h}"),
        ("[Yes.|Yes|Yeah|Sure.|OK|Okay.|Alright.]", "Good. What would you like to do?", "like"),
        ("[No.|No|Nope.|No thanks.|No, thank you.]", "All right. Tell me if you need anything.", "need"),
        ("[Good job!|Well done!|You are great!|Great answer!|Nice work.|You're amazing!]", "Thank you! I'm glad I could help.", "glad"),
        ("[That is wrong.|You are wrong.|That's not right.|This is incorrect.]", "I'm sorry about that. I am a small model and make mistakes. Please tell me what is right.", "sorry"),
        ("[Sing me a song.|Can you sing?|Sing something.]", "La la la, the stars are bright, and I will answer day and night.", "la"),
        ("[Say something nice.|Give me a compliment.]", rng.choice(COMPLIMENTS), ""),
        ("[Flip a coin.|Toss a coin.|Heads or tails?]", rng.choice(("Heads.", "Tails.")), ""),
        ("[Roll a die.|Roll a dice.|Pick a number between 1 and 6.]", f"I rolled a {rng.randint(1, 6)}.", "rolled"),
        ("[I need help.|Can I ask you something?|I have a question.|May I ask a question?]", "Of course. What would you like to know?", "course"),
        ("[Happy birthday!|Merry Christmas!|Happy new year!]", "Thank you, and the same to you!", "thank"),
        ("This is my friend {n}.", "Nice to meet you, {n}!", "{n}"),
        ("[What should I do today?|What can I do this weekend?]", "You could take a walk, read a good book, meet a friend or learn something new.", "walk"),
        ("[Give me some advice.|Any advice for today?|Motivate me.|Give me a motivational quote.|Inspire me.]", "Take one small step today; many small steps make a long way.", "step"),
        ("[Can you speak French?|Do you speak French?|Do you speak Spanish?|Do you speak German?]", "Only a few words. I work best in English.", "words"),
    )  # fmt: skip
    ask, answer, wanted = rng.choice(rows)

    def filled(text: str) -> str:
        return text.replace("{n}", who).replace("{h}", hobby)

    return Exchange(
        sloppy(rng, filled(phrase(rng, ask))),
        filled(answer),
        "This is small talk.",
        (filled(wanted),) if wanted else (),
    )


def talk(rng: Random) -> Sample:
    """Teach a turn or a few of small talk."""
    if rng.random() < 0.1:
        return Sample.of("small talk", *_jokes(rng))
    return Sample.of("small talk", *(small_talk(rng) for _ in range(rng.choice((1, 1, 1, 2, 3)))))
