"""Plays the script of an area with a suite, and returns its masked answers."""

import asyncio
import re
from collections.abc import Collection, Mapping
from typing import Any

from tests.recordings.masks import REST_DIGITS, RPC_DIGITS, Masks
from tests.recordings.rest import RestCaller
from tests.recordings.rpc import RpcCaller
from tests.recordings.script import NOBODY, STRANGER, Script, Step, chosen, read_script
from tests.recordings.suite import Suite
from tests.support.eventually import eventually

_NAME = re.compile(r"\{(\w+)\}")
_LONG = re.compile(r"«(.+?)\*(\d+)»")
_WRONG_KEY = "cb_0123456789ab_" + "x" * 43
_SECONDS = 120  # a busy machine must not fail the test

Answers = dict[str, Any]


async def play_all(suite: Suite, names: Collection[str] = ()) -> dict[str, Answers | Exception]:
    """Plays all areas, or those with these names, concurrently, each in its own tenant.

    An area that cannot be played has its exception.
    """
    scripts = [read_script(area) for area in chosen(names)]
    played = await asyncio.gather(*(play(script, suite) for script in scripts), return_exceptions=True)
    results: dict[str, Answers | Exception] = {}
    for script, answers in zip(scripts, played, strict=True):
        if isinstance(answers, BaseException) and not isinstance(answers, Exception):
            raise answers
        results[script.area] = answers
    return results


async def play(script: Script, suite: Suite) -> Answers:
    """Plays one area."""
    keys = await asyncio.to_thread(suite.keys, re.sub(r"\W|_", "-", script.area))
    rest, rpc = RestCaller(suite.gateways), RpcCaller(suite.session, suite.command)
    try:
        principals = {role: f"key:{key.split('_')[1]}" for role, key in keys.items()}
        digits = RPC_DIGITS if script.area.startswith("rpc/") else REST_DIGITS
        masks = Masks(written=script.text, times=script.times, keys=principals, digits=digits)
        player = _Player(rest, rpc, keys, masks)
        answers = {}
        for step in script.steps:
            try:
                answer = await player.play(step)
            except Exception as error:
                error.add_note(f"in the step {step.name!r} of {script.area}")
                raise
            if step.record:
                answers[step.name] = answer
        return answers
    finally:
        await rest.close()
        await rpc.close()


class _Player:
    def __init__(self, rest: RestCaller, rpc: RpcCaller, keys: Mapping[str, str], masks: Masks) -> None:
        self._rest = rest
        self._rpc = rpc
        self._keys = {**keys, STRANGER: _WRONG_KEY}
        self._masks = masks
        self._names = {**masks.moments(), **{f"{role}_key": key for role, key in keys.items()}}

    async def play(self, step: Step) -> Any:
        """Plays a step until its answer is as required, saves parts of it, and masks it."""
        answer = await self._call(step)
        if any(part(answer, path) != wanted for path, wanted in step.until.items()):
            answer = await self._until(step)
        assert step.record or is_good(answer), answer  # a failure would go unnoticed otherwise
        for name, path in step.save.items():
            self._names[name] = str(part(answer, path)).strip('"')
        masked = {"request": step.target, **self._masks.answer(step.name, answer)}
        for path in step.races:
            inner, _, key = path.rpartition(".")
            part(masked, inner)[key] = "<a race decides>"
        return masked

    async def _until(self, step: Step) -> Any:
        answers = []

        async def is_so() -> bool:
            answers.append(await self._call(step))
            seen = {path: part(answers[-1], path) for path in step.until}
            assert seen == step.until, answers[-1]
            return True

        await eventually(is_so, _SECONDS)
        return answers[-1]

    async def _call(self, step: Step) -> dict[str, Any]:
        body = self._filled(step.body) if isinstance(step.body, str) else step.body
        target = self._filled(step.target)
        key = None if step.role == NOBODY else self._keys[step.role]
        if step.is_rpc:
            return await self._rpc.call(target, "{}" if body is None else body, key, step.take)
        headers = {name: self._filled(value) for name, value in step.headers.items()}
        if key is not None:
            headers.setdefault("Authorization", f"Bearer {key}")
        content = body.encode() if isinstance(body, str) else body
        return await self._rest.call(target, content, headers, step.gateway, take=step.take, hold=step.hold)

    def _filled(self, text: str) -> str:
        text = _LONG.sub(lambda found: found[1] * int(found[2]), text)
        return _NAME.sub(lambda found: self._names.get(found[1], found[0]), text)


def is_good(answer: Mapping[str, Any]) -> bool:
    """Whether the request succeeded."""
    return bool(answer["status"] < 400 if "status" in answer else answer["code"] == "OK")


def part(answer: Any, path: str) -> Any:
    """The part of an answer at a path such as `body.events.0.type`; None if there is none."""
    for word in path.split("."):
        try:
            answer = answer[int(word)] if isinstance(answer, list) else answer[word]
        except (KeyError, IndexError, TypeError):
            return None
    return answer
