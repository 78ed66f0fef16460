"""Writes small pictures that the encoders of the tests do not write.

Made with Pillow 13.0.0. Run in this folder: python picture_seeds.py
"""

import random

from PIL import Image, ImageDraw

WIDTH, HEIGHT = 19, 11
random.seed(7)

noise = Image.new("RGB", (WIDTH, HEIGHT))
noise.putdata([tuple(random.randrange(256) for _ in range(3)) for _ in range(WIDTH * HEIGHT)])

noise.save("lossy.webp", quality=60)
noise.save("deflated.tiff", compression="tiff_adobe_deflate")
noise.quantize(16).save("palette.png")

red, blue = (Image.new("RGB", (WIDTH, HEIGHT), color) for color in ("#f01010", "#1010f0"))
red.save("animation.webp", save_all=True, append_images=[blue], duration=100)

large = Image.new("RGB", (56, 40))
large.putdata([tuple(random.randrange(256) for _ in range(3)) for _ in range(56 * 40)])
ImageDraw.Draw(large).rectangle((8, 8, 30, 20), fill="#3050c0")
large.save("progressive.jpg", progressive=True, quality=80)
large.save("restarts.jpg", restart_marker_blocks=2, quality=80)
