"""The text of a where-expression: parsed, never run, into a tree of the few things that may stand in one."""

from __future__ import annotations

import ast
import io
import keyword
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.errors import InvalidInput

LONGEST = 20_000
"""Characters of an expression at most."""

DEEPEST = 50
"""So deep may it be nested: brackets, and operators one after the other."""

FUNCTIONS = ("abs", "quantile", "rank")

RESET_INFO = "reset_info"

ALLOWED = (
    "Allowed are names, numbers, texts in quotes, True, False; and, or, not; == != < <= > >=; in, not in; + - * / %; "
    "abs(x), quantile(x, 0.9), rank(x)."
)

_SHOWN = 60
"""Characters of a long expression that are shown on either side of the place that is meant."""

_PARTS = (
    *(ast.Expression, ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.Compare, ast.Call, ast.Constant, ast.Name),
    *(ast.Attribute, ast.List, ast.Tuple, ast.Load, ast.And, ast.Or, ast.Not, ast.USub, ast.UAdd),
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Mod),
    *(ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn),
)

_REFUSED: dict[type[ast.AST], str] = {
    ast.Lambda: "a function is not allowed",
    ast.ListComp: "a comprehension is not allowed",
    ast.SetComp: "a comprehension is not allowed",
    ast.DictComp: "a comprehension is not allowed",
    ast.GeneratorExp: "a comprehension is not allowed",
    ast.JoinedStr: "a text with values in it is not allowed",
    ast.NamedExpr: "an assignment is not allowed; to compare, write ==",
    ast.Subscript: "an index is not allowed",
    ast.IfExp: "a condition is not allowed; write it with and, or, not",
    ast.Dict: "a mapping is not allowed",
    ast.Set: "a set is not allowed; write a list, [1, 2]",
    ast.Starred: "a star is not allowed",
    ast.Pow: "powers are not allowed",
    ast.FloorDiv: "// is not allowed; / divides, % gives the rest",
    ast.BitAnd: "& is not allowed; write and",
    ast.BitOr: "| is not allowed; write or",
    ast.Invert: "~ is not allowed; write not",
    ast.Is: "is is not allowed; write ==",
    ast.IsNot: "is not is not allowed; write !=",
}

_HINTS = {
    r"&&": "Write and.",
    r"\|\|": "Write or.",
    r"!(?!=)": "Write not.",
    r"(?<![=!<>:])=(?!=)": "To compare, write ==.",
}
"""What people write in other languages, outside of texts."""


@dataclass(frozen=True)
class WhereExpression:
    """An expression that holds nothing but what may stand in one.

    Attributes:
        text: as the user wrote it, in one line.
        tree: what it was parsed to; `name` gives the names in it, for Python's own words stand in it otherwise.
    """

    text: str
    tree: ast.expr

    def name(self, node: ast.expr) -> str:
        """The name that a node is: `return`, `reset_info.level`."""
        return re.sub(r"\s", "", self.words(node))

    def names(self) -> dict[str, ast.expr]:
        """Every name of a fact in it, in its order, with the place where it first stands."""
        found: dict[str, ast.expr] = {}
        for node in sorted(_names(self.tree), key=lambda node: node.col_offset):
            found.setdefault(self.name(node), node)
        return found

    def words(self, node: ast.expr) -> str:
        """The user's own words of a node."""
        return self.text[slice(*self._place(node))]

    def wrong(self, node: ast.AST, why: str) -> InvalidInput:
        """The error of one place of the expression: what is wrong with it, and the place itself."""
        start, stop = self._place(node) if isinstance(node, ast.expr) else (0, len(self.text))
        return _error(self.text, start, stop, why)

    def mark(self, node: ast.expr) -> str:
        """The expression with a caret below the place of a node, in two lines."""
        return _marked(self.text, *self._place(node))

    def _place(self, node: ast.expr) -> tuple[int, int]:
        """Where a node begins and ends: the parser counts bytes."""
        line = self.text.encode()
        ends = (node.col_offset, node.end_col_offset or node.col_offset)
        start, stop = (len(line[:end].decode(errors="ignore")) for end in ends)
        return start, stop


