"""Signalling between two peers of one test."""

import queue

from call.signalling import InvitationKind


class Post:
    """Carries invitations between two threads."""

    def __init__(self) -> None:
        self._letters: dict[InvitationKind, queue.Queue[str]] = {"offer": queue.Queue(), "answer": queue.Queue()}

    def publish(self, kind: InvitationKind, text: str) -> None:
        self._letters[kind].put(text)

    def obtain(self, kind: InvitationKind) -> str:
        return self._letters[kind].get(timeout=60)
