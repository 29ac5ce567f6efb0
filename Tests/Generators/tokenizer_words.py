"""Makes Tests/EncodersTests/Fixtures/text/words: a tokenizer with words of several vectors, as diffusers'
`load_textual_inversion` leaves it and `save_pretrained` saves it, and what diffusers' `maybe_convert_prompt` and the
tokenizer then make of prompts.

    python Tests/Generators/tokenizer_words.py [OUTPUT_FOLDER]
"""

import json
import pathlib
import shutil
import sys

import torchvision_operators  # noqa: F401  (before diffusers)

from diffusers.loaders import TextualInversionLoaderMixin
from transformers import CLIPTokenizer

TEXT = pathlib.Path(__file__).resolve().parents[1] / "EncodersTests" / "Fixtures" / "text"
WORDS = ["<cat>", "<cat>_1", "<cat>_2", "ink", "ink_1", "<one>", "<gap>", "<gap>_2"]
PROMPTS = ["a <cat>", "<cat>", "a photo of <cat>, on a tree", "<cat> <cat>", "ink", "a cat in ink style", "<one> and <gap>",
           "<cat>_2 alone", "a<cat>b", "", "no word of it"]


def main(root):
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    tokenizer = CLIPTokenizer.from_pretrained(TEXT / "small" / "plain")
    tokenizer.add_tokens(WORDS)
    tokenizer.save_pretrained(root)
    expected = []
    for prompt in PROMPTS:
        converted = TextualInversionLoaderMixin().maybe_convert_prompt(prompt, tokenizer)
        expected.append({"prompt": prompt,
                         "tokens": tokenizer(converted, add_special_tokens=False)["input_ids"],
                         "unexpanded": tokenizer(prompt, add_special_tokens=False)["input_ids"]})
    (root / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    for entry in expected:
        print(entry)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else TEXT / "words")
