"""The wire as protocol.md describes it, spoken by a client that knows nothing else."""

from __future__ import annotations

import numpy as np
import zmq
from PIL import Image

from daemon import Daemon
from pictures import noise, planar, png, shape
from raw import Raw

OPERATIONS = (
    "hello ping models health status tokenize embed_text embed_image score rank classify prepare "
    "release gradient"
).split()


def test_hello_names_versions_limits_models_and_operations(raw: Raw) -> None:
    result = raw.ask("hello").result
    assert "GD01" in result["protocols"]
    assert set(OPERATIONS) <= set(result["operations"])
    assert isinstance(result["extensions"], list) and isinstance(result["version"], str)
    assert result["limits"] and all(value > 0 for value in result["limits"].values())
    assert "default" in result["models"] and result["default_model"] == "default"


def test_ping_models_health_and_status(raw: Raw, daemon: Daemon) -> None:
    assert raw.ask("ping").result == {}
    (model,) = [m for m in raw.ask("models").result["models"] if m["name"] == "default"]
    assert len(model["fingerprint"]) >= 16
    health = raw.ask("health").result
    assert health["live"] is True and health["ready"] is True
    assert 0 <= health["canary_age_ms"] < 3_600_000
    assert raw.ask("status").result["pid"] == daemon.process.pid


def test_the_control_endpoint_answers(daemon: Daemon) -> None:
    with Raw(daemon.control) as control:
        for op in ("ping", "health", "status", "hello"):
            assert control.ask(op).status == "ok"


def test_req_sockets_and_their_empty_delimiter(daemon: Daemon) -> None:
    with Raw(daemon.endpoint, zmq.REQ) as client:
        for _ in range(3):
            assert client.ask("ping").status == "ok"
        assert client.ask("nonsense").error["code"] == "unknown_op"
        client.send_frames(b"GD01", b"{")
        assert client.receive().error["code"] == "bad_request"
        scores = client.ask("score", {"prompts": ["a"]}, [noise(9, 9)[None]]).outputs["scores"]
        assert scores.shape == (1, 1)


def test_the_delimiter_comes_back_only_to_those_who_sent_it(daemon: Daemon) -> None:
    with Raw(daemon.endpoint) as client:
        header = b'{"id": "d", "op": "ping"}'
        client.send_frames(b"", b"GD01", header)
        assert client.socket.poll(10_000)
        frames = client.socket.recv_multipart()
        assert frames[:2] == [b"", b"GD01"] and len(frames) == 3
        client.send_frames(b"GD01", header)
        assert client.receive().header["id"] == "d"


def test_tokenize(raw: Raw) -> None:
    texts = ["a cat", "", "A  CAT", "日本 &amp;", "a cat " * 500]
    answer = raw.ask("tokenize", {"texts": texts, "long_prompts": "truncate"})
    tokens = answer.result["tokens"]
    assert len(tokens) == 5
    start, end = tokens[1]  # an empty text is its two ends
    assert all(row[0] == start and row[-1] == end and end not in row[1:-1] for row in tokens)
    assert tokens[0] == tokens[2]
    assert len(tokens[4]) == max(len(row) for row in tokens) < 500
    dropped = answer.result["dropped"]
    assert dropped[0]["tokens"] == 0
    assert dropped[4]["tokens"] > 900 and "cat" in dropped[4]["text"]

    answer = raw.ask("tokenize", {"texts": texts})
    assert answer.items == {4: "prompt_too_long"}
    assert answer.result["tokens"][:4] == tokens[:4]
    assert "texts[4]" in answer.header["items"][0]["error"]["field"]


def test_text_embeddings_and_their_datatypes(raw: Raw) -> None:
    texts = ["a red circle", "a blue square"]
    unit = raw.ask("embed_text", {"texts": texts}).outputs["embeddings"]
    assert unit.dtype == np.float32 and unit.shape[0] == 2
    assert np.allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-5)
    full = raw.ask("embed_text", {"texts": texts, "normalize": False}).outputs["embeddings"]
    assert np.allclose(full / np.linalg.norm(full, axis=1, keepdims=True), unit, atol=1e-6)
    for datatype, tolerance in (("FP16", 1e-3), ("BF16", 8e-3)):
        answer = raw.ask("embed_text", {"texts": texts, "datatype": datatype})
        assert answer.header["outputs"][0]["datatype"] == datatype
        assert np.allclose(answer.outputs["embeddings"], unit, atol=tolerance)
    cut = raw.ask("embed_text", {"texts": ["a " * 500], "long_prompts": "truncate"})
    assert cut.outputs["embeddings"].shape == (1, unit.shape[1])
    assert any("dropped" in warning for warning in cut.header["warnings"])


