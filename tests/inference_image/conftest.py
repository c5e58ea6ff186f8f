"""Fixtures of the engine's tests: one loaded sample model per session, faults and waits without a clock."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference_image.chunks.source import Patience
from tests.inference_image.checkpoints import MODEL, SAMPLE
from tests.inference_image.fake_storage import Bucket, bucket_of

# Before torch is imported: on a shared machine a second OpenMP thread makes a step up to 15 times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def engine() -> Iterator[object]:
    """The sample model, loaded once."""
    from inference_image.engine import load
    from inference_image.settings import Settings

    loaded = load(Settings(model=str(MODEL), name="sample", threads=1, max_queue=200), environ={})
    yield loaded
    loaded.close()


@pytest.fixture(scope="session")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small model that sees."""
    from tests.inference_image.seeing import save_seeing

    return save_seeing(tmp_path_factory.mktemp("seeing"))


@pytest.fixture
def sample_bucket() -> Bucket:
    """The sample model in a pretended store, below m/."""
    return bucket_of(MODEL)


@pytest.fixture(scope="module")
def reference(engine: object) -> object:
    """The sample's logits from a directory, which test_loading.py holds to transformers' own."""
    from tests.inference_image.served import logits_of

    return logits_of(engine)  # type: ignore[arg-type]  # an Engine, imported where torch may be


@pytest.fixture(scope="session")
def examples() -> list[dict[str, str]]:
    """The sample model's own examples."""
    return json.loads((SAMPLE / "examples.json").read_text(encoding="utf-8"))


@pytest.fixture
def waits() -> list[float]:
    """The seconds that `patience` would have slept."""
    return []


@pytest.fixture
def patience(waits: list[float]) -> Patience:
    """Five tries, no real waiting, half a second until a silent socket counts as dead."""
    return Patience(attempts=5, stall=0.5, sleep=waits.append, jitter=lambda: 1.0)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for loopback and its key, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    return path
