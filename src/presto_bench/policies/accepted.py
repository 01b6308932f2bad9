"""The rule for what counts as an answer, if all answers can be listed; judge and oracle search share it. Torch-free."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Accepted:
    """Texts that a response may begin with, each with its last word whole."""

    texts: tuple[str, ...]

    def reached(self, said: str) -> bool:
        return any(said.startswith(text) and not said[len(text) : len(text) + 1].isalnum() for text in self.texts)

    def alive(self, said: str) -> bool:
        """Whether it can still become one by saying more."""
        return any(text.startswith(said) for text in self.texts)
