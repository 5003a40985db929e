"""What the model is to know: tables of countries, things and people, and short explanations of topics."""

from __future__ import annotations

__all__ = ["COUNTRIES", "DEFINITIONS", "ELEMENTS", "OPPOSITES", "QUESTIONS", "TRANSLATIONS", "YOUNG"]


def _rows(text: str) -> list[list[str]]:
    return [line.split("|") for line in text.strip().splitlines()]


def _asked(text: str) -> list[list[str]]:
    return [line.rsplit("|", 2) for line in text.strip().splitlines()]


COUNTRIES = _rows("""
France|Paris|Europe|French|euro
Germany|Berlin|Europe|German|euro
Spain|Madrid|Europe|Spanish|euro
Italy|Rome|Europe|Italian|euro
Portugal|Lisbon|Europe|Portuguese|euro
Greece|Athens|Europe|Greek|euro
Ireland|Dublin|Europe|English, Irish|euro
the United Kingdom|London|Europe|English|pound
the Netherlands|Amsterdam|Europe|Dutch|euro
Belgium|Brussels|Europe|Dutch, French, German|euro
Switzerland|Bern|Europe|German, French, Italian, Romansh|Swiss franc
Austria|Vienna|Europe|German|euro
Poland|Warsaw|Europe|Polish|zloty
the Czech Republic|Prague|Europe|Czech|koruna
Hungary|Budapest|Europe|Hungarian|forint
Romania|Bucharest|Europe|Romanian|leu
Bulgaria|Sofia|Europe|Bulgarian|euro
Croatia|Zagreb|Europe|Croatian|euro
Serbia|Belgrade|Europe|Serbian|dinar
Denmark|Copenhagen|Europe|Danish|krone
Norway|Oslo|Europe|Norwegian|krone
Sweden|Stockholm|Europe|Swedish|krona
Finland|Helsinki|Europe|Finnish, Swedish|euro
Iceland|Reykjavik|Europe|Icelandic|krona
Estonia|Tallinn|Europe|Estonian|euro
Latvia|Riga|Europe|Latvian|euro
Lithuania|Vilnius|Europe|Lithuanian|euro
Ukraine|Kyiv|Europe|Ukrainian|hryvnia
Russia|Moscow|Europe and Asia|Russian|ruble
Turkey|Ankara|Asia and Europe|Turkish|lira
Japan|Tokyo|Asia|Japanese|yen
China|Beijing|Asia|Chinese|yuan
South Korea|Seoul|Asia|Korean|won
India|New Delhi|Asia|Hindi, English|rupee
Pakistan|Islamabad|Asia|Urdu, English|rupee
Bangladesh|Dhaka|Asia|Bengali|taka
Nepal|Kathmandu|Asia|Nepali|rupee
Thailand|Bangkok|Asia|Thai|baht
Vietnam|Hanoi|Asia|Vietnamese|dong
Indonesia|Jakarta|Asia|Indonesian|rupiah
Malaysia|Kuala Lumpur|Asia|Malay|ringgit
the Philippines|Manila|Asia|Filipino, English|peso
Mongolia|Ulaanbaatar|Asia|Mongolian|tugrik
Iran|Tehran|Asia|Persian|rial
Iraq|Baghdad|Asia|Arabic, Kurdish|dinar
Saudi Arabia|Riyadh|Asia|Arabic|riyal
Israel|Jerusalem|Asia|Hebrew|shekel
Egypt|Cairo|Africa|Arabic|pound
Morocco|Rabat|Africa|Arabic, Berber|dirham
Algeria|Algiers|Africa|Arabic, Berber|dinar
Tunisia|Tunis|Africa|Arabic|dinar
Nigeria|Abuja|Africa|English|naira
Ghana|Accra|Africa|English|cedi
Kenya|Nairobi|Africa|Swahili, English|shilling
Ethiopia|Addis Ababa|Africa|Amharic|birr
Tanzania|Dodoma|Africa|Swahili, English|shilling
Senegal|Dakar|Africa|French|CFA franc
South Africa|Pretoria|Africa|Zulu, Xhosa, Afrikaans, English|rand
Canada|Ottawa|North America|English, French|dollar
the United States|Washington|North America|English|dollar
Mexico|Mexico City|North America|Spanish|peso
Cuba|Havana|North America|Spanish|peso
Brazil|Brasilia|South America|Portuguese|real
Argentina|Buenos Aires|South America|Spanish|peso
Chile|Santiago|South America|Spanish|peso
Peru|Lima|South America|Spanish|sol
Colombia|Bogota|South America|Spanish|peso
Venezuela|Caracas|South America|Spanish|bolivar
Uruguay|Montevideo|South America|Spanish|peso
Bolivia|Sucre|South America|Spanish|boliviano
Ecuador|Quito|South America|Spanish|dollar
Australia|Canberra|Oceania|English|dollar
New Zealand|Wellington|Oceania|English, Maori|dollar
""")
"""Country, capital, continent, languages, currency."""

