"""HTML that escapes by construction: only what `tag` has made passes through unescaped."""

from collections.abc import Iterable, Sequence
from html import escape

VOID = {"img", "meta", "line", "rect", "circle", "path", "br"}


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def fragment(children: Iterable[object]) -> Markup:
    """Join children: Markup as it is, everything else escaped, None left out."""
    return Markup("".join(_written(child) for child in children))


def _written(child: object) -> str:
    if child is None:
        return ""
    return child if isinstance(child, Markup) else escape(str(child))


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """Return an element; `class_` and `data_x` are written class and data-x, None attributes are left out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        assert not children
        return Markup(f"<{name}{written}>" if name in ("img", "meta", "br") else f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{fragment(children)}</{name}>")


def paragraphs(*texts: str, class_: str | None = None) -> Markup:
    """Return one p per text."""
    return fragment(tag("p", text, class_=class_) for text in texts)


def bullets(texts: Iterable[object]) -> Markup:
    """Return an unordered list."""
    return tag("ul", *(tag("li", text) for text in texts))


def table(
    columns: Sequence[object], rows: Iterable[Sequence[object]], *, caption: object = None, class_: str = ""
) -> Markup:
    """Return a table whose first column heads its rows."""
    head = tag("tr", *(tag("th", column, scope="col") for column in columns))
    body = (tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows)
    return tag(
        "table",
        tag("caption", caption) if caption else None,
        tag("thead", head),
        tag("tbody", *body),
        class_=class_ or None,
    )


def section(anchor: str, title: str, *children: object, **attributes: object) -> Markup:
    """Return a titled section that the table of contents can name."""
    heading = tag("h2", title, id=f"{anchor}-title")
    return tag("section", heading, *children, id=anchor, aria_labelledby=f"{anchor}-title", **attributes)
