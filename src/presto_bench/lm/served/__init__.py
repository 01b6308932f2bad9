"""A model behind a completions endpoint, asked for ranked next tokens, continuations and, where the server can, likelihoods.

calls: the network; dialect: what is sent and how replies are read; probe: what the server can do and what is wrong with it;
target: what attacks and measures ask, in place of a loaded model.
"""