def bf16(values: np.ndarray) -> np.ndarray:
    return (values.astype("<f4").view(np.uint32) >> 16).astype("<u2")


def test_images_of_every_form_in_frame_order(raw: Raw) -> None:
    pixels = noise(48, 40, seed=3)
    alpha = np.dstack([pixels, noise(48, 40, seed=4)[..., :1]])
    floats = planar(pixels)
    answer = raw.ask(
        "embed_image",
        {},
        [
            png(pixels),
            np.stack([pixels, pixels[::-1]]),
            alpha[None],
            np.stack([floats, floats[:, ::-1]]),
            floats[None].astype("<f2"),
            bf16(floats[None]),
            png(pixels[::-1]),
        ],
    )
    rows = answer.outputs["embeddings"]
    assert len(rows) == 9 and answer.items == {}
    assert np.array_equal(rows[0], rows[1])  # a file and its pixels
    assert np.array_equal(rows[2], rows[8])
    assert not np.array_equal(rows[1], rows[2])
    # The differentiable path does not round to bytes, so it agrees closely, not exactly.
    assert rows[4] @ rows[0] > 0.99 and rows[5] @ rows[2] > 0.99
    assert rows[6] @ rows[4] > 0.999 and rows[7] @ rows[4] > 0.99


def test_transparency_is_laid_onto_white(raw: Raw) -> None:
    # As transformers' image processors do since version 5.
    picture = Image.fromarray(np.dstack([noise(48, 40, seed=3), noise(48, 40, seed=4)[..., :1]]))
    white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    expected = np.asarray(Image.alpha_composite(white, picture).convert("RGB"))
    images = [np.asarray(picture)[None], png(picture), expected[None]]
    rows = raw.ask("embed_image", {}, images).outputs["embeddings"]
    assert np.array_equal(rows[0], rows[2]) and np.array_equal(rows[1], rows[2])


def test_an_item_does_not_depend_on_its_companions(raw: Raw) -> None:
    pictures = [noise(20 + i, 30 + 2 * i, seed=i) for i in range(7)]
    together = raw.ask("embed_image", {}, [p[None] for p in pictures]).outputs["embeddings"]
    for index, picture in enumerate(pictures):
        alone = raw.ask("embed_image", {}, [picture[None]]).outputs["embeddings"]
        assert np.array_equal(alone[0], together[index])
    texts = [f"number {i}" + " and so on" * i for i in range(5)]
    all_texts = raw.ask("embed_text", {"texts": texts}).outputs["embeddings"]
    for index, text in enumerate(texts):
        alone = raw.ask("embed_text", {"texts": [text]}).outputs["embeddings"]
        assert np.array_equal(alone[0], all_texts[index])


def test_scores_are_the_cosines_of_the_embeddings(raw: Raw) -> None:
    images = [noise(33, 50, seed=i)[None] for i in range(3)]
    prompts = ["a red circle", "noise", "ein Bild"]
    x = raw.ask("embed_image", {}, images).outputs["embeddings"]
    y = raw.ask("embed_text", {"texts": prompts}).outputs["embeddings"]
    answer = raw.ask("score", {"prompts": prompts}, images)
    cosine = answer.outputs["scores"]
    assert cosine.shape == (3, 3) and np.allclose(cosine, x @ y.T, atol=1e-5)
    assert answer.header["model"] == "default" and len(answer.header["fingerprint"]) >= 16
    assert answer.header["timing"]["compute_ms"] > 0 <= answer.header["timing"]["queue_ms"]
    pairwise = raw.ask("score", {"prompts": prompts, "pairwise": True}, images)
    assert np.array_equal(pairwise.outputs["scores"], np.diag(cosine))
    logit = raw.ask("score", {"prompts": prompts, "metric": "logit"}, images).outputs["scores"]
    ratio = logit / cosine
    assert ratio.min() > 1 and np.allclose(ratio, ratio.mean(), rtol=1e-3)
    clip = raw.ask("score", {"prompts": prompts, "metric": "clipscore"}, images)
    prefixed = raw.ask("score", {"prompts": ["A photo depicts " + p for p in prompts]}, images)
    expected = 2.5 * np.maximum(prefixed.outputs["scores"], 0)
    assert np.allclose(clip.outputs["scores"], expected, atol=1e-5)


