"""Makes the small TAESD files under Tests/EncodersTests/Fixtures/taesd and what diffusers computes with them.

    python Tests/Generators/tiny_autoencoder.py [OUTPUT_FOLDER]

`diffusion_pytorch_model.safetensors` holds both halves under diffusers' names (width 8, 4 latent channels, fp16),
`taesd_decoder.pth` and `taesd_encoder.pth` the same weights under their author's names; `expected.safetensors` (fp32):

    latents [4, 5, 6]   image [3, 40, 48]   d_image [3, 40, 48]   d_latents [4, 5, 6]: of sum(d_image * image)
    picture [3, 19, 26] in 0...1   encoded [4, 3, 4]

The image is in 0...1 as TAESD's own decoder gives it; diffusers stretches it to -1...1.
"""

import pathlib
import sys

import torchvision_operators  # noqa: F401  (before diffusers)

import torch
from diffusers import AutoencoderTiny
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
FIXTURES = HERE.parent / "EncodersTests" / "Fixtures" / "taesd"


def main() -> None:
    """Writes the folder named on the command line, or the fixtures."""
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FIXTURES
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(31)
    model = AutoencoderTiny(
        latent_channels=4, encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4
    )
    state = {}
    for name, value in sorted(model.state_dict().items()):
        scale = 1.0 / (value[0].numel() ** 0.5) if value.dim() == 4 else 0.2
        state[name] = (torch.randn(value.shape, generator=generator) * scale).half()
    model.load_state_dict({name: value.float() for name, value in state.items()})
    model.eval()
    save_file(state, folder / "diffusion_pytorch_model.safetensors")
    decoder = {}
    encoder = {}
    for name, value in state.items():
        half, _, rest = name.partition(".layers.")
        number, _, tail = rest.partition(".")
        if half == "decoder":
            decoder[f"{int(number) + 1}.{tail}"] = value
        else:
            encoder[f"{number}.{tail}"] = value
    torch.save(decoder, folder / "taesd_decoder.pth")
    torch.save(encoder, folder / "taesd_encoder.pth")

    latents = torch.randn((1, 4, 5, 6), generator=generator) * 2
    latents.requires_grad_(True)
    image = (model.decode(latents).sample + 1) / 2
    d_image = torch.randn(image.shape, generator=generator)
    (image * d_image).sum().backward()
    picture = torch.rand((1, 3, 19, 26), generator=generator)
    with torch.no_grad():
        encoded = model.encode(picture * 2 - 1).latents
    save_file(
        {
            "latents": latents.detach()[0].contiguous(), "image": image.detach()[0].contiguous(),
            "d_image": d_image[0].contiguous(), "d_latents": latents.grad[0].contiguous(),
            "picture": picture[0].contiguous(), "encoded": encoded[0].contiguous(),
        },
        folder / "expected.safetensors",
    )
    print("largest values:", image.abs().max().item(), latents.grad.abs().max().item(),
          encoded.abs().max().item())


if __name__ == "__main__":
    main()
