"""Findings for somebody else: a ticket's text."""

from __future__ import annotations

from gemmactl.doctor.diagnose import diagnose
from gemmactl.serving.ticket import ticket

DENIED = (
    "ERROR: (gcloud.run.deploy) PERMISSION_DENIED: Permission 'iam.serviceaccounts.actAs' denied on service account"
    " run-sa@my-proj.iam.gserviceaccount.com (or it may not exist). This command is authenticated as dev@example.com which is the"
    " active account specified by the [core/account] property."
)


def test_a_ticket_asks_for_the_least() -> None:
    """Who, which role, on what, why, the command; and that nothing broader is asked for."""
    text = ticket(diagnose(DENIED), "gemma in project my-proj")
    assert "Grant: roles/iam.serviceAccountUser to user:dev@example.com" in text
    assert "nothing broader" in text
    assert "gcloud iam service-accounts add-iam-policy-binding run-sa@my-proj.iam.gserviceaccount.com" in text
    assert "Not this: " in text


def test_an_empty_ticket_says_so() -> None:
    """Without a problem there is nothing to ask for."""
    assert ticket(()).startswith("Nothing for an administrator")
