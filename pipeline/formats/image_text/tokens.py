"""How many tokens BAGEL's transforms make of a picture, and how many pictures a sample of a trainer may have.

Source: the transforms and packers of BAGEL and of NeMo Automodel, with the sizes that both ship: pictures are scaled to
512 to 1024 pixels a side for the VAE (a token for 16 x 16) and to 224 to 518 for the ViT (14 x 14).
"""

from __future__ import annotations

from dataclasses import dataclass

MOST_PIXELS = 14 * 14 * 9 * 1024

ELEMENT = 2
"""Marks around each picture and each text of a sample, in tokens."""


@dataclass(frozen=True)
class PictureScaling:
    """Bounds of a picture's sides, and the pixels that a token covers, a side."""

    most: int
    least: int
    stride: int

    def sides(self, width: int, height: int) -> tuple[int, int]:
        """Width and height that a trainer scales a picture to."""
        scale = max(min(self.most / max(width, height), 1.0), self.least / min(width, height))
        sides = self._scaled((width, height), scale)
        if sides[0] * sides[1] > MOST_PIXELS:
            sides = self._scaled(sides, MOST_PIXELS / (sides[0] * sides[1]))
        return self._scaled(sides, self.most / max(sides)) if max(sides) > self.most else sides

    def _scaled(self, sides: tuple[int, int], scale: float) -> tuple[int, int]:
        width, height = (max(self.stride, round(round(side * scale) / self.stride) * self.stride) for side in sides)
        return width, height


VAE, VIT = PictureScaling(1024, 512, 16), PictureScaling(518, 224, 14)


@dataclass(frozen=True)
class PictureTokens:
    """A picture as a trainer sees it.

    >>> PictureTokens(160, 210).vae, PictureTokens(160, 210).vit
    (1344, 336)
    """

    width: int
    height: int

    @property
    def vae(self) -> int:
        """Tokens of a picture that is context for, or comes from, the VAE."""
        width, height = VAE.sides(self.width, self.height)
        return width * height // VAE.stride**2

    @property
    def vit(self) -> int:
        """Tokens of a picture that is context for the ViT."""
        width, height = VIT.sides(self.width, self.height)
        return width * height // VIT.stride**2

    @property
    def patches(self) -> int:
        """Places of the longer side in the table of positions, `max_latent_size`."""
        return max(VAE.sides(self.width, self.height)) // VAE.stride

    def bagel(self, pictures: int, text: int) -> int:
        """Tokens of a window of BAGEL, whose texts have at most `text` tokens each.

        The first picture is context, the last a target; those between are both.
        """
        between, steps = pictures - 2, pictures - 1
        seen = (self.vae + self.vit) * (1 + between) + self.vae * (1 + between)
        return seen + steps * text + ELEMENT * (2 + 3 * between + 1 + steps)

    def thinkmorph(self, pictures: int, texts: int, prompt: int, text: int) -> int:
        """Tokens of a row of ThinkMorph: the first picture is context, every other context and target."""
        seen = (self.vae + self.vit) + (2 * self.vae + self.vit) * (pictures - 1)
        return seen + prompt + texts * text + ELEMENT * (2 + 1 + texts + 3 * (pictures - 1))

    def most_thinkmorph(self, limit: int, prompt: int, text: int) -> int:
        """The most pictures that a row may have, with as many texts, so that it stays below a limit; 0 for none."""
        first, second = (self.thinkmorph(count, count, prompt, text) for count in (1, 2))
        return max(0, 1 + (limit - 1 - first) // (second - first))  # each picture after the first adds as many
