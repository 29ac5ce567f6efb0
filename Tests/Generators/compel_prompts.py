"""Writes the fixture of the tests of compel's dialect, from compel itself.

    python Tests/Generators/compel_prompts.py                          # the committed fixture
    python Tests/Generators/compel_prompts.py --random 5000 --out corpus.json    # a larger corpus

The tests read the larger corpus when COMPEL_CORPUS names it. References: compel 2.5.1 (pyparsing 3.3.3),
transformers 5.23.0.

The text encoder is no network but a formula that the tests have too, so that tokens, positions, masks and
arithmetic all show in the result: at position p, feature d, the mean over the visible q <= p of
((token[q] * (13 + 2 d) + 7 q + 3 d) mod 127) / 127, in double precision, as a single-precision number.

Each case: `prompt`, `chunk` (whether long prompts go on in further chunks), `pad`, `inversions` (see below), then `error` (compel fails), or
`terms` ([weight, normalize, [[factor, [[text, weight], ...]], ...]], ...]), `tokens` (of the first text of each term)
and `states` (base64 of little-endian fp32, all positions; left out where only `terms` are checked).
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import signal
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import torchvision_operators  # noqa: F401  (before compel)

import torch
from compel import Compel, DiffusersTextualInversionManager
from compel.prompt_parser import Blend, CrossAttentionControlSubstitute, PromptParser
from diffusers.loaders import TextualInversionLoaderMixin
from transformers import CLIPTokenizer

from tokenizer import clip_references

OUT = Path(__file__).parents[1] / "PromptsTests" / "Fixtures" / "compel.json"
WIDTH = 2

CURATED = """
a cat
a cat++ on a mat
a cat-- on a mat
a (very small cat)1.3 on a (red mat)0.6
a ((small cat)+ on)+ a mat
cat+ , dog- ; bird
(cat)-1.5 (dog)+1.5 (bird).5 (fish)2
(cat) 1.5
"a cat"++ and "a dog"0.5
"a \\"quoted\\" cat"1.2
"a \\\\" cat"
"tab\\tnew\\nline\\x02zero\\0 \\u0041"+
a.attend(+++) b.attend( -- ) (c d).attend(1.25) "e f".attend(.5) g.attend(-1)
mid-century x-ray co+op a+b a-b -a +b --c ++d
5-5 5+ 5.5 -5 (5)5 (5.5)0.5
a\\+ b\\- \\(c\\) \\"d\\" e\\, f\\.
(a\\(b\\))1.2
(unbalanced cat
unbalanced) cat
((nested) (more)1.1)1.2
(a, b. c)1.1
(a = b)+
() ()+ ""+ "" (  )
("a cat", "a dog").blend(0.7, 0.3)
("a cat", "a dog").blend()
("a cat", "a dog").blend(1, 1, no_normalize)
("a cat+ on a mat", "a dog").blend(0.25, 0.75)
(cat, dog).blend(1, 2)
(cat, (small dog)).blend(1, 2)
("a = b", "c").blend(1, 1)
("a cat", "a dog").blend(1)
("a cat", "a dog").blend(x, y)
("a cat", "a dog").blend(1, 1) and more
("a cat", "a dog", "a bird").blend(1, -0.5, 0.25)
("", "a dog").blend(1, 1)
("a cat", "a dog").and()
("a cat", "a dog").and(0.5, 1.5)
("a cat", "a dog").add(1, 0.5)
("a cat-- sits", "a dog").and(1, 1) and this is ignored
("a cat", "a dog").and(1)
(a cat, dog).and()
  ("a cat" , "a dog" )  .and( 1 , 1 )
