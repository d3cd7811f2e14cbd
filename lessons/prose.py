"""What stands in a text cell: its words, the questions it asks, the rows of its tables."""

import re

TABLE = re.compile(r"(?:^\s*\|.*\n?)+", re.MULTILINE)


def prose(source: str) -> str:
    """The words of a text cell: no headings, tables, code, equations, link targets or marks."""
    source = re.sub(r"```.*?```|\$\$.*?\$\$|<!--.*?-->", " ", source, flags=re.DOTALL)
    source = re.sub(r"`[^`]*`|\$[^$\n]*\$", " x ", source)
    source = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", source)
    lines = [line for line in source.splitlines() if not re.match(r"\s*(#|\|)", line)]
    return re.sub(r"<[^>]*>", " ", "\n".join(lines))


def word_count(source: str) -> int:
    """How many words of prose a text cell has."""
    return sum(any(map(str.isalnum, word)) for word in prose(source).split())


def questions(source: str) -> int:
    """How many sentences of prose end with a question mark."""
    return len(re.findall(r"\?(?=\W|$)", prose(source)))


def table_rows(source: str) -> int:
    """How many rows the tables of a text cell have below their headings."""
    source = re.sub(r"```.*?```", " ", source, flags=re.DOTALL)
    return sum(max(0, len(found.strip().splitlines()) - 2) for found in TABLE.findall(source))
