"""`--help` of the commands that have many options: a line an option, in groups."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import docstring_parser
from rich.console import Console
from rich.markup import escape
from rich.table import Table

FLAG_WIDTH, WIDTH = 40, 116
_TAKES = {bool: "", float: "X", int: "N", str: "TEXT"}


class Group(NamedTuple):
    """Options that belong together.

    Attributes:
        title: Of the group.
        name: Of the field that they fill; their flags are `--NAME.OPTION` where they are prefixed.
        default: A dataclass, whose fields are the options and whose docstring describes them.
        prefixed: Whether the name stands before each flag.
    """

    title: str
    name: str
    default: Any
    prefixed: bool


class Row(NamedTuple):
    """One option: its flag with what it takes, what it does, and its default."""

    flag: str
    text: str
    default: str


def print_help(
    prog: str,
    description: str,
    choices: Sequence[Row],
    groups: Sequence[Group],
    operands: str = "[options]",
    last: Mapping[str, Sequence[Row]] = MappingProxyType({}),
) -> None:
    """Prints every option.

    Args:
        prog: the command, as it is typed.
        description: one sentence.
        choices: the options that decide which others there are, shown with the first group.
        groups: the others, the common ones first.
        operands: what is typed after the command.
        last: more options by the title of their group.
    """
    print(f"usage: {prog} {operands}\n{description}")
    print_rows(groups[0].title, [*_rows(groups[0]), *choices])
    for group in groups[1:]:
        print_rows(group.title, list(_rows(group)))
    for title, rows in last.items():
        print_rows(title, rows)


def print_rows(title: str, rows: Sequence[Row]) -> None:
    """Prints a heading and a line for each row."""
    console = Console(highlight=False, width=WIDTH)
    table = Table.grid(padding=(0, 1))
    table.add_column(width=FLAG_WIDTH, overflow="fold")
    table.add_column()
    for row in rows:
        default = f" [dim]\\[{escape(row.default)}][/dim]" if row.default else ""
        table.add_row(f"  {escape(row.flag)}", escape(row.text) + default)
    console.print(f"[bold]{title}[/bold]")
    console.print(table)


def _rows(group: Group) -> Iterator[Row]:
    kind = type(group.default)
    types, texts = get_type_hints(kind), field_texts(kind)
    for field in dataclasses.fields(kind):
        prefix = f"{group.name}." if group.prefixed else ""
        value = getattr(group.default, field.name)
        if dataclasses.is_dataclass(value):
            yield from _rows(Group("", field.name, value, prefixed=True))
            continue
        switch = "[no-]" if types[field.name] is bool else ""
        flag = f"--{prefix}{switch}{field.name}".replace("_", "-")
        takes = f" {_takes(types[field.name])}".rstrip()
        yield Row(flag + takes, texts.get(field.name, ""), told(value))


def field_texts(kind: type) -> dict[str, str]:
    """What a dataclass's docstring says of each field."""
    docstring = docstring_parser.parse((kind.__doc__ or "").replace("Attributes:", "Args:"))
    return {p.arg_name: " ".join((p.description or "").split()) for p in docstring.params}


def _takes(kind: Any) -> str:
    """What an option takes, for a person: INT, X ..., {a,b}; nothing for a switch."""
    options = [each for each in get_args(kind) if each is not type(None)]
    if get_origin(kind) is Literal:
        return f"{{{','.join(options)}}}"
    if get_origin(kind) is tuple:
        return f"{_takes(options[0])} ..."
    if type(None) in get_args(kind):
        return _takes(options[0])
    return _TAKES[kind] if kind in _TAKES else str(kind.__name__).upper()


def told(value: Any) -> str:
    """A default as it would be typed."""
    if isinstance(value, tuple):
        return " ".join(map(told, value))
    if value is None or value == "":
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
