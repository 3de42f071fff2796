"""Items from a table: their texts, and every other column as an attribute; what is neither is said."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from flagrank.domain import ItemId
from flagrank.errors import DataError
from flagrank.model.attributes import MAX_ATTRIBUTES
from flagrank.offline.data.attribute_columns import AttributeColumn, Refuse, declared, read_values, undeclared
from flagrank.offline.data.column_names import ATTRIBUTES_OF_EVENTS
from flagrank.offline.data.interaction_table import MAX_ID_LENGTH
from flagrank.offline.data.interactions import Item, ItemAttribute
from flagrank.offline.data.table import Table

INTEGER_ID = "-?[0-9]{1,18}"
NO_CATEGORY = "unknown"
# a list in one field, as MovieLens and many exports write genres
LIST = "|"


@dataclass(frozen=True, slots=True)
class Items:
    """Items by id, their attributes by name, and what a reader of them should be told."""

    items: dict[ItemId, Item] = field(default_factory=dict)
    attributes: dict[str, ItemAttribute] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_items(table: Table, columns: Mapping[str, str], integer_ids: bool) -> Items:
    """The items of a table whose text columns are known by part; raises DataError that names the first bad row.

    An item's last row says what it is. With `integer_ids` every id has to be an integer, as the interactions' are.
    """
    attributes, ignored = _attribute_columns(table, columns.values())
    table.load(_loaded(columns, attributes))
    length = f"length(item::VARCHAR) BETWEEN 1 AND {MAX_ID_LENGTH}"
    fits = f"regexp_full_match(item::VARCHAR, '{INTEGER_ID}')" if integer_ids else "true"
    problem = f"SELECT rowid, item::VARCHAR, {length} FROM rows WHERE NOT coalesce({length} AND {fits}, false)"
    for row, got, is_id in table.query(f"{problem} ORDER BY rowid LIMIT 1"):
        name = columns["item"]
        integer = f"expected an integer {name} as in the interactions, got {got!r}"
        raise table.refuse(int(row), integer if is_id else f"expected 1 to {MAX_ID_LENGTH} characters as {name}")
    rows = _Rows(table, columns, attributes, integer_ids, "SELECT {} FROM rows ORDER BY rowid")
    return rows.items(ignored, table.refuse)


def items_of_events(table: Table, columns: Mapping[str, str], used: Collection[str], integer_ids: bool) -> Items:
    """What a table of interactions says of the items: the last texts and attributes of each.

    `columns` are the item and its texts by part, and `used` are read for the interactions. The rest is ignored, but for
    declared attributes and those that such logs usually have.
    """
    found, ignored = _attribute_columns(table, {*columns.values(), *used})
    attributes = [column for column in found if column.type or column.name in ATTRIBUTES_OF_EVENTS]
    ignored = [
        name for name in table.names if name in {*ignored, *(each.header for each in found if each not in attributes)}
    ]
    if len(columns) == 1 and not attributes:
        return Items(notes=_ignored(table, ignored))
    table.load(_loaded(columns, attributes))

    # no line of the file says what an item was last
    def refuse(_: int, expected: str) -> DataError:
        return DataError(str(table.path), None, expected)

    last = "SELECT {} FROM (SELECT item, {last} FROM rows GROUP BY item ORDER BY min(rowid))"
    return _Rows(table, columns, attributes, integer_ids, last).items(ignored, refuse)


class _Rows:
    """What is read of each row or item: a column of texts for each part and attribute."""

    def __init__(
        self, table: Table, columns: Mapping[str, str], attributes: Sequence[AttributeColumn], integer: bool, sql: str
    ) -> None:
        names = list(_loaded(columns, attributes))
        last = ", ".join(f"last({name} ORDER BY rowid) FILTER ({name}::VARCHAR <> '') AS {name}" for name in names[1:])
        selected = ", ".join(f"coalesce({name}::VARCHAR, '')" for name in names)
        found = list(zip(*table.query(sql.format(selected, last=last)), strict=True)) or [()] * len(names)
        self._texts = dict(zip(names, found, strict=True))
        self._table, self._columns, self._attributes = table, columns, attributes
        # a DOUBLE that is an integer is written with a point
        self._ids: list[ItemId] = [int(text.removesuffix(".0")) if integer else text for text in self._texts["item"]]

    def items(self, ignored: Sequence[str], refuse: Refuse) -> Items:
        read: dict[str, ItemAttribute] = {}
        left_out = list(ignored)
        for place, column in enumerate(self._attributes):
            try:
                read[column.name] = read_values(column, self._ids, self._texts[f"a{place}"], refuse)
            except ValueError:
                left_out.append(column.header)
        described = [name for name, attribute in read.items() if attribute.type == "text"]
        items = {item_id: self._item(row, item_id, described, read) for row, item_id in enumerate(self._ids)}
        return Items(items, read, _ignored(self._table, left_out))

    def _item(self, row: int, item_id: ItemId, described: Sequence[str], read: Mapping[str, ItemAttribute]) -> Item:
        texts = {part: self._texts[part][row] for part in self._columns}
        listed = [entry.strip() for entry in texts.get("category", "").split(LIST)]
        is_list = len(listed) > 1 and self._columns["category"] != "category"
        category = listed[0] if is_list else texts.get("category")
        # without a description, an item is described by what else is known of it
        values = [str(value) for name in described if (value := read[name].values.get(item_id)) is not None]
        known = " ".join([*(listed if is_list else []), *values])
        return Item(texts.get("title", f"Item {item_id}"), category or NO_CATEGORY, texts.get("description", known))


def _attribute_columns(table: Table, taken: Collection[str]) -> tuple[list[AttributeColumn], list[str]]:
    kept = declared(str(table.path), [name for name in table.names if name not in taken])
    names, ignored = {column.name for column in kept}, list[str]()
    for header in table.names:
        if header in taken or ":" in header:
            continue
        column = undeclared(header)
        if column is None or column.name in names or len(kept) == MAX_ATTRIBUTES:
            ignored.append(header)
        else:
            kept.append(column)
            names.add(column.name)
    return kept, ignored


def _loaded(columns: Mapping[str, str], attributes: Sequence[AttributeColumn]) -> dict[str, str]:
    texts = {part: name for part, name in columns.items() if part != "item"}
    return {"item": columns["item"], **texts, **{f"a{place}": each.header for place, each in enumerate(attributes)}}


def _ignored(table: Table, names: Sequence[str]) -> tuple[str, ...]:
    return (f"{table.path}: ignored: {', '.join(map(repr, names))}",) if names else ()
