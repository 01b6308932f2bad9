"""How an endpoint is reached: what judges and served models have in common."""

import os
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from presto_bench.config.parts import Strict
from presto_bench.errors import UserError

HERE = ("localhost", "127.0.0.1", "::1")


class EndpointConfig(Strict):
    base_url: str
    key: Annotated[str, Field(pattern=r"^[A-Z_][A-Z0-9_]*$")] | None = Field(
        default=None, description="NAME of the environment variable with the key, never the key; null sends none"
    )
    concurrency: PositiveInt = Field(default=32, description="requests in flight in one job")
    timeout: PositiveFloat = Field(default=120, description="seconds for one reply; then the request is repeated")
    retries: PositiveInt = Field(
        default=6, description="repetitions of a request that was refused for load, broke or timed out"
    )
    longest_wait: PositiveFloat = Field(
        default=900,
        description="longest Retry-After to wait for, in seconds; a longer one stops the job with an error",
    )

    @property
    def is_here(self) -> bool:
        """Whether the endpoint is on this machine."""
        return urlsplit(self.base_url).hostname in HERE

    @model_validator(mode="after")
    def _no_secret_in_the_address(self) -> "EndpointConfig":
        if urlsplit(self.base_url).username or urlsplit(self.base_url).password:
            raise ValueError(
                "`base_url` holds a name or password: put the key into an environment variable and name it in `key`"
            )
        return self


class ServedConfig(EndpointConfig):
    """A model behind a completions endpoint (`/v1/completions` of vLLM, llama.cpp and servers like them). It is asked, never loaded.

    What was asked once is kept beside the model's folder (`<folder>.calls`) and not asked again.
    """

    model: str = Field(description="its name at the endpoint")
    logprobs: PositiveInt = Field(
        default=20,
        description="likeliest tokens a reply, and so the largest k of a rank attack; servers have limits (vLLM: --max-logprobs)",
    )
    max_calls: PositiveInt | None = Field(
        default=None, description="a job stops cleanly once so many calls were made; null: no cap"
    )


def key_of(config: EndpointConfig, place: str) -> str:
    """The endpoint's key, read from the environment just before use and stored nowhere.

    place: where the config has the endpoint, for the message.
    """
    if config.key is None:
        return "none"
    found = os.environ.get(config.key)
    if not found:
        raise UserError(
            f"{place}.key",
            f"the environment variable {config.key} is not set",
            f"export {config.key}=… where snakemake runs, or `key: null` for a server without keys",
        )
    return found
