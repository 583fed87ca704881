"""``meaning``: what an error reply says of the account: out of credit, a bad key, or moderation.

Services do not agree on the status. No credit is 402 at OpenRouter and DeepSeek, 400 at Anthropic, 429 at OpenAI and Moonshot,
403 at xAI. A flagged input is 403 at OpenRouter, 400 at OpenAI and Azure; at most others 403 is a key without permission. So the
error's own code counts first and its words second. Codes and words are from the services' public error pages and SDK issues.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

Meaning = Literal["billing", "key", "flagged", ""]

BILLING = {
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "billing_error",
    "insufficient_credits",
    "insufficient_balance",
    "insufficient_funds",
    "insufficient_user_quota",
    "exceeded_current_quota_error",
    "arrearage",
    "credit_limit_exceeded",
    "payment_required",
}
KEY = {
    "invalid_api_key",
    "api_key_invalid",
    "authentication_error",
    "permission_error",
    "account_deactivated",
    "access_terminated",
    "account_suspended",
    "organization_disabled",
    "organization_restricted",
    "invalid_organization",
    "unsupported_country_region_territory",
}
FLAGGED = {
    "content_policy_violation",
    "content_filter",
    "invalid_prompt",
    "moderation_blocked",
    "data_inspection_failed",
    "responsibleaipolicyviolation",
}
_BILLING_SAID = re.compile(
    r"credit balance is too low|insufficient (?:credits?|balance|funds|quota)|billing hard limit"
    r"|not active, please check your billing|reached your specified (?:workspace )?api usage limits"
    r"|used all available credits|monthly spending limit"
    r"|key limit exceeded|requires more credits|(?:account|billing) is (?:not )?in good standing",
    re.IGNORECASE,
)
_KEY_SAID = re.compile(
    r"organization has been (?:disabled|suspended)|account\b.{0,80}\b(?:deactivated|suspended|disabled|terminated|banned)"
    r"|access (?:was|has been) terminated|(?:incorrect|invalid) api key|api key not valid",
    re.IGNORECASE,
)
_FLAGGED_SAID = re.compile(r"\bflagged\b|\bmoderation\b|content (?:management )?(?:policy|filter)|usage polic", re.IGNORECASE)
_NAMES = ("code", "type", "status", "reason")
_MARKS = {"flagged_input", "content_filter_result"}  # keys that only a moderated request's error has


def meaning(status: int, body: Any, said: str) -> Meaning:
    """Empty if the status alone decides, as for every status outside 400 to 499.

    Args:
        body: the error's JSON as the SDK provides it.
        said: its message.
    """
    if not 400 <= status < 500:
        return ""
    found = list(_walk(body))
    codes = {value.lower() for name, value in found if name in _NAMES and isinstance(value, str)}
    if codes & BILLING:
        return "billing"
    if status in (400, 403) and (codes & FLAGGED or any(name in _MARKS for name, _ in found)):
        return "flagged"
    if codes & KEY:
        return "key"
    if status in (401, 404, 408, 409, 413):
        return ""
    if _BILLING_SAID.search(said):
        return "billing"
    if _KEY_SAID.search(said):
        return "key"
    return "flagged" if status in (400, 403) and _FLAGGED_SAID.search(said) else ""


def _walk(body: Any, depth: int = 5) -> Iterator[tuple[str, Any]]:
    """(key, value) of every entry, the outer ones first."""
    if depth == 0:
        return
    if isinstance(body, dict):
        yield from body.items()
    for inner in body.values() if isinstance(body, dict) else body if isinstance(body, list) else ():
        yield from _walk(inner, depth - 1)