def test_rankings_are_sorted_ties_by_index(raw: Raw) -> None:
    a, b = shape("circle", "red"), shape("square", "blue")
    images = [png(image) for image in (b, a, b, a)]
    ranking = raw.ask("rank", {"prompt": "a red circle"}, images).result["ranking"]
    assert [entry["index"] for entry in ranking] == [1, 3, 0, 2]
    scores = [entry["score"] for entry in ranking]
    assert scores[0] == scores[1] > scores[2] == scores[3]
    top = raw.ask("rank", {"prompt": "a red circle", "top_k": 1}, images).result["ranking"]
    assert top == ranking[:1]


def test_classification_is_a_softmax_over_labels(raw: Raw) -> None:
    images = [png(shape("circle", "red")), png(shape("square", "blue"))]
    labels = ["red circle", "blue square", "green triangle"]
    answer = raw.ask("classify", {"labels": labels}, images)
    probabilities = answer.outputs["probabilities"]
    assert probabilities.shape == (2, 3) and np.allclose(probabilities.sum(1), 1, atol=1e-5)
    assert probabilities.argmax(1).tolist() == [0, 1]
    prompts = [f"a photo of a {label}." for label in labels]
    logits = raw.ask("score", {"prompts": prompts, "metric": "logit"}, images).outputs["scores"]
    weights = np.exp(logits - logits.max(1, keepdims=True))
    assert np.allclose(probabilities, weights / weights.sum(1, keepdims=True), atol=1e-4)
    many = raw.ask("classify", {"labels": labels, "templates": ["a {}", "{}."]}, images)
    assert np.allclose(many.outputs["probabilities"].sum(1), 1, atol=1e-5)


def test_gradients_of_equal_and_of_different_sizes(raw: Raw) -> None:
    pictures = [noise(40, 30, seed=i) for i in range(2)]
    stacked = np.stack([planar(p) for p in pictures])
    answer = raw.ask("gradient", {"prompts": ["a red circle"]}, [stacked])
    outputs = answer.outputs
    assert outputs["gradient"].shape == (2, 3, 40, 30)
    assert np.isfinite(outputs["gradient"]).all() and np.abs(outputs["gradient"]).max() > 0
    assert outputs["loss"].shape == outputs["score"].shape == (2,)
    assert np.allclose(outputs["loss"], 1 - outputs["score"], atol=1e-5)
    scores = raw.ask("score", {"prompts": ["a red circle"]}, [stacked]).outputs["scores"]
    assert np.allclose(outputs["score"], scores[:, 0], atol=1e-5)
    # Byte images are widened to floats, so they have the same gradient.
    same = raw.ask("gradient", {"prompts": ["a red circle"]}, [pictures[0][None], png(pictures[1])])
    assert np.array_equal(same.outputs["gradient"], outputs["gradient"])

    mixed = raw.ask(
        "gradient", {"prompts": ["a red circle"]}, [stacked[:1], noise(21, 64)[None], stacked[1:]]
    ).outputs
    assert "gradient" not in mixed
    assert mixed["gradient.1"].shape == (3, 21, 64)
    assert np.array_equal(mixed["gradient.0"], outputs["gradient"][0])
    assert np.array_equal(mixed["gradient.2"], outputs["gradient"][1])


def test_weights_pairs_and_losses(raw: Raw) -> None:
    images = [np.stack([planar(noise(32, 32, seed=i)) for i in range(2)])]
    prompts = ["a red circle", "a blue square"]
    single = [raw.ask("gradient", {"prompts": [p]}, images).outputs for p in prompts]
    both = raw.ask("gradient", {"prompts": prompts, "weights": [3, -1]}, images).outputs
    expected = (3 * single[0]["gradient"] - single[1]["gradient"]) / 2
    assert np.allclose(both["gradient"], expected, atol=1e-6)
    assert np.allclose(both["score"], (3 * single[0]["score"] - single[1]["score"]) / 2, atol=1e-5)
    pairwise = raw.ask("gradient", {"prompts": prompts, "pairwise": True}, images).outputs
    for index in range(2):
        assert np.array_equal(pairwise["gradient"][index], single[index]["gradient"][index])
    spherical = raw.ask("gradient", {"prompts": prompts[:1], "loss": "spherical"}, images).outputs
    angle = np.arccos(single[0]["score"])
    assert np.allclose(spherical["loss"], angle**2 / 2, atol=1e-4)
    slope = (angle / np.sin(angle))[:, None, None, None]
    assert np.allclose(spherical["gradient"], slope * single[0]["gradient"], atol=1e-6)
    logit = raw.ask("gradient", {"prompts": prompts[:1], "loss": "logit"}, images).outputs
    scale = -logit["loss"] / logit["score"]
    assert np.allclose(
        logit["gradient"], scale[:, None, None, None] * single[0]["gradient"], rtol=1e-3, atol=1e-5
    )


