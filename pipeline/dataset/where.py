"""Which episodes an expression chooses: `success == 1 and return > 300`, worked out over all episodes at once.

    chosen("success == 1 and return > quantile(return, 0.9)", dataset)

The text is parsed, never run (`pipeline.dataset.expression`). What an episode does not have is unknown, and so is what
follows from it, as in SQL: `not reset_info.level == 3` chooses no episode without a level.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from pipeline.dataset.expression import WhereExpression, parsed
from pipeline.dataset.facts import NUMBER, TEXT, TRUTH, EpisodeFacts, FactColumn, column
from pipeline.dataset.reader import EpisodeDataset
from pipeline.errors import InvalidInput, UnknownName
from pipeline.wording import how_many

Unknown = Bool[np.ndarray, "*n"] | None

WIDEST = 2**63 - 1

_WORDS = {"true": True, "false": False}
"""As a command line spells them."""

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
}

_REACH: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left + right,
    ast.Mult: lambda left, right: left * right,
    ast.Mod: lambda left, right: right,
}
"""How large the result can be, of two whole numbers of these sizes at most."""

_CALCULATE: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.true_divide,
    ast.Mod: np.mod,
}

_contains = np.frompyfunc(lambda text, part: part in text, 2, 1)


def chosen(expression: str, dataset: EpisodeDataset) -> Bool[np.ndarray, " n"]:
    """Which of the n episodes an expression chooses.

    Raises InvalidInput for what is no such expression, with the place in it; for one that gives no truth value; and
    for one that chooses nothing, with how the facts that it names are distributed. UnknownName for a name that is no
    fact of these episodes.
    """
    where = parsed(expression)
    facts = EpisodeFacts(dataset)
    for name, node in where.names().items():
        _require_name(where, facts, name, node)
    with np.errstate(all="ignore"):
        found = _Reader(where, facts).truth(where.tree)
    mask = np.asarray(found.values & ~_mask(found.unknown), np.bool_)
    mask = np.broadcast_to(mask, len(dataset)).copy()
    if not mask.any():
        lines = "".join(f"\n  {facts.distribution(name)}" for name in where.names() if name not in _WORDS)
        raise InvalidInput(
            f"None of the {how_many(len(dataset), 'episodes')} of {dataset.name} has: {where.text}{lines}"
        )
    return mask


def _require_name(where: WhereExpression, facts: EpisodeFacts, name: str, node: ast.expr) -> None:
    if name not in _WORDS:
        try:
            facts[name]
        except UnknownName as error:
            raise UnknownName(f"{error}\n{where.mark(node)}") from None


class _Reader:
    """Works out a tree, node by node, over all episodes."""

    def __init__(self, where: WhereExpression, facts: EpisodeFacts) -> None:
        self._where, self._facts = where, facts

    def truth(self, node: ast.expr) -> FactColumn:
        """The truth values of a node. Raises InvalidInput where it gives something else."""
        found = self._value(node)
        if found.kind != TRUTH:
            words = self._where.words(node)
            how = f"{words} == 1" if found.kind == NUMBER else f'{words} == "..."'
            raise self._where.wrong(
                node, f"{words} is {found.kind}, where true or false is needed; compare it, as in {how}."
            )
        return found

    def _value(self, node: ast.expr) -> FactColumn:
        match node:
            case ast.Constant(value=value):
                return self._constant(node, value)
            case ast.Name() | ast.Attribute():
                name = self._where.name(node)
                return column(_WORDS[name]) if name in _WORDS else self._facts[name]
            case ast.BoolOp(op=op, values=values):
                return self._combined(op, values)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                found = self.truth(operand)
                return FactColumn(TRUTH, ~found.values, found.unknown)
            case ast.UnaryOp(op=op, operand=operand):
                found = self._number(operand)
                return column(-found.values, found.unknown) if isinstance(op, ast.USub) else found
            case ast.BinOp(left=left, op=op, right=right):
                return self._calculated(node, op, left, right)
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self._chain([left, *others], ops)
            case ast.Call(func=ast.Name(id=name), args=args):
                return self._called(node, name, args)
            case _:
                raise self._where.wrong(node, "a list stands only behind in.")

    def _constant(self, node: ast.expr, value: Any) -> FactColumn:
        if isinstance(value, str):
            return FactColumn(TEXT, np.asarray(value, object))
        if isinstance(value, int) and abs(value) > WIDEST:
            raise self._where.wrong(node, "this number is larger than whole numbers of 64 bits.")
        return column(value)

    def _number(self, node: ast.expr) -> FactColumn:
        """The numbers of a node; true is 1. Raises InvalidInput for a text."""
        found = self._value(node)
        if found.kind == TEXT:
            raise self._where.wrong(node, f"{self._where.words(node)} is a text, where a number is needed.")
        return column(found.values.astype(np.int64), found.unknown) if found.kind == TRUTH else found

    def _combined(self, op: ast.boolop, nodes: list[ast.expr]) -> FactColumn:
        """and, or: false and what is unknown is false, true or what is unknown is true."""
        found = self.truth(nodes[0])
        for node in nodes[1:]:
            found = _both(found, self.truth(node)) if isinstance(op, ast.And) else _either(found, self.truth(node))
        return found

    def _calculated(self, node: ast.expr, op: ast.operator, left: ast.expr, right: ast.expr) -> FactColumn:
        one, two = self._number(left), self._number(right)
        whole = one.values.dtype == two.values.dtype == np.int64 and type(op) in _REACH
        if whole and _REACH[type(op)](_largest(one.values), _largest(two.values)) > WIDEST:
            raise self._where.wrong(node, f"{self._where.words(node)} gives numbers beyond whole numbers of 64 bits.")
        unknown = _joined(one.unknown, two.unknown)
        if isinstance(op, ast.Div | ast.Mod):
            unknown = _joined(unknown, two.values == 0)  # nobody knows what that gives
        return column(_CALCULATE[type(op)](one.values, two.values), unknown)

    def _chain(self, nodes: list[ast.expr], ops: list[ast.cmpop]) -> FactColumn:
        """`0 < return <= 300` is `0 < return and return <= 300`."""
        links = zip(nodes, ops, nodes[1:], strict=False)
        found = [
            self._within(*link) if isinstance(link[1], ast.In | ast.NotIn) else self._compared(*link) for link in links
        ]
        whole = found[0]
        for each in found[1:]:
            whole = _both(whole, each)
        return whole

    def _compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> FactColumn:
        one, two = self._value(left), self._value(right)
        self._require_alike(left, one, right, two)
        if one.kind == TEXT and not isinstance(op, ast.Eq | ast.NotEq):
            raise self._where.wrong(left, f"{self._where.words(left)} is a text: compare it with ==, != or in.")
        values = np.asarray(_COMPARE[type(op)](one.values, two.values), np.bool_)
        return FactColumn(TRUTH, values, _joined(one.unknown, two.unknown))

    def _require_alike(self, left: ast.expr, one: FactColumn, right: ast.expr, two: FactColumn) -> None:
        if (one.kind == TEXT) != (two.kind == TEXT):
            words = self._where.words
            raise self._where.wrong(
                right, f"{words(left)} is {one.kind} and {words(right)} is {two.kind}: they cannot be compared."
            )

    def _within(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> FactColumn:
        """A value in a list, or a text in a text."""
        if isinstance(right, ast.List | ast.Tuple):
            found = self._in_list(left, right.elts)
        else:
            found = self._in_text(left, right)
        return FactColumn(TRUTH, ~found.values, found.unknown) if isinstance(op, ast.NotIn) else found

    def _in_list(self, left: ast.expr, nodes: list[ast.expr]) -> FactColumn:
        one = self._value(left)
        listed = [(node, self._value(node)) for node in nodes]
        for node, each in listed:
            self._require_alike(left, one, node, each)
            if each.values.ndim:
                raise self._where.wrong(node, "a list holds plain values, no names.")
        values = [each.values.item() for _, each in listed]
        if one.kind == TEXT:
            among = set(values)
            flat = np.asarray([text in among for text in one.values.ravel().tolist()], np.bool_)
            return FactColumn(TRUTH, flat.reshape(one.values.shape), one.unknown)
        return FactColumn(TRUTH, np.isin(one.values, values), one.unknown)

    def _in_text(self, left: ast.expr, right: ast.expr) -> FactColumn:
        one, two = self._value(left), self._value(right)
        for node, each in ((right, two), (left, one)):
            if each.kind != TEXT:
                words = self._where.words(node)
                raise self._where.wrong(
                    node, f"{words} is {each.kind}; in asks for a text in a text, or for a value in a list."
                )
        values = np.asarray(_contains(two.values, one.values), np.bool_)
        return FactColumn(TRUTH, values, _joined(one.unknown, two.unknown))

    def _called(self, node: ast.expr, name: str, args: list[ast.expr]) -> FactColumn:
        if len(args) != (2 if name == "quantile" else 1):
            how = {"quantile": "quantile(return, 0.9)"}.get(name, f"{name}(return)")
            raise self._where.wrong(node, f"{name} is written {how}.")
        found = self._number(args[0])
        if name == "abs":
            return column(np.abs(found.values), found.unknown)
        if name == "rank":
            return self._ranks(found)
        share = self._number(args[1])
        if share.values.ndim or not 0 <= share.values <= 1:
            raise self._where.wrong(args[1], "the share of a quantile is one number from 0 to 1.")
        known = found.known()
        return column(np.quantile(known, float(share.values)) if len(known) else np.nan)

    def _ranks(self, found: FactColumn) -> FactColumn:
        """The place of each episode by a number: 0 for the least of all; of equals the earlier episode comes first."""
        values = np.broadcast_to(found.values, self._facts["episode"].values.shape)
        unknown = np.broadcast_to(_mask(found.unknown), values.shape)
        order = np.lexsort((values, unknown))
        ranks = np.empty(len(order), np.int64)
        ranks[order] = np.arange(len(order))
        return column(ranks, unknown)


def _both(one: FactColumn, two: FactColumn) -> FactColumn:
    false = (~one.values & ~_mask(one.unknown)) | (~two.values & ~_mask(two.unknown))
    return _known_where(one.values & two.values, false, one, two)


def _either(one: FactColumn, two: FactColumn) -> FactColumn:
    true = (one.values & ~_mask(one.unknown)) | (two.values & ~_mask(two.unknown))
    return _known_where(one.values | two.values, true, one, two)


def _known_where(
    values: Shaped[np.ndarray, "*n"], settled: Bool[np.ndarray, "*n"], one: FactColumn, two: FactColumn
) -> FactColumn:
    """Truth values that are known where one side settles them, or both sides are known."""
    unknown = _joined(one.unknown, two.unknown)
    return FactColumn(TRUTH, values, None if unknown is None else unknown & ~settled)


def _joined(one: Unknown, two: Unknown) -> Unknown:
    return two if one is None else one if two is None else one | two


def _mask(unknown: Unknown) -> Bool[np.ndarray, "*n"]:
    return np.zeros((), np.bool_) if unknown is None else unknown


def _largest(values: Shaped[np.ndarray, "*n"]) -> int:
    return max(abs(int(values.min())), abs(int(values.max()))) if values.size else 0
