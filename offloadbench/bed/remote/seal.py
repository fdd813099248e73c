"""Lines that prove who wrote them, for a stream over a network that is not ours. Standard library of Python 3.7."""

from __future__ import annotations

import hashlib
import hmac


class Seal:
    """Marks lines as coming from who holds the key, each in its place; without a key lines go as they are.

    Args:
        direction: one of two names, so that no line can be sent back.
    """

    def __init__(self, key: bytes, direction: str) -> None:
        self._key = key
        self._direction = direction.encode()
        self._count = 0

    def _of(self, line: bytes) -> bytes:
        text = b"%s %d %s" % (self._direction, self._count, line)
        self._count += 1
        return hmac.new(self._key, text, hashlib.sha256).hexdigest().encode()

    def close(self, line: bytes) -> bytes:
        return self._of(line) + b" " + line if self._key else line

    def open(self, line: bytes) -> bytes:
        """The line without its seal.

        Raises:
            ValueError: the seal is not of this key, direction and place.
        """
        if not self._key:
            return line
        seal, _, rest = line.partition(b" ")
        if not hmac.compare_digest(seal, self._of(rest)):
            raise ValueError("a line without the right seal")
        return rest


def session_key(token: str, *nonces: str) -> bytes:
    """Of one connection: what both sides contributed, under the secret that both know."""
    return hmac.new(token.encode(), " ".join(nonces).encode(), hashlib.sha256).digest()
