"""Rows in the formats of ToolHop and FTRL, made up here, and the rows of BFCL's package."""

import json

from toolmaster.tasksets.bfcl_package import data_folder

YEAR = """\
def founding_year(town, unit="year"):
    years = {"Ashby": 1640, "Brill": 1702}
    if town not in years:
        return {"error": f"no such town: {town}"}
    return {"town": town, unit: years[town]}
"""
HOME = """\
def home_town(person):
    if person == "nobody":
        raise LookupError("nobody has no home")
    return {"Ada Lane": "Ashby", "Ben Moor": "Brill"}[person]
"""


def schema(name, **properties):
    parameters = {"type": "object", "properties": properties, "required": list(properties)[:1]}
    return {"name": name, "description": f"Tells the {name}.", "parameters": parameters}


TEXT = {"type": "string"}
HOME_SCHEMA = schema("home_town", person=TEXT)
YEAR_SCHEMA = schema("founding_year", town=TEXT, unit={"type": "string", "enum": ["year"]})


def toolhop_row(number=1, person="Ada Lane", town="Ashby", year="1640", **changes):
    where, when = f"Where does {person} live?", f"When was {town} founded?"
    return {
        "id": number,
        "question": f"When was the home town of {person} founded?",
        "answer": year,
        "sub_task": {when: year, where: town},
        "tools": {when: YEAR_SCHEMA, where: HOME_SCHEMA},
        "functions": [HOME, YEAR],
        "domain": "towns",
    } | changes


def ftrl_row(**changes):
    """A row as the original has it: nested fields are JSON text."""
    tools = [{"type": "function", "function": s} for s in (HOME_SCHEMA, YEAR_SCHEMA)]
    return {
        "messages": [{"role": "user", "content": "When was the home town of Ada Lane founded?"}],
        "tools": json.dumps(tools),
        "codes": json.dumps({"home_town": HOME, "founding_year": YEAR}),
        "unsolved_set": json.dumps({"home_town": ["Ashby"], "founding_year": ["1640"]}),
        "answer": "1640",
        "data_source": "self/multi_hop",
    } | changes


def bfcl_rows(category):
    """Each row of a category of BFCL's package, with its right calls."""

    def lines(file):
        return [json.loads(line) for line in file.read_text("utf-8").splitlines()]

    name = f"BFCL_v4_{category}.json"
    right = lines(data_folder() / "possible_answer" / name)
    answers = {line["id"]: line["ground_truth"] for line in right}
    return [(row, answers[row["id"]]) for row in lines(data_folder() / name)]
