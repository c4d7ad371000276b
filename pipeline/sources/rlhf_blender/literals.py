"""Python literals in the texts of RLHF-Blender's registry."""

from __future__ import annotations

import ast
import re
from typing import Any


def literal_value(text: str) -> Any:
    """The plain Python value that a text writes; NumPy's numbers, as `np.int64(2)`, are the numbers. Runs nothing.

    >>> literal_value("{'shape': (np.int64(2),), 'labels': {'0': np.True_}}")
    {'shape': (2,), 'labels': {'0': True}}

    Raises ValueError for what is no literal.
    """
    try:
        return ast.literal_eval(_Plain().visit(ast.parse(text.strip(), mode="eval")))
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(str(error) or type(error).__name__) from error


class _Plain(ast.NodeTransformer):
    """Takes the wrappers of NumPy's numbers away."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if _WRAPPER.fullmatch(ast.unparse(node.func)) and len(node.args) == 1 and not node.keywords:
            return self.visit(node.args[0])
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        name = ast.unparse(node)
        return ast.Constant(_TRUTHS[name]) if name in _TRUTHS else node


_WRAPPER = re.compile(r"(?:np|numpy)\.(?:u?int(?:8|16|32|64)|float(?:16|32|64)|bool_?|str_)")
_TRUTHS = {f"{module}.{truth}_": truth for module in ("np", "numpy") for truth in (True, False)}
