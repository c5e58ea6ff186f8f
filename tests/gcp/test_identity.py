"""Who calls: each kind of Application Default Credentials, its e-mail and its ID tokens, and what opening a project imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = str(Path(__file__).parents[2])


def run(code: str, **env: str) -> str:
    """Run code in an interpreter that sees nothing of this machine's login."""
    clean = {"PATH": os.environ["PATH"], "PYTHONPATH": ROOT, "HOME": "/nonexistent", "CLOUDSDK_CONFIG": "/nonexistent"}
    # a metadata server that is not there: without it google-auth would look for one on the network
    clean |= {"NO_GCE_CHECK": "true", **env}
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_without_a_login_the_caller_is_refused() -> None:
    """No credentials: code no-credentials, exit 4, at the first question and not before."""
    code = (
        "from gemmactl.errors import Trouble\nfrom gemmactl.gcp.cloud import connect\nc = connect('p')\n"
        "try: c.caller()\nexcept Trouble as t: print(t.code, int(t.exit))"
    )
    assert run(code) == "no-credentials 4"


def test_opening_a_project_imports_no_google_client() -> None:
    """Only what is used is imported, when it is used."""
    code = (
        "import sys\nfrom gemmactl.gcp.cloud import connect\nconnect('p')\n"
        "print([m for m in sys.modules if m.startswith('google') or m == 'requests'])"
    )
    assert run(code) == "[]"


def test_a_persons_calls_count_on_the_project(tmp_path: Path) -> None:
    """Calls count on the deployed project, not on that of the day of the login; only a project chosen by variable stays."""
    code = "from gemmactl.gcp.identity import Identity\nprint(Identity('p').credentials().quota_project_id)"
    file = tmp_path / "adc.json"
    person = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}
    file.write_text(json.dumps(person))
    assert run(code, GOOGLE_APPLICATION_CREDENTIALS=str(file)) == "p"
    file.write_text(json.dumps({**person, "quota_project_id": "mine"}))
    assert run(code, GOOGLE_APPLICATION_CREDENTIALS=str(file)) == "p"
    assert run(code, GOOGLE_APPLICATION_CREDENTIALS=str(file), GOOGLE_CLOUD_QUOTA_PROJECT="chosen") == "chosen"


def test_a_key_files_account_is_known_without_a_call(tmp_path: Path) -> None:
    """A service account's e-mail stands in its file."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    email = "ci@p.iam.gserviceaccount.com"
    account = {"type": "service_account", "client_email": email, "private_key": key.decode(), "token_uri": "https://x.invalid/"}
    file = tmp_path / "key.json"
    file.write_text(json.dumps(account))
    code = "from gemmactl.gcp.cloud import connect\nprint(connect('p').caller())"
    assert run(code, GOOGLE_APPLICATION_CREDENTIALS=str(file)) == f"serviceAccount:{email}"


def test_a_stale_id_token_is_renewed(tmp_path: Path) -> None:
    """A person's ID token comes with the access token and ends with it: an hour later a fresh one is fetched."""
    file = tmp_path / "adc.json"
    file.write_text(json.dumps({"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}))
    code = (
        "import datetime as dt\nfrom gemmactl.gcp.identity import Identity\ni = Identity('p')\nc = i.credentials()\n"
        "def refresh(request):\n    c._id_token, c.token = 'fresh', 't'\n"
        "c.refresh, c._id_token, c.token = refresh, 'old', 't'\n"
        "c.expiry = dt.datetime(2020, 1, 1)\nprint(i.id_token('https://s'))\n"
        "c._id_token, c.expiry = 'young', dt.datetime(2100, 1, 1)\nprint(i.id_token('https://s'))"
    )
    assert run(code, GOOGLE_APPLICATION_CREDENTIALS=str(file)).split() == ["fresh", "young"]
