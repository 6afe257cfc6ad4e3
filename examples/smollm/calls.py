"""Questions about functions of our own in BFCL's format, which experts learn beside those of BFCL's wheel.

Three families: one call, several calls, and questions that the functions do not answer. The functions are
those of functions.yaml; a seed and a number draw a question, so equal numbers are equal questions.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

REFUSAL = "None of the functions can be used."
"""What an expert says where no function fits. BFCL counts as right whatever is no call."""

VALUES = {
    "CITY": "Lisbon|Oslo|Nairobi|Kyoto|Toronto|Lima|Prague|Cairo|Dublin|Hanoi|Denver|Seville|Zurich|Austin",
    "PERSON": "Anna|Omar|Lucia|Wei|Tom|Priya|Jonas|Fatima|Kofi|Elena|Sam|Mei",
    "COMPANY": "Siemens|Toyota|Nestle|Shell|Samsung|Boeing|Adidas|Unilever|Nokia|Sony",
    "CURRENCY": "USD|EUR|GBP|JPY|CHF|CAD|INR|BRL",
    "LANGUAGE": "German|Spanish|Japanese|Italian|Arabic|Polish|Korean",
    "COUNTRY": "Norway|Kenya|Chile|Vietnam|Portugal|Morocco|Canada|Poland|Peru|Thailand",
    "STATE": "Oregon|Nevada|Ohio|Georgia|Vermont|Arizona|Montana",
    "WEEKDAY": "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday",
    "FILM": "Casablanca|Gladiator|Amelie|Alien|Coco|Jaws|Psycho",
    "AUTHOR": "Jane Austen|Leo Tolstoy|Mark Twain|Toni Morrison|Franz Kafka|Agatha Christie",
    "PLACE": "main station|city hall|airport|stadium|harbour|university|old market|zoo",
    "PHRASE": "good morning|see you soon|where is the exit|happy birthday|the train is late|call me tonight",
}

Function: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """A question as BFCL has them, and its answer."""

    text: str
    functions: list[Function]
    """In BFCL's notation."""
    calls: list[tuple[str, dict[str, object]]]
    """What is right to call; nothing if no function fits."""

    @property
    def answer(self) -> str:
        """Return the answer as BFCL's prompt wants it: ``[f(a=1), g(b='x')]``."""
        if not self.calls:
            return REFUSAL
        written = (
            f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"
            for name, arguments in self.calls
        )
        return f"[{', '.join(written)}]"


def read_functions() -> list[Function]:
    """Return the entries of functions.yaml."""
    loaded: list[Function] = yaml.safe_load(Path(__file__).with_name("functions.yaml").read_text())
    return loaded


def ask_one(functions: list[Function], seed: int, number: int) -> Question:
    """Return a question that one call answers."""
    draw = random.Random(f"one {seed} {number}")
    function = functions[number % len(functions)]
    clause, arguments = _clause(function, draw)
    return Question(
        _sentence(function, clause, draw), [_documented(function)], [(function["name"], arguments)]
    )


def ask_several(functions: list[Function], seed: int, number: int) -> Question:
    """Return a question that several calls of a function answer, or of two functions each time in four."""
    draw = random.Random(f"several {seed} {number}")
    function = functions[number % len(functions)]
    if draw.random() < 0.25:
        other = draw.choice([entry for entry in functions if entry is not function])
        asked = [(entry, *_clause(entry, draw)) for entry in (function, other)]
        text = draw.choice([" Also: ", " Then: ", " "]).join(
            _sentence(entry, clause, draw) for entry, clause, _ in asked
        )
        calls = [(entry["name"], arguments) for entry, _, arguments in asked]
        return Question(text, [_documented(function), _documented(other)], calls)
    clauses, answers = [], []
    for _ in range(draw.choice([2, 2, 2, 3, 3, 4])):
        clause, arguments = _clause(function, draw)
        if arguments not in answers:
            clauses.append(clause)
            answers.append(arguments)
    joined = (
        f"{'; '.join(clauses[:-1])}; and {clauses[-1]}"
        if draw.random() < 0.3
        else f"{', '.join(clauses[:-1])} and {clauses[-1]}"
    )
    text = _sentence(function, joined if len(clauses) > 1 else clauses[0], draw)
    return Question(text, [_documented(function)], [(function["name"], arguments) for arguments in answers])


