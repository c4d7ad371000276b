"""One suite per contract of pipeline/interfaces.py; whoever fulfils the contract inherits the suite."""

import pytest

# Without this, a failing assert of an inherited suite would not show its values.
pytest.register_assert_rewrite("tests.contracts.environment", "tests.contracts.policy")