def parsed(text: str) -> WhereExpression:
    """The expression of a text. Raises InvalidInput, with the place, for all that may not stand in one."""
    line = re.sub(r"\s", " ", text).strip()
    if not line:
        raise InvalidInput(f"An expression is missing, such as success == 1. {ALLOWED}")
    if len(line) > LONGEST:
        raise InvalidInput(f"The expression has {len(line):,} characters; it may have {LONGEST:,}: {line[:_SHOWN]}...")
    expression = WhereExpression(line, _tree(line))
    _check(expression)
    return expression


def _tree(line: str) -> ast.expr:
    try:
        return ast.parse(_without_keywords(line), mode="eval").body
    except SyntaxError as error:
        place = max(0, min(len(line), (error.offset or 1) - 1))
        raise _error(line, place, place + 1, f"{error.msg}.{_hint(line)}") from None
    except (RecursionError, MemoryError):
        raise _too_deep(line) from None
    except ValueError as error:  # a number of thousands of digits, a character that is none
        raise _error(line, 0, len(line), f"{str(error).split(';')[0]}.") from None


def _without_keywords(line: str) -> str:
    """The line with `return`, and Python's words behind a dot, as names of the same length."""
    out, before = list(line), ""
    try:
        for token in tokenize.generate_tokens(io.StringIO(line).readline):
            is_word = keyword.iskeyword(token.string)
            if token.type == tokenize.NAME and (token.string == "return" or (before == "." and is_word)):
                out[token.start[1] : token.end[1]] = "_" * len(token.string)
            before = token.string
    except (tokenize.TokenError, SyntaxError):  # the parser says it better
        return line
    return "".join(out)


def _check(expression: WhereExpression) -> None:
    """Raises InvalidInput for the first thing that may not stand in an expression."""
    waiting: list[tuple[ast.AST, ast.expr, int]] = [(expression.tree, expression.tree, 0)]
    while waiting:
        node, place, depth = waiting.pop()
        place = node if isinstance(node, ast.expr) else place
        if depth > DEEPEST:
            raise _too_deep(expression.text)
        if why := _refused(node, expression):
            raise expression.wrong(place, f"{why}.")
        children = [] if isinstance(node, ast.Attribute) else ast.iter_child_nodes(node)
        waiting += [(child, place, depth + 1) for child in reversed([*children])]


def _refused(node: ast.AST, expression: WhereExpression) -> str:
    """Why a node may not stand in an expression; empty where it may."""
    if isinstance(node, ast.Call):
        known = isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS
        return "" if known and not node.keywords else f"of calls only {', '.join(FUNCTIONS)} are allowed"
    if isinstance(node, ast.Attribute):
        inside = expression.name(node).split(".")[0] == RESET_INFO and all(
            isinstance(each, ast.Attribute | ast.Name) for each in _chain(node)
        )
        return "" if inside else "a dot stands only in a number and behind reset_info"
    if isinstance(node, ast.Constant) and type(node.value) not in (int, float, str, bool):
        return "this kind of value is not allowed"
    if isinstance(node, _PARTS):
        return ""
    return _REFUSED.get(type(node), "this is not allowed")


def _chain(node: ast.expr) -> Iterator[ast.expr]:
    """`a.b.c`, `a.b` and `a` of `a.b.c`."""
    while isinstance(node, ast.Attribute):
        yield node
        node = node.value
    yield node


def _names(tree: ast.expr) -> Iterator[ast.expr]:
    """The names of facts in a tree: no names of functions, and a name with dots once."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name | ast.Attribute):
            yield node
        else:
            waiting += node.args if isinstance(node, ast.Call) else ast.iter_child_nodes(node)


def _hint(line: str) -> str:
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", line)
    return "".join(f" {hint}" for pattern, hint in _HINTS.items() if re.search(pattern, bare))


def _too_deep(line: str) -> InvalidInput:
    return InvalidInput(f"The expression is nested deeper than {DEEPEST} times: {line[:_SHOWN]}...")


def _error(line: str, start: int, stop: int, why: str) -> InvalidInput:
    return InvalidInput(f"This expression cannot be used: {why}\n{_marked(line, start, stop)}\n{ALLOWED}")


def _marked(line: str, start: int, stop: int) -> str:
    first, last = max(0, start - _SHOWN), min(len(line), start + _SHOWN)
    before, after = "..." if first else "", "..." if last < len(line) else ""
    blanks = " " * (len(before) + start - first)
    return f"  {before}{line[first:last]}{after}\n  {blanks}{'^' * max(1, min(stop, last) - start)}"
