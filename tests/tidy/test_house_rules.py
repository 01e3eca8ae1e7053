"""Hold the source to the house rules, and each rule to a fault planted for it."""

import pytest

from tests.tidy import core_rules, failure_rules, name_rules, shape_rules, testing_rules
from tests.tidy.reading import Rule, parsed, the_house

RULES = (
    *failure_rules.RULES,
    *shape_rules.RULES,
    *name_rules.RULES,
    *core_rules.RULES,
    *testing_rules.RULES,
)
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name.replace(" ", "-"))


@each_rule
def test_the_house_keeps_the_rule(rule: Rule) -> None:
    """Nothing below src or tests breaks a house rule."""
    found = [str(finding) for finding in rule.search(the_house())]
    assert not found, f"{rule.name}:\n" + "\n".join(found)


@each_rule
def test_the_rule_sees_a_planted_fault(rule: Rule) -> None:
    """A rule that cannot fail protects nothing."""
    assert list(rule.search(parsed(rule.fault)))


@each_rule
def test_the_rule_accepts_the_mended_code(rule: Rule) -> None:
    """A rule that complains about good code is soon switched off."""
    assert not list(rule.search(parsed(rule.mended)))