("a cat", "a dog").blend(1, 1)useLora(x)
useLora(style, 0.5) a cat
a cat withLora(other) on a mat
a cat.withLora(other)
useLora(only)
a cat.swap(dog) on a mat
"a cat".swap("a dog", s_start=0.2)
("a cat.swap(dog)", "b").blend(1, 1)
a cat,dog,, bird ,fish
a	tab and
é (ñandú)1.1 👩‍🚀+ ɑ̃-
a<|endoftext|>b+
(a<|endoftext|>b)0.5 c
nbsp\u00a0space+ (nbsp\u00a0here)+
form\u000cfeed
vertical\u000btab
a (b (c (d)0.9)0.8)0.7 e
a (b)0.5 (c)0.5 (d)0 (e)-0.5
(everything)0.3
a (b)1.0 (c)0.99999999
(a b) (c d)1.5e3
(a)1.5.5 (b)1..5
a ++ b
word++word
""".strip("\n").split("\n")

#: With textual inversions `<ti>` of 3 vectors and `<one>` of 1, whose vectors are tokens from 49408 on.
INVERSIONS = """
a <ti> cat
<TI>
a<ti>b <one>+ (<ti>)1.3
(a <ti>)0.6 b
<ti>_1
<ti>_2 <one>
"<ti> cat", <one>.
("<ti> cat", "a <one>").blend(0.5, 0.5)
("<ti> cat", "a <one>").and(1, 0.5)
<ti <one <two>
""".strip("\n").split("\n")

LONG = "a lighthouse on a cliff above the sea"


def long_prompts() -> list[str]:
    sentence = LONG + ", "
    return [
        " ".join(["cat"] * 75),
        " ".join(["cat"] * 76),
        " ".join(["cat"] * 200),
        sentence * 20,
        (LONG + ". ") * 20,
        "a " + (LONG + "; ") * 12 + "(the end, at last.)0.5 " + sentence * 3,
        "x" * 400,
        "x" * 400 + " (" + "y" * 300 + ")0.5",
        "(" + sentence * 12 + ")0.7 tail",
        "head (" + sentence * 12 + ")0.7 tail",
        "head (" + sentence * 6 + ")0.7 (" + sentence * 6 + ")1.2 (tail)0.2",
        '("' + sentence * 11 + '", "a dog").blend(0.5, 0.5)',
        '("' + sentence * 11 + '", "a dog").and(1, 0.5)',
        '("a dog", "' + sentence * 11 + '").blend(2, 1, no_normalize)',
        "supercalifragilisticexpialidocious" * 30,
    ]


PARTS = ["(", ")", "(", ")", '"', '"', "\\", "+", "-", "++", "--", ",", ", ", ".", " ", " ", "=", "0.5", "1.3", "2",
         "a", "cat ", "red ", "x-y", ".blend(", ".and(", ".swap(", ".attend(", '").blend(1, 1)', '("a", "b")',
         "no_normalize", "useLora(q)", "\\(", "\\)", '\\"', "\\+", "1,1)", ")1.1 ", ")0.7 ", "\n", "\\t", "\\x02", "é"]


def random_prompt(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.5:
        return "".join(rng.choice(PARTS) for _ in range(rng.randint(1, 14)))

    def text(depth: int) -> str:
        out = []
        for _ in range(rng.randint(1, 4)):
            word = rng.choice(["a cat", "red", "dog,", "in rain.", "x-ray", "mat", '\\"sky\\"', "été", "10"])
            roll = rng.random()
            if roll < 0.25 and depth < 3:
                weight = rng.choice(["", "+", "--", "1.2", "0.6", ".9", "0"])
                word = f"({text(depth + 1)}){weight}"
            elif roll < 0.35:
                word += rng.choice(["+", "-", "++", "---"])
            out.append(word)
        return rng.choice([" ", " ", ", ", ""]).join(out)

    if kind < 0.75:
        return text(0)
    count = rng.randint(1, 3)
    targets = ", ".join(f'"{text(1)}"' for _ in range(count))
    weights = [rng.choice(["1", "0.5", "-0.25", "1.5"]) for _ in range(rng.choice([0, count, count, count + 1]))]
    if rng.random() < 0.2:
        weights.append("no_normalize")
    tail = rng.choice(["", "", " ", " more"])
    return f"({targets}){rng.choice(['.blend', '.and', '.add'])}({', '.join(weights)}){tail}"


class Encoder:
    """A text encoder that is a formula."""

    device = torch.device("cpu")
    dtype = torch.float32

    def __call__(self, token_ids, attention_mask=None, output_hidden_states=False, return_dict=True):
        tokens = token_ids.to(torch.float64)
        place = torch.arange(tokens.shape[1], dtype=torch.float64)
        mask = torch.ones_like(tokens) if attention_mask is None else attention_mask.to(torch.float64)
        features = [
            torch.remainder(tokens * (13 + 2 * d) + 7 * place + 3 * d, 127) / 127 for d in range(WIDTH)
        ]
        values = torch.stack(features, -1) * mask[..., None]
        counts = mask.cumsum(1).clamp(min=1)
        states = (values.cumsum(1) / counts[..., None]).to(torch.float32)
        return SimpleNamespace(last_hidden_state=states)


def terms(conjunction) -> list:
    out = []
    for prompt, weight in zip(conjunction.prompts, conjunction.weights):
        blend = prompt if isinstance(prompt, Blend) else None
        texts = blend.prompts if blend else [prompt]
        factors = blend.weights if blend else [1.0]
        if blend and blend.normalize_weights and not torch.tensor(factors).sum():
            raise ValueError("the weights add up to zero")
        fragments = []
        for text in texts:
            if any(isinstance(f, CrossAttentionControlSubstitute) for f in text.children):
                raise ValueError("swap")
            fragments.append([[f.text, f.weight] for f in text.children])
        out.append([weight, bool(blend and blend.normalize_weights), list(map(list, zip(factors, fragments)))])
    return out


class Timeout(Exception):
    pass


def case(prompt: str, chunk: bool, pad: int, compels: dict, with_states: bool) -> dict | None:
    result = {"prompt": prompt, "chunk": chunk, "pad": pad}

    def stop(*_):
        raise Timeout

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(5)
    try:
        parsed = PromptParser().parse_conjunction(prompt)
        result["terms"] = terms(parsed)
        if parsed.lora_weights:
            result["loras"] = [[x.model, x.weight] for x in parsed.lora_weights]
        if with_states:
            states, tokens = compels[chunk, pad].build_conditioning_tensor(prompt, return_tokenization=True)
            if not torch.isfinite(states).all():
                raise ValueError("not finite")
            result["tokens"] = tokens.flatten().tolist()
            data = states.flatten().tolist()
            result["states"] = base64.b64encode(struct.pack(f"<{len(data)}f", *data)).decode()
    except Timeout:
        return None
    except TypeError:
        # A fragment without text of a weight below 1, on which compel fails; ours hides nothing for it.
        pass
    except IndexError:
        # A prompt of LoRAs alone has no text at all, on which compel fails; ours is the empty prompt.
        result.pop("terms", None)
        result["empty"] = True
    except Exception as error:  # noqa: BLE001  (whatever it is, it is not a result)
        result = {"prompt": prompt, "chunk": chunk, "pad": pad, "error": f"{type(error).__name__}: {error}"[:80]}
    finally:
        signal.alarm(0)
    return result


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--random", type=int, default=150)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--every", type=int, default=10, help="hidden states for every so many random prompts")
    arguments.add_argument("--out", type=Path, default=OUT)
    options = arguments.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    tokenizer: CLIPTokenizer = clip_references().transformers
    tokenizer.model_max_length = 77
    inverted: CLIPTokenizer = clip_references().transformers
    inverted.model_max_length = 77
    inverted.add_tokens(["<ti>", "<ti>_1", "<ti>_2", "<one>"])
    pipe = type("Pipe", (TextualInversionLoaderMixin,), {"tokenizer": inverted})()
    compels = {}
    for chunk in (False, True):
        for pad in (49407, 0):
            compels[chunk, pad] = Compel(
                tokenizer=Padded(tokenizer, pad), text_encoder=Encoder(), truncate_long_prompts=not chunk, device="cpu"
            )
    with_inversions = {
        key: Compel(
            tokenizer=Padded(inverted, key[1]), text_encoder=Encoder(), truncate_long_prompts=not key[0], device="cpu",
            textual_inversion_manager=DiffusersTextualInversionManager(pipe),
        )
        for key in compels
    }
    rng = random.Random(options.seed)
    cases = []
    for number, prompt in enumerate(CURATED):
        cases.append(case(prompt, number % 2 == 1, [49407, 0][number // 2 % 2], compels, True))
    for number, prompt in enumerate(long_prompts()):
        cases.append(case(prompt, True, [49407, 0][number % 2], compels, True))
        cases.append(case(prompt, False, [0, 49407][number % 2], compels, True))
    inversions = INVERSIONS + [LONG.replace("cliff", "<ti>").replace("a ", "<one> ") + ", " + LONG * 9]
    for number, prompt in enumerate(inversions):
        for chunk in (False, True):
            found = case(prompt, chunk, [49407, 0][number % 2], with_inversions, True)
            if found is not None:
                found["inversions"] = True
            cases.append(found)
    for number in range(options.random):
        prompt = random_prompt(rng)
        cases.append(case(prompt, number % 2 == 0, [49407, 0][number // 2 % 2], compels, number % options.every == 0))
    kept = [c for c in cases if c is not None]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    rows = ",\n".join(json.dumps(c, ensure_ascii=False) for c in kept)
    options.out.write_text(f"[\n{rows}\n]\n", encoding="utf-8")
    failed = sum("error" in c for c in kept)
    print(f"{len(kept)} cases, {failed} of which compel refuses, {len(cases) - len(kept)} that take it too long")


class Padded:
    """A tokenizer with another pad token."""

    def __init__(self, tokenizer: CLIPTokenizer, pad: int) -> None:
        self.tokenizer = tokenizer
        self.pad_token_id = pad

    def __getattr__(self, name: str):
        return getattr(self.tokenizer, name)

    def __call__(self, *arguments, **keywords):
        return self.tokenizer(*arguments, **keywords)


if __name__ == "__main__":
    main()
