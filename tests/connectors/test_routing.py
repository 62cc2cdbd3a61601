"""Deciding: one verdict for each rule, and the rules that matched."""

from __future__ import annotations

from connectors import trigger
from connectors.book import Rule, RuleSet
from connectors.routing import decide
from logs.verdict import Verdict

ORDER = {"type": "track", "event": "Order Completed"}


def rule(text: str, on: bool = True, destination_on: bool = True) -> Rule:
    return Rule(1, 2, 3, trigger.parse(text), on, destination_on)


def test_every_rule_has_its_say_in_its_order():
    rules = (
        rule('type = "track"'),
        rule('type = "identify"'),
        rule('type = "track"', on=False),
        rule('type = "track"', destination_on=False),
    )

    decision = decide(ORDER, RuleSet(7, 8, True, rules))

    assert list(decision.verdicts) == [
        Verdict.MATCHED,
        Verdict.NOT_MATCHED,
        Verdict.MAPPING_OFF,
        Verdict.DESTINATION_OFF,
    ]
    assert decision.matched == (rules[0],)


def test_a_source_that_is_off_sends_nothing():
    decision = decide(ORDER, RuleSet(7, 8, False, (rule('type = "track"'), rule("all"))))

    assert list(decision.verdicts) == [Verdict.SOURCE_OFF, Verdict.SOURCE_OFF]
    assert decision.matched == ()


def test_an_empty_trigger_matches_nothing_and_all_is_a_choice():
    decision = decide(ORDER, RuleSet(7, 8, True, (rule(""), rule("all"))))

    assert list(decision.verdicts) == [Verdict.NOT_MATCHED, Verdict.MATCHED]
