"""Whether another process, known by what it wrote of itself, is dead."""

from vidsemi.runtime.process import is_dead, this_process

ELSEWHERE = {"boot_id": "another machine", "pid_namespace": "pid:[1]", "pid": 1, "start_time": "1"}


def test_this_process_lives_and_others_are_not_judged():
    assert not is_dead(this_process())
    assert not is_dead(ELSEWHERE)
    assert not is_dead({"boot_id": None, "pid_namespace": None, "pid": 1, "start_time": "1"})
    assert not is_dead({})
    assert is_dead(None)
    assert is_dead({**this_process(), "start_time": "0"})  # its number has gone to another process
