"""The contract of the cloud for what another account holds. Knows no implementation."""

from __future__ import annotations

import pytest

from gemmactl.errors import Trouble
from gemmactl.resources.cloud import Cloud, PolicyTarget


class RightsContract:
    def test_permissions_of_an_account_that_one_may_act_as(self, cloud: Cloud) -> None:
        """Refused until one may have its token; then its own rights count, and not those of who asks."""
        cloud.apis.enable(["iam.googleapis.com", "iamcredentials.googleapis.com", "cloudresourcemanager.googleapis.com"])
        email = cloud.accounts.create("worker", "", "").email
        project = PolicyTarget("project", cloud.project)
        asked = {"logging.logEntries.create", "run.services.create"}
        with pytest.raises(Trouble) as barred:
            cloud.policies.held_by(email, project, asked)
        assert barred.value.facts["permission"] == "iam.serviceAccounts.getAccessToken"
        cloud.policies.add(PolicyTarget("service_account", email), "roles/iam.serviceAccountTokenCreator", cloud.caller())
        assert cloud.policies.held_by(email, project, asked) == frozenset()
        cloud.policies.add(project, "roles/logging.logWriter", f"serviceAccount:{email}")
        assert cloud.policies.held_by(email, project, asked) == {"logging.logEntries.create"}