def ask_in_vain(functions: list[Function], seed: int, number: int) -> Question:
    """Return a question to which the one function that is there is no answer."""
    draw = random.Random(f"vain {seed} {number}")
    function = functions[number % len(functions)]
    other = draw.choice([entry for entry in functions if entry is not function])
    clause, _ = _clause(function, draw)
    return Question(_sentence(function, clause, draw), [_documented(other)], [])


def _sentence(function: Function, clause: str, draw: random.Random) -> str:
    ask = draw.choice(function["ask"])
    ends = "?" if ask.split()[0] in {"What", "How", "When", "Where", "Who", "At", "Will"} else "."
    return f"{ask} {clause}{ends}"


def _clause(function: Function, draw: random.Random) -> tuple[str, dict[str, object]]:
    """Return what is asked of a function, without the verb, and the arguments that it means."""
    clause, arguments = str(function["of"]), dict[str, object]()
    for name, (kind, values, _, *addition) in function["takes"].items():
        if addition and draw.random() < 0.5:
            continue
        value, spoken = _drawn(kind, values, draw)
        while value in arguments.values() and kind == "string" and values in VALUES:
            value, spoken = _drawn(kind, values, draw)  # no trip from a city to itself
        name = name.removesuffix("?")
        arguments[name] = value
        clause = (clause + (addition[0] if addition else "")).replace("{" + name + "}", spoken)
    return clause, arguments


def _drawn(kind: str, values: object, draw: random.Random) -> tuple[object, str]:
    """Return a value of a parameter, and how a question says it."""
    match values:
        case "PERCENT":
            tenths = draw.randint(10, 99)
            return tenths / 1000, f"{tenths / 10:g}%"
        case "DECIMAL":
            value = draw.randint(2, 40) / 20
            return value, f"{value:g}"
        case "PRICE":
            value = draw.randint(110, 230) / 100
            return value, f"{value:g}"
        case "THOUSANDS" | "HUNDREDS":
            number = draw.randint(5, 300) * (1000 if values == "THOUSANDS" else 10)
            return number, str(number)
        case "DATE":
            date = f"2024-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}"
            return date, date
        case "TIME":
            time = f"{draw.randint(5, 22):02}:{draw.choice([0, 15, 30, 45]):02}"
            return time, time
        case "CODE":
            code = f"{draw.choice('ABCXYZ')}{draw.randint(10_000, 99_999)}"
            return code, code
        case "LIST":
            numbers = [draw.randint(1, 99) for _ in range(draw.randint(4, 7))]
            return numbers, draw.choice([str(numbers), str(numbers)[1:-1]])
        case True:
            return True, ""
    word = draw.choice(VALUES.get(str(values), str(values)).split("|"))
    if kind == "integer":
        low, _, high = word.partition("-")
        whole = draw.randint(int(low), int(high)) if high else int(low)
        return whole, str(whole)
    return (float(word) if kind == "float" else word), word


def _documented(function: Function) -> Function:
    """Return the documentation of a function in BFCL's notation."""
    properties = {}
    for name, (kind, values, description, *_) in function["takes"].items():
        properties[name.removesuffix("?")] = {"type": kind, "description": description}
        if kind == "array":
            properties[name]["items"] = {"type": "integer"}
        elif kind == "string" and values not in VALUES and "|" in values and len(values.split("|")) < 5:
            properties[name.removesuffix("?")]["enum"] = values.split("|")
    return {
        "name": function["name"],
        "description": function["does"],
        "parameters": {
            "type": "dict",
            "properties": properties,
            "required": [name for name in function["takes"] if not name.endswith("?")],
        },
    }
