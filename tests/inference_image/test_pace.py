"""What a load learns while it runs: how long to wait for a connection, and how many to have."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field

import pytest

from inference_image.chunks.arena import Arena
from inference_image.chunks.crew import Crew, Growth, Pace
from inference_image.chunks.pulse import Pulse
from inference_image.chunks.source import NOWHERE, Done, Job, Object, Patience, Sink
from inference_image.contract import Code, LoadFailed


def seen(pulse: Pulse, silence: float, seconds: float, size: int = 8 << 20, times: int = 20) -> None:
    for _ in range(times):
        pulse.silent(silence)
        pulse.finished(seconds, size)


def test_silence_is_judged_by_what_was_seen() -> None:
    """A connection is given up after a multiple of nearly all silences of the others, within the bounds of patience."""
    pulse = Pulse(Patience(stall=15, least=0.25))
    assert pulse.silence(0) == 2.0
    seen(pulse, 0.2, 1.0)
    assert pulse.silence(0) == pytest.approx(0.6)
    seen(pulse, 0.001, 1.0, times=128)
    assert pulse.silence(0) == 0.25
    seen(pulse, 30, 60, times=64)
    assert pulse.silence(0) == 15


def test_the_last_ones_are_left_sooner() -> None:
    """When readers have nothing to do, a silent connection is all that is waited for; what is usual here is borne even then."""
    pulse = Pulse(Patience(least=0.25))
    seen(pulse, 0.01, 1.0)
    pulse.idle = 1
    assert pulse.silence(0) == pytest.approx(0.1)
    seen(pulse, 0.3, 1.0, times=128)
    assert pulse.silence(0) == pytest.approx(0.9)
    pulse.idle = 0
    assert pulse.silence(0) == pytest.approx(0.9)


def test_readers_without_work_are_told() -> None:
    """The pulse knows while some of the readers wait for work."""
    source = Held()
    made, done, _, _ = crew(source, 2)
    made.add(jobs(2))
    while source.now < 2:
        threading.Event().wait(0.001)
    assert source.pulse.idle == 0
    source.release.set()
    while source.pulse.idle < 2:
        threading.Event().wait(0.001)
    assert len(done) == 2
    made.close()


def test_one_silence_in_ten_is_usual() -> None:
    """Not the typical silence counts but the long ones: where a tenth of the answers take a second, a second is no fault."""
    pulse = Pulse(Patience())
    for number in range(128):
        pulse.silent(1.0 if number % 10 == 0 else 0.01)
    assert pulse.silence(0) == pytest.approx(3.0)


@pytest.mark.parametrize("mean", [0.01, 0.05, 0.3, 2.0])
def test_a_link_with_uneven_silences_is_left_alone(mean: float) -> None:
    """Silences as a busy link has them, many short and few long: one in two hundred is given up at most, however slow."""
    chance, pulse, given_up = random.Random(7), Pulse(Patience()), 0
    for _ in range(4000):
        silence, limit = chance.expovariate(1 / mean), pulse.silence(0)
        given_up += silence > limit
        pulse.silent(min(silence, limit))
    assert given_up <= 20


def test_silences_that_were_given_up_count_as_seen() -> None:
    """A store that becomes slow for all is waited for after some tries: the limit rises by what was given up."""
    pulse = Pulse(Patience())
    seen(pulse, 0.01, 1.0, times=128)
    before = pulse.silence(0)
    for _ in range(12):
        pulse.silent(pulse.silence(0))
    assert pulse.silence(0) >= 3 * before


def test_each_strike_doubles_the_patience() -> None:
    """A store that is slow as a whole is waited for, not asked ever more often."""
    pulse = Pulse(Patience(stall=15))
    seen(pulse, 0.2, 1.0)
    assert [pulse.silence(strikes) for strikes in range(5)] == pytest.approx([0.6, 1.2, 2.4, 4.8, 9.6])
    assert pulse.silence(9) == 15


def test_a_straggler_is_told_by_its_time_for_its_size() -> None:
    """Nothing is too slow before anything is known; then it is what takes a multiple of the others' time."""
    pulse = Pulse(Patience())
    assert pulse.slowness(8 << 20, 0) == float("inf")
    seen(pulse, 0.1, 1.0, size=8 << 20)
    assert pulse.slowness(8 << 20, 0) == pytest.approx(4.0)
    assert pulse.slowness(1 << 20, 0) == 2.0
    assert pulse.slowness(8 << 20, 2) == pytest.approx(16.0)


def test_connections_grow_while_more_of_them_bring_more() -> None:
    """Half as many again for each step that was worth it, up to the most."""
    growth = Growth(Pace(16, 64))
    assert [growth.after(rate) for rate in (100, 140, 190, 250)] == [24, 36, 54, 64]
    assert growth.after(400) is None


