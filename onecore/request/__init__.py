"""The way in: HTTP, decoding, authentication, dispatch, the answer once it is durable."""
