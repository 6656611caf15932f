"""What the official package makes of a server of Lore; called with the address and the model's id."""

import sys

import openai

base_url, model = sys.argv[1:]
client = openai.OpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=60)
question = "How many vacation days per year does a new employee in Munich get?"
ask = [{"role": "user", "content": question}]

# Models.
models = {listed.id: listed for listed in client.models.list()}
assert {"lore", model} <= set(models), models
assert client.models.retrieve(model).id == model
embedder = next(listed.id for listed in models.values() if listed.lore["kind"] == "embeddings")

# An answer from the documents, with its sources.
completion = client.chat.completions.create(model="lore", messages=ask)
message = completion.choices[0].message
assert "30 vacation days" in message.content, message
assert completion.choices[0].finish_reason == "stop"
cited = message.annotations[0]
assert cited.type == "url_citation" and cited.url_citation.title, cited
stretch = message.content[cited.url_citation.start_index : cited.url_citation.end_index]
assert stretch.startswith("New employees in Munich get 30 vacation days"), (stretch, cited)
assert cited.lore["quote"] == "Every new employee in Munich gets 30 vacation days per year.", cited
assert completion.usage.completion_tokens > 0 and completion.lore["timings"]["generation"]["queue_ms"] == 1
assert completion.lore["answered"] is True
assert completion._request_id

# The same as a stream; Lore's own parameters go through extra_body.
only_english = {"lore": {"filter": {"languages": ["en"]}}}
chunks = list(client.chat.completions.create(model="lore", messages=ask, stream=True, extra_body=only_english))
assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == message.content
assert chunks[0].choices[0].delta.role == "assistant"
assert chunks[-1].choices[0].finish_reason == "stop"
assert chunks[-1].choices[0].delta.annotations[0]["url_citation"]["title"] == cited.url_citation.title

# The language model alone, with tokens counted.
said = [{"role": "system", "content": "Repeat."}, {"role": "user", "content": "Say this again"}]
completion = client.chat.completions.create(model=model, messages=said, temperature=0, seed=1, max_tokens=100)
assert completion.choices[0].message.content == "Say this again", completion
assert completion.usage.total_tokens == completion.usage.prompt_tokens + 14
stream = client.chat.completions.create(
    model=model, messages=said, stream=True, stream_options={"include_usage": True}
)
chunks = list(stream)
assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Say this again"
assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 14, chunks[-1]
assert chunks[-2].choices[0].finish_reason == "stop"
with client.chat.completions.stream(model=model, messages=said) as stream:
    assert stream.get_final_completion().choices[0].message.content == "Say this again"

# Embeddings: the package asks for Base64 where nothing is said, and decodes it.
packed = client.embeddings.create(model=embedder, input=["vacation days", "lunch"])
plain = client.embeddings.create(model=embedder, input=["vacation days", "lunch"], encoding_format="float")
for one, other in zip(packed.data, plain.data, strict=True):
    assert len(one.embedding) == 64
    assert all(abs(a - b) < 1e-6 for a, b in zip(one.embedding, other.embedding, strict=True))
assert packed.usage.total_tokens == 3

# Errors are the package's own.
try:
    client.chat.completions.create(model="gpt-4o", messages=ask)
    raise AssertionError("an unknown model answered")
except openai.NotFoundError as error:
    assert (error.code, error.param) == ("model_not_found", "model"), error
    assert error.request_id
try:
    client.chat.completions.create(model=model, messages=ask, n=2)
    raise AssertionError("two answers were given")
except openai.BadRequestError as error:
    assert error.param == "n" and error.type == "invalid_request_error", error
try:
    client.with_options(api_key="lore_wrong_key").models.list()
    raise AssertionError("a wrong key was let in")
except openai.AuthenticationError as error:
    assert error.code == "invalid_api_key", error

# A model that fails in the middle.
try:
    for _ in client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "break off"}], stream=True
    ):
        pass
    raise AssertionError("a stream that broke off ended well")
except openai.APIError as error:
    assert error.code == "internal", error
print("all well")
