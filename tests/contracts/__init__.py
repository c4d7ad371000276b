"""One suite per contract of the library; whoever fulfils the contract inherits the suite."""

import pytest

# Without this, a failing assert of an inherited suite would not show its values.
pytest.register_assert_rewrite(
    *(f"tests.contracts.{name}" for name in ("bulk_source", "environment", "policy", "source", "storage"))
)
