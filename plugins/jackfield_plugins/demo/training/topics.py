"""What the model can explain at length: for each topic, sentences from the most important one on."""

from __future__ import annotations

__all__ = ["TOPICS", "WHYS"]

_TEXT = """
Python|programming language
Python is a popular high-level programming language. It was created by Guido van Rossum and first released in 1991. Its code is easy to read, because it uses plain words and indentation. Python has a large standard library and many packages for the web, data and science. People use it for scripts, web servers, data analysis and machine learning. It is free and runs on every major system.
machine learning|field of computer science
Machine learning is a field of artificial intelligence in which computers learn from data. Instead of being given fixed rules, a model finds patterns in examples. After training it can make predictions about data it has not seen. Common kinds are supervised learning, unsupervised learning and reinforcement learning. It is used for speech recognition, translation, search and recommendations. Good data matters as much as a good model.
deep learning|field of computer science
Deep learning is a kind of machine learning that uses neural networks with many layers. Each layer learns to recognise more complex patterns than the one before. It needs much data and fast computers. Deep learning made great progress in images, speech and language possible.
artificial intelligence|field of computer science
Artificial intelligence is the science of making computers do things that seem to need intelligence. Examples are understanding language, recognising pictures and playing games. Most systems today learn from data. They can be useful helpers, but they also make mistakes, so their answers should be checked.
neural networks|models
A neural network is a model made of layers of simple units that are connected by weights. During training the weights are changed a little at a time so that the output gets closer to what is wanted. With enough examples such a network can recognise images, understand speech or write text.
language models|models
A language model predicts the next token of a text. It is trained on a large amount of text and learns how words follow each other. By predicting one token after another it can answer questions, summarise and translate. Its answers can be wrong, so important facts should be checked.
transformers|neural networks
A transformer is a neural network that uses attention to relate every token of a text to the tokens before it. It was introduced in 2017 in the paper "Attention Is All You Need". Because it can process many tokens at once, it trains well on fast hardware. Most language models today are transformers.
the internet|network
The internet is a worldwide network of computers. It grew out of a research network of the 1960s called ARPANET. Computers on it speak common protocols, such as TCP/IP and HTTP. Today people use it for email, video, shopping, learning and work.
computers|machines
A computer is a machine that follows instructions to process data. It has a processor that computes, memory that holds data, and devices for input and output. The first electronic computers filled whole rooms. Today a phone is faster than they ever were.
Linux|operating system
Linux is a free operating system kernel that Linus Torvalds began in 1991. It runs on servers, phones, supercomputers and small devices. Many people all over the world develop it together.
Git|version control system
Git is a version control system that Linus Torvalds wrote in 2005. It keeps the history of a project's files and lets many people work on them at once. Changes are saved as commits and combined by merging branches.
SQL|query language
SQL is a language for working with relational databases. With it you can ask for rows, add new ones, change them and delete them. A query names the columns, the table and the conditions.
the sun|star
The Sun is the star at the centre of our solar system. It is about 150 million kilometres from Earth. It is made mostly of hydrogen and helium, and it shines because hydrogen fuses into helium in its core. Its light and heat make life on Earth possible.
the moon|natural satellite
The Moon is Earth's only natural satellite. It travels around the Earth in about 27 days. Its gravity causes the tides of the sea. In 1969 Neil Armstrong was the first person to walk on it.
Mars|planet
Mars is the fourth planet from the Sun. It is called the Red Planet because iron in its soil has rusted. It has the largest volcano of the solar system, Olympus Mons. Robots have explored its surface for many years.
Jupiter|planet
Jupiter is the largest planet of our solar system. It is a giant ball of gas with a storm, the Great Red Spot, that is larger than Earth. It has more than ninety moons.
the Earth|planet
The Earth is the third planet from the Sun and our home. About 71 percent of its surface is covered by water. It turns around itself once a day and around the Sun once a year. It is the only place where we know that life exists.
the solar system|group of planets
The solar system is the Sun and everything that travels around it. It has eight planets: Mercury, Venus, Earth, Mars, Jupiter, Saturn, Uranus and Neptune. There are also dwarf planets, moons, asteroids and comets.
black holes|objects in space
A black hole is a place in space where gravity is so strong that not even light can escape. Many form when very heavy stars collapse. At the centre of our galaxy there is a black hole with the mass of about four million suns.
gravity|force
Gravity is the force that pulls things with mass toward each other. It keeps us on the ground and the planets on their paths. Isaac Newton described it in 1687, and Albert Einstein explained it as a bending of space and time.
photosynthesis|process
Photosynthesis is how plants make their food. They take in light, water and carbon dioxide and make sugar and oxygen. It happens in the green parts of the plant, thanks to chlorophyll. Nearly all life on Earth depends on it.
water|substance
Water is a clear liquid made of hydrogen and oxygen, H2O. It freezes at 0 degrees and boils at 100 degrees Celsius. All living things need it. It moves through rivers, seas, clouds and rain in a great cycle.
the water cycle|process
The water cycle is the way water moves around the Earth. The sun warms the sea, and water rises as vapour. High up it cools and forms clouds. Then it falls as rain or snow and flows back to the sea through rivers.
climate change|problem
Climate change is the long-term warming of the Earth. It is caused mostly by gases such as carbon dioxide from burning coal, oil and gas. It brings more heat waves, storms and a rising sea. Cleaner energy and less waste help to slow it.
volcanoes|mountains
A volcano is an opening in the Earth's crust through which lava, ash and gas escape. Volcanoes often form where large plates of the crust meet. Some are active and others have slept for thousands of years.
dinosaurs|animals
Dinosaurs were reptiles that lived on Earth for more than 160 million years. Some were as small as chickens and others longer than three buses. Most died out about 66 million years ago after an asteroid hit the Earth. Birds are their living relatives.
dogs|animals
Dogs are animals that have lived with people for thousands of years. They descend from wolves. They have an excellent sense of smell and learn quickly. People keep them as pets and train them to herd, guard and help.
cats|animals
Cats are small hunters that are popular as pets. They see well in the dark and move almost without a sound. A cat sleeps up to sixteen hours a day. They purr when they are content.
elephants|animals
Elephants are the largest land animals. They use their trunks to breathe, drink, smell and grasp. They live in families led by an older female. Elephants are known for their good memory.
whales|animals
Whales are large mammals that live in the sea. They breathe air through blowholes and feed their young with milk. The blue whale is the largest animal that has ever lived. Some whales sing long songs.
bees|insects
Bees are flying insects that collect nectar and pollen. Honey bees live in hives with one queen and thousands of workers. By carrying pollen from flower to flower they help plants to make fruit.
birds|animals
Birds are animals with feathers, wings and beaks. They lay eggs, and most of them can fly. Their bones are light and strong. Many birds travel long distances every year.
France|country
France is a country in western Europe. Its capital is Paris. It is known for its food, its art and places such as the Eiffel Tower. The official language is French.
Japan|country
Japan is an island country in East Asia. Its capital is Tokyo. It is known for its cherry blossoms, its trains and its food, such as sushi. The highest mountain is Mount Fuji.
Canada|country
Canada is a country in North America. Its capital is Ottawa, and its official languages are English and French. It is the second largest country in the world by area. It has many lakes and large forests.
Italy|country
Italy is a country in southern Europe shaped like a boot. Its capital is Rome. It is famous for its art, its history and its food, such as pizza and pasta.
Germany|country
Germany is a country in the middle of Europe. Its capital is Berlin. It is known for its cars, its music and its many kinds of bread.
Paris|city
Paris is the capital of France. It lies on the river Seine. Famous sights are the Eiffel Tower, the Louvre and Notre-Dame. About two million people live in the city itself.
London|city
London is the capital of the United Kingdom. It lies on the river Thames. Famous sights are Big Ben, the Tower of London and the British Museum.
ancient Rome|civilisation
Ancient Rome began as a small town in Italy and became a great empire. The Romans built roads, bridges and aqueducts, some of which still stand. Their language, Latin, lives on in Italian, French and Spanish.
ancient Egypt|civilisation
Ancient Egypt was a civilisation on the river Nile. Its kings were called pharaohs. The Egyptians built the pyramids and wrote with pictures called hieroglyphs.
the Renaissance|period
The Renaissance was a period of new art and learning in Europe, from the 14th to the 17th century. It began in Italy. Famous people of that time are Leonardo da Vinci and Michelangelo.
music|art
Music is the art of arranging sounds in time. It uses melody, rhythm and harmony. People in every culture make music, to dance, to celebrate and to tell stories.
football|sport
Football is a game in which two teams of eleven try to kick a ball into the other team's goal. Only the goalkeepers may use their hands. It is the most popular sport in the world.
chess|game
Chess is a board game for two players. Each side has sixteen pieces, and the goal is to trap the other side's king. That is called checkmate. Chess has been played for about 1500 years.
coffee|drink
Coffee is a drink made from roasted beans. It contains caffeine, which makes people more awake. It came from Ethiopia and Yemen and is drunk all over the world today.
tea|drink
Tea is a drink made by pouring hot water over leaves. It came from China. Black, green and white tea all come from the same plant.
bread|food
Bread is a food made from flour, water and usually yeast. The yeast makes the dough rise. People have baked bread for thousands of years.
healthy eating|habit
Healthy eating means having many kinds of food in good measure. Vegetables, fruit, whole grains and enough water are a good base. Sweets and salty snacks are best kept for now and then.
exercise|habit
Exercise keeps the body and the mind healthy. Walking, swimming and cycling are good ways to begin. About thirty minutes on most days make a difference. It is best to start slowly.
sleep|habit
Sleep lets the body and the brain rest and recover. Most adults need seven to nine hours a night. A dark, quiet room and a regular bedtime help.
electricity|form of energy
Electricity is the flow of tiny charged particles called electrons. It can be made from wind, water, sunlight or fuel. It lights our homes and runs our machines.
solar energy|form of energy
Solar energy is energy from the sun. Solar panels turn sunlight into electricity. It is clean and does not run out, but it depends on the weather and the time of day.
the human heart|organ
The heart is a muscle that pumps blood through the body. It beats about 100,000 times a day. It has four chambers, two for taking blood in and two for pushing it out.
the brain|organ
The brain is the organ that controls the body and makes thinking possible. It has about 86 billion nerve cells. It uses about a fifth of the body's energy.
Ollama|program
Ollama is a program that runs language models on your own computer. It has a simple HTTP interface that many other programs use. Jackfield answers the same requests.
Jackfield|program
Jackfield is a server for language models written in pure Python. It speaks the protocols of Ollama and OpenAI and has its own web page. Its architectures, backends and protocols are all plugins. I am its built-in demonstration model.
"""


