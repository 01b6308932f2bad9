"""presto-bench: does a chat model's safety survive an attacker who may pick from ranks 2 to 20?"""

__version__ = "0.1.0"
