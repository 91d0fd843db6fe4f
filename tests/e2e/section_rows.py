"""Made-up rows of a task that is quickly learned: the section of a package."""
import json
import random

LABELS = {"games": ["puzzle", "arcade", "chess", "card"], "mail": ["inbox", "imap", "smtp", "newsletter"],
          "math": ["algebra", "matrix", "prime", "solver"]}
SYSTEM = "Name the section of the package: games, mail or math. Answer with that word alone."


def rows(count):
    random.seed(7)
    for number in range(count):
        label = sorted(LABELS)[number % len(LABELS)]
        words = random.sample(LABELS[label], 2)
        text = f"package {number:03d}-{words[0]}: a {words[1]} tool for {words[0]} users, edition {random.randint(1000, 9999)}"
        yield {"messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text},
                            {"role": "assistant", "content": label}]}


def write(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