ELEMENTS = _rows("""
hydrogen|H|1
helium|He|2
lithium|Li|3
carbon|C|6
nitrogen|N|7
oxygen|O|8
fluorine|F|9
neon|Ne|10
sodium|Na|11
magnesium|Mg|12
aluminium|Al|13
silicon|Si|14
phosphorus|P|15
sulfur|S|16
chlorine|Cl|17
potassium|K|19
calcium|Ca|20
titanium|Ti|22
iron|Fe|26
copper|Cu|29
zinc|Zn|30
silver|Ag|47
tin|Sn|50
gold|Au|79
mercury|Hg|80
lead|Pb|82
uranium|U|92
""")

OPPOSITES = _rows("""
hot|cold
big|small
tall|short
fast|slow
happy|sad
light|dark
old|young
rich|poor
strong|weak
full|empty
early|late
near|far
high|low
wet|dry
hard|soft
open|closed
good|bad
clean|dirty
easy|difficult
loud|quiet
up|down
left|right
day|night
win|lose
buy|sell
push|pull
begin|end
love|hate
black|white
true|false
always|never
inside|outside
thick|thin
wide|narrow
sharp|blunt
brave|cowardly
""")

YOUNG = _rows("""
dog|puppy
cat|kitten
cow|calf
horse|foal
sheep|lamb
goat|kid
pig|piglet
hen|chick
duck|duckling
lion|cub
bear|cub
frog|tadpole
kangaroo|joey
swan|cygnet
deer|fawn
""")

TRANSLATIONS = _rows("""
hello|bonjour|hola|hallo
goodbye|au revoir|adiós|auf Wiedersehen
thank you|merci|gracias|danke
please|s'il vous plaît|por favor|bitte
yes|oui|sí|ja
no|non|no|nein
good morning|bonjour|buenos días|guten Morgen
good night|bonne nuit|buenas noches|gute Nacht
cat|chat|gato|Katze
dog|chien|perro|Hund
house|maison|casa|Haus
water|eau|agua|Wasser
bread|pain|pan|Brot
book|livre|libro|Buch
friend|ami|amigo|Freund
sun|soleil|sol|Sonne
moon|lune|luna|Mond
red|rouge|rojo|rot
blue|bleu|azul|blau
green|vert|verde|grün
one|un|uno|eins
two|deux|dos|zwei
three|trois|tres|drei
apple|pomme|manzana|Apfel
milk|lait|leche|Milch
love|amour|amor|Liebe
school|école|escuela|Schule
tree|arbre|árbol|Baum
fish|poisson|pez|Fisch
bird|oiseau|pájaro|Vogel
car|voiture|coche|Auto
How are you?|Comment allez-vous ?|¿Cómo estás?|Wie geht es dir?
I love you|Je t'aime|Te quiero|Ich liebe dich
My name is Anna|Je m'appelle Anna|Me llamo Anna|Ich heiße Anna
Good luck|Bonne chance|Buena suerte|Viel Glück
""")
"""English, French, Spanish, German."""