def test_prepared_prompts_serve_every_operation_that_takes_them(raw: Raw, daemon: Daemon) -> None:
    images = [planar(noise(32, 32))[None]]
    params = {"prompts": ["a red circle", "a blue square"], "weights": [1, -0.5]}
    plain = raw.ask("gradient", params, images).outputs
    handle = raw.ask("prepare", params).result["handle"]
    with Raw(daemon.endpoint) as another:
        prepared = another.ask("gradient", {"handle": handle}, images).outputs
    assert np.array_equal(plain["gradient"], prepared["gradient"])
    assert np.array_equal(plain["loss"], prepared["loss"])
    scores = raw.ask("score", {"handle": handle}, images).outputs["scores"]
    expected = raw.ask("score", {"prompts": params["prompts"]}, images).outputs["scores"]
    assert np.array_equal(scores, expected)
    assert raw.ask("release", {"handle": handle}).status == "ok"
    for op, more in (("release", []), ("gradient", images)):
        error = raw.ask(op, {"handle": handle}, more).error
        assert error["code"] == "bad_request" and error["field"] == "params.handle"


def test_unknown_fields_are_ignored_and_named(raw: Raw) -> None:
    answer = raw.ask("embed_text", {"texts": ["a"], "colour": 1}, shade={"of": "grey"})
    assert answer.status == "ok"
    warnings = " ".join(answer.header["warnings"])
    assert "colour" in warnings and "shade" in warnings
    assert raw.ask("ping").header.get("warnings", []) == []


def test_replies_carry_the_ids_of_many_requests_on_the_way(raw: Raw) -> None:
    sent = {raw.send("embed_text", {"texts": [f"text {i}"]}) for i in range(100)}
    received = [raw.receive() for _ in range(100)]
    assert {answer.header["id"] for answer in received} == sent
    assert all(answer.status == "ok" for answer in received)


def test_a_repeated_id_in_flight_joins_the_first(raw: Raw, daemon: Daemon) -> None:
    images = [np.stack([noise(64, 64, seed=i) for i in range(64)])]
    with Raw(daemon.control) as control:
        before = control.ask("status").result["transport"]["joined"]
        for _ in range(3):
            raw.send("embed_image", {}, images, id="same")
        raw.receive()
        # Whatever the number of replies, one computation served them all.
        assert control.ask("status").result["transport"]["joined"] == before + 2
    late = []
    raw.send("ping", id="end")
    while not late or late[-1].header["id"] != "end":
        late.append(raw.receive())
    assert len(late) == 1, "a request has exactly one final reply"


def test_a_retry_over_a_new_connection_with_the_same_identity_gets_the_reply(
    daemon: Daemon,
) -> None:
    images = [np.stack([noise(64, 64, seed=i) for i in range(200)])]
    first = Raw(daemon.endpoint, identity=b"phoenix")
    first.send("embed_image", {}, images, id="again")
    with Raw(daemon.control) as control:  # until the request has arrived
        while sum(control.ask("status").result["queue"][k] for k in ("waiting", "running")) == 0:
            pass
    first.close()
    with Raw(daemon.endpoint, identity=b"phoenix") as second:
        answer = second.ask("embed_image", {}, images, id="again")
        assert answer.outputs["embeddings"].shape[0] == 200


def test_a_passed_deadline_is_told(raw: Raw) -> None:
    images = [np.stack([noise(256, 256, seed=i) for i in range(100)])]
    answer = raw.ask("embed_image", {}, images, deadline_ms=1)
    assert answer.error["code"] == "deadline_exceeded"
    assert raw.ask("embed_image", {}, images, deadline_ms=60_000).status == "ok"


def test_palette_grey_and_bilevel_files(raw: Raw) -> None:
    base = Image.fromarray(noise(40, 40, seed=9))
    modes = ["RGB", "RGBA", "L", "LA", "P", "1"]
    answer = raw.ask("embed_image", {}, [png(base.convert(mode)) for mode in modes])
    assert answer.items == {}
    reference = raw.ask(
        "embed_image", {}, [np.asarray(base.convert(m).convert("RGB"))[None] for m in modes]
    )
    assert np.array_equal(answer.outputs["embeddings"], reference.outputs["embeddings"])
