"""Starts that the loader's benchmark compares: whole processes from their birth to ready. Knows no table."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from bench.load_clients import Meter, Task
from bench.load_store import BUCKET


def imports(task: Task, meter: Meter) -> None:
    """Imports of torch and transformers' modules alone: those of a start over these, and of every other way here."""
    meter.start()
    import torch
    from transformers import Gemma3ForCausalLM, PreTrainedTokenizerFast

    _since_birth(task, torch, Gemma3ForCausalLM, PreTrainedTokenizerFast)


def torch_alone(task: Task, meter: Meter) -> None:
    """What our start imports of the two."""
    meter.start()
    import torch

    _since_birth(task, torch)


def ready(task: Task, _meter: Meter) -> None:
    """The engine: weights, model and tokenizer, without its first token."""
    _, timeline = _engine(task)
    phases = {phase["name"]: round(phase["start"] + phase["seconds"], 2) for phase in timeline.record()["phases"]}
    print(json.dumps({"seconds": phases["fill model"], "bytes": task.total, "cpu": 0, "phases": phases}), flush=True)
    os._exit(0)


def first_token(task: Task, _meter: Meter) -> None:
    """The engine, and the first token of its first answer."""
    from inference_image.engine import Request

    engine, _ = _engine(task)
    next(iter(engine.submit(Request((2, *engine.text.plain("Hello")), 1))))
    _since_birth(task)


def _engine(task: Task) -> tuple[Any, Any]:
    os.environ.update(STORAGE_EMULATOR_HOST=task.address, REQUESTS_CA_BUNDLE=task.authority)
    from inference_image.engine.load import begin, finish
    from inference_image.settings import Settings
    from inference_image.timeline import Timeline

    given = {key: task.given[key] for key in ("reader",) if key in task.given}
    settings = Settings(
        model=f"gs://{BUCKET}/{task.model}",
        device="cpu",
        connections=task.connections,
        connections_most=task.connections,
        **given,
    )
    timeline = Timeline()
    return finish(begin(settings, timeline), settings, timeline), timeline


def hub_way(task: Task, _meter: Meter) -> None:
    """transfer_manager into memory's file system, then from_pretrained and the tokenizer from its file."""
    os.environ.update(STORAGE_EMULATOR_HOST=task.address, REQUESTS_CA_BUNDLE=task.bundle)
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage
    from google.cloud.storage import transfer_manager as manager

    target = Path("/dev/shm/gemmactl-bench")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    client = storage.Client(project="p", credentials=AnonymousCredentials(), client_options={"api_endpoint": task.address})
    for path in task.folder.iterdir():
        blob = client.bucket(BUCKET).blob(f"{task.model}/{path.name}")
        if path.stat().st_size < 32 << 20:
            blob.download_to_filename(str(target / path.name))
            continue
        manager.download_chunks_concurrently(
            blob, str(target / path.name), chunk_size=32 << 20, max_workers=task.connections, worker_type=manager.THREAD
        )
    import torch
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    model = AutoModelForCausalLM.from_pretrained(target, dtype=torch.bfloat16)
    for parameter in model.parameters():
        parameter.view(-1)[::2048].sum()
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(target / "tokenizer.json"))
    if task.given.get("token"):
        ids = torch.tensor([[2, *tokenizer("Hello", add_special_tokens=False)["input_ids"]]])
        model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=1, do_sample=False)
    shutil.rmtree(target)
    _since_birth(task)


def hub_way_token(task: Task, meter: Meter) -> None:
    """The same, and one token of generate()."""
    task.given["token"] = True
    hub_way(task, meter)


def _since_birth(task: Task, *_imported: object) -> None:
    from inference_image.timeline import seconds_alive

    print(json.dumps({"seconds": seconds_alive(), "bytes": task.total, "cpu": 0}), flush=True)
    os._exit(0)


STARTS = {one.__name__: one for one in (imports, torch_alone, ready, first_token, hub_way, hub_way_token)}