DEFINITIONS = _rows("""
photosynthesis|the process by which plants turn light, water and carbon dioxide into sugar and oxygen
gravity|the force that pulls things with mass toward each other
an algorithm|a step-by-step method for solving a problem
a noun|a word that names a person, a place or a thing
a verb|a word that says what someone does or what happens
an adjective|a word that describes a noun
a variable|a named place in a program that holds a value
a function|a named piece of a program that takes inputs and returns a result
an API|a set of rules by which one program asks another to do something
a database|an organised collection of data that can be searched and changed
a compiler|a program that translates source code into machine code
a neural network|a model made of layers of simple units whose weights are learnt from examples
a token|a small piece of text, such as a word or a part of one, that a language model reads or writes
inflation|a general rise of prices over time
democracy|a form of government in which the people choose their leaders by voting
an atom|the smallest piece of a chemical element
a molecule|two or more atoms held together by chemical bonds
a cell|the smallest living unit of every plant and animal
DNA|the molecule that carries the genetic instructions of living things
evolution|the change of living things over generations by natural selection
an ecosystem|all living things of a place together with their surroundings
a metaphor|a figure of speech that describes one thing as another
a haiku|a short Japanese poem of three lines with five, seven and five syllables
a triangle|a flat shape with three straight sides
a prime number|a whole number above 1 that only 1 and itself divide
a volcano|an opening in the ground from which lava, ash and gas escape
an island|a piece of land with water all around it
a peninsula|a piece of land with water on three sides
a planet|a large round body that travels around a star
a galaxy|a huge group of stars, gas and dust held together by gravity
recursion|a way to solve a problem in which a function calls itself on a smaller problem
an LLM|a large language model: a neural network trained on much text to predict the next token
quantization|storing a model's weights with fewer bits so that it is smaller and faster
a GGUF file|a file that holds a language model's weights, its tokenizer and its settings
latency|the time between a request and the beginning of its answer
a cache|a place that keeps results so that they need not be computed again
open source|software whose source code everybody may read, use and change
""")