def test_connections_stay_when_more_of_them_bring_nothing() -> None:
    """A link or a processor that is full is left with as many as filled it."""
    growth = Growth(Pace(16, 64))
    assert growth.after(100) == 24
    assert growth.after(104) is None


def test_a_fixed_number_never_grows() -> None:
    """GEMMACTL_CONNECTIONS_MOST at the number to begin with."""
    assert Growth(Pace(16, 16)).after(100) is None


@dataclass
class Held:
    """A source whose reads wait, and count how many wait at once."""

    uri: str = "held"
    pulse: Pulse = field(default_factory=lambda: Pulse(Patience()))
    release: threading.Event = field(default_factory=threading.Event)
    fail: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)
    now: int = 0
    most: int = 0
    began: list[int] = field(default_factory=list)

    def list(self) -> tuple[Object, ...]:
        return (Object("o", 1 << 20, "1"),)

    def read(self, object: Object, begin: int, end: int, sink: Sink) -> None:  # noqa: A002 - the contract's name
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.began.append(begin)
        self.release.wait(20)
        if self.fail:
            raise LoadFailed(Code.ACCESS_DENIED, object.name, self.fail)
        while begin < end:
            room = sink.buffer(begin, end - begin)
            room[:] = bytes(len(room))
            sink.wrote(begin, len(room))
            begin += len(room)
        with self.lock:
            self.now -= 1


def crew(source: Held, first: int) -> tuple[Crew, list[Done], list[BaseException], threading.Event]:
    done: list[Done] = []
    failed: list[BaseException] = []
    over = threading.Event()

    def note(one: Done) -> None:
        done.append(one)
        if len(done) == 40:
            over.set()

    made = Crew(source, Pace(first, first), done=note, failed=lambda error: (failed.append(error), over.set()))
    made.open({"o": source.list()[0]}, Arena(1 << 20))
    return made, done, failed, over


def jobs(count: int = 40) -> list[Job]:
    return [Job(number, "o", number * 10, number * 10 + 10, NOWHERE if number % 2 else number * 10) for number in range(count)]


def test_so_many_connections_and_no_more() -> None:
    """Jobs wait for a reader; every one is done once."""
    source = Held()
    made, done, failed, over = crew(source, 4)
    made.add(jobs())
    while source.now < 4:
        threading.Event().wait(0.001)
    source.release.set()
    assert over.wait(20)
    assert sorted(one.number for one in done) == list(range(40))
    assert source.most == made.threads == 4
    assert source.began[:4] == sorted(source.began[:4])
    assert not failed
    made.close()


def test_few_jobs_take_few_connections() -> None:
    """A small model opens no connection that has nothing to do."""
    source = Held()
    source.release.set()
    made, _, _, _ = crew(source, 16)
    made.add(jobs(2))
    assert made.threads <= 2
    made.close()


def test_the_first_failure_ends_the_crew() -> None:
    """No further job is begun after one that failed for good."""
    source = Held(fail="no")
    made, done, failed, over = crew(source, 2)
    made.add(jobs())
    source.release.set()
    assert over.wait(20)
    assert isinstance(failed[0], LoadFailed)
    assert not done
    assert len(source.began) <= 4


def test_a_request_goes_on_through_jobs_that_come_meanwhile() -> None:
    """One read of the source for three jobs of a request, two of which come while it is under way; each is done once."""
    source = Held()
    source.release.set()
    made, done, failed, _ = crew(source, 2)
    came = threading.Event()
    first = Job(1, "o", 10, 20, 10, 40)
    made.add([first])
    while not source.now:
        came.wait(0.001)
    made.add([Job(2, "o", 20, 30, 20, 40), Job(3, "o", 50, 60, 50)])
    made.add([Job(4, "o", 30, 40, NOWHERE, 40)])
    while len(done) < 4 and not failed:
        came.wait(0.001)
    assert not failed
    assert [one.number for one in done if one.number != 3] == [1, 2, 4]
    assert sorted(source.began) == [10, 50]
    made.close()


def test_a_request_that_waits_for_its_next_job_ends_with_the_crew() -> None:
    """Closed in the middle of a request: whoever waits for room in it leaves, and nothing is a failure."""
    source = Held()
    source.release.set()
    made, done, failed, _ = crew(source, 1)
    before = set(threading.enumerate())
    made.add([Job(1, "o", 0, 10, 0, 1000)])
    readers = set(threading.enumerate()) - before
    while not done:
        threading.Event().wait(0.001)
    made.close()
    assert len(readers) == 1
    for reader in readers:
        reader.join(5)
        assert not reader.is_alive()
    assert not failed