def _read(text: str) -> dict[str, tuple[str, list[str]]]:
    lines = text.strip().splitlines()
    topics: dict[str, tuple[str, list[str]]] = {}
    for head, body in zip(lines[::2], lines[1::2], strict=True):
        title, kind = head.split("|")
        sentences = [part.strip() + "." for part in body.rstrip(".").split(". ")]
        topics[title] = (kind, sentences)
    return topics


TOPICS = _read(_TEXT)
"""Topic to what kind of thing it is and sentences about it."""

WHYS = [line.rsplit("|", 2) for line in """
Why is the sky blue?|scatter|The sky is blue because air scatters the blue part of sunlight more than the red part. Blue light has a shorter wavelength, so it is sent in all directions and reaches our eyes from everywhere in the sky. At sunset the light passes through more air, so mostly red is left.
Why is the sea salty?|salt|The sea is salty because rivers wash salts out of rocks and carry them into it. The water evaporates, but the salt stays.
Why do leaves change color [in autumn|]?|chlorophyll|Leaves change colour because they lose their green chlorophyll in autumn. Then the yellow and red colours that were hidden can be seen.
Why do we have seasons?|tilt|We have seasons because the Earth's axis is tilted. For half of the year the north is turned toward the Sun, and for the other half the south is.
Why do cats purr?|content|Cats purr mostly when they are content, and sometimes to calm themselves.
Why is grass green?|chlorophyll|Grass is green because of chlorophyll, which takes in red and blue light and reflects green.
Why do birds migrate?|food|Birds migrate to find food and warmer places to raise their young.
Why do we sleep?|rest|We sleep so that the body and the brain can rest, recover and sort what they have learnt.
Why does ice float?|dens|Ice floats because it is less dense than water: water expands when it freezes.
Why is the ocean blue?|red|The ocean looks blue because water takes in red light more than blue light, and because it reflects the sky.
Why do stars twinkle?|air|Stars twinkle because their light passes through moving air on its way to us.
Why are plants important?|oxygen|Plants are important because they make oxygen and food, and they give animals a place to live.
How do airplanes fly?;How does [a plane|an airplane] fly?|lift|An aeroplane flies because its wings push air down, which pushes the wings up. This is called lift. The engines push the plane forward so that air keeps flowing over the wings.
How do plants grow?|light|Plants grow by making sugar from light, water and carbon dioxide. Their roots take up water and minerals from the soil.
How does a computer work?|processor|A computer follows instructions one after another. The processor reads them from memory, computes, and writes the results back.
How do vaccines work?|immune|A vaccine shows the immune system a harmless piece of a germ. The body learns to recognise it and can fight the real one quickly.
How does a rainbow form?;What causes a rainbow?|rain|A rainbow forms when sunlight enters raindrops, is bent and reflected inside them, and splits into its colours.
What causes [the tides|tides]?|Moon|Tides are caused mostly by the gravity of the Moon, which pulls the water of the sea.
What causes earthquakes?|plates|Earthquakes happen when plates of the Earth's crust suddenly move against each other.
What is the difference between a list and a tuple[ in Python|]?|chang|A list can be changed after it is made, and a tuple cannot. Lists are written with square brackets and tuples with round ones.
What is the difference between weather and climate?|years|Weather is what happens in the air today. Climate is the usual weather of a place over many years.
What is the difference between AI and machine learning?|data|Artificial intelligence is the wider idea of machines that act intelligently. Machine learning is the part of it in which they learn from data.
How do I make tea?;How do you make [a cup of|] tea?|water|Boil some water. Put tea leaves or a tea bag in a cup. Pour the hot water over it, wait three to five minutes, and take the tea out.
How do I boil an egg?;How do you boil an egg?|minutes|Bring water to the boil. Put the egg in for six minutes if you like it soft, or ten minutes if you like it hard. Then cool it in cold water.
How do I make pancakes?|flour|Mix a cup of flour, a cup of milk and an egg. Heat a little butter in a pan. Pour in some batter and turn it when bubbles appear.
How can I learn a [new|] language?;How do I learn a [new|foreign] language?|day|Practise a little every day. Learn common words first, listen to the language often, and speak as early as you can. Do not be afraid of mistakes.
How can I [sleep better|fall asleep]?|bed|Go to bed at the same time every day, keep the room dark and quiet, and put screens away an hour before.
How can I be more productive?|task|Choose the most important task of the day and do it first. Work in short blocks with breaks, and turn off what distracts you.
How can I learn [to program|programming|to code]?;How do I learn programming?|project|Start with a simple language such as Python. Learn the basics, then build small projects of your own. Practise often and read other people's code.
How can I save money?|spend|Write down what you spend, make a plan for each month, and put something aside as soon as you are paid.
How do I stay healthy?;How can I stay healthy?|sleep|Eat many kinds of food, move every day, drink enough water and get enough sleep.
""".strip().splitlines()]  # fmt: skip
"""Questions (variants apart by ``;``), a text every right answer holds, the answer."""