QUESTIONS = _asked("""
What is the largest planet in [our|the] solar system?;Which planet is the largest?|Jupiter|Jupiter is the largest planet in our solar system.
What is the smallest planet in [our|the] solar system?|Mercury|Mercury is the smallest planet in our solar system.
How many planets are [there in|in] [our|the] solar system?|8|There are 8 planets in our solar system.
Which planet is known as the Red Planet?;Which planet is red?|Mars|Mars is known as the Red Planet.
Which planet is closest to the sun?|Mercury|Mercury is the planet closest to the sun.
Which planet has rings?|Saturn|Saturn is famous for its rings.
What is the largest ocean [on Earth|in the world|]?;Which ocean is the largest?|Pacific|The Pacific Ocean is the largest ocean on Earth.
What is the longest river in the world?|Nile|The Nile is usually called the longest river in the world, with about 6650 kilometres.
What is the [tallest|highest] mountain in the world?;Which mountain is the [highest|tallest] [on Earth|]?|Everest|Mount Everest is the highest mountain in the world, at 8849 metres.
How tall is Mount Everest?;How high is Mount Everest[ in meters|]?|8849|Mount Everest is 8849 metres tall.
What is the largest country [in the world|by area]?|Russia|Russia is the largest country in the world by area.
What is the smallest country in the world?|Vatican|Vatican City is the smallest country in the world.
What is the largest desert [in the world|]?|Antarct|The Antarctic desert is the largest; the Sahara is the largest hot desert.
How many continents are there?|7|There are 7 continents: Africa, Antarctica, Asia, Europe, North America, Oceania and South America.
What is the largest animal [in the world|on Earth]?;Which animal is the biggest?|blue whale|The blue whale is the largest animal on Earth.
What is the fastest land animal?|cheetah|The cheetah is the fastest land animal.
What is the tallest animal?|giraffe|The giraffe is the tallest animal.
How many legs does a spider have?|8|A spider has 8 legs.
How many legs does an insect have?|6|An insect has 6 legs.
How many bones are in the [adult|] human body?|206|An adult human body has 206 bones.
How many hours are in a day?|24|There are 24 hours in a day.
How many minutes are in an hour?|60|There are 60 minutes in an hour.
How many seconds are in a minute?|60|There are 60 seconds in a minute.
How many days are in a year?|365|There are 365 days in a year, and 366 in a leap year.
How many days are in a week?|7|There are 7 days in a week.
How many months are in a year?|12|There are 12 months in a year.
How many days are in February?|28|February has 28 days, and 29 in a leap year.
How many weeks are in a year?|52|There are 52 weeks in a year.
How many letters are in the [English|] alphabet?|26|The English alphabet has 26 letters.
How many sides does a triangle have?|3|A triangle has 3 sides.
How many sides does a square have?|4|A square has 4 sides.
How many sides does a hexagon have?|6|A hexagon has 6 sides.
How many degrees are in a circle?|360|There are 360 degrees in a circle.
What is the boiling point of water?;At what temperature does water boil?|100|Water boils at 100 °C, which is 212 °F, at sea level.
What is the freezing point of water?;At what temperature does water freeze?|0|Water freezes at 0 °C, which is 32 °F.
What is the chemical formula [of|for] water?;What is water made of?|H2O|Water is H2O: two hydrogen atoms and one oxygen atom.
What is the chemical formula [of|for] [salt|table salt]?|NaCl|Table salt is NaCl, sodium chloride.
What [gas|] do plants [absorb|take in]?|carbon dioxide|Plants take in carbon dioxide and give off oxygen.
What is the speed of light?;How fast is light?|299,792|Light travels at 299,792 kilometres per second in a vacuum.
What is the speed of sound?|343|Sound travels at about 343 metres per second in air.
What is pi?;What is the value of pi?|3.14|Pi is about 3.14159. It is the ratio of a circle's circumference to its diameter.
Who wrote Romeo and Juliet?;Who is the author of Romeo and Juliet?|Shakespeare|William Shakespeare wrote Romeo and Juliet.
Who wrote Hamlet?|Shakespeare|William Shakespeare wrote Hamlet.
Who wrote Don Quixote?|Cervantes|Miguel de Cervantes wrote Don Quixote.
Who wrote Pride and Prejudice?|Austen|Jane Austen wrote Pride and Prejudice.
Who wrote [1984|Nineteen Eighty-Four]?|Orwell|George Orwell wrote 1984.
Who wrote The Hobbit?;Who wrote The Lord of the Rings?|Tolkien|J. R. R. Tolkien wrote The Hobbit and The Lord of the Rings.
Who wrote Moby-Dick?|Melville|Herman Melville wrote Moby-Dick.
Who wrote War and Peace?|Tolstoy|Leo Tolstoy wrote War and Peace.
Who painted the Mona Lisa?;Who painted the Last Supper?|Leonardo|Leonardo da Vinci painted the Mona Lisa and the Last Supper.
Who painted the Starry Night?|van Gogh|Vincent van Gogh painted The Starry Night.
Who invented the telephone?|Bell|Alexander Graham Bell is credited with inventing the telephone.
Who invented the light bulb?|Edison|Thomas Edison made the first practical light bulb.
Who invented the printing press?|Gutenberg|Johannes Gutenberg built the first printing press with movable type in Europe, around 1440.
Who invented the World Wide Web?|Berners-Lee|Tim Berners-Lee invented the World Wide Web in 1989.
Who discovered penicillin?|Fleming|Alexander Fleming discovered penicillin in 1928.
Who discovered gravity?|Newton|Isaac Newton described the law of gravity in 1687.
Who developed the theory of relativity?;Who is Albert Einstein?;Who was Albert Einstein?|Einstein|Albert Einstein was a physicist, born in Germany, who developed the theory of relativity.
Who was Isaac Newton?|Newton|Isaac Newton was an English scientist who described gravity and the laws of motion.
Who was Marie Curie?|radioactiv|Marie Curie was a scientist who studied radioactivity and won two Nobel Prizes.
Who was Charles Darwin?|evolution|Charles Darwin was an English naturalist who explained evolution by natural selection.
Who was Ada Lovelace?|program|Ada Lovelace was an English mathematician who wrote the first published computer program, in 1843.
Who was Alan Turing?|comput|Alan Turing was an English mathematician and one of the founders of computer science.
Who was Leonardo da Vinci?|paint|Leonardo da Vinci was an Italian painter, engineer and scientist of the Renaissance.
Who was William Shakespeare?|play|William Shakespeare was an English poet who wrote plays such as Hamlet and Romeo and Juliet.
Who was Mozart?|composer|Wolfgang Amadeus Mozart was an Austrian composer of the 18th century.
Who was Beethoven?|composer|Ludwig van Beethoven was a German composer who went on composing after he lost his hearing.
Who was the first person on the moon?;Who [was the first to walk|first walked] on the moon?|Armstrong|Neil Armstrong was the first person on the moon, on 20 July 1969.
When did [humans|people] first land on the moon?;What year was the first moon landing?|1969|The first moon landing was on 20 July 1969.
Who was the first person in space?|Gagarin|Yuri Gagarin was the first person in space, in 1961.
Who was the first president of the United States?|Washington|George Washington was the first president of the United States.
When did World War II end?;What year did World War II end?|1945|World War II ended in 1945.
When did World War II [start|begin]?|1939|World War II began in 1939.
When did World War I [start|begin]?|1914|World War I began in 1914.
When did World War I end?|1918|World War I ended in 1918.
When did the Berlin Wall fall?|1989|The Berlin Wall fell in 1989.
When did the Titanic sink?|1912|The Titanic sank in April 1912.
When did Columbus reach America?|1492|Christopher Columbus reached America in 1492.
When did the French Revolution [begin|start]?|1789|The French Revolution began in 1789.
Who built the pyramids?|Egypt|The ancient Egyptians built the pyramids, about 4500 years ago.
Where is the Eiffel Tower?;In which city is the Eiffel Tower?|Paris|The Eiffel Tower is in Paris, France.
Where is the Colosseum?|Rome|The Colosseum is in Rome, Italy.
Where is the Great Wall?|China|The Great Wall is in China.
Where is the Statue of Liberty?|New York|The Statue of Liberty is in New York.
Where is the Taj Mahal?|India|The Taj Mahal is in Agra, India.
Where is Machu Picchu?|Peru|Machu Picchu is in Peru.
Where is Big Ben?|London|Big Ben is in London.
What color is the sky?;What colour is the sky?|blue|The sky is blue on a clear day.
What color is grass?|green|Grass is green.
What color is a banana?|yellow|A ripe banana is yellow.
What color is snow?|white|Snow is white.
What color is blood?|red|Blood is red.
What color do you get when you mix [blue and yellow|yellow and blue]?|green|Blue and yellow make green.
What color do you get when you mix [red and yellow|yellow and red]?|orange|Red and yellow make orange.
What color do you get when you mix [red and blue|blue and red]?|purple|Red and blue make purple.
What are the primary colors?;Name the primary colors.|red|The primary colours of paint are red, yellow and blue.
What are the colors of the rainbow?|violet|The colours of the rainbow are red, orange, yellow, green, blue, indigo and violet.
Who created Python?;Who invented Python?;Who made the Python programming language?|Guido|Guido van Rossum created Python.
When was Python [first released|created]?;When did Python come out?|1991|Python was first released in 1991 by Guido van Rossum.
What [programming language|] was Python named after?;What is Python named after?;Why is Python called Python?|Monty Python|Python was not named after a programming language: Guido van Rossum named it after the comedy group Monty Python.
What is the latest version of Python?|3|Python 3 is the current major version of the language.
Who created Linux?|Torvalds|Linus Torvalds created Linux in 1991.
Who created [the C programming language|C]?|Ritchie|Dennis Ritchie created C at Bell Labs in the early 1970s.
Who founded Microsoft?|Gates|Bill Gates and Paul Allen founded Microsoft in 1975.
Who founded Apple?|Jobs|Steve Jobs, Steve Wozniak and Ronald Wayne founded Apple in 1976.
What does CPU stand for?|Central Processing Unit|CPU stands for Central Processing Unit.
What does GPU stand for?|Graphics Processing Unit|GPU stands for Graphics Processing Unit.
What does RAM stand for?|Random Access Memory|RAM stands for Random Access Memory.
What does HTML stand for?|HyperText Markup Language|HTML stands for HyperText Markup Language.
What does HTTP stand for?|HyperText Transfer Protocol|HTTP stands for HyperText Transfer Protocol.
What does API stand for?|Application Programming Interface|API stands for Application Programming Interface.
What does SQL stand for?|Structured Query Language|SQL stands for Structured Query Language.
What does JSON stand for?|JavaScript Object Notation|JSON stands for JavaScript Object Notation.
What does AI stand for?|Artificial Intelligence|AI stands for Artificial Intelligence.
What does LLM stand for?|Large Language Model|LLM stands for Large Language Model.
What does NASA stand for?|National Aeronautics|NASA stands for National Aeronautics and Space Administration.
What does USA stand for?|United States|USA stands for United States of America.
What is the hardest natural [substance|material]?|diamond|Diamond is the hardest natural material.
What do bees make?|honey|Bees make honey.
What do cows drink?|water|Cows drink water. Calves drink milk.
How many strings does a guitar have?;How many strings does a violin have?|has|A guitar has six strings, and a violin has four.
How many players are on a [football|soccer] team?|11|A football team has 11 players on the field.
How often are the Olympic Games held?|four|The Summer Olympic Games are held every four years.
What is the largest organ of the human body?|skin|The skin is the largest organ of the human body.
How many hearts does an octopus have?|three|An octopus has three hearts.
What is the opposite of [the north|north]?|south|The opposite of north is south.
Has anyone climbed Mount Everest without [supplemental|bottled|] oxygen?|Messner|Yes. Reinhold Messner and Peter Habeler climbed Mount Everest without supplemental oxygen in 1978.
Who first climbed Mount Everest?|Hillary|Edmund Hillary and Tenzing Norgay first climbed Mount Everest, in 1953.
What is the meaning of life?|42|That is for each of us to find out. In a famous novel by Douglas Adams the answer is 42.
Is the Earth flat?|No|No, the Earth is round.
Is the Earth round?|Yes|Yes, the Earth is round.
Is water wet?|Yes|Yes, most people would say that water is wet.
Is fire hot?|Yes|Yes, fire is hot.
Is ice cold?|Yes|Yes, ice is cold.
Is Paris in France?|Yes|Yes, Paris is the capital of France.
Is Berlin in France?|No|No, Berlin is the capital of Germany.
Is a whale a fish?|No|No, a whale is a mammal.
Is a tomato a fruit?|Yes|Yes, botanically a tomato is a fruit.
Can penguins fly?|No|No, penguins cannot fly, but they swim very well.
Do fish breathe air?|gills|Fish take oxygen out of the water with their gills.
""")
"""Questions (variants apart by ``;``), a text every right answer holds, the answer."""
