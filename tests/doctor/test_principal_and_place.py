"""Members and resource names: what is accepted, what never is."""

from __future__ import annotations

import pytest

from gemmactl.doctor.finding import TOKENS, Context
from gemmactl.doctor.place import SLOTS, Place, account_project, bind_command, parse, settle, valid
from gemmactl.doctor.principal import PLACEHOLDERS, is_member, member, resolve, shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dev@example.com", "user:dev@example.com"),
        ("user:dev@example.com", "user:dev@example.com"),
        ("group:team@example.com", "group:team@example.com"),
        ("a@p.iam.gserviceaccount.com", "serviceAccount:a@p.iam.gserviceaccount.com"),
        ("123-compute@developer.gserviceaccount.com", "serviceAccount:123-compute@developer.gserviceaccount.com"),
        ("allUsers", ""),
        ("allAuthenticatedUsers", ""),
        ("domain:example.com", ""),
        ("user:allUsers", ""),
        ("deleted:serviceAccount:a@b.example", ""),
        ("a@b.example; id", ""),
        ("$(id)@b.example", ""),
        ("a@b.example\nb@c.example", ""),
        ("", ""),
    ],
)
def test_members(text: str, expected: str) -> None:
    """Only single accounts with a legal e-mail become members."""
    assert member(text) == expected
    assert is_member(expected) == bool(expected)


def test_tokens_are_resolved_from_what_is_known() -> None:
    """Each token has its fact; without it the token stays, and a command shows its placeholder."""
    here = Context(
        number="123456789012",
        caller="user:dev@example.com",
        build_account="build@prj-1.iam.gserviceaccount.com",
        runtime_account="serve@prj-1.iam.gserviceaccount.com",
    )
    assert [resolve(t, here) for t in TOKENS] == [
        "user:dev@example.com",
        "serviceAccount:build@prj-1.iam.gserviceaccount.com",
        "serviceAccount:build@prj-1.iam.gserviceaccount.com",
        "serviceAccount:serve@prj-1.iam.gserviceaccount.com",
        "serviceAccount:service-123456789012@serverless-robot-prod.iam.gserviceaccount.com",
    ]
    assert [resolve(t, Context()) for t in TOKENS] == list(TOKENS)
    assert [shown(t) for t in TOKENS] == [PLACEHOLDERS[t] for t in TOKENS]
    assert shown("allUsers") == "MEMBER"


@pytest.mark.parametrize(
    ("text", "scope", "full"),
    [
        (
            "//artifactregistry.googleapis.com/projects/prj-1/locations/us/repositories/r",
            "repo",
            "projects/prj-1/locations/us/repositories/r",
        ),
        ("us-central1-docker.pkg.dev/prj-1/r/image:tag", "repo", "projects/prj-1/locations/us-central1/repositories/r"),
        ("gcr.io/prj-1/image", "repo", "projects/prj-1/locations/us/repositories/gcr.io"),
        ("eu.gcr.io/prj-1/image", "repo", "projects/prj-1/locations/eu/repositories/gcr.io"),
        ("projects/prj-1/secrets/S/versions/latest", "secret", "projects/prj-1/secrets/S"),
        ("namespaces/prj-1/services/s", "service", "projects/prj-1/locations/REGION/services/s"),
        ("projects/prj-1/locations/us-east4/jobs/j", "job", "projects/prj-1/locations/us-east4/jobs/j"),
        ("https://storage.googleapis.com/storage/v1/b/my-models/o/x", "bucket", "gs://my-models"),
        ("projects/-/serviceAccounts/a@prj-1.iam.gserviceaccount.com", "service account", "a@prj-1.iam.gserviceaccount.com"),
        ("projects/prj-1", "project", "projects/prj-1"),
    ],
)
def test_resource_names_in_all_spellings(text: str, scope: str, full: str) -> None:
    """The most specific resource in the text, with its whole name."""
    place = parse(text)
    assert place is not None
    assert (place.scope, str(place)) == (scope, full)


@pytest.mark.parametrize("slot", sorted(SLOTS))
@pytest.mark.parametrize("text", ["", "$(id)", "a b", "a;b", "a|b", "a`b`", "x\ny", "a>b", "-"])
def test_no_slot_takes_shell_syntax(slot: str, text: str) -> None:
    """Whatever the slot, a value with shell syntax, a blank or a line break is not legal."""
    assert valid(slot, text) == ""


def test_unknown_parts_stand_in_capitals() -> None:
    """A command that can't be completed shows what is missing and can't be pasted by mistake."""
    line = bind_command(Place("repo"), "roles/artifactregistry.writer", "BUILD_SA")
    assert line == (
        "gcloud artifacts repositories add-iam-policy-binding REPOSITORY --member=BUILD_SA --role=roles/artifactregistry.writer"
        " --project=PROJECT --location=REGION"
    )


def test_a_number_becomes_the_projects_id_where_both_are_known() -> None:
    """Texts print the number; a policy target needs one spelling only."""
    place = settle(parse("projects/123456789012/secrets/S"), "secret", Context(project="prj-1", number="123456789012"))
    assert str(place) == "projects/prj-1/secrets/S"


def test_only_user_made_accounts_tell_their_project() -> None:
    """Default accounts and agents live elsewhere."""
    assert account_project("a@prj-1.iam.gserviceaccount.com") == "prj-1"
    assert account_project("123-compute@developer.gserviceaccount.com") == ""
    assert account_project("service-1@gcp-sa-artifactregistry.iam.gserviceaccount.com") == ""
