"""What a log survived, and what somebody asks ahead, is no failure; the same words at the end of a log are one."""

from __future__ import annotations

import pytest

from gemmactl.doctor.diagnose import diagnose


@pytest.mark.parametrize(
    "text",
    [
        "cuda.py: CUDA out of memory\nfalling back to the smaller batch\nINFO training finished",
        "#7 3.1 ERROR: CUDA out of memory in a test\n#7 DONE 9.2s\n#8 DONE 0.1s",
        "WARNING 03-01 10:00:00 [loader.py:29] Triton is not installed.\nINFO 03-01 10:00:09 [api.py:1] serving",
        "### 1.4.0\n- Fixed: CUDA out of memory for long prompts.",
        "How can I avoid CUDA out of memory with a 12B model?",
        "- [ ] write down what to do about CUDA out of memory",
        "INFO chat message: 'my trainer says CUDA out of memory'",
    ],
)
def test_what_went_on_or_did_not_happen_yet_is_no_failure(text: str) -> None:
    """Tries with another way, done build steps, warnings of a program, notes, plans and questions ahead."""
    assert diagnose(text) == ()


@pytest.mark.parametrize(
    "text",
    [
        "cuda.py: CUDA out of memory\nfalling back to the smaller batch\ncuda.py: CUDA out of memory",
        "#7 3.1 ERROR: CUDA out of memory\n#8 DONE 0.1s",
        "WARNING 03-01 10:00:00 [loader.py:29] CUDA out of memory\nINFO 03-01 10:00:09 [api.py:1] stopping",
        "WARNING 03-01 10:00:00 [loader.py:29] Triton is not installed.",
        "### 1.4.0\n- Fixed: a path\nRuntimeError: CUDA out of memory",
        "CUDA out of memory. How can I avoid this?",
        "How can I avoid this? torch.OutOfMemoryError: CUDA out of memory.",
        (
            "While handling this request, the container instance was found to be using too much memory and was terminated."
            " If you see this message frequently, you may need more memory."
        ),
    ],
)
def test_a_failure_beside_such_words_is_still_told(text: str) -> None:
    """No better end, another step, a hard word, a lone warning, a message that explains itself."""
    assert diagnose(text)
